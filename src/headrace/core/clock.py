"""Time as an argument: every function that needs the moment takes a `Clock`."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import overload

Clock = Callable[[], datetime]
"""Returns the present moment as an aware datetime in UTC."""

_UNITS = {
    unit: micros
    for names, micros in (
        ("us", 1),
        ("ms", 1_000),
        ("s sec second seconds", 1_000_000),
        ("min minute minutes", 60_000_000),
        ("h hour hours", 3_600_000_000),
        ("d day days", 86_400_000_000),
        ("w week weeks", 604_800_000_000),
    )
    for unit in names.split()
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO = timedelta(microseconds=1)
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*")


def system_clock() -> datetime:
    """The machine's clock, in UTC."""
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds: sorts as text in the order of time."""
    # not strftime, which writes the year 999 with three digits
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def micros(moment: datetime) -> int:
    """Microseconds since 1970 UTC, exactly.

    >>> micros(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    return (moment - _EPOCH) // _MICRO


def iso_micros(moment: str) -> int:
    """Microseconds since 1970 UTC of an ISO moment that has an offset.

    >>> iso_micros("1970-01-01T00:00:01Z")
    1000000
    """
    return micros(datetime.fromisoformat(moment))


def from_micros(moment: int) -> datetime:
    """The aware moment, in UTC, of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=moment)


def parse_duration(text: str) -> timedelta:
    """Read a duration such as `60 min`, `3 h`, `14 days`, `250 ms`.

    Raises:
        ValueError: the text is no number followed by a unit from us to weeks, or the span is longer than
            Python's longest (2.7 million years).

    >>> parse_duration("90 min")
    datetime.timedelta(seconds=5400)
    """
    match = _DURATION.fullmatch(text)
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"{text!r} is no duration; write a number and a unit, such as '60 min' or '14 days'")
    try:
        return timedelta(microseconds=round(float(match[1]) * _UNITS[match[2]]))
    except OverflowError:
        raise ValueError(f"{text!r} is too long; write a shorter span, such as '14 days'") from None


@overload
def duration_micros(text: str) -> int: ...


@overload
def duration_micros(text: None) -> None: ...


def duration_micros(text: str | None) -> int | None:
    """Microseconds of a duration, as `parse_duration` reads it; None for none.

    Raises:
        ValueError: the text is no duration.

    >>> duration_micros("250 ms")
    250000
    """
    return None if text is None else parse_duration(text) // _MICRO


def format_duration(span: timedelta) -> str:
    """The shortest exact spelling of a duration, as `parse_duration` reads it."""
    length = span // _MICRO
    for unit in ("days", "h", "min", "s", "ms"):
        if length and length % _UNITS[unit] == 0:
            return f"{length // _UNITS[unit]} {unit}"
    return f"{length} us"
