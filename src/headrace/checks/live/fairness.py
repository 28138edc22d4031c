"""Fairness over time: how differently groups of a declared column are treated, against the reference.

The largest difference between groups of the selection rate, and of the true and false positive rates where
truth is known (demographic parity and the halves of equalised odds: Hardt, Price & Srebro 2016); of a
regression, of the mean error. An alarm says that the difference grew, not that it is fair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from headrace.checks.live.groups import Groups, by_group, groups_of
from headrace.checks.live.labelled import LEAST, Baseline, Labelled, judged
from headrace.checks.live.null import of_sums
from headrace.core.task import Kind
from headrace.core.watching import Family, Reading
from headrace.metrics.record import Floats, Predictions


def fairness(
    window: Labelled, baseline: Baseline, columns: Sequence[str], chance: float
) -> tuple[Reading, ...]:
    """A reading for each column and rate; `chance` is divided among them."""
    rates = _RATES[window.predictions.task.kind]
    each = chance / max(1, len(columns) * len(rates))
    reference = baseline.rows
    found = []
    for column in columns:
        at = window.bins.index(column)
        groups = _frequent(groups_of(window.bins, column, reference.codes[:, at]), window.codes[:, at])
        for name, rate in rates.items():
            check = f"{name}_difference"
            if window.rows < LEAST or len(groups.labels) < 2:
                why = "fewer than two groups have enough labelled rows"
                found.append(Reading(Family.FAIRNESS, check, column, n=window.rows, why_none=why))
                continue
            theirs, mine = (
                by_group(groups.of(r.codes[:, at]), len(groups.labels), *rate(r.predictions))
                for r in (reference, window)
            )
            now = mine.sum(axis=0)
            measured = f"{check} {column} {groups.labels}"
            null = baseline.null(measured, of_sums(theirs, _widest), window.rows, larger_is_worse=True)
            value = float(_widest(now))
            if not np.isfinite(value):
                why = f"no row of some group counts for {name}"
                found.append(Reading(Family.FAIRNESS, check, column, n=window.rows, why_none=why))
                continue
            where = _told(name, now, groups)
            found.append(
                judged(Family.FAIRNESS, check, column, value, null, each, rows=window.rows, where=where)
            )
    return tuple(found)


Rate = Callable[[Predictions], tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Predictions -> which rows count [n], and what each adds [n]."""


def _selected(p: Predictions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    assert p.decision is not None  # noqa: S101  Predictions has seen to it
    return np.ones(p.rows), np.asarray(p.decision >= 1, np.float64)


def _tpr(p: Predictions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    counts = (p.y == 1).astype(np.float64)
    return counts, counts * (p.decision == 1)


def _fpr(p: Predictions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    counts = (p.y == 0).astype(np.float64)
    return counts, counts * (p.decision == 1)


def _right(p: Predictions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.ones(p.rows), np.asarray(p.decision == p.y, np.float64)


def _error(p: Predictions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.ones(p.rows), p.score - p.y


_RATES: dict[Kind, dict[str, Rate]] = {
    Kind.BINARY: {"selection_rate": _selected, "tpr": _tpr, "fpr": _fpr},
    Kind.MULTICLASS: {"accuracy": _right},
    Kind.REGRESSION: {"error": _error},
}


def _frequent(groups: Groups, codes: NDArray[np.uint8]) -> Groups:
    """The groups with enough rows in the window."""
    there = np.bincount(groups.of(codes) + 1, minlength=len(groups.labels) + 1)[1:]
    kept = np.flatnonzero(there >= LEAST)
    number = np.full(len(groups.labels) + 1, -1, np.int64)
    number[kept] = np.arange(len(kept))
    return Groups(groups.column, number[groups.group], tuple(groups.labels[i] for i in kept))


def _rates(sums: Floats) -> Floats:
    half = sums.shape[-1] // 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(sums[..., half:] / sums[..., :half])


def _widest(sums: Floats) -> Floats:
    rates = _rates(sums)
    return np.asarray(rates.max(axis=-1) - rates.min(axis=-1))


def _told(name: str, sums: Floats, groups: Groups) -> str:
    rates = _rates(sums)
    low, high = int(np.argmin(rates)), int(np.argmax(rates))
    return f"{name} is {rates[high]:.3g} of {groups.labels[high]}, {rates[low]:.3g} of {groups.labels[low]}"
