"""The declared metric on every fold, with decisions that no fold took part in choosing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headrace.core.task import Kind, Task
from headrace.learn.candidate import Vector
from headrace.metrics.measure import measure
from headrace.metrics.record import Metric, Predictions
from headrace.metrics.threshold import Aim, choose_threshold

Ints = NDArray[np.int64]


def best_threshold(
    task: Task,
    aim: Metric | Aim,
    y: Vector,
    scores: Vector,
    *,
    units: Ints | None = None,
    today: Vector | None = None,
) -> float | None:
    """The threshold that the metric (or the aim) likes best on rows with a score (NaN: none). None unless
    binary. units and today, [rows], are for an aim with needs (see `metrics.threshold`)."""
    if task.kind is not Kind.BINARY:
        return None
    return _threshold(aim, y, scores, np.flatnonzero(np.isfinite(scores)), units, today)


def _threshold(
    aim: Metric | Aim, y: Vector, scores: Vector, rows: Ints, units: Ints | None, today: Vector | None
) -> float:
    own = None if units is None else units[rows]
    rule = None if today is None else today[rows]
    return float(choose_threshold(aim, y[rows], scores[rows], units=own, today=rule))


def decide(
    task: Task,
    aim: Metric | Aim,
    y: Vector,
    scores: Sequence[Vector],
    parts: Sequence[Ints],
    *,
    units: Ints | None = None,
    today: Vector | None = None,
) -> Ints | None:
    """Decided class codes [rows] (0 outside the parts); None for regression.

    scores: for each part, scores of all rows by what was chosen without looking at it ([rows] or
    [rows, classes]; one array for all of them where nothing was chosen).
    multiclass: the most probable class. binary: each part is decided by the threshold that is best on all
    the others, so that no row's own label helps to choose its threshold. (In walking folds the threshold of
    an early fold so comes from later ones: it is one number, and the comparison is alike for all.)
    units and today, [rows], are for an aim with needs.
    """
    if task.kind is Kind.REGRESSION:
        return None
    decisions = np.zeros(len(y), np.int64)
    for i, (part, mine) in enumerate(zip(parts, scores, strict=True)):
        if task.kind is Kind.MULTICLASS:
            decisions[part] = np.argmax(mine[part], axis=1)
        else:
            others = np.concatenate([p for j, p in enumerate(parts) if j != i])
            decisions[part] = mine[part] >= _threshold(aim, y, mine, others, units, today)
    return decisions


def measure_pieces(
    task: Task,
    metric: Metric,
    y: Vector,
    scores: Vector,
    decisions: Ints | None,
    units: Ints,
    pieces: Sequence[Ints],
) -> tuple[float, ...]:
    """The metric on each piece; NaN where it is undefined there (AUC of a single class, say)."""
    values = []
    for rows in pieces:
        decided = None if decisions is None else decisions[rows]
        values.append(float(measure(metric, Predictions(task, y[rows], scores[rows], units[rows], decided))))
    return tuple(values)
