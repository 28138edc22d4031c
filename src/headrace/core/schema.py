"""What a table's columns are: the types headrace knows, and the schema of a snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Type(StrEnum):
    """The four types of the expression language, and so of every raw column.

    - number: any integer, float or decimal column; double inside expressions
    - bool: true, false, null
    - text: UTF-8 strings
    - time: a moment, kept as UTC microseconds since 1970-01-01; a date is midnight of the table's zone
    """

    NUMBER = "number"
    BOOL = "bool"
    TEXT = "text"
    TIME = "time"


NULL_TEXT = "\x00"
"""Null in a text tensor. A value that holds it is refused at ingest and by the request decoder."""

CSV_NULLS = ("", "NA", "N/A", "null", "NULL", "NaN", "nan")
"""What is null in a CSV file, wherever one is read."""

NULL_TIME = -(2**63)
"""Null in a time tensor (int64 microseconds)."""


@dataclass(frozen=True)
class Column:
    """A column of a table: its name, headrace type, and the type the source had (for people). `before` is
    the headrace type of values that a hash or mask made text."""

    name: str
    type: Type
    source_type: str = ""
    before: Type | None = None


@dataclass(frozen=True)
class Snapshot:
    """One source, frozen. `artifact` names the Parquet bytes, `content` the rows themselves (stable over
    writer versions). Rows keep the source's order; times are UTC microseconds. `newest` is the newest moment
    in it (of `known_at`, else `time`) that was past when it was taken; empty without such a column."""

    table: str
    artifact: str
    content: str
    rows: int
    columns: tuple[Column, ...]
    source: str
    taken: str
    newest: str = ""

    def types(self) -> dict[str, Type]:
        """Column names and types, in the file's order."""
        return {c.name: c.type for c in self.columns}
