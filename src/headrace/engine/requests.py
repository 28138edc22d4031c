"""Rows of a table as a caller would send them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from headrace.core.clock import from_micros
from headrace.core.errors import DataError


def as_requests(table: pa.Table) -> list[dict[str, Any]]:
    """Rows as a caller would send them: times as text, as JSON has no times.

    Raises:
        DataError: a time is of a year that RFC 3339 has no digits for: no caller could send it.
    """
    timed = any(pa.types.is_timestamp(f.type) for f in table.schema)
    plain: list[dict[str, Any]] = (_texts(table) if timed else table).to_pylist()
    return plain


def _texts(table: pa.Table) -> pa.Table:
    """Times as RFC 3339 text. By hand, because Arrow has no text for years beyond what Python holds."""
    columns = []
    for name in table.column_names:
        column: Any = table.column(name)
        if pa.types.is_timestamp(column.type):
            column = pa.array([_rfc3339(v) for v in column.cast(pa.int64()).to_pylist()], pa.string())
        columns.append(column)
    return pa.table(dict(zip(table.column_names, columns, strict=True)))


def _rfc3339(value: int | None) -> str | None:
    if value is None:
        return None
    try:
        return from_micros(value).isoformat()
    except OverflowError:
        raise DataError(
            "a time lies outside the years 1 to 9999",
            why="no request could hold it: RFC 3339 has four digits for a year",
            fix="make it null where the data is written",
        ) from None
