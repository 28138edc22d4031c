"""A connection to the ledger's file: making it, checking that it is ours, keeping it sound.

The first processes of a new store may all be here at once.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

from headrace.core.errors import StoreError
from headrace.stores.trouble import os_trouble

SCHEMA_VERSION = 1
_APPLICATION = 0x68656164  # "head": tells our file from any other SQLite database
_PAGE_BYTES = 8192
_WAL_PAGES = 4000  # checkpoint at 32 MB: fewer waits for the disk than at SQLite's 4 MB

BULK_KINDS = frozenset({"stage.finished", "gate.judged"})
RARE = "kind NOT IN ('gate.judged', 'stage.finished')"
"""The index on kind leaves out the kinds that make up most of a ledger; a query that says so may use it."""

_SCHEMA = (
    """CREATE TABLE event (
        seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, spot INTEGER NOT NULL, digest TEXT NOT NULL,
        line TEXT NOT NULL)""",
    f"CREATE INDEX event_kind ON event (kind) WHERE {RARE}",
    "CREATE INDEX event_spot ON event (spot)",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


class Line:
    """One connection with its lock. `open` and `close` are called with the lock held."""

    def __init__(self, path: Path, patience: float, *, writes: bool = True) -> None:
        self.lock = threading.Lock()
        self._path = path
        self._patience = patience
        self._writes = writes
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
        self._db = self._connect_frozen() if self._is_frozen() else self._connect()
        self._file = _identity(self._path)
        return self._db

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            self._path, timeout=self._patience, isolation_level=None, check_same_thread=False
        )
        try:
            prepare(db, self._path, self._patience)
        except BaseException:
            db.close()
            raise
        return db

    def _is_frozen(self) -> bool:
        """Whether one can only look: the folder is read-only, and the log beside the ledger empty."""
        if self._writes or os.access(self._path.parent, os.W_OK):
            return False
        log = self._path.with_name(self._path.name + "-wal")
        return not (log.exists() and log.stat().st_size)

    def _connect_frozen(self) -> sqlite3.Connection:
        """Read where SQLite can't make the files that readers share with writers."""
        db = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?immutable=1",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            with transaction(db, "BEGIN"):
                _is_current(db, self._path)
        except BaseException:
            db.close()
            raise
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


def prepare(db: sqlite3.Connection, path: Path, patience: float) -> None:
    """Make or check the schema. Many processes may do so at once."""
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
    # A transaction, as the schema may appear between two looks at it.
    with transaction(db, "BEGIN"):
        if _is_current(db, path):
            return
    db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    switch_to_wal(db, path, patience)
    with transaction(db, "BEGIN IMMEDIATE"):
        if not _is_current(db, path):
            for statement in _SCHEMA:
                db.execute(statement)


@contextlib.contextmanager
def transaction(db: sqlite3.Connection, begin: str) -> Iterator[None]:
    """All that happens inside, or nothing. `begin` is BEGIN to look, BEGIN IMMEDIATE to write."""
    db.execute(begin)
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # SQLite has undone it by itself after some errors
            with contextlib.suppress(sqlite3.Error):  # the first error is the one to report
                db.execute("ROLLBACK")
        raise


def _is_current(db: sqlite3.Connection, path: Path) -> bool:
    """True where the schema is there, False in an empty file. Call it inside a transaction.

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


def switch_to_wal(db: sqlite3.Connection, path: Path, patience: float) -> None:
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
