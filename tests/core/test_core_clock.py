"""Moments and durations as text and back."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.clock import (
    duration_micros,
    format_duration,
    from_micros,
    iso,
    iso_micros,
    micros,
    parse_duration,
    system_clock,
)


def test_the_system_clock_is_aware_and_in_utc() -> None:
    before = datetime.now(UTC)
    moment = system_clock()
    assert moment.tzinfo is UTC
    assert before <= moment <= datetime.now(UTC)


def test_iso_is_utc_with_microseconds() -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    assert iso(datetime(2026, 1, 1, 2, 0, 0, 7, tzinfo=east)) == "2025-12-31T20:30:00.000007Z"
    assert iso(datetime(999, 1, 1, tzinfo=UTC)) == "0999-01-01T00:00:00.000000Z"


moments = st.datetimes(timezones=st.just(UTC))


@given(moments, moments)
def test_iso_sorts_as_time_does(one: datetime, other: datetime) -> None:
    assert (iso(one) < iso(other)) == (one < other)


@given(moments)
def test_iso_keeps_the_moment(moment: datetime) -> None:
    assert datetime.fromisoformat(iso(moment)) == moment


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("250 us", timedelta(microseconds=250)),
        ("250ms", timedelta(milliseconds=250)),
        ("1 s", timedelta(seconds=1)),
        ("60 min", timedelta(hours=1)),
        ("90 minutes", timedelta(minutes=90)),
        (" 3  h ", timedelta(hours=3)),
        ("1.5 h", timedelta(minutes=90)),
        ("1 hour", timedelta(hours=1)),
        ("14 days", timedelta(days=14)),
        ("1 day", timedelta(days=1)),
        ("2 d", timedelta(days=2)),
        ("2 w", timedelta(days=14)),
        ("1 week", timedelta(days=7)),
        ("0 s", timedelta(0)),
    ],
)
def test_durations(text: str, span: timedelta) -> None:
    assert parse_duration(text) == span


@pytest.mark.parametrize(
    "text", ["", "60", "min", "-1 h", "1 h 30 min", "1e3 s", "5 months", "1,5 h", "nan s", "1 H"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(
        ValueError, match="is no duration; write a number and a unit, such as '60 min' or '14 days'"
    ):
        parse_duration(text)


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(days=14), "14 days"),
        (timedelta(hours=36), "36 h"),
        (timedelta(minutes=90), "90 min"),
        (timedelta(seconds=61), "61 s"),
        (timedelta(milliseconds=1500), "1500 ms"),
        (timedelta(microseconds=1), "1 us"),
        (timedelta(0), "0 us"),
    ],
)
def test_spelling(span: timedelta, text: str) -> None:
    assert format_duration(span) == text


@given(st.timedeltas(timedelta(0), timedelta(days=100_000)))
def test_spelling_is_read_back(span: timedelta) -> None:
    assert parse_duration(format_duration(span)) == span


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.timezones()))
def test_microseconds_lose_nothing(moment: datetime) -> None:
    assert from_micros(micros(moment)) == moment.astimezone(UTC)
    assert iso_micros(iso(moment)) == micros(moment)


def test_a_duration_in_microseconds() -> None:
    assert (duration_micros("1.5 h"), duration_micros("0 s"), duration_micros(None)) == (
        5_400_000_000,
        0,
        None,
    )
    with pytest.raises(ValueError, match="is no duration"):
        duration_micros("soon")
