"""The alert budget: from which value on a reading is an alarm, so that all of them keep to what was stated.

One number is chosen, the surprise from which on a window is an alarm; the threshold of every measure of every
column follows from it. It is the quantile of the largest surprise of a window over all measures and columns,
drawn jointly (Westfall & Young, 1993), so that fifty columns that move together are not charged fifty times.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.drift.dependence import dependence
from headrace.checks.drift.layout import COUNTED, NORMAL, Layout
from headrace.checks.drift.resample import FEW, Draws, Size, draw
from headrace.checks.drift.tail import Tail, fit_tail, surprise
from headrace.core.watching import Family
from headrace.summary.bins import Bins
from headrace.summary.reference import ReferenceRows

MONTH = 2_629_800_000_000
"""Microseconds in a month: a twelfth of 365.25 days."""
WEIGHTS: Mapping[Family, float] = {
    Family.QUALITY: 2.0,
    Family.DRIFT: 2.0,
    Family.PREDICTION: 1.0,
    Family.MULTIVARIATE: 1.0,
    Family.PERFORMANCE: 2.0,
    Family.ESTIMATED: 1.0,
    Family.CONCEPT: 1.0,
    Family.CALIBRATION: 1.0,
    Family.SLICES: 1.0,
    Family.FAIRNESS: 1.0,
    Family.VALUE: 1.0,
}
"""What each family may spend of the budget, before it is divided by the sum of those that are on. Health and
cost have declared bounds and spend nothing."""
SHARED = 15
"""Windows made of many pieces may have one in so many in common, and still count as having none."""
LEAST = 10
"""Rows with a known value that a measure needs."""
_TAIL = 12
"""Draws that a tail is fitted to, at least."""
_CHUNK = 200


def window_rate(budget: float, span: int) -> float:
    """The chance of a false alarm that a window of `span` microseconds may have, where `budget` a month are
    worth it; at most 1/2.

    >>> round(1 / window_rate(1, 3_600_000_000))
    730
    """
    return min(0.5, budget * span / MONTH)


def split(rate: float, families: Sequence[Family]) -> dict[Family, float]:
    """What each of the families that are on may spend of a window's rate. Those of counts are judged jointly:
    `thresholds` takes the sum of theirs.

    >>> split(0.01, [Family.DRIFT, Family.QUALITY, Family.MULTIVARIATE])[Family.MULTIVARIATE]
    0.002
    """
    total = sum(WEIGHTS.get(f, 0.0) for f in families)
    return {f: rate * WEIGHTS[f] / total for f in families if f in WEIGHTS}


@dataclass(frozen=True)
class Thresholds:
    """What of a window's counts is an alarm. Small, and plain JSON.

    bins: digest of the bins. families, ignore: which measures there are (`Layout`). size: of the windows.
    rate: of false alarms a window. surprise: from which on it is one. centre, spread: of each measure's
    amplitude while nothing changes; stretch: what more rows in the same time add to it. tail: of the largest
    surprise. windows: how many were drawn; pieces: of how many each consists; independent: how many
    independent ones they are worth. blind: number of column -> why nothing can be said of it. inflation: by
    column, how many times more its counts vary than those of independent rows. why_none: why there are no
    thresholds at all.
    """

    bins: str
    families: tuple[str, ...]
    ignore: tuple[str, ...]
    rows: int
    span: int
    rate: float
    surprise: float = 0.0
    centre: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()
    stretch: tuple[float, ...] = ()
    tail: Tail | None = None
    windows: int = 0
    pieces: int = 0
    independent: int = 0
    inflation: tuple[float, ...] = ()
    blind: Mapping[str, str] = field(default_factory=dict)
    why_none: str = ""


def thresholds(
    bins: Bins,
    rows: ReferenceRows,
    size: Size,
    rate: float,
    *,
    families: Sequence[Family] = COUNTED,
    ignore: Sequence[str] = (),
    seed: int = 0,
) -> Thresholds:
    """Thresholds for windows of a size, from the reference's rows.

    rate: windows with a false alarm, as a share of all (`window_rate`). 20,000 rows of 50 columns take about
    a second; the same rows give the same thresholds.
    """
    layout = Layout(bins, tuple(f for f in COUNTED if f in families), tuple(ignore))
    none = Thresholds(
        bins.digest, tuple(f.value for f in layout.families), layout.ignore, size.rows, size.span, rate
    )
    few = f"the reference has {rows.rows} rows, too few for windows of {size.rows}"
    if not layout.measures:
        return replace(none, why_none="no column is watched")
    if rows.rows < 5 * FEW:
        return replace(none, why_none=few)
    drawn = draw(bins, rows, size, seed)
    if len(drawn.window) < FEW:
        return replace(none, why_none=few)
    return _fitted(none, layout, drawn)


def _fitted(none: Thresholds, layout: Layout, drawn: Draws) -> Thresholds:
    held = dependence(layout.bins, drawn)
    amplitude = _amplitudes(layout, drawn) * held.joints[layout.columns] ** NORMAL
    blind = np.isin(layout.columns, list(held.blind))
    amplitude[:, blind] = np.nan
    centre, spread, z = _standard(layout.floors(held.inflation), amplitude, drawn)
    largest = surprise(np.nanmax(np.where(np.isnan(z), -9.0, z), axis=1))
    independent = max(1, round(len(largest) * drawn.independent))
    tail = fit_tail(
        largest,
        share=_tail_share(drawn, len(largest), independent),
        gap=drawn.gap,
        independent=drawn.independent,
        windows=independent,
    )
    stretch = held.stretch[layout.columns] ** NORMAL
    return replace(
        none,
        surprise=least_surprise(tail, none.rate),
        centre=_plain(centre),
        spread=_plain(spread),
        stretch=_plain(stretch),
        tail=tail,
        windows=len(largest),
        pieces=drawn.pieces,
        independent=independent,
        inflation=_plain(held.inflation),
        blind={str(j): why for j, why in held.blind.items()},
    )


def _tail_share(drawn: Draws, draws: int, independent: int) -> float:
    """Which share of the draws is tail. That of windows whose rows hang together grows heavier outwards for
    long: it begins as far out as leaves enough of them. Pieces that were put together are nearer to it."""
    if drawn.pieces == 1:
        return max(0.05, _TAIL / draws)
    return 0.1 if independent >= 300 else 0.2


def least_surprise(tail: Tail, rate: float) -> float:
    """From which surprise on a window is an alarm. Never less than for one normal measure alone: where no
    column ever changed in the reference, resamples would say that nothing can."""
    return max(tail.threshold(rate), -math.log(rate))


def _plain(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(float(f"{v:.6g}") for v in values)


def _amplitudes(layout: Layout, drawn: Draws) -> NDArray[np.float64]:
    """Amplitudes `[draws, measures]` of windows against their references; NaN where too few rows are
    known."""
    found = np.empty((len(drawn.window), len(layout.measures)))
    for at in range(0, len(found), _CHUNK):
        part = slice(at, at + _CHUNK)
        window = drawn.window[part].astype(np.float64)
        reference = drawn.reference[part].astype(np.float64)
        found[part] = amplitudes(layout, window, reference)[1]
    return found


def amplitudes(
    layout: Layout, window: NDArray[Any], reference: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values and amplitudes `[..., measures]` of counts `[..., codes]`; NaN where too few rows are known."""
    m, n = layout.rows(window), layout.rows(reference)
    values = layout.values(window, reference)
    found = layout.amplitudes(values, m, layout.expected(reference, n), n)
    few = (m < LEAST) | (n < LEAST)
    return np.where(few, np.nan, values), np.where(few, np.nan, found**NORMAL)


