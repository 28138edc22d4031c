"""Names, lists and times in a dialect, and a query's steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from headrace.expr.dialects import POSTGRES, SPARK, micros_postgres, micros_spark
from headrace.expr.to_sql import Dialect

MOMENT = "__moment"
"""The moment of prediction, in every step."""

NO_TIME = "CAST(NULL AS TIMESTAMP)"
"""A bare NULL is text to PostgreSQL once it has left its SELECT."""


@dataclass
class Steps:
    """A query in the making: `WITH` one step after another. `columns` are those of the newest step, the
    events' and what was found so far; `last` is its name."""

    dialect: Dialect
    columns: list[str]
    last: str = ""
    _texts: list[str] = field(default_factory=list)
    _count: int = 0

    def add(self, name: str, text: str) -> str:
        """Add a step; it is called by a number and its name."""
        self._count += 1
        name = f"__{self._count}_{name}"
        self._texts.append(f"{self.dialect.named(name)} AS (\n{indented(text)}\n)")
        return self.dialect.named(name)

    def carried(self) -> str:
        """The columns so far, and the moment."""
        return listed([self.dialect.named(c) for c in (*self.columns, MOMENT)])

    def kept(self, held: Sequence[str]) -> str:
        """The same for rows of a side table: null but for `held`, which both share."""
        return listed(
            [self.dialect.named(c) if c in held else f"NULL AS {self.dialect.named(c)}" for c in self.columns]
            + [f"NULL AS {MOMENT}"]
        )

    def text(self, final: str) -> str:
        """The whole query."""
        return "WITH " + ",\n".join(self._texts) + "\n" + final

    def names(self, columns: Sequence[str]) -> list[str]:
        """Names, quoted."""
        return [self.dialect.named(c) for c in columns]


def indented(text: str) -> str:
    """Two spaces before each line."""
    return "\n".join(f"  {line}" for line in text.splitlines())


def listed(parts: Sequence[str]) -> str:
    """With commas."""
    return ", ".join(parts)


def over(partition: Sequence[str], order: str, frame: str = "") -> str:
    """A window; without partition it is over all rows."""
    parts = [f"PARTITION BY {listed(partition)}"] if partition else []
    return "OVER (" + " ".join([*parts, f"ORDER BY {order}", *([frame] if frame else [])]) + ")"


def all_of(conditions: Sequence[str]) -> str:
    """Conditions that all hold."""
    return " AND ".join(conditions) or "true"


def micros_of(dialect: Dialect, time: str) -> str:
    """A time in microseconds since 1970, a whole number."""
    if dialect is POSTGRES:
        return micros_postgres(time)
    return micros_spark(time) if dialect is SPARK else f"epoch_us({time})"


def earlier(dialect: Dialect, time: str, micros: int) -> str:
    """A time so many microseconds before."""
    if dialect is SPARK:
        return f"timestamp_micros(unix_micros({time}) - {micros})"
    return f"({time} - INTERVAL '{micros} microseconds')"


def later_of(first: str, second: str | None) -> str:
    """The later of two times that are not null."""
    return first if second is None else f"CASE WHEN {second} > {first} THEN {second} ELSE {first} END"
