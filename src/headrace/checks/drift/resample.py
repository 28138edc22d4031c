"""Windows that might have been: drawn from the reference's rows as time left them, each against the rest.

A window as long as the one to be judged is cut out of the reference whole, so that nothing of what holds its
rows together is lost: their dependence, the hour of the day, the day of the week, how many came. It is
compared with what lies apart from it, as the window to come lies apart from the reference. Where the
reference holds too few of such windows they are put together of pieces from the same time of the day or week
(the generalised seasonal block bootstrap: Dudek, Leśkow, Paparoditis & Politis, 2014), each of which is long
enough to count as independent of the next.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.checks.drift.blocks import independent, merged, serial
from headrace.checks.drift.layout import counted
from headrace.summary.bins import Bins
from headrace.summary.reference import ReferenceRows

GROUPS = 20
"""Stretches of the reference's time, between which it is seen whether a column moves on."""
_BESIDE = (0.005, 0.02, 0.05)
"""What a window is compared with leaves out one of these shares of the reference on each side, since that
hangs together with it (h-block cross-validation: Burman, Chow & Nolan, 1994). No more than need be: what is
left out is missing from the rest, and thresholds become too wide."""
_TOGETHER = 0.4
"""Correlation of stretches so long that lie as far apart, from which on they hang together."""
WHOLE = 60
"""From so many whole windows in the reference on they are taken whole; else so many pieces are."""
FINE = 600
"""So many pieces, where windows vary as if these were independent."""
DRAWS = 1_200
MOST_WINDOWS = 3_000
FEW = 20
"""Rows that a window needs to be looked at, and windows that a threshold needs."""
DAY, WEEK = 86_400_000_000, 7 * 86_400_000_000
PERIODS = 4
"""So many days or weeks have to be in the reference before pieces are matched by their place in them."""
_DIVIDES = (2, 3, 4, 6, 8, 12, 24)
_SAME = (0.8, 1.25)
_USUAL = (0.02, 0.98)
"""Quantiles of the rows of windows that are usual."""


@dataclass(frozen=True)
class Size:
    """How large windows are. rows: in a usual one. span: microseconds; 0: windows are so many rows."""

    rows: int
    span: int = 0


@dataclass(frozen=True)
class Draws:
    """Windows and what each is compared with.

    window: counts `[draws, codes]`, in the order of time where they are cut out whole; reference: `[draws,
    codes]`, what each is compared with. near: `[draws, 2]`, the first and the one behind the last of the
    draws that each hangs together with; `[0, 2]` where windows are made of pieces. pieces: of how many each
    is made; taken: which of the blocks. gap: draws that are no further apart are neighbours in time (0: none
    are). independent: how many independent ones a draw is worth. thick: how many times more rows than these
    the windows to be judged have in the same time. blocks: counts `[blocks, codes]` of the pieces, or of
    windows that share no row, in time order. period: pieces are matched by their place in so many.
    """

    window: NDArray[np.float32]
    reference: NDArray[np.float32]
    near: NDArray[np.int64]
    pieces: int
    taken: NDArray[np.int64]
    gap: int
    independent: float
    thick: float
    blocks: NDArray[np.float32]
    period: int = 1


@dataclass(frozen=True)
class _Line:
    """The reference along its time. at: where each row (or block of rows) lies, ascending; start, end: the
    first and last of each run. usual: rows in a length of 1. timed: places are microseconds."""

    bins: Bins
    rows: ReferenceRows
    at: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    usual: float
    timed: bool
    by_block: bool

    @property
    def length(self) -> int:
        """How much time, or how many rows or blocks, the runs cover together."""
        return int((self.at[self.end] - self.at[self.start]).sum()) + len(self.start) * (not self.timed)

    @property
    def longest(self) -> int:
        """The length of the longest run."""
        return int((self.at[self.end] - self.at[self.start]).max()) + (not self.timed)


@dataclass(frozen=True)
class _Pieces:
    """counts `[n, codes]` in time order; chain: the run that each lies in; place: its time in steps."""

    counts: NDArray[np.float32]
    chain: NDArray[np.int64]
    place: NDArray[np.int64]


