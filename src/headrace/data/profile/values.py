"""How values are written in a profile: JSON has numbers, texts and booleans, and no moments."""

from __future__ import annotations

from typing import Any, TypeAlias

from headrace.core.clock import from_micros
from headrace.core.schema import Type

End: TypeAlias = float | str | None
"""A number, or a moment as ISO 8601 in UTC; None where there is none."""


def moment(micros: float) -> str:
    """UTC microseconds since 1970 as ISO 8601, as short as it is exact; years beyond 1–9999 as a year.

    >>> moment(0), moment(86_400_000_000.0), moment(1_500_000.0)
    ('1970-01-01 00:00', '1970-01-02 00:00', '1970-01-01 00:00:01.500000')
    """
    try:
        when = from_micros(int(micros)).replace(tzinfo=None)
    except OverflowError:
        return f"year {1970 + micros / 31_556_952e6:.0f}"
    return when.isoformat(" ", "auto" if when.second or when.microsecond else "minutes")


def end_of(value: Any, kind: Type) -> End:
    """A number or UTC microseconds as a profile writes them."""
    if value is None:
        return None
    return moment(value) if kind is Type.TIME else float(value)
