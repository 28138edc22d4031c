"""Moments and spans as they are written in expressions."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from fractions import Fraction

from headrace.core.clock import micros
from headrace.expr.nodes import MAX_TIME, MIN_TIME
from headrace.expr.zones import utc_of

_SPAN = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*([a-z]+)\s*", re.IGNORECASE)

_FIXED = {
    ("us", "microsecond", "microseconds"): 1,
    ("ms", "millisecond", "milliseconds"): 1_000,
    ("s", "sec", "secs", "second", "seconds"): 1_000_000,
    ("m", "min", "mins", "minute", "minutes"): 60_000_000,
    ("h", "hr", "hrs", "hour", "hours"): 3_600_000_000,
    ("d", "day", "days"): 86_400_000_000,
    ("w", "week", "weeks"): 604_800_000_000,
}
MICROS = {name: size for names, size in _FIXED.items() for name in names}
_CALENDAR = ("month", "quarter", "year", "decade", "century", "mon")


def read_moment(text: str, zone: str) -> int | str:
    """UTC microseconds of an ISO 8601 date or moment, on the zone's wall clock unless it has an offset; or
    what is wrong with it."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return f"'{text}' is no date or time"
    try:
        there = utc_of(moment, zone) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        return f"'{text}' is outside the years 1 to 9999"
    value = micros(there)
    return value if MIN_TIME <= value <= MAX_TIME else f"'{text}' is outside the years 1 to 9999"


def read_span(text: str) -> int | str:
    """Microseconds of a span such as `3 hours` or `1 day 12 hours`; or what is wrong with it."""
    total, position = Fraction(0), 0
    while position < len(text):
        found = _SPAN.match(text, position)
        if found is None:
            return f"'{text}' is no span of time"
        unit = found[2].lower()
        if unit.removesuffix("s") in _CALENDAR:
            return f"a {unit.removesuffix('s')} has no fixed length"
        if unit not in MICROS:
            return f"'{found[2]}' is no unit of time"
        total += Fraction(found[1]) * MICROS[unit]
        position = found.end()
    if position == 0 or total.denominator != 1:
        return f"'{text}' is no whole number of microseconds"
    return int(total) if abs(total) < MAX_TIME else f"'{text}' is longer than all of time"