def draw(bins: Bins, rows: ReferenceRows, size: Size, seed: int) -> Draws:
    """Windows of a size. There are none where the reference has too few rows for any."""
    rng = np.random.default_rng([seed, size.rows, rows.rows])
    timed = rows.timed and size.span > 0
    line = _line(bins, rows, size, timed)
    span = size.span if timed else max(1, round(size.rows / line.usual))
    span = max(span, int(FEW / line.usual) + 1)  # over less time than that so thin a reference tells nothing
    span = max(1, min(span, line.length // 4, line.longest))
    ratio = _ratio(line, size.rows, span)
    whole = line.length / span
    fine = _divided(-(-FINE // max(1, int(whole))), timed)
    if 1 < fine <= span and len(line.start) == 1:
        pieces = _cut(line, span // fine, 1.0, rng).counts
        if independent(bins, pieces, fine):
            return _pieced(line, span, fine, ratio, rng)
    if whole >= WHOLE:
        return _whole(line, span, ratio, rng)
    return _pieced(line, span, max(2, _divided(-(-WHOLE // max(1, int(whole))), timed)), ratio, rng)


def _ratio(line: _Line, rows: int, span: int) -> float:
    """How many times the reference's rows windows to be judged have in the same time. 1 where the reference
    has windows with so few, or so many, itself: traffic that comes and goes by the hour brings its small and
    large windows in their places, and to judge each size by itself would take nights for days."""
    if not line.timed:
        return rows / (span * line.usual)
    at = line.at // span
    weights = line.rows.sizes if line.by_block else None
    had = np.bincount(at - at[0], weights=weights)
    low, high = np.quantile(had[had > 0], _USUAL)
    if low / _SAME[1] <= rows <= high * _SAME[1]:
        return 1.0
    return float(rows / low if rows < low else rows / high)


def _divided(pieces: int, timed: bool) -> int:
    """A number of pieces, such that they divide a day where they have a time."""
    return next((p for p in _DIVIDES if p >= pieces), _DIVIDES[-1]) if timed and pieces > 1 else pieces


def _line(bins: Bins, rows: ReferenceRows, size: Size, timed: bool) -> _Line:
    """Rows where all are kept or windows are short against the runs that are; else blocks of all rows."""
    new = np.flatnonzero(np.diff(rows.run)) + 1
    start, end = np.append(0, new), np.append(new, rows.rows) - 1
    at = rows.time if timed else np.arange(rows.rows, dtype=np.int64)
    length = int((at[end] - at[start]).sum()) + len(start)
    line = _Line(bins, rows, at, start, end, rows.rows / length, timed, False)
    span = size.span if timed else size.rows
    if len(start) == 1 or 2 * span <= line.longest:
        return line
    n, held = len(rows.starts), int(rows.sizes.sum())
    at = rows.starts if timed else np.arange(n, dtype=np.int64)
    length = int(at[-1] - at[0]) + 1
    return _Line(bins, rows, at, np.array([0]), np.array([n - 1]), held / length, timed, True)


def _cut(line: _Line, step: int, keep: float, rng: np.random.Generator) -> _Pieces:
    """Pieces of length `step` that lie inside of a run. keep: the share of rows that is counted."""
    piece = line.at // step
    first, last = piece[line.start], piece[line.end]
    offsets = np.cumsum(np.append(0, last - first + 1))
    into = piece + np.repeat(offsets[:-1] - first, line.end - line.start + 1)
    n = int(offsets[-1])
    if line.by_block:
        counts = np.zeros((n, line.bins.width), np.float32)
        np.add.at(counts, into, line.rows.blocks)
        if keep < 1:
            counts = rng.binomial(counts.astype(np.int64), keep).astype(np.float32)
    else:
        if keep < 1:
            into = np.where(rng.random(len(into)) < keep, into, -1)
        counts = counted(line.bins, line.rows.codes, into, n)
    chain = np.repeat(np.arange(len(first)), last - first + 1)
    place = np.arange(n) - offsets[chain] + first[chain]
    full = place * step >= line.at[line.start][chain]
    full &= (place + 1) * step <= line.at[line.end][chain] + (not line.timed)
    return _Pieces(counts[full], chain[full], place[full])


def _whole(line: _Line, span: int, ratio: float, rng: np.random.Generator) -> Draws:
    """Windows cut out whole, overlapping where they are few; thinned where fewer rows are to be judged."""
    many = line.length / span
    overlap = next((o for o, most in ((4, 400), (2, 1_200)) if many < most and span >= 8 * o), 1)
    step = span // overlap
    all_of_it = _cut(line, step, 1.0, rng)
    thin = ratio < _SAME[0]
    times = min(4, int(1 / ratio) + 1) if thin else 1
    windows, places, blocks = [], [], all_of_it.counts
    for _ in range(times):
        cut = _cut(line, step, ratio, rng) if thin else all_of_it
        summed = np.cumsum(np.concatenate([np.zeros((1, line.bins.width)), cut.counts]), axis=0)
        found = (summed[overlap:] - summed[:-overlap]).astype(np.float32)
        near = cut.place[overlap - 1 :] - cut.place[: len(found)] == overlap - 1
        near &= cut.chain[overlap - 1 :] == cut.chain[: len(found)]
        rows = known_rows(line.bins, found)
        near &= rows >= max(min(FEW, 0.5 * ratio * span * line.usual), 0.05 * float(np.median(rows)))
        windows.append(found[near])
        places.append(cut.place[: len(found)][near])
        blocks = found[::overlap]
    window, place = np.concatenate(windows), np.concatenate(places)
    order = np.argsort(place, kind="stable")
    if len(order) > MOST_WINDOWS:
        order = order[np.sort(rng.choice(len(order), MOST_WINDOWS, replace=False))]
    window, place = window[order], place[order]
    reference, together = _apart(line, place * step, (place + overlap) * step)
    return Draws(
        window=window,
        reference=reference,
        near=together,
        pieces=1,
        taken=np.zeros((len(window), 0), np.int64),
        gap=overlap,
        independent=_worth(overlap) / times,
        thick=ratio if ratio > _SAME[1] else 1.0,
        blocks=blocks,
    )


def _worth(overlap: int) -> float:
    """How many independent windows one of many is worth, each of which begins behind so great a part of the
    last: a mean over windows that overlap by three quarters varies by some two thirds of what one over those
    that share no row does (Meketon & Schmeiser, 1984).

    >>> _worth(1), round(4 * _worth(4), 2)
    (1.0, 1.45)
    """
    return 1 / (1 + 2 * sum((1 - lag / overlap) ** 2 for lag in range(1, overlap)))


def _apart(
    line: _Line, start: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """What lies apart from windows, which are in the order of time: the counts of all reference rows there
    `[windows, codes]`, also of those that are not kept; and `Draws.near`."""
    n = len(line.rows.starts)
    if line.by_block and not line.timed:
        first, last = start, np.minimum(end, n) - 1
    else:
        if not line.timed:  # places count the rows that are kept
            start, end = line.rows.time[start], line.rows.time[np.minimum(end, line.rows.rows) - 1] + 1
        first = np.searchsorted(line.rows.starts, start, side="right") - 1
        last = np.searchsorted(line.rows.starts, end, side="left") - 1
    beside = max(1, round(_beside(line) * n))
    low, high = np.maximum(first - beside, 0), np.minimum(last + beside + 1, n)
    summed = np.cumsum(np.concatenate([np.zeros((1, line.bins.width)), line.rows.blocks]), axis=0)
    reference = (summed[-1] - summed[high] + summed[low]).astype(np.float32)
    return reference, np.stack([np.searchsorted(last, low), np.searchsorted(first, high)], axis=1)


def _beside(line: _Line) -> float:
    """The share of the reference beyond which no column's rows hang together any more."""
    for share in _BESIDE[:-1]:
        stretches = merged(line.rows.blocks.astype(np.float64), round(1 / share))
        if serial(line.bins, stretches, 1, lag=2).max() <= _TOGETHER:
            return share
    return _BESIDE[-1]


def _pieced(line: _Line, span: int, pieces: int, ratio: float, rng: np.random.Generator) -> Draws:
    """Windows put together of pieces, without repetition; the rest is the reference of each."""
    step = max(1, span // pieces)
    keep = ratio if ratio < _SAME[0] else 1.0
    cut = _cut(line, step, 1.0, rng)
    kept = _cut(line, step, keep, rng).counts if keep < 1 else cut.counts
    n = len(cut.counts)
    pieces = max(1, min(pieces, span // step, n // 2))
    period = _period(step, line.length) if line.timed else 1
    start = rng.integers(0, period, DRAWS)
    lot = rng.random((DRAWS, n))
    taken = np.zeros((DRAWS, pieces), dtype=np.int64)
    window = np.zeros((DRAWS, line.bins.width), np.float32)
    rest = np.repeat(cut.counts.sum(0)[None], DRAWS, axis=0)
    for i in range(pieces):
        free = np.where(cut.place % period == ((start + i) % period)[:, None], lot, 2.0)
        taken[:, i] = free.argmin(1)
        lot[np.arange(DRAWS), taken[:, i]] = 3.0
        window += kept[taken[:, i]]
        rest -= cut.counts[taken[:, i]]
    enough = known_rows(line.bins, window) >= FEW / 2
    return Draws(
        window=window[enough],
        reference=rest[enough],
        near=np.zeros((0, 2), np.int64),
        pieces=pieces,
        taken=taken[enough],
        gap=0,
        independent=min(1.0, n / DRAWS),
        thick=ratio if ratio > _SAME[1] else 1.0,
        blocks=cut.counts,
        period=period,
    )


def _period(step: int, length: int) -> int:
    """After how many pieces the time of the week, or of the day, is the same; 1: nothing is matched."""
    for period in (WEEK, DAY):
        if period % step == 0 and length >= PERIODS * period:
            return period // step
    return 1


def known_rows(bins: Bins, counts: NDArray[np.float32]) -> NDArray[np.float64]:
    """Rows of counts `[n, codes]`: the most that any column knows."""
    starts = np.array(bins.offsets[:-1], dtype=np.int64)
    return np.asarray(np.add.reduceat(counts, starts, axis=-1).max(-1), np.float64)
