"""The ledger's file: events in one SQLite table, in write-ahead mode.

`synchronous=NORMAL`: what was committed survives the death of every process; a power cut may take the
newest commits with it, never a part of one, and never the file.

A row holds an event's `line`, the canonical JSON that its digest names, and what finds it: two indexes serve
`read`. `kind` is plain. An index on the subject would scatter each batch over the whole file (subjects are
digests), which makes appending slower as the ledger grows; so `spot` packs the event's *stretch* (its number
over 8,192) above the subject's CRC-32: writes touch the newest stretch alone, and looking a subject up costs
one probe for each stretch, some 4 µs for 8,192 events.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TypeVar
from zlib import crc32

import msgspec

from headrace.core.digest import FORMAT, canonical, digest_bytes
from headrace.core.errors import Conflict, Corrupt, StoreError
from headrace.core.event import GENESIS, KINDS, Draft, Event
from headrace.stores.trouble import os_trouble, sqlite_trouble

T = TypeVar("T")

SCHEMA_VERSION = 1
_APPLICATION = 0x68656164  # "head": tells our file from any other SQLite database
_PAGE_BYTES = 8192
_WAL_PAGES = 4000  # checkpoint at 32 MB: fewer waits for the disk than at SQLite's 4 MB
_STRETCH_BITS = 13
_PAGE_ROWS = 1024

_SCHEMA = (
    """CREATE TABLE event (
        seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, spot INTEGER NOT NULL, digest TEXT NOT NULL,
        line TEXT NOT NULL)""",
    "CREATE INDEX event_kind ON event (kind)",
    "CREATE INDEX event_spot ON event (spot)",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
_COLUMNS = "seq, kind, spot, digest, line"
_INSERT = f"INSERT INTO event ({_COLUMNS}) VALUES (?,?,?,?,?)"
_HEAD = "SELECT seq, digest FROM event ORDER BY seq DESC LIMIT 1"
_new_event = object.__new__
_decode = msgspec.json.Decoder(tuple[int, str, int, str, str, str, dict[str, Any], str]).decode

Row = tuple[int, str, int, str, str]


class Ledger:
    """The events of one file. Any number of threads and processes may share it.

    Nothing is opened or created before it is needed, and reading never creates a file. One connection
    writes and one reads, each behind a lock, so that readers don't wait for a writer that waits.
    """

    def __init__(self, path: Path, *, patience: float) -> None:
        self.path = path
        self.patience = patience
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._writer = _Line(self.path, self.patience)
        self._reader = _Line(self.path, self.patience)

    def _lines(self) -> tuple[_Line, _Line]:
        """Writer and reader of this process: connections and locks must not cross a fork."""
        if self._pid != os.getpid():
            self._inherited = (self._writer, self._reader)  # kept: closing them would disturb the parent
            self._start()
        return self._writer, self._reader

    def head(self) -> tuple[int, str]:
        return self._read(lambda db: _head(db), (0, GENESIS))

    def append(self, drafts: Sequence[Draft], expect: str | None) -> tuple[Event, ...]:
        writer, _ = self._lines()
        with writer.lock:
            try:
                return _append(writer.open(), drafts, expect)
            except sqlite3.Error as error:
                writer.close()
                raise sqlite_trouble(error, "append to the ledger", self.path) from error

    def read(
        self, after: int, kinds: Collection[str] | None, subject: str | None, newest_first: bool
    ) -> Iterator[Event]:
        """Events up to the head at the first `next`; pages of bounded size, no lock held between them."""
        head, _ = self.head()
        wanted = None if kinds is None else tuple(sorted(set(kinds)))
        if after >= head or wanted == ():
            return
        pages = (
            self._pages(after, head, wanted, newest_first)
            if subject is None
            else self._subject_pages(after, head, wanted, subject, newest_first)
        )
        for page in pages:
            for row in page:
                event = _event(row, self.path)
                if subject is None or event.subject == subject:  # another subject may share the CRC-32
                    yield event

    def _pages(
        self, after: int, head: int, kinds: tuple[str, ...] | None, newest_first: bool
    ) -> Iterator[list[Row]]:
        order = "DESC" if newest_first else "ASC"
        select = f"SELECT {_COLUMNS} FROM event WHERE seq > ? AND seq <= ?"
        # One arm for each kind: SQLite merges the arms in order, where `IN` would sort them on each page.
        arms = [select] if kinds is None else [f"{select} AND kind = ?"] * len(kinds)
        sql = " UNION ALL ".join(arms) + f" ORDER BY seq {order} LIMIT {_PAGE_ROWS}"
        low, high = after, head
        while low < high:
            values: list[Any] = []
            for kind in kinds if kinds is not None else (None,):
                values += [low, high] if kind is None else [low, high, kind]
            page = self._fetch(sql, values)
            if page:
                yield page
            if len(page) < _PAGE_ROWS:
                return
            if newest_first:
                high = page[-1][0] - 1
            else:
                low = page[-1][0]

    def _subject_pages(
        self, after: int, head: int, kinds: tuple[str, ...] | None, subject: str, newest_first: bool
    ) -> Iterator[list[Row]]:
        order = "DESC" if newest_first else "ASC"
        # The plus keeps SQLite from walking the index on kind instead.
        of_kind = "" if kinds is None else f" AND +kind IN ({','.join('?' * len(kinds))})"
        sql = (
            f"SELECT {_COLUMNS} FROM event WHERE spot = ? AND seq > ? AND seq <= ?"
            f"{of_kind} ORDER BY seq {order}"
        )
        stretches = range((after + 1) >> _STRETCH_BITS, (head >> _STRETCH_BITS) + 1)
        for stretch in reversed(stretches) if newest_first else stretches:
            spot = _spot(stretch << _STRETCH_BITS, subject)
            page = self._fetch(sql, [spot, after, head, *(kinds or ())])
            if page:
                yield page

    def _fetch(self, sql: str, values: Sequence[Any]) -> list[Row]:
        empty: list[Row] = []
        return self._read(lambda db: db.execute(sql, values).fetchall(), empty)

    def _read(self, ask: Callable[[sqlite3.Connection], T], nothing: T) -> T:
        """What `ask` finds; `nothing` where the ledger has no file yet."""
        _, reader = self._lines()
        with reader.lock:
            try:
                return ask(reader.open()) if self.path.exists() else nothing
            except sqlite3.Error as error:
                reader.close()
                raise sqlite_trouble(error, "read the ledger", self.path) from error
            except OSError as error:
                raise os_trouble(error, "read the ledger", self.path) from error

    def close(self) -> None:
        """Close this process's connections. The ledger opens again when it is next used."""
        for line in self._lines():
            with line.lock:
                line.close()


