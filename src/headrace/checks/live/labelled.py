"""Answers whose truth is known: of a window, and of the reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.checks.live.null import Null, Nulls, Prepare, Weights
from headrace.core.task import Kind, Task
from headrace.core.watching import Family, Reading
from headrace.metrics.measure import measure, prepare
from headrace.metrics.record import Ints, Metric, Predictions
from headrace.summary.bins import Bins
from headrace.summary.reference import ReferenceRows

SEED = 20_251_121
"""Thresholds are drawn with this seed: the same release and window size give the same threshold."""
LEAST = 30
"""Labelled rows that a measure needs."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """Rows in the order of their times, with truth. codes: uint8 [n, columns of bins]. runs: which run of
    consecutive rows each is of [n]."""

    predictions: Predictions
    bins: Bins
    codes: NDArray[np.uint8]
    runs: Ints

    @property
    def rows(self) -> int:
        return self.predictions.rows

    def where(self, mask: NDArray[np.bool_]) -> Labelled:
        """Some of the rows."""
        p = self.predictions
        decision = None if p.decision is None else p.decision[mask]
        some = Predictions(p.task, p.y[mask], p.score[mask], p.units[mask], decision)
        return Labelled(some, self.bins, self.codes[mask], self.runs[mask])


class Baseline:
    """The reference rows that have an answer and a truth, and how measures of them vary by window. Made once
    for a release, and kept between windows."""

    def __init__(self, rows: Labelled, weights: Weights | None = None) -> None:
        self.rows = rows
        self._weights = weights or Weights()
        self._nulls = Nulls(rows.predictions.units, rows.runs, self._weights)
        self._parts: dict[str, Baseline] = {}

    @property
    def predictions(self) -> Predictions:
        return self.rows.predictions

    def part(self, name: str, mask: NDArray[np.bool_]) -> Baseline:
        """Some of the rows, by the name of a slice."""
        if name not in self._parts:
            self._parts[name] = Baseline(self.rows.where(mask), self._weights)
        return self._parts[name]

    def null(
        self, name: str, prepare: Prepare, window: int, *, larger_is_worse: bool, apart: bool = False
    ) -> Null | str:
        """How a measure varies between windows of so many rows. name: its own. apart: see `null_of`."""
        return self._nulls.of(name, prepare, window, larger_is_worse=larger_is_worse, seed=SEED, apart=apart)


def baseline_of(rows: ReferenceRows, bins: Bins, task: Task) -> Baseline:
    """The reference of a release, where its rows have an answer and a truth."""
    good = rows.answered & np.isfinite(rows.truth)
    decision = None if task.kind is Kind.REGRESSION else rows.decision[good]
    told = Predictions(task, rows.truth[good], rows.score[good], rows.unit[good], decision)
    return Baseline(Labelled(told, bins, rows.codes[good], rows.run[good]))


def metric_reading(
    family: Family, metric: Metric, window: Labelled, baseline: Baseline, chance: float, *, of: str = ""
) -> Reading:
    """A metric of a window's labelled rows, worse than the reference's or not.

    chance: of an alarm while nothing changes.
    """
    if window.rows < LEAST:
        why = f"{window.rows} labelled rows; {LEAST} are needed"
        return Reading(family, metric.name, of, n=window.rows, unit=metric.unit, why_none=why)
    value = measure(metric, window.predictions)
    if not np.isfinite(value):
        why = f"{metric.name} is undefined on these rows"
        return Reading(family, metric.name, of, n=window.rows, unit=metric.unit, why_none=why)
    null = baseline.null(
        metric.name,
        lambda codes, count: prepare(metric, baseline.predictions, codes, count).evaluate,
        window.rows,
        larger_is_worse=not metric.higher_is_better,
    )
    return judged(family, metric.name, of, value, null, chance, rows=window.rows, unit=metric.unit)


def judged(
    family: Family,
    check: str,
    of: str,
    value: float,
    null: Null | str,
    chance: float,
    *,
    rows: int,
    unit: str = "",
    where: str = "",
) -> Reading:
    """A value against its null distribution."""
    if isinstance(null, str):
        return Reading(family, check, of, value, n=rows, unit=unit, where=where, why_none=null)
    threshold = null.threshold(chance)
    exceeds = null.sign * (value - threshold) > 0
    told = where or f"{check} is {value:.4g}, was {null.reference:.4g} on the reference"
    return Reading(
        family,
        check,
        of,
        value,
        threshold,
        bool(exceeds),
        null.p(value),
        n=rows,
        unit=unit,
        where=told,
        details={"reference": null.reference},
    )
