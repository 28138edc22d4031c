"""Runs found, sorted and paged without reading them all: a projection of the ledger in a file of its own.

It follows the ledger: what was written since is read when somebody asks. Where the file is missing, damaged,
of another version, or of another ledger, it is made anew; where none can be written it is in memory.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from headrace.core.codec import from_json
from headrace.core.errors import NotFound, StoreError, UserError, did_you_mean
from headrace.core.event import Event
from headrace.core.ports import Store
from headrace.core.schema import Type
from headrace.core.views import RUN_KINDS
from headrace.engine.tracking.lines import Kept, RunLine, move, write
from headrace.engine.tracking.search import FIELDS, answers, engine, parse_where
from headrace.stores.connect import transaction
from headrace.stores.runs_file import CHUNK, FILE

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")

INDEX = "runs.db"
_PATIENCE = 20.0
_TOGETHER = 2000
"""Events of one transaction while the index is made."""


@dataclass(frozen=True)
class Found:
    """A part of the runs that were looked for. total: all of them; every: all runs."""

    lines: tuple[RunLine, ...]
    total: int
    every: int


class RunIndex:
    """The index of one ledger. For any number of threads and processes; a thread waits for another."""

    def __init__(self, store: Store, folder: Path) -> None:
        """folder: of the store, where the file is kept."""
        self._store = store
        self._path = folder / INDEX
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._engine: duckdb.DuckDBPyConnection | None = None
        self._columns: dict[str, list[Any]] = {}
        self._at = (-1, "")
        self._come: Any = None  # the last event about runs that the columns know

    def close(self) -> None:
        """Close the file. It is opened again when it is next used."""
        with self._lock:
            self._close()

    def find(
        self, where: str = "", *, sort: str = "started", down: bool = True, start: int = 0, most: int = 50
    ) -> Found:
        """Runs for which an expression is true (empty: all), sorted by a field (nulls last; runs of one value
        by age), from `start` on.

        Raises:
            UserError: the expression has a mistake, or no run has the field to sort by.
            StoreError: the ledger can't be read.
        """

        def look(db: sqlite3.Connection) -> Found:
            names = self._names(db)
            every: int = db.execute("SELECT count(*) FROM run").fetchone()[0]
            numbers = self._where(db, where, names)
            ordered = self._sorted(db, numbers, sort, down, names)
            wanted = [int(n) + 1 for n in ordered[start : start + most]]
            return Found(tuple(k.line for k in self._kept(db, wanted)), len(ordered), every)

        return self._ask(look)

    def line(self, run: str) -> RunLine:
        """One run.

        Raises:
            NotFound: there is no such run.
        """

        def look(db: sqlite3.Connection) -> RunLine:
            row = db.execute("SELECT body FROM run WHERE run = ?", (run,)).fetchone()
            if row is None:
                near = [r[0] for r in db.execute("SELECT run FROM run ORDER BY number DESC LIMIT 1000")]
                raise NotFound(f"there is no run {run!r}", fix=did_you_mean(run, near))
            return from_json(row[0], Kept).line

        return self._ask(look)

    def names(self) -> dict[str, Type]:
        """Every field that a run can be found by, with its type."""
        return self._ask(self._names)

    # --- following

    def _ask(self, look: Callable[[sqlite3.Connection], T]) -> T:
        """What `look` finds in the index as the ledger stands. A damaged index is made anew, once."""
        with self._lock:
            try:
                return look(self._follow(anew=False))
            except (StoreError, sqlite3.DatabaseError, msgspec.MsgspecError):
                self._close()
            return look(self._follow(anew=True))

    def _follow(self, *, anew: bool) -> sqlite3.Connection:
        head = self._store.head()
        if self._db is not None and self._at == head:
            return self._db
        db = self._open(anew=anew)
        self._catch_up(db, head)
        self._at = head
        come = db.execute("SELECT seq, digest FROM cursor").fetchone()
        if come != self._come:  # by another process, too
            self._columns.clear()
            self._come = come
        return db

    def _open(self, *, anew: bool) -> sqlite3.Connection:
        if self._db is not None:
            return self._db
        if anew:
            for tail in ("", "-wal", "-shm"):
                with contextlib.suppress(OSError):
                    self._path.with_name(self._path.name + tail).unlink()
        try:
            self._db = FILE.connect(self._path, _PATIENCE)
        except (OSError, sqlite3.OperationalError):
            # A folder that can only be read: the index lives as long as this process.
            self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            FILE.make(self._db)
        return self._db

    def _close(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
        if self._engine is not None:
            self._engine.close()
        self._db = self._engine = None
        self._columns.clear()
        self._at = (-1, "")

    def _catch_up(self, db: sqlite3.Connection, head: tuple[int, str]) -> None:
        row = db.execute("SELECT seq, digest FROM cursor").fetchone() or (0, "")
        if row[0] > head[0] or not self._same(row):
            with transaction(db, "BEGIN IMMEDIATE"):
                for table in ("cursor", "run", "name", "field"):
                    db.execute(f"DELETE FROM {table}")
            row = (0, "")
        events = self._store.read(after=row[0], kinds=RUN_KINDS)
        for part in _parts(events, _TOGETHER):
            with transaction(db, "BEGIN IMMEDIATE"):
                # Another process may have come further meanwhile.
                done = (db.execute("SELECT seq FROM cursor").fetchone() or (0,))[0]
                write(db, [e for e in part if e.seq > done])
                move(db, part[-1].seq, part[-1].digest)

    def _same(self, row: tuple[int, str]) -> bool:
        """Whether the line that the index came to is still that line."""
        if not row[0]:
            return True
        return next((e.digest == row[1] for e in self._store.read(after=row[0] - 1, kinds=RUN_KINDS)), False)

    # --- finding

    def _names(self, db: sqlite3.Connection) -> dict[str, Type]:
        found = {n: Type(k) for n, k in db.execute("SELECT name, kind FROM name") if n not in FIELDS}
        return {**FIELDS, **dict(sorted(found.items()))}

    def _where(self, db: sqlite3.Connection, where: str, names: Mapping[str, Type]) -> NDArray[np.int64]:
        import numpy as np

        every: int = db.execute("SELECT count(*) FROM run").fetchone()[0]
        if not where.strip() or not every:
            return np.arange(every)
        expr = parse_where(where, names)
        columns = {n: self._column(db, n) for n in expr.columns}
        if self._engine is None:
            self._engine = engine()
        return answers(self._engine, expr, columns, names, every)

    def _sorted(
        self,
        db: sqlite3.Connection,
        numbers: NDArray[np.int64],
        sort: str,
        down: bool,
        names: Mapping[str, Type],
    ) -> NDArray[np.int64]:
        import numpy as np

        if sort not in names:
            raise UserError(f"no run has {sort!r} to sort by", fix=did_you_mean(sort, names))
        if sort == "started":  # the order in which they came
            return numbers[::-1] if down else numbers
        values = self._column(db, sort)
        places: list[int] = numbers.tolist()
        known = [i for i in places if values[i] is not None]
        last = [i for i in places if values[i] is None]
        if names[sort] in (Type.TEXT, Type.TIME):
            known.sort(key=lambda i: str(values[i]))  # stable, and quicker than arrays of text
            first = known
        else:
            order = np.argsort(np.array([float(values[i]) for i in known]), kind="stable")
            first = np.array(known, dtype=np.int64)[order].tolist()
        if down:
            first.reverse()
            last.reverse()
        return np.array([*first, *last], dtype=np.int64)

    def _column(self, db: sqlite3.Connection, name: str) -> list[Any]:
        """The values of a field, one a run, oldest first: runs are numbered from 1 without a gap."""
        found = self._columns.get(name)
        if found is not None:
            return found
        every: int = db.execute("SELECT count(*) FROM run").fetchone()[0]
        made: list[Any] = [None] * every
        known = db.execute("SELECT id FROM name WHERE name = ?", (name,)).fetchone()
        rows = db.execute("SELECT chunk, cells FROM field WHERE name = ?", known or (-1,))
        for chunk, cells in rows:
            values = msgspec.msgpack.decode(cells)
            made[chunk * CHUNK : chunk * CHUNK + len(values)] = values
        self._columns[name] = made
        return made

    def _kept(self, db: sqlite3.Connection, numbers: Sequence[int]) -> list[Kept]:
        marks = ",".join("?" * len(numbers))
        rows = dict(db.execute(f"SELECT number, body FROM run WHERE number IN ({marks})", list(numbers)))
        return [from_json(rows[n], Kept) for n in numbers]


def _parts(events: Iterable[Event], most: int) -> Iterator[list[Event]]:
    part: list[Event] = []
    for event in events:
        part.append(event)
        if len(part) == most:
            yield part
            part = []
    if part:
        yield part