class _Line:
    """One connection with its lock. `open` and `close` are called with the lock held."""

    def __init__(self, path: Path, patience: float) -> None:
        self.lock = threading.Lock()
        self._path = path
        self._patience = patience
        self._db: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    def open(self) -> sqlite3.Connection:
        if self._db is not None:
            if self._file == _identity(self._path):
                return self._db
            self.close()  # somebody removed or replaced the file: events must not go into a ghost
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise os_trouble(error, "make the store's folder", self._path.parent) from error
        db = sqlite3.connect(
            self._path, timeout=self._patience, isolation_level=None, check_same_thread=False
        )
        try:
            _prepare(db, self._path, self._patience)
        except BaseException:
            db.close()
            raise
        self._db, self._file = db, _identity(self._path)
        return db

    def close(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):  # a broken connection can't be closed any better
                self._db.close()
        self._db = None

    def __del__(self) -> None:
        self.close()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - one append in a hundred microseconds: Path.stat costs more
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _prepare(db: sqlite3.Connection, path: Path, patience: float) -> None:
    """Make or check the schema. Many processes may do so at once."""
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
    if _is_current(db, path):
        return
    db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    _switch_to_wal(db, path, patience)
    db.execute("BEGIN IMMEDIATE")
    try:
        if not _is_current(db, path):
            for statement in _SCHEMA:
                db.execute(statement)
        db.execute("COMMIT")
    except BaseException:
        _rollback(db)
        raise