def _standard(
    least: tuple[NDArray[np.float64], NDArray[np.float64]], amplitude: NDArray[np.float64], drawn: Draws
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Centre and spread of each measure's amplitude, and amplitudes standardised by those of windows that
    have nothing to do with each: as a window to come is judged by windows that it was none of."""
    known = ~np.isnan(amplitude)
    plain = np.where(known, amplitude, 0.0)
    sums = [known.astype(np.float64), plain, plain**2]
    centre, spread = _moments([x.sum(0) for x in sums], least)
    if drawn.taken.size:
        uses = np.zeros((len(amplitude), len(drawn.blocks)), np.float32)
        np.put_along_axis(uses, drawn.taken, 1.0, axis=1)
        disjoint = (uses @ uses.T <= drawn.pieces // SHARED).astype(np.float32)
        c, s = _moments([(disjoint @ x.astype(np.float32)).astype(np.float64) for x in sums], least)
        return centre, spread, (amplitude - c) / s
    first, behind = drawn.near.T
    until = [np.concatenate([np.zeros((1, x.shape[1])), np.cumsum(x, axis=0)]) for x in sums]
    c, s = _moments([x[-1] - x[behind] + x[first] for x in until], least)
    return centre, spread, (amplitude - c) / s


def _moments(
    sums: Sequence[NDArray[np.float64]], least: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of numbers, sums and sums of squares."""
    n, total, squares = sums
    some = np.maximum(n, 2.0)
    mean = total / some
    spread = np.sqrt(np.maximum(squares / some - mean**2, 0.0) * some / (some - 1))
    return np.maximum(mean, least[0]), np.maximum(spread, least[1])
