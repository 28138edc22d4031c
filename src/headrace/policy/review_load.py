"""Who is asked, where reviewers can't look at everything: periods with a capacity, the least sure first, and
a share drawn by chance."""

from __future__ import annotations

import datetime as dt
import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from headrace.core.review import Load, Period, ReviewPlan
from headrace.core.routes import place

_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_WEEK = 7 * _DAY


def period_of(plan: ReviewPlan, now: int) -> Period:
    """The period that a moment lies in. Days and weeks begin at midnight of the plan's zone (weeks on
    Monday), shorter ones at whole multiples since 1970 UTC."""
    if plan.period_us not in (_DAY, _WEEK):
        start = now - now % plan.period_us
        return Period(start, start + plan.period_us, plan.capacity)
    zone = ZoneInfo(plan.zone)
    day = dt.datetime.fromtimestamp(now // _SECOND, zone).date()
    if plan.period_us == _WEEK:
        day -= dt.timedelta(days=day.weekday())
    ends = day + dt.timedelta(microseconds=plan.period_us)
    return Period(_midnight(day, zone), _midnight(ends, zone), plan.capacity)


def _midnight(day: dt.date, zone: ZoneInfo) -> int:
    return int(dt.datetime.combine(day, dt.time(), zone).timestamp()) * _SECOND


def drawn(salt: str, name: str, share: float) -> bool:
    """Whether a thing is among a share drawn by chance: the same for ever, for the same salt."""
    return place(salt, name) < share


def room(period: Period, load: Load) -> float:
    """Seats that may still be sent: what the period leaves, and what the backlog leaves of its capacity."""
    if period.capacity is None:
        return math.inf
    return float(max(0, period.capacity - max(load.sent, load.open)))


def shares(
    period: Period, load: Load, now: int, *, rate: float, candidates: float, audit: float, seats: float
) -> tuple[float, float]:
    """Which share of candidates, and of all other answers by chance, can be sent so that what is expected
    until the period ends fits.

    rate, candidates: answers, and candidates among them, a second, over all processes. audit: the share that
    is wished. seats: of one item, on average. The random share comes first: it alone says how good the rest
    is, and is never more than half of the room while candidates want the other half.
    """
    left = room(period, load) / seats
    if math.isinf(left):
        return 1.0, audit
    seconds = max(period.end - now, 0) / _SECOND
    sure, unsure = audit * max(rate - candidates, 0.0) * seconds, candidates * seconds
    by_chance = min(sure, max(left / 2, left - unsure))
    rest = left - by_chance
    return (
        1.0 if unsure <= rest else rest / unsure,
        audit if sure <= by_chance else audit * by_chance / sure,
    )


def limit(sures: Sequence[float], share: float) -> tuple[float, float]:
    """The confidence below which, and the share of those at it which, make up `share` of the recent
    candidates. Infinite where all of them do."""
    if share >= 1.0 or not sures:
        return (math.inf, 1.0) if share > 0.0 else (-math.inf, 0.0)
    ordered = sorted(sures)
    wanted = share * len(ordered)
    at = ordered[min(int(wanted), len(ordered) - 1)]
    less = bisect_left(ordered, at)
    return at, min(1.0, (wanted - less) / (bisect_right(ordered, at) - less))