def _is_current(db: sqlite3.Connection, path: Path) -> bool:
    """True where the schema is there, False in an empty file.

    Raises:
        StoreError: a newer headrace wrote it, or the database is not ours.
    """
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    application = int(db.execute("PRAGMA application_id").fetchone()[0])
    if application == _APPLICATION and version > SCHEMA_VERSION:
        raise StoreError(
            f"this store was written by a newer headrace (schema {version}, this one knows {SCHEMA_VERSION})",
            where=str(path),
            why="an older program could misread what a newer one wrote",
            fix="upgrade headrace (`pip install -U headrace`)",
        )
    if application == _APPLICATION:
        return True
    if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise StoreError(
            "this SQLite database is not a headrace ledger",
            where=str(path),
            why="it has other tables in it",
            fix="move the file away, or choose another folder for the store",
        )
    return False


def _switch_to_wal(db: sqlite3.Connection, path: Path, patience: float) -> None:
    """Turn write-ahead mode on. SQLite ignores its own timeout here, so that starters have to retry."""
    deadline = monotonic() + patience
    while True:
        try:
            mode = db.execute("PRAGMA journal_mode = wal").fetchone()[0]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > deadline:
                raise
        else:
            if mode == "wal":
                return
            raise StoreError(
                "this file system can't hold a ledger",
                where=str(path),
                why=f"SQLite stays in {mode!r} mode: write-ahead mode needs shared memory",
                fix="keep the store on a local disk",
            )
        sleep(random.uniform(0.001, 0.01))


def _head(db: sqlite3.Connection) -> tuple[int, str]:
    row = db.execute(_HEAD).fetchone()
    return (0, GENESIS) if row is None else (row[0], row[1])


def _append(db: sqlite3.Connection, drafts: Sequence[Draft], expect: str | None) -> tuple[Event, ...]:
    db.execute("BEGIN IMMEDIATE")
    try:
        seq, prev = _head(db)
        if expect is not None and expect != prev:
            raise Conflict(
                "the ledger has moved on",
                why=f"event {seq} was written by somebody else in the meantime",
                fix="read the new events and try again",
            )
        events = []
        rows = []
        for draft in drafts:
            seq += 1
            event, row = _sealed(draft, seq, prev)
            prev = event.digest
            events.append(event)
            rows.append(row)
        db.executemany(_INSERT, rows)
        db.execute("COMMIT")
    except BaseException:
        _rollback(db)
        raise
    return tuple(events)


def _sealed(draft: Draft, seq: int, prev: str) -> tuple[Event, Row]:
    """What `core.event.seal_event` makes, and its row.

    Half of the work: the line is encoded once for the digest and the row, and the event's fields are set
    in one go, where a frozen dataclass sets them one by one. A test holds the two to the same events.
    """
    known = KINDS.get(draft.kind)
    if known is None:
        raise ValueError(f"unknown event kind {draft.kind!r}")
    kind, version, subject, moment, actor = draft.kind, known[0], draft.subject, draft.time, draft.actor
    line = canonical([seq, kind, version, subject, moment, actor, draft.payload, prev])
    name = digest_bytes(FORMAT + line)
    event = _new_event(Event)
    event.__dict__.update(
        seq=seq,
        kind=kind,
        version=version,
        subject=subject,
        time=moment,
        actor=actor,
        payload=draft.payload,
        prev=prev,
        digest=name,
    )
    return event, (seq, kind, _spot(seq, subject), name, line.decode())


def _event(row: Row, path: Path) -> Event:
    """The event of a row.

    Raises:
        Corrupt: the line is no event, or the columns that find it say something else than the line.
    """
    seq, kind, spot, name, line = row
    try:
        said, said_kind, version, subject, moment, actor, payload, prev = _decode(line)
    except (msgspec.DecodeError, TypeError) as error:
        raise _damaged(seq, path) from error
    if said != seq or said_kind != kind or spot != _spot(seq, subject):
        raise _damaged(seq, path)
    return Event(seq, kind, version, subject, moment, actor, payload, prev, name)


def _damaged(seq: int, path: Path) -> Corrupt:
    return Corrupt(
        f"event {seq} is damaged",
        where=str(path),
        why="its row was changed after it was written",
        fix="restore the ledger from a backup; `headrace audit` checks the rest",
    )


def _spot(seq: int, subject: str) -> int:
    return seq >> _STRETCH_BITS << 32 | crc32(subject.encode())


def _rollback(db: sqlite3.Connection) -> None:
    """Undo an open transaction. SQLite has undone it by itself after some errors."""
    if db.in_transaction:
        with contextlib.suppress(sqlite3.Error):  # the first error is the one to report
            db.execute("ROLLBACK")
