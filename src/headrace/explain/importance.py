"""Permutation importance: what the metric loses when a column's values are those of other rows.

Breiman 2001, Machine Learning 45; model reliance of Fisher, Rudin & Dominici 2019, Journal of Machine
Learning Research 20. It says what this model rests on, not what the world rests on: of two columns that tell
the same, a model may use one and get by without the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from headrace.explain.record import Importance
from headrace.metrics.contrast import blocked
from headrace.metrics.intervals import paired
from headrace.metrics.measure import measure
from headrace.metrics.record import Ints, Metric, Predictions

REPEATS = 5
_RESAMPLES = 200

Columns = Mapping[str, NDArray[np.generic]]


def importances(
    metric: Metric,
    base: Predictions,
    columns: Columns,
    answer: Callable[[Columns], Predictions],
    asked: Sequence[str],
    *,
    seed: int,
    repeats: int = REPEATS,
    progress: Callable[[str, int, int], None] = lambda text, done, total: None,
) -> list[Importance]:
    """One line for each of the `asked` columns, largest drop first.

    columns: name -> [rows, ...]. answer: all columns, one of them permuted -> the predictions of these rows.
    Every value comes from a row of another independent unit (`donors`), the same ones for every column.

    The interval is of the metric on the rows as they are less the metric on all repeats' rows together, and
    resamples units, each with all its repeats. So it holds the noise of rows and, shrunk by their number, of
    repeats.

    Raises:
        HeadraceError: the graph can't answer.
    """
    merged = blocked(base, seed=seed)
    rngs = [np.random.default_rng([seed, r]) for r in range(repeats)]
    moved = [donors(base.units, rng) for rng in rngs] if base.rows else []
    value = measure(metric, merged) if base.rows else math.nan
    found = []
    for done, name in enumerate(asked, start=1):
        told = [answer({**columns, name: columns[name][rows]}) for rows in moved]
        found.append(_line(name, metric, merged, value, told, seed))
        progress("permuting", done, len(asked))
    return sorted(found, key=lambda i: (-math.inf if i.drop is None else i.drop, i.name), reverse=True)


def donors(units: Ints, rng: np.random.Generator) -> Ints:
    """For each row the row whose value it gets: a permutation that moves every value into another unit.

    Rows of a unit stand together in a random order of units, and all move on by at least the largest unit:
    no row gets a value of its own day or customer, which would be too much like its own, and rows that
    belong together get values that do. Where one unit holds more than half of the rows, some of its rows
    do get values of its own.
    """
    n = len(units)
    _, codes = np.unique(units, return_inverse=True)
    largest = int(np.bincount(codes).max())
    order = np.lexsort((rng.random(n), rng.permutation(codes.max() + 1)[codes]))
    step = int(rng.integers(largest, n - largest + 1)) if 2 * largest <= n else n // 2
    found = np.empty(n, np.int64)
    found[order] = np.roll(order, -step)
    return found


def _line(
    name: str, metric: Metric, base: Predictions, value: float, told: Sequence[Predictions], seed: int
) -> Importance:
    if not math.isfinite(value):
        return Importance(name, None, None, None, why_none=f"{metric.name} is undefined on these rows")
    good = [float(metric.goodness(measure(metric, p))) for p in told]
    spread = float(np.std(good, ddof=1)) if len(good) > 1 and np.isfinite(good).all() else None
    whole, permuted = _stacked([base] * len(told), base.units), _stacked(told, base.units)
    estimate = paired(metric, whole, permuted, seed=seed, resamples=_RESAMPLES)
    if not math.isfinite(estimate.value):
        why = f"{metric.name} is undefined once it is permuted"
        return Importance(name, None, None, spread, why_none=why)
    return Importance(name, estimate.value, estimate.interval, spread, why_none=estimate.why_none)


def _stacked(told: Sequence[Predictions], units: Ints) -> Predictions:
    """The predictions of all repeats below each other."""
    decided = [p.decision for p in told if p.decision is not None]
    return replace(
        told[0],
        y=np.concatenate([p.y for p in told]),
        score=np.concatenate([p.score for p in told]),
        units=np.tile(units, len(told)),
        decision=np.concatenate(decided) if decided else None,
    )
