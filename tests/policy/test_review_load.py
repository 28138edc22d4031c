"""Who is asked where reviewers can't look at everything."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from headrace.core.review import Load, Period, ReviewPlan
from headrace.policy.review_load import drawn, limit, period_of, room, shares

HOUR = 3_600_000_000


def micros(text: str) -> int:
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1e6)


@pytest.mark.parametrize(
    ("period", "zone", "now", "start", "end"),
    [
        (24 * HOUR, "UTC", "2026-11-21T10:00+00:00", "2026-11-21T00:00+00:00", "2026-11-22T00:00+00:00"),
        (
            24 * HOUR,
            "America/New_York",
            "2026-11-21T03:00+00:00",
            "2026-11-20T05:00+00:00",
            "2026-11-21T05:00+00:00",
        ),
        # days of 23 and 25 hours
        (
            24 * HOUR,
            "Europe/Berlin",
            "2026-03-29T10:00+00:00",
            "2026-03-28T23:00+00:00",
            "2026-03-29T22:00+00:00",
        ),
        (
            24 * HOUR,
            "Europe/Berlin",
            "2026-10-25T10:00+00:00",
            "2026-10-24T22:00+00:00",
            "2026-10-25T23:00+00:00",
        ),
        (
            7 * 24 * HOUR,
            "UTC",
            "2026-11-22T23:59+00:00",
            "2026-11-16T00:00+00:00",
            "2026-11-23T00:00+00:00",
        ),
        (HOUR, "Europe/Berlin", "2026-11-21T10:30+00:00", "2026-11-21T10:00+00:00", "2026-11-21T11:00+00:00"),
    ],
)
def test_periods(period: int, zone: str, now: str, start: str, end: str) -> None:
    found = period_of(ReviewPlan("", capacity=5, period_us=period, zone=zone), micros(now))
    assert found == Period(micros(start), micros(end), 5)


def test_room_is_what_the_period_and_the_backlog_leave() -> None:
    period = Period(0, 24 * HOUR, 10)
    assert room(period, Load(sent=3, refused=0, open=1)) == 7
    assert room(period, Load(sent=3, refused=0, open=8)) == 2
    assert room(period, Load(sent=12, refused=0, open=1)) == 0
    assert room(Period(0, 1, None), Load(99, 0, 99)) == math.inf


def aimed(
    sent: int, *, candidates: float, rate: float = 10.0, audit: float = 0.01, hours: float = 10
) -> tuple[float, float]:
    period = Period(0, 24 * HOUR, 1000)
    now = int((24 - hours) * HOUR)
    return shares(period, Load(sent, 0, 0), now, rate=rate, candidates=candidates, audit=audit, seats=1.0)


def test_what_fits_is_sent_whole() -> None:
    assert aimed(0, candidates=0.01, rate=0.5) == (1.0, 0.01)


def test_what_does_not_fit_is_thinned_to_what_does() -> None:
    """Ten hours and 400 seats are left; 3,600 candidates are expected, and 3,564 by chance."""
    candidates, audit = aimed(600, candidates=0.1)
    by_chance, unsure = audit * 9.9 * 36_000, candidates * 0.1 * 36_000
    assert by_chance + unsure == pytest.approx(400)
    assert by_chance == pytest.approx(200)


def test_the_random_share_takes_what_candidates_leave() -> None:
    candidates, audit = aimed(0, candidates=0.005)
    assert candidates == 1.0
    assert audit * 9.995 * 36_000 == pytest.approx(1000 - 180)


def test_a_full_queue_takes_nothing() -> None:
    assert aimed(1000, candidates=0.1) == (0.0, 0.0)
    assert aimed(1000, candidates=0.0, rate=0.0) == (1.0, 0.01)  # nothing comes: nothing has to be thinned


def test_the_least_sure_come_first() -> None:
    sures = [0.9, 0.5, 0.7, 0.6, 0.8]
    assert limit(sures, 1.0) == (math.inf, 1.0)
    assert limit(sures, 0.4) == (0.7, 0.0)
    assert limit(sures, 0.5) == (0.7, 0.5)
    assert limit(sures, 0.0) == (0.5, 0.0)
    assert limit([], 0.5) == (math.inf, 1.0)
    assert limit([], 0.0) == (-math.inf, 0.0)


def test_equals_are_drawn() -> None:
    assert limit([0.6] * 10, 0.3) == (0.6, pytest.approx(0.3))
    at, share = limit([0.5] * 2 + [0.6] * 8, 0.4)
    assert (at, share) == (0.6, pytest.approx(0.25))


def test_chance_is_the_same_for_ever_and_as_large_as_stated() -> None:
    names = [f"p{n}" for n in range(20_000)]
    told = [drawn("salt", n, 0.05) for n in names]
    assert told == [drawn("salt", n, 0.05) for n in names]
    assert abs(sum(told) - 1000) < 4 * math.sqrt(950)
    other = [drawn("other", n, 0.05) for n in names]
    assert abs(sum(a and b for a, b in zip(told, other, strict=True)) - 50) < 4 * math.sqrt(50)
    assert all(
        b
        for n, b in zip(names, [drawn("salt", n, 0.2) for n in names], strict=True)
        if drawn("salt", n, 0.05)
    )
