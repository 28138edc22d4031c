"""What is asked of which tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.core.errors import Problem, UserError, did_you_mean
from headrace.core.history import History
from headrace.core.schema import Type
from headrace.core.spec.tables import Data


@dataclass(frozen=True)
class Plan:
    """The raw columns that a query gives beside the events' own.

    `tables` are the columns of every table with their types, `lookups` the columns wanted of side tables,
    `relations` what stands in FROM for a table that is called otherwise in the database. `position` is a
    column, of every table that is looked into, which says a row's place in it: it decides between rows of
    the same time, as a row's place in the file does. Without one the values decide. `notes` stand above the
    query.
    """

    data: Data
    tables: Mapping[str, Mapping[str, Type]]
    lookups: Mapping[str, tuple[str, ...]]
    histories: tuple[History, ...] = ()
    relations: Mapping[str, str] | None = None
    position: str | None = None
    notes: tuple[str, ...] = ()

    def relation(self, table: str, quoted: str) -> str:
        """What stands in FROM."""
        return (self.relations or {}).get(table, quoted)

    def problems(self) -> list[Problem]:
        """Why there can be no query."""
        found = [
            Problem(f"there is no table {table!r}", fix=did_you_mean(table, self.tables))
            for table in sorted({*(self.relations or {})} - {*self.tables})
        ]
        found += [
            Problem(
                f"the events' column {name!r} begins with two underscores",
                why="so do the query's own columns",
                fix="rename it",
            )
            for name in self.tables[self.data.events]
            if name.startswith("__")
        ]
        if self.data.time is None and (self.histories or any(self._timed(t) for t in self.lookups)):
            found.append(Problem("the events have no time to look rows up at", fix="declare data.time"))
        return found

    def _timed(self, table: str) -> bool:
        spec = self.data.tables[table]
        return spec.time is not None or spec.known_at is not None

    def checked(self) -> Plan:
        """The same.

        Raises:
            UserError: there can be no query of it.
        """
        problems = self.problems()
        if problems:
            raise UserError.of(problems)
        return self
