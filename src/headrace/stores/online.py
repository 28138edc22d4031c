"""The online store that needs no server: one SQLite file in write-ahead mode.

`synchronous=NORMAL`: what was acknowledged survives the death of every process; a power cut may take the
newest commits with it, never a part of one. Rows of lookups lie one by one, clustered by key and time; rows
of windows lie in blocks of up to 128 (`online_blocks`): 180 rows are read in a fifth of the time that they
would take one by one.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from headrace.core.online import (
    ARRIVED,
    CELL,
    NEWEST,
    WINDOW,
    Fact,
    Filled,
    Found,
    Freshness,
    Kept,
    Outcome,
    Place,
    Stream,
)
from headrace.core.schema import NULL_TIME
from headrace.stores.connect import transaction
from headrace.stores.online_blocks import add_rows, read_rows
from headrace.stores.online_file import FILE, nothing
from headrace.stores.online_newest import Row, add_newest, read_newest
from headrace.stores.trouble import os_trouble

T = TypeVar("T")

_ASKS = 400  # keys of one statement
_PAGE = 500


class SqliteOnlineStore:
    """An `OnlineStore` in one file. Nothing is created before something is written; reading a file that is
    not there finds nothing. Each thread reads with a connection of its own; one connection writes.

    `patience` is how many seconds a write waits for other writers before it raises `StoreError`.
    """

    def __init__(self, path: Path, *, patience: float = 30.0) -> None:
        self.path = Path(path)
        self.patience = patience
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._local = threading.local()
        self._lock = threading.RLock()
        self._writer: sqlite3.Connection | None = None
        self._streams: dict[str, tuple[int, str]] = {}
        self._words: list[str] = []

    # Reading

    def streams(self) -> Mapping[str, Filled]:
        """See `OnlineStore.streams`."""
        rows = self._ask(
            "SELECT s.name, t.name, s.kind, s.about, s.source, s.upto FROM stream s JOIN tbl t "
            "ON t.number = s.tbl ORDER BY s.number"
        )
        return {r[0]: Filled(Stream(r[0], r[1], r[2], r[3]), r[4], r[5]) for r in rows}

    def newest(self, stream: str, asks: Sequence[tuple[bytes, int]]) -> list[Found | None]:
        """See `OnlineStore.newest`."""
        number = self._number(stream)
        if number is None:
            return [None] * len(asks)
        return self._read(lambda db: read_newest(db, number, asks))

    def window(self, stream: str, key: bytes, start: int, moment: int) -> NDArray[np.int64]:
        """See `OnlineStore.window`."""
        number = self._number(stream)
        if number is None:
            return np.empty((0, 4), np.int64)
        return self._read(lambda db: read_rows(db, number, key, start, moment))

    def has(self, stream: str, key: bytes) -> bool:
        """See `OnlineStore.has`."""
        number = self._number(stream)
        if number is None:
            return False
        table = "row" if self._streams[stream][1] == NEWEST else "block"
        return bool(self._ask(f"SELECT 1 FROM {table} WHERE stream = ? AND key = ? LIMIT 1", (number, key)))

    def kept(self, table: str, after: int = 0) -> Iterator[Kept]:
        """See `OnlineStore.kept`."""
        sql = (
            "SELECT number, id, body FROM kept WHERE number > ? AND "
            "tbl = (SELECT number FROM tbl WHERE name = ?) ORDER BY number LIMIT ?"
        )
        while rows := self._ask(sql, (after, table, _PAGE)):
            yield from (Kept(*r) for r in rows)
            after = rows[-1][0]

    def freshness(self, table: str) -> Freshness:
        """See `OnlineStore.freshness`."""
        rows = self._ask("SELECT facts, arrived, last, newest FROM tbl WHERE name = ?", (table,))
        if not rows:
            return Freshness(0, 0, 0, None)
        facts, arrived, last, newest = rows[0]
        return Freshness(facts, arrived, last, None if newest == NULL_TIME else newest)

    def words(self, codes: Sequence[int]) -> list[str]:
        """See `OnlineStore.words`."""
        if codes and (max(codes) >= len(self._words) or min(codes) < 0):
            self._words = [r[0] for r in self._ask("SELECT text FROM word ORDER BY code")]
            missing = [c for c in codes if not 0 <= c < len(self._words)]
            if missing:
                raise KeyError(f"no text has the number {missing[0]}")
        return [self._words[c] for c in codes]

    # Writing

    def declare(self, streams: Sequence[Stream]) -> None:
        """See `OnlineStore.declare`."""

        sql = "INSERT OR IGNORE INTO stream (name, tbl, kind, about, source, upto) VALUES (?,?,?,?,'',0)"

        def work(db: sqlite3.Connection) -> None:
            for s in streams:
                db.execute(sql, (s.name, _table(db, s.table), s.kind, s.about))

        self._write(work)

    def put(
        self,
        table: str,
        facts: Sequence[Fact],
        *,
        start: int | None = None,
        filling: Collection[str] = (),
        into: Collection[str] = (),
    ) -> tuple[Outcome, ...]:
        """See `OnlineStore.put`."""
        if not facts:
            return ()
        checked = [p for f in facts for p in f.places]
        self._check(checked)
        return self._write(lambda db: self._put(db, table, facts, start, set(filling), into))

    def _put(
        self,
        db: sqlite3.Connection,
        table: str,
        facts: Sequence[Fact],
        start: int | None,
        filling: set[str],
        into: Collection[str],
    ) -> tuple[Outcome, ...]:
        number = _table(db, table)
        outcomes = _register(db, number, facts)
        (last,) = db.execute("SELECT last FROM tbl WHERE number = ?", (number,)).fetchone()
        (counter,) = db.execute("SELECT coalesce(max(number), 0) FROM kept").fetchone()
        before, placed, kept, newest = last, [], [], NULL_TIME
        for i, (fact, outcome) in enumerate(zip(facts, outcomes, strict=True)):
            new = outcome is Outcome.NEW
            if start is None and new:
                last = counter = counter + 1
                kept.append((counter, number, fact.id, fact.body))
            position = ARRIVED + counter if start is None else start + i
            placed += [(position, p) for p in fact.places if new or p.stream in filling]
            newest = max(newest, fact.moment) if new else newest
        db.executemany("INSERT INTO kept VALUES (?,?,?,?)", kept)
        self._place(db, placed)
        count = sum(o is Outcome.NEW for o in outcomes)
        db.execute(
            "UPDATE tbl SET facts = facts + ?, arrived = arrived + ?, last = ?, newest = max(newest, ?) "
            "WHERE number = ?",
            (count, len(kept), last, newest, number),
        )
        db.executemany(
            "UPDATE stream SET upto = ? WHERE name = ? AND upto = ?", [(last, s, before) for s in into]
        )
        return tuple(outcomes)

    def place(self, places: Sequence[tuple[int, Place]]) -> None:
        """See `OnlineStore.place`."""
        self._check([p for _, p in places])
        self._write(lambda db: self._place(db, places))

    def _place(self, db: sqlite3.Connection, placed: Sequence[tuple[int, Place]]) -> None:
        single: list[Row] = []
        windows: dict[tuple[int, bytes], list[tuple[int, int, int, bytes]]] = {}
        for position, (stream, key, on, known, payload) in placed:
            number, kind = self._streams[stream]
            if kind == NEWEST:
                single.append((number, key, on, known, position, payload))
            else:
                windows.setdefault((number, key), []).append((on, known, position, payload))
        add_newest(db, single)
        for (number, key), rows in windows.items():
            add_rows(db, number, key, rows)

    def begin(self, stream: str) -> None:
        """See `OnlineStore.begin`."""
        self._check_streams([stream])
        number, kind = self._streams[stream]

        def work(db: sqlite3.Connection) -> None:
            for table in ("row", "latest") if kind == NEWEST else ("block",):
                db.execute(f"DELETE FROM {table} WHERE stream = ?", (number,))
            db.execute("UPDATE stream SET source = '', upto = 0 WHERE number = ?", (number,))

        self._write(work)

    def finish(self, stream: str, source: str, upto: int) -> None:
        """See `OnlineStore.finish`."""
        self._check_streams([stream])
        sql = "UPDATE stream SET source = ?, upto = max(upto, ?) WHERE name = ?"
        self._write(lambda db: db.execute(sql, (source, upto, stream)))

    def codes(self, words: Sequence[str]) -> list[int]:
        """See `OnlineStore.codes`."""
        distinct = list(dict.fromkeys(words))
        known = self._codes_of(distinct)
        unknown = [(w,) for w in distinct if w not in known]
        if unknown:
            # max + 1, not the rowid that SQLite picks: codes are without a gap, from 0.
            sql = "INSERT OR IGNORE INTO word SELECT coalesce(max(code), -1) + 1, ? FROM word"
            self._write(lambda db: db.executemany(sql, unknown))
            known = self._codes_of(distinct)
        return [known[w] for w in words]

    def _codes_of(self, words: Sequence[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for start in range(0, len(words), _ASKS):
            part = words[start : start + _ASKS]
            marks = ",".join("?" * len(part))
            found |= dict(self._ask(f"SELECT text, code FROM word WHERE text IN ({marks})", part))
        return found

    # Connections

    def _check(self, places: Sequence[Place]) -> None:
        self._check_streams({p.stream for p in places})
        for p in places:
            if len(p.payload) != CELL and self._streams[p.stream][1] == WINDOW:
                raise ValueError(f"a row of a window's stream has {CELL} bytes, not {len(p.payload)}")

    def _check_streams(self, streams: Collection[str]) -> None:
        unknown = [s for s in streams if self._number(s) is None]
        if unknown:
            raise ValueError(f"the stream {unknown[0]} is not declared")

    def _number(self, stream: str) -> int | None:
        found = self._streams.get(stream)
        if found is None:
            self._streams = {n: (i, k) for n, i, k in self._ask("SELECT name, number, kind FROM stream")}
            found = self._streams.get(stream)
        return None if found is None else found[0]

    def _ask(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._read(lambda db: db.execute(sql, values).fetchall())

    def _read(self, ask: Callable[[sqlite3.Connection], T]) -> T:
        if self._pid != os.getpid():
            self._start()  # connections must not cross a fork
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        try:
            if db is None:
                if not self.path.exists():
                    with closing(nothing()) as empty:
                        return ask(empty)
                db = self._local.db = FILE.connect(self.path, self.patience)
            return ask(db)
        except sqlite3.Error as error:
            self._local.db = None
            raise FILE.trouble(error, "read the online store", self.path) from error
        except OSError as error:
            raise os_trouble(error, "read the online store", self.path) from error

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._pid != os.getpid():
            self._start()
        with self._lock:
            try:
                if self._writer is None:
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                    self._writer = FILE.connect(self.path, self.patience)
                with transaction(self._writer, "BEGIN IMMEDIATE"):
                    return work(self._writer)
            except sqlite3.Error as error:
                self._writer = None
                raise FILE.trouble(error, "write to the online store", self.path) from error
            except OSError as error:
                raise os_trouble(error, "write to the online store", self.path) from error

    def close(self) -> None:
        """Let go of this thread's and the writer's connection. The store opens again when it is next used."""
        with self._lock:
            for db in (getattr(self._local, "db", None), self._writer):
                if db is not None:
                    db.close()
            self._local.db = self._writer = None

    def __reduce__(self) -> tuple[object, ...]:
        return _reopen, (self.path, self.patience)


def _reopen(path: Path, patience: float) -> SqliteOnlineStore:
    return SqliteOnlineStore(path, patience=patience)


def _table(db: sqlite3.Connection, name: str) -> int:
    """A table's number; it gets one when it is first named."""
    found = db.execute("SELECT number FROM tbl WHERE name = ?", (name,)).fetchone()
    if found is None:
        db.execute(
            "INSERT INTO tbl (name, facts, arrived, last, newest) VALUES (?,0,0,0,?)", (name, NULL_TIME)
        )
        return _table(db, name)
    return int(found[0])


def _register(db: sqlite3.Connection, table: int, facts: Sequence[Fact]) -> list[Outcome]:
    """Note the facts' names, and say which are new."""
    known: dict[bytes, bytes] = {}
    for start in range(0, len(facts), _ASKS):
        ids = [f.id for f in facts[start : start + _ASKS]]
        marks = ",".join("?" * len(ids))
        known |= dict(
            db.execute(f"SELECT id, content FROM fact WHERE tbl = ? AND id IN ({marks})", (table, *ids))
        )
    outcomes, new = [], []
    for fact in facts:
        content = known.setdefault(fact.id, b"")
        if not content:
            known[fact.id] = fact.content
            new.append((table, fact.id, fact.content))
            outcomes.append(Outcome.NEW)
            continue
        other = content != fact.content and content[:2] == fact.content[:2]
        outcomes.append(Outcome.OTHER if other else Outcome.KNOWN)
    db.executemany("INSERT INTO fact VALUES (?,?,?)", new)
    return outcomes
