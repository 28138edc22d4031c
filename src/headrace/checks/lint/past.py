"""Histories that know more than the past: what comes later explains them, or their table says that outcomes
are known at once.

A history sees earlier rows of an entity. If its table's times are true, the outcomes of earlier rows explain
it, and those of later rows add next to nothing. If a time lies, it is the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from headrace.checks.lint.alone import ranks
from headrace.checks.lint.record import Column, Dataset, Floats, Ints
from headrace.core.schema import NULL_TIME

PARTS = 8
"""So many parts of the window before a row are looked at: the last eighth, the last two, and so on."""

FEWEST = 200
"""Rows with a value of the history."""


@dataclass(frozen=True)
class Ahead:
    """How much of a history's variance is explained with the outcomes of later rows of its entities in the
    window, and by earlier ones and this row's own alone (adjusted R²)."""

    full: float
    past: float
    rows: int


def ahead(data: Dataset, feature: Column) -> Ahead | None:
    """What later outcomes say of a history with a window; None where it is none, or too few rows can tell."""
    seen = data.past.get(feature.name)
    if seen is None or seen.window_us is None or data.times is None:
        return None
    if data.classes > 2 or not feature.numeric:
        return None
    entity, there = _entities(data, seen.by)
    kept = there & ~feature.null & (data.times != NULL_TIME)
    if int(kept.sum()) < FEWEST:
        return None
    rows = np.flatnonzero(there & (data.times != NULL_TIME))
    order = rows[np.lexsort((data.times[rows], entity[rows]))]
    before, after = _around(entity[order], data.times[order], data.y[order] - data.y.mean(), seen.window_us)
    use = kept[order]
    x = ranks(feature.values[order])[use]
    x = x - x.mean()
    own = (data.y[order] - data.y.mean())[use]
    full = _explained(np.column_stack([before[use], own, after[use]]), x)
    return Ahead(full, _explained(np.column_stack([before[use], own]), x), len(x))


def _entities(data: Dataset, by: tuple[str, ...]) -> tuple[Ints, np.ndarray]:
    """A number a row for the values of these columns, and where none of them is null."""
    entity = np.zeros(data.rows, np.int64)
    there = np.ones(data.rows, np.bool_)
    for name in by:
        column = data.raw_by_name[name]
        there &= ~column.null
        codes = np.unique(column.values, return_inverse=True)[1]
        entity = np.unique(entity * (int(codes.max(initial=0)) + 1) + codes, return_inverse=True)[1]
    return entity, there


def _around(entity: Ints, times: Ints, y: Floats, window: int) -> tuple[Floats, Floats]:
    """Mean outcomes of each row's entity in parts of the window before it [rows, parts], and in the one after
    it [rows, 2]; rows of the same moment are in neither. Without rows it is 0, the mean of all. Rows in order
    of entity and time. Parts, because outcomes are known late: a history of old ones alone follows them."""
    distinct, rank = np.unique(times, return_inverse=True)
    base = entity * (len(distinct) + 1)
    lifted = base + rank
    sums = np.concatenate([[0.0], np.cumsum(y)])

    def mean(first: Ints, last: Ints) -> Floats:
        return np.asarray((sums[last] - sums[first]) / np.maximum(last - first, 1))

    def at(moments: Ints, side: Literal["left", "right"]) -> Ints:
        return np.searchsorted(lifted, base + np.searchsorted(distinct, moments, side))

    own, next_ = np.searchsorted(lifted, lifted), np.searchsorted(lifted, lifted, side="right")
    before = [mean(at(times - window * part // PARTS, "left"), own) for part in range(1, PARTS + 1)]
    after = [mean(next_, at(times + window * part // 2, "right")) for part in (1, 2)]
    return np.column_stack(before), np.column_stack(after)


def _explained(X: Floats, x: Floats) -> float:
    """Adjusted R² of a line; x and the columns' means lie near 0."""
    X = X - X.mean(axis=0)
    total = float(x @ x)
    if not total:
        return 0.0
    gram, beside = X.T @ X, X.T @ x
    gram[np.diag_indices_from(gram)] += 1e-9 * (np.trace(gram) + 1e-12)
    share = float(np.linalg.solve(gram, beside) @ beside) / total
    return float(1 - (1 - share) * (len(x) - 1) / max(len(x) - X.shape[1] - 1, 1))
