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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.drift.blocks import independent
from headrace.checks.drift.layout import counted
from headrace.summary.bins import Bins
from headrace.summary.reference import ReferenceRows

GROUPS = 20
"""Stretches of the reference's time: what is compared with a window leaves out its own and both beside it."""
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

    window: counts `[draws, codes]`. reference: `[references, codes]`; against: which of them each window
    goes with. group: the stretch of time that each lies in; all -1 where windows are made of pieces from
    several. pieces: of how many each is made; taken: which of the blocks. gap: draws that are no further
    apart are neighbours in time (0: none are). independent: the share of the draws that share no row. thick:
    how many times more rows than these the windows to be judged have in the same time. blocks: counts
    `[blocks, codes]` of the pieces, or of windows that share no row, in time order. period: pieces are
    matched by their place in so many.
    """

    window: NDArray[np.float32]
    reference: NDArray[np.float32]
    against: NDArray[np.int64]
    group: NDArray[np.int64]
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
    group = np.arange(len(all_of_it.counts)) * GROUPS // len(all_of_it.counts)
    by_group = np.add.reduceat(all_of_it.counts, np.searchsorted(group, np.arange(GROUPS)), axis=0)
    thin = ratio < _SAME[0]
    times = min(4, int(1 / ratio) + 1) if thin else 1
    windows, groups, blocks = [], [], all_of_it.counts
    for _ in range(times):
        cut = _cut(line, step, ratio, rng) if thin else all_of_it
        summed = np.cumsum(np.concatenate([np.zeros((1, line.bins.width)), cut.counts]), axis=0)
        found = (summed[overlap:] - summed[:-overlap]).astype(np.float32)
        near = cut.place[overlap - 1 :] - cut.place[: len(found)] == overlap - 1
        near &= cut.chain[overlap - 1 :] == cut.chain[: len(found)]
        rows = known_rows(line.bins, found)
        near &= rows >= max(min(FEW, 0.5 * ratio * span * line.usual), 0.05 * float(np.median(rows)))
        windows.append(found[near])
        groups.append(group[: len(found)][near])
        blocks = found[::overlap]
    window, of = np.concatenate(windows), np.concatenate(groups)
    if len(window) > MOST_WINDOWS:
        use = np.sort(rng.choice(len(window), MOST_WINDOWS, replace=False))
        window, of = window[use], of[use]
    return Draws(
        window=window,
        reference=by_group.sum(0) - beside(by_group),
        against=of,
        group=of,
        pieces=1,
        taken=np.zeros((len(window), 0), np.int64),
        gap=overlap,
        independent=1 / (overlap * times),
        thick=ratio if ratio > _SAME[1] else 1.0,
        blocks=blocks,
    )


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
        against=np.arange(int(enough.sum())),
        group=np.full(int(enough.sum()), -1),
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


def beside(by_group: NDArray[Any]) -> NDArray[Any]:
    """Of sums by group `[groups, ...]`: each with those of both groups beside it."""
    near = by_group.copy()
    near[1:] += by_group[:-1]
    near[:-1] += by_group[1:]
    return near


def known_rows(bins: Bins, counts: NDArray[np.float32]) -> NDArray[np.float64]:
    """Rows of counts `[n, codes]`: the most that any column knows."""
    starts = np.array(bins.offsets[:-1], dtype=np.int64)
    return np.asarray(np.add.reduceat(counts, starts, axis=-1).max(-1), np.float64)
