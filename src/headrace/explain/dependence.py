"""Partial dependence: the answer as one column goes through its values, averaged over rows.

Friedman 2001, Annals of Statistics 29; the rows' own curves are those of Goldstein et al. 2015, Journal of
Computational and Graphical Statistics 24. Values are put into rows that they may never come with: where
columns hang together, the ends of a curve are what the model makes of rows that don't exist.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from headrace.core.schema import NULL_TEXT, Type
from headrace.core.task import FIRST_CODE, MISSING, RARE, UNSEEN, Feature, FeatureKind
from headrace.explain.record import Curve, Point

POINTS = 12
MOST_CLASSES = 10

Floats = NDArray[np.float64]
At = float | str | bool | None
Grid = Sequence[tuple[At, object]]
"""How a value is told, and how it is put into the column."""


def column_grid(kind: Type, values: NDArray[np.generic]) -> Grid:
    """Where a raw column's curve passes: quantiles of a number, true and false, the most frequent texts."""
    if kind is Type.TEXT:
        often = Counter(values.tolist()).most_common(POINTS)
        return [(None if v == NULL_TEXT else str(v), v) for v, _ in often]
    numbers = values.astype(np.float64)
    if kind is Type.BOOL:
        known = np.unique(numbers[np.isfinite(numbers)])
        return [(bool(v), float(v)) for v in known]
    return _numbers(numbers)


def feature_grid(feature: Feature, values: NDArray[np.generic]) -> Grid:
    """Where a feature's curve passes; of a category the most frequent codes, told as their values."""
    numbers = values.astype(np.float64)
    if feature.kind is FeatureKind.CATEGORY:
        often = Counter(numbers.tolist()).most_common(POINTS)
        return [(_category(feature, int(c)), float(c)) for c, _ in often]
    if feature.kind is FeatureKind.BOOL:
        return [(bool(v), float(v)) for v in np.unique(numbers[np.isfinite(numbers)])]
    return _numbers(numbers)


def _category(feature: Feature, code: int) -> str | None:
    if code == MISSING:
        return None
    named = {UNSEEN: "(unseen)", RARE: "(rare)"}
    return named[code] if code in named else feature.vocabulary[code - FIRST_CODE]


def _numbers(values: Floats) -> Grid:
    """All values where they are few, else evenly spaced quantiles between the 2% and 98% points."""
    known = values[np.isfinite(values)]
    distinct = np.unique(known)
    if len(distinct) > POINTS:
        shares = np.linspace(0.02, 0.98, POINTS)
        distinct = np.unique(np.quantile(known, shares, method="inverted_cdf"))
    return [(float(v), float(v)) for v in distinct]


def curves(
    name: str, level: str, grid: Grid, rows: int, answer: Callable[[object], Floats], of: Sequence[str]
) -> list[Curve]:
    """The curves of one column, one for each answer (of more than ten classes: the ten that move most).

    answer: a value put into every row -> [rows, answers]. of: what each answer is of; of a binary task only
    the positive class is asked for.

    Raises:
        HeadraceError: the graph can't answer.
    """
    if len(grid) < 2 or not rows:
        return []
    told = np.stack([answer(value) for _, value in grid])
    found = [_curve(name, level, [at for at, _ in grid], told[..., k], of[k]) for k in range(len(of))]
    if len(found) > MOST_CLASSES:
        most = sorted(found, key=lambda c: -c.range)[:MOST_CLASSES]
        found = [c for c in found if c in most]
    return found


def _curve(name: str, level: str, ats: Sequence[At], told: Floats, of: str) -> Curve:
    """told: [points, rows]."""
    mean = told.mean(axis=1)
    shape = told - told.mean(axis=0) + told.mean()
    low, high = np.quantile(shape, [0.1, 0.9], axis=1)
    points = tuple(
        Point(at, float(m), float(a), float(b)) for at, m, a, b in zip(ats, mean, low, high, strict=True)
    )
    return Curve(name, level, of, points, told.shape[1], float(mean.max() - mean.min()))
