"""Bars of numbers and times, from the sketch that has their quantiles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.data.profile.quantiles import Quantiles

BARS = 32
_WHOLE = 48


def at_levels(sketch: Quantiles, levels: tuple[float, ...]) -> tuple[float, ...]:
    """The smallest kept values at or below which these shares of all values lie; empty of no values."""
    values, weights = sketch.weighted()
    if not values.size:
        return ()
    ranks = np.cumsum(weights)
    wanted = np.array(levels) * ranks[-1]
    places = np.minimum(np.searchsorted(ranks, wanted, side="left"), values.size - 1)
    return tuple(float(v) for v in values[places].tolist())


def bars(
    sketch: Quantiles, low: float, high: float, *, whole: bool
) -> tuple[tuple[float, ...], tuple[int, ...], int, int]:
    """Edges [bars + 1], rows in each bar, and rows below the first and above the last edge.

    Bars have one width. They span all values, or, where a few lie so far out that the rest would be one
    bar, the middle 98% of them. Whole numbers over a short range have a bar each.
    """
    values, weights = sketch.weighted()
    inner = at_levels(sketch, (0.01, 0.99))
    first, last = low, high
    if high - low > 3 * (inner[1] - inner[0]) > 0:
        first, last = inner
    if whole and last - first <= _WHOLE:
        edges = np.arange(math.floor(first), math.floor(last) + 2) - 0.5
    elif last > first:
        edges = np.linspace(first, last, BARS + 1)
    else:
        edges = np.array([first - 0.5, first + 0.5])
    counts = _counted(values, weights, edges)
    below = int(weights[values < edges[0]].sum())
    above = int(weights[values > edges[-1]].sum())
    return tuple(edges.tolist()), tuple(counts), below, above


def _counted(values: NDArray[Any], weights: NDArray[np.int64], edges: NDArray[Any]) -> list[int]:
    ranks = np.concatenate([[0], np.cumsum(weights)])
    cuts = np.searchsorted(values, edges, side="left")
    cuts[-1] = np.searchsorted(values, edges[-1], side="right")
    found: list[int] = np.diff(ranks[cuts]).tolist()
    return found
