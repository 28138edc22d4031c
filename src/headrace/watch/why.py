"""Why there is an alert: what moved, since when, in which slice, what it did to answers, and what changed in
data or release just before. Pure functions of counts, codes and events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import erfc, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.clock import from_micros, iso
from headrace.core.event import Event
from headrace.core.watching import Reading, Window
from headrace.summary.bins import FIRST, UNKNOWN, Bins

CHANGE_KINDS = (
    "table.snapshot",
    "release.promoted",
    "release.rolled_back",
    "release.retired",
    "route.set",
    "route.moved",
    "route.rolled_back",
    "batch.finished",
)
"""What may have brought a change about: read from the ledger."""
LEAST = 30
"""Rows of a slice that is named."""
_SURE = 0.01
_APART = 0.1
_MOST_SLICE = 0.9
_EXCESS = 0.8
_NAMED = 3
_HALF = 0.5


@dataclass(frozen=True)
class Moved:
    """A value, or range of values, whose share of the rows is another. before, after: shares, of the
    reference and of the window."""

    of: str
    what: str
    before: float
    after: float


@dataclass(frozen=True)
class Found:
    """The slice that the change is in. share, elsewhere: of its rows, and of all others, those with the
    values that became more frequent; rows: of the slice."""

    of: str
    value: str
    share: float
    elsewhere: float
    rows: int


@dataclass(frozen=True)
class Change:
    """Something that was done shortly before. time: ISO."""

    time: str
    kind: str
    subject: str
    what: str


@dataclass(frozen=True)
class Effect:
    """What a change of a column did to answers: the mean answer as it is, and as it is with the column's
    values as they were in the reference, all else the same; of so many rows. answer: prediction, or
    probability of which class."""

    of: str
    answer: str
    now: float
    without: float
    rows: int


@dataclass(frozen=True)
class Why:
    """All of it. lines: in words, for people. since: where the newest run of windows began in which it was so
    (UTC microseconds)."""

    lines: tuple[str, ...]
    since: int
    moved: tuple[Moved, ...] = ()
    found: Found | None = None
    changes: tuple[Change, ...] = ()
    effects: tuple[Effect, ...] = ()


def explained(
    window: Window,
    since: int,
    moved: Sequence[Moved],
    found: Found | None,
    changes: Sequence[Change],
    effects: Sequence[Effect] = (),
    value: Reading | None = None,
) -> Why:
    """Put together, and in words. value: what decisions are worth now, where it was measured or estimated."""
    lines = [f"{m.of}: {m.what} was {m.before:.1%} of the rows, is {m.after:.1%}" for m in moved]
    if since < window.start:
        lines.append(f"since {iso(from_micros(since))[:16]}Z")
    if found is not None:
        lines.append(
            f"most in {found.of} = {found.value}: {found.share:.0%} of its {found.rows} rows,"
            f" {found.elsewhere:.0%} elsewhere"
        )
    lines += [
        f"moved the mean {e.answer} from {e.without:.4g} to {e.now:.4g} (by {e.of} alone, {e.rows} rows)"
        for e in effects
    ]
    if value is not None and value.value is not None:
        lines.append(f"worth: {value.value:.4g} {value.unit}".rstrip() + f" ({value.check})")
    lines += [f"before it: {c.time[:16]}Z {c.what}" for c in changes]
    return Why(tuple(lines), since, tuple(moved), found, tuple(changes), tuple(effects))


def moves(bins: Bins, column: str, before: NDArray[Any], after: NDArray[Any]) -> tuple[Moved, ...]:
    """The values of a column whose share changed most, at most three, largest change first.

    before, after: counts of the column's codes [codes], of the reference and of the window.
    """
    of = bins.column(column)
    old, new = _shares(before), _shares(after)
    change = np.abs(new - old)
    ranked = [int(c) for c in np.argsort(-change, kind="stable")[:_NAMED] if change[c] >= 0.01]
    return tuple(Moved(column, of.told(c), float(old[c]), float(new[c])) for c in ranked)


def slice_of(
    bins: Bins, codes: NDArray[np.uint8], column: str, before: NDArray[Any], by: Sequence[str]
) -> Found | None:
    """The value of another column that most of a change is in; None where it is everywhere alike.

    Rows with the values that became more frequent are told from the others, and their share within each value
    of each column from that outside of it: two proportions, at level 0.01 over all that were looked at
    (Bonferroni), and apart by at least a tenth.

    Args:
        codes: the window's rows [rows, columns of bins].
        before: counts of the column's codes in the reference.
        by: the columns whose values are looked at.
    """
    at = bins.index(column)
    mine = codes[:, at]
    known = mine != UNKNOWN
    if not known.any():
        return None
    width = bins.columns[at].width
    gained = _shares(np.bincount(mine[known], minlength=width)) - _shares(before)
    order = np.argsort(-gained, kind="stable")
    total = gained[gained > 0].sum()
    if total <= 0:
        return None
    enough = int(np.searchsorted(np.cumsum(gained[order].clip(0)), _EXCESS * total)) + 1
    is_it = np.zeros(256, np.bool_)
    is_it[order[:enough]] = True
    hit = is_it[mine] & known
    found: list[tuple[float, Found]] = []
    looked = 0
    for name in by:
        if name == column:
            continue
        there = codes[:, bins.index(name)]
        for code in np.unique(there[known]):
            inside = (there == code) & known
            rows = int(inside.sum())
            if not LEAST <= rows <= _MOST_SLICE * known.sum():
                continue
            looked += 1
            share, elsewhere = float(hit[inside].mean()), float(hit[known & ~inside].mean())
            if share - elsewhere >= _APART:
                p = _two_proportions(share, rows, elsewhere, int(known.sum()) - rows)
                told = bins.column(name).told(int(code))
                found.append((p, Found(name, told, share, elsewhere, rows)))
    sure = [(p, f) for p, f in found if p * looked < _SURE]
    return min(sure, key=lambda pair: (pair[0], -pair[1].share))[1] if sure else None


def began(window: Window, reading: Reading, earlier: Iterable[tuple[Window, Reading]]) -> int:
    """Where the newest unbroken run of windows began in which a reading was at least half way from what is
    usual to an alarm: a change is there before it is beyond doubt. Where nothing is said of what is usual,
    alarms alone count.

    earlier: the same reading of the windows before, the newest first.
    """
    since = window.start
    for before, was in earlier:
        if before.start >= since:
            continue
        if not (was.exceeds or _half_way(reading, was)):
            break
        since = before.start
    return since


def _half_way(reading: Reading, was: Reading) -> bool:
    usual, bound = reading.details.get("reference"), reading.threshold
    if usual is None or bound is None or was.value is None or bound == usual:
        return False
    return bool((was.value - usual) / (bound - usual) >= _HALF)


def changes_before(events: Iterable[Event], since: int, back_us: int, upto: int) -> tuple[Change, ...]:
    """What was done between `since - back_us` and `upto` (UTC microseconds), what is nearest to `since`
    first; at most three. events: of `CHANGE_KINDS`."""
    first, last = iso(from_micros(since - back_us)), iso(from_micros(upto))
    near = iso(from_micros(since))
    found = [e for e in events if first <= e.time <= last]
    found.sort(key=lambda e: (e.time > near, _apart(e.time, near)))
    told = [Change(e.time, e.kind, e.subject, _words(e.kind, e.subject, e.payload)) for e in found]
    return tuple({c.what: c for c in told}.values())[:_NAMED]


def _words(kind: str, subject: str, payload: Mapping[str, Any]) -> str:
    match kind:
        case "table.snapshot":
            rows = payload.get("rows")
            return f"a new snapshot of {subject}" + (f" with {rows} rows" if rows is not None else "")
        case "release.promoted":
            return f"{subject} became champion"
        case "release.rolled_back":
            return f"{subject} was brought back"
        case "release.retired":
            return f"{subject} was retired"
        case "batch.finished":
            return f"a batch was scored ({subject})"
        case "route.rolled_back":
            return f"a canary was taken off the route {subject}"
        case _:
            return f"the route {subject} was changed"


def _apart(one: str, other: str) -> float:
    return abs((datetime.fromisoformat(one) - datetime.fromisoformat(other)).total_seconds())


def _shares(counts: NDArray[Any]) -> NDArray[np.float64]:
    whole = counts.sum()
    return np.asarray(counts / whole if whole else np.zeros(len(counts)), dtype=np.float64)


def _two_proportions(one: float, n: int, other: float, m: int) -> float:
    """The one-sided p-value of two shares being equal, by the pooled normal approximation."""
    pooled = (one * n + other * m) / (n + m)
    spread = sqrt(max(pooled * (1 - pooled), 1e-12) * (1 / n + 1 / m))
    return erfc((one - other) / spread / sqrt(2)) / 2


def undone(
    bins: Bins, column: str, codes: NDArray[np.uint8], before: NDArray[Any], seed: int
) -> NDArray[np.int64]:
    """The codes [rows] that a column's values would have had if it were distributed as in the reference: by
    rank, so that large values stay large; what has no rank (nulls, new and other values) is drawn.

    codes: the column's, of the window's rows. before: counts of the reference's codes.
    """
    rng = np.random.default_rng(seed)
    ordered = bins.column(column).ordered & (codes >= FIRST)
    ranks = rng.random(len(codes))
    spots = np.flatnonzero(ordered)
    if len(spots):
        order = np.lexsort((ranks[spots], codes[spots]))
        ranks[spots[order]] = (np.arange(len(spots)) + 0.5) / len(spots)
    return np.searchsorted(np.cumsum(_shares(before)), ranks, side="right").clip(0, len(before) - 1)
