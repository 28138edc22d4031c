"""Spans: whole multiples in a zone, also where clocks are changed."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest

from headrace.watch.spans import DAY, HOUR, MINUTE, edges, phase_of, span_of, starts


def at(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp() * 1e6)  # type: ignore[misc,arg-type]  # a date's parts


def told(cuts: np.ndarray) -> list[str]:
    return [datetime.fromtimestamp(c / 1e6, UTC).strftime("%d %H:%M") for c in cuts.tolist()]


def test_days_begin_at_midnight_and_have_23_or_25_hours() -> None:
    spring = edges(at(2026, 3, 28, 12), at(2026, 3, 30, 12), DAY, "Europe/Berlin")
    assert told(spring) == ["27 23:00", "28 23:00", "29 22:00", "30 22:00"]
    autumn = edges(at(2026, 10, 25), at(2026, 10, 25), DAY, "Europe/Berlin")
    assert np.diff(autumn).tolist() == [25 * HOUR]


def test_parts_of_a_day_begin_on_the_clock() -> None:
    spring = edges(at(2026, 3, 28, 22), at(2026, 3, 29, 12), 6 * HOUR, "Europe/Berlin")
    assert told(spring) == ["28 17:00", "28 23:00", "29 04:00", "29 10:00", "29 16:00"]
    autumn = edges(at(2026, 10, 24, 22), at(2026, 10, 25, 22), 6 * HOUR, "Europe/Berlin")
    assert told(autumn) == ["24 22:00", "25 05:00", "25 11:00", "25 17:00", "25 23:00"]


def test_an_hour_that_comes_twice_is_two_spans() -> None:
    cuts = edges(at(2026, 10, 24, 22), at(2026, 10, 25, 22, 59), HOUR, "Europe/Berlin")
    assert len(cuts) == 26 and set(np.diff(cuts).tolist()) == {HOUR}


def test_weeks_begin_on_mondays_and_odd_lengths_anywhere() -> None:
    start, _ = span_of(at(2026, 3, 25, 5), 7 * DAY, "UTC")
    assert start == at(2026, 3, 23)
    assert span_of(at(2026, 3, 25, 5), 5 * HOUR, "Europe/Berlin")[0] % (5 * HOUR) == 0


ZONES = ("UTC", "America/New_York", "America/Sao_Paulo", "Australia/Lord_Howe", "Africa/Cairo")


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("length", [15 * MINUTE, HOUR, 2 * HOUR, 12 * HOUR, DAY, 7 * DAY, 36 * HOUR])
def test_every_moment_is_in_one_span_however_it_is_asked(zone: str, length: int) -> None:
    rng = np.random.default_rng(length % 97)
    times = np.sort(rng.integers(at(2017, 1, 1), at(2019, 1, 1), 200))
    cuts = edges(int(times[0]), int(times[-1]), length, zone)
    assert all(a < b for a, b in pairwise(cuts.tolist()))
    assert cuts[0] <= times[0] < cuts[1] and cuts[-2] <= times[-1] < cuts[-1]
    found = starts(times, length, zone)
    for moment, start in zip(times[::10].tolist(), found[::10].tolist(), strict=True):
        begin, end = span_of(moment, length, zone)
        assert begin == start <= moment < end
        assert begin in cuts and end in cuts


def test_a_place_in_the_week() -> None:
    assert phase_of(at(2026, 3, 2, 23), "Europe/Berlin") == (1, 0)
