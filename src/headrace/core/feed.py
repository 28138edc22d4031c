"""A feed: what one release needs of the facts of one table, and what a fact of it looks like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.core.digest import digest
from headrace.core.history import History
from headrace.core.online import NEWEST, WINDOW, Stream
from headrace.core.schema import Type


@dataclass(frozen=True)
class Newest:
    """A lookup's stream: the columns of the newest row of a key. Without times there is one row a key."""

    table: str
    by: tuple[str, ...]
    columns: tuple[str, ...]
    time: str | None = None
    known_at: str | None = None

    @property
    def stream(self) -> Stream:
        """Named by all that decides what lies in it."""
        name = digest(["newest", self.table, self.by, self.columns, self.time, self.known_at])
        return Stream(name, self.table, NEWEST, f"{', '.join(self.columns)} by {', '.join(self.by)}")

    @property
    def times(self) -> tuple[str, ...]:
        """The columns that say when: the first when a row came to be, all of them from when it is visible."""
        return tuple(c for c in (self.time, self.known_at) if c is not None)


@dataclass(frozen=True)
class Window:
    """The stream of histories that read the same values of the same rows: any window, any function."""

    table: str
    by: tuple[str, ...]
    value: str | None
    value_type: Type | None
    where: str | None
    on: str
    known_at: str | None = None

    @classmethod
    def of(cls, history: History) -> Window:
        """The stream that a history reads."""
        h = history
        return cls(h.table, h.by, h.value, h.value_type, h.where, h.on, h.known_at)

    @property
    def stream(self) -> Stream:
        """Named by all that decides what lies in it."""
        kind = None if self.value_type is None else self.value_type.value
        what = [self.by, self.value, kind, self.where, self.on, self.known_at]
        told = f"{self.value or 'rows'} by {', '.join(self.by) or 'nothing'}"
        told += f" where {self.where}" if self.where else ""
        return Stream(digest(["window", self.table, *what]), self.table, WINDOW, told)

    @property
    def times(self) -> tuple[str, ...]:
        """`on`, and the column that says when a row became known."""
        return tuple(c for c in (self.on, self.known_at) if c is not None)


@dataclass(frozen=True)
class Feed:
    """What a release needs of a table. `columns` are those of its snapshot, with their types there; `id`
    names the column that names a fact (None: its key and times do). `graph` computes the values and
    conditions of `windows`, outputs as `data.history.values` names them; None: they have none."""

    table: str
    columns: Mapping[str, Type]
    id: str | None
    newest: Newest | None = None
    windows: tuple[Window, ...] = ()
    graph: str | None = None
    """The graph's artifact."""

    @property
    def streams(self) -> tuple[Stream, ...]:
        """All streams of the table."""
        return (*(() if self.newest is None else (self.newest.stream,)), *(w.stream for w in self.windows))

    @property
    def keys(self) -> tuple[str, ...]:
        """Every column by which a fact of the table is found."""
        parts = [() if self.newest is None else self.newest.by, *(w.by for w in self.windows)]
        return tuple(dict.fromkeys(k for by in parts for k in by))

    @property
    def times(self) -> tuple[str, ...]:
        """Every column of times that says when a fact is found."""
        parts = [() if self.newest is None else self.newest.times, *(w.times for w in self.windows)]
        return tuple(dict.fromkeys(t for times in parts for t in times))
