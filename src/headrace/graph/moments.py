"""Times as requests spell them: RFC 3339, or Python's own."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from headrace.core.clock import micros

_SEPARATORS = frozenset({"", "T", "t", " "})


def parse_time(value: Any) -> datetime | None:
    """The moment that a value says; None where it says none. Without an offset it is local."""
    if type(value) is str:
        # ISO 8601's other forms (20130601, 2013-W22-6) are no RFC 3339
        if value[4:5] != "-" or value[7:8] != "-" or value[10:11] not in _SEPARATORS:
            return None
        try:
            return datetime.fromisoformat(value.upper())
        except ValueError:
            return None
    if isinstance(value, datetime):
        return value
    return datetime(value.year, value.month, value.day) if isinstance(value, date) else None


def told_micros(moment: datetime) -> int:
    """Microseconds since 1970: in UTC where the moment has an offset, else local."""
    return micros(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment)
