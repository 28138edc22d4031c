"""Data quality that is sure, or that rests on the traffic's own past: columns that vanished or nobody knows,
facts that are too old, and how many answers there were. Shares of null, wrong, far and new values are judged
with the drift (`checks.drift`): by the alert budget.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.core.watching import Family, Reading
from headrace.summary.bins import NULL, Bins
from headrace.summary.counts import Counts
from headrace.summary.reference import Reference
from headrace.summary.traffic import Traffic

STALE = 0.01
"""Share of answers from facts older than they may be, from which on it is told."""
SCHEMA = 0.01
"""Share of requests without a column, or with an unknown one, from which on the schema has changed."""
LEAST = 20
"""Answers without which a column has not vanished."""
APART = 1.2
"""Volumes that differ by less than this factor from what was to be expected are never told."""
PAST = 8
"""Windows that have to be behind one whose volume is judged."""
_SAME = 4
_HEAVY = 12.0
_HOUR = 3_600_000_000
_HALF = 0.5
_MISSING = "missing: "
_FLAGS = (
    (_MISSING, "vanished", "callers send none"),
    ("unknown: ", "unknown", "callers send it, and the release knows nothing of it"),
)


@dataclass(frozen=True)
class Volume:
    """How many answers a window had, over how long, and in which place of the week it began."""

    rows: int
    span_us: int
    phase: tuple[int, int]

    @property
    def rate(self) -> float:
        """The logarithm of answers an hour; half an answer where there was none."""
        return math.log((self.rows + 0.5) / max(self.span_us, 1) * _HOUR)


def schema(
    bins: Bins | None,
    counts: Counts | None,
    reference: Reference | None,
    traffic: Traffic,
    ignore: Collection[str],
) -> Iterator[Reading]:
    """Columns that vanished, or that the release does not know."""
    if not traffic.rows:
        return
    for kind, check, told in _FLAGS:
        for flag, rows in traffic.flags.items():
            name = flag.removeprefix(kind)
            if flag.startswith(kind) and name not in ignore:
                yield _share(check, name, rows, traffic.rows, SCHEMA, told)
    if bins is None or counts is None or reference is None:
        return
    before = reference.made()
    for column in bins.columns:
        now, then = counts.of(bins, column.name), before.of(bins, column.name)
        rows, known = int(now.sum()), int(then.sum())
        if column.name in ignore or column.name in reference.outputs or rows < LEAST or not known:
            continue
        usual = float(then[NULL]) / known
        if now[NULL] == rows and usual < _HALF and f"{_MISSING}{column.name}" not in traffic.flags:
            told = f"every value is null; {usual:.1%} of the reference's were"
            yield _share("vanished", column.name, rows, rows, SCHEMA, told)


def freshness(traffic: Traffic, ignore: Collection[str]) -> Iterator[Reading]:
    """Answers from facts that were older than they may be, by looked up column."""
    for name, rows in sorted(traffic.stale.items()):
        if name not in ignore:
            yield _share("stale", name, rows, traffic.rows, STALE, "facts are older than they may be")


def silence(since_us: int, bound_us: int | None, rows: int) -> Iterator[Reading]:
    """How long nothing was answered; told where a bound was stated."""
    if bound_us is None:
        return
    value = since_us / 1e6
    yield Reading(
        Family.QUALITY,
        "silent",
        value=value,
        threshold=bound_us / 1e6,
        exceeds=since_us > bound_us,
        n=rows,
        unit="s",
        where=f"no answer for {value:,.0f} s" if since_us > bound_us else "",
    )


def volume(now: Volume, past: Sequence[Volume], chance: float) -> Reading:
    """Whether there were far too few or far too many answers for this place of the week.

    The logarithm of the rate is compared with the median of the traffic's own past in the same hour of the
    same day of the week, else in the same hour, else in all: whichever has enough. Spread is that of all
    residuals, robust (1.4826 times their median absolute value), and no less than that of a Poisson count;
    tails are those of Student's t with at most twelve degrees of freedom: volumes are no normal variables.
    chance: of a false alarm that this window may have.
    """
    from scipy.stats import t as student

    none = Reading(Family.QUALITY, "volume", n=now.rows, value=float(now.rows), unit="answers")
    if len(past) < PAST:
        why = f"{len(past)} windows are behind it; {PAST} are needed to say how many are usual"
        return Reading(Family.QUALITY, "volume", n=now.rows, unit="answers", why_none=why)
    same, told = _same(now, past)
    center = float(np.median([v.rate for v in same]))  # one outage says nothing of what is usual
    usual = math.exp(center) * now.span_us / _HOUR
    spread = max(1.4826 * float(np.median(np.abs(residuals(past)))), math.sqrt(1 / max(usual, 1.0)))
    spread *= math.sqrt(1 + 1 / len(same))  # what is usual is itself known from a few windows alone
    freedom = min(max(len(past) / 2 - 1, 2.0), _HEAVY)
    p = float(2 * student.sf(abs(now.rate - center) / spread, freedom))
    far = float(student.isf(chance / 2, freedom)) * spread
    far = max(far, math.log(APART))
    low, high = usual * math.exp(-far), usual * math.exp(far)
    few = now.rate < center
    over = p < chance and abs(now.rate - center) > math.log(APART)
    words = f"{now.rows:,} answers; {low:,.0f} to {high:,.0f} were to be expected {told}" if over else ""
    return Reading(
        none.family, none.check, value=none.value, threshold=low if few else high, exceeds=bool(over), p=p,
        low=low, high=high, n=now.rows, unit=none.unit, where=words,
        details={"usual": usual, "past": len(past)},
    )  # fmt: skip


def residuals(past: Sequence[Volume]) -> NDArray[np.float64]:
    """How far the logarithm of each past rate is from the mean of the others of its place of the week, in
    units of what one window varies (the others' mean varies, too)."""
    rates = np.array([v.rate for v in past])
    found = np.empty(len(past))
    keys: tuple[Callable[[Volume], object], ...] = (lambda _: 0, lambda v: v.phase[1], lambda v: v.phase)
    for key in keys:
        groups: dict[object, list[int]] = {}
        for i, v in enumerate(past):
            groups.setdefault(key(v), []).append(i)
        for rows in groups.values():
            k = len(rows)
            if k > _SAME or k == len(past):
                mine = rates[rows]
                others = (mine.sum() - mine) / (k - 1)
                found[rows] = (mine - others) / math.sqrt(1 + 1 / (k - 1))
    return found


def _same(now: Volume, past: Sequence[Volume]) -> tuple[Sequence[Volume], str]:
    """The past windows that this one is compared with, in words too."""
    day = [v for v in past if v.phase == now.phase]
    if len(day) >= _SAME:
        return day, f"on {_DAYS[now.phase[0]]}s at {now.phase[1]} h"
    hour = [v for v in past if v.phase[1] == now.phase[1]]
    if len(hour) >= _SAME:
        return hour, f"at {now.phase[1]} h"
    return past, "by what was usual"


_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _share(check: str, of: str, rows: int, total: int, bound: float, told: str) -> Reading:
    value = rows / total if total else 0.0
    over = value > bound
    return Reading(
        Family.QUALITY,
        check,
        of,
        value,
        bound,
        over,
        n=total,
        unit="share",
        where=f"{told} ({value:.1%} of {total:,} answers)" if over else "",
    )
