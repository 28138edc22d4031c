"""The release's metric by slice over time: each value of each watched column against the reference's."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.checks.live.groups import groups_of, masks
from headrace.checks.live.labelled import LEAST, Baseline, Labelled, metric_reading
from headrace.core.watching import Family, Reading
from headrace.metrics.record import Metric


def slices(
    metric: Metric, window: Labelled, baseline: Baseline, columns: Sequence[str], chance: float
) -> tuple[Reading, ...]:
    """A reading for every slice with enough labelled rows here and in the reference; `of` is
    `column = value`.

    `chance` is divided by the number of slices that are looked at (Bonferroni): they share no rows within a
    column, and few between columns.
    """
    reference = baseline.rows
    looked = []
    for column in columns:
        at = window.bins.index(column)
        groups = groups_of(window.bins, column, reference.codes[:, at])
        theirs = masks(groups, reference.codes[:, at])
        for label, mine in masks(groups, window.codes[:, at]).items():
            if label in theirs and int(mine.sum()) >= LEAST and int(theirs[label].sum()) >= LEAST:
                looked.append((f"{column} = {label}", mine, theirs[label]))
    return tuple(
        metric_reading(
            Family.SLICES,
            metric,
            window.where(mine),
            baseline.part(name, theirs),
            chance / len(looked),
            of=name,
        )
        for name, mine, theirs in looked
    )
