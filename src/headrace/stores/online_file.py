"""The online store's file: its tables, and a connection to it that is ours and sound."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from headrace.core.errors import Corrupt, StoreError
from headrace.stores.connect import switch_to_wal, transaction
from headrace.stores.trouble import sqlite_trouble

_APPLICATION = 0x6865616F  # "heao"
_VERSION = 1
_SCHEMA = (
    """CREATE TABLE tbl (
        number INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, facts INTEGER NOT NULL,
        arrived INTEGER NOT NULL, last INTEGER NOT NULL, newest INTEGER NOT NULL)""",
    """CREATE TABLE stream (
        number INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, tbl INTEGER NOT NULL, kind TEXT NOT NULL,
        about TEXT NOT NULL, source TEXT NOT NULL, upto INTEGER NOT NULL)""",
    "CREATE TABLE fact (tbl INTEGER, id BLOB, content BLOB, PRIMARY KEY (tbl, id)) WITHOUT ROWID",
    "CREATE TABLE kept (number INTEGER PRIMARY KEY, tbl INTEGER NOT NULL, id BLOB, body BLOB)",
    """CREATE TABLE row (
        stream INTEGER, key BLOB, "on" INTEGER, known INTEGER, pos INTEGER, payload BLOB,
        PRIMARY KEY (stream, key, "on", known, pos)) WITHOUT ROWID""",
    """CREATE TABLE latest (
        stream INTEGER, key BLOB, "on" INTEGER, known INTEGER, pos INTEGER, payload BLOB, seen INTEGER,
        PRIMARY KEY (stream, key)) WITHOUT ROWID""",
    """CREATE TABLE block (
        stream INTEGER, key BLOB, "on" INTEGER, known INTEGER, pos INTEGER, rows BLOB,
        PRIMARY KEY (stream, key, "on", known, pos)) WITHOUT ROWID""",
    "CREATE TABLE word (code INTEGER PRIMARY KEY, text TEXT UNIQUE NOT NULL)",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_VERSION}",
)


def connect(path: Path, patience: float) -> sqlite3.Connection:
    """A connection to a file that has our tables; they are made where it has none.

    Raises:
        StoreError: the database is not ours.
    """
    db = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
    try:
        _prepare(db, path, patience)
    except BaseException:
        db.close()
        raise
    return db


def nothing() -> sqlite3.Connection:
    """A database in memory with our tables, and nothing in them."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    _make(db)
    return db


def _prepare(db: sqlite3.Connection, path: Path, patience: float) -> None:
    """Make or check the tables. Many processes may do so at once."""
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA mmap_size = 1073741824")
    with transaction(db, "BEGIN"):
        if _is_current(db, path):
            return
    db.execute("PRAGMA page_size = 8192")
    switch_to_wal(db, path, patience)
    with transaction(db, "BEGIN IMMEDIATE"):
        if not _is_current(db, path):
            _make(db)


def _make(db: sqlite3.Connection) -> None:
    for statement in _SCHEMA:
        db.execute(statement)


def _is_current(db: sqlite3.Connection, path: Path) -> bool:
    """True where our tables are there, False in an empty file."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    if application == _APPLICATION and version == _VERSION:
        return True
    if application or db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise StoreError(
            "this SQLite database is no online store, or one of another headrace",
            where=str(path),
            fix="move the file away, and fill another with `headrace materialize`",
        )
    return False


def trouble(error: sqlite3.Error, doing: str, place: Path) -> StoreError:
    """A SQLite error met while `doing`, as the store's error."""
    told = sqlite_trouble(error, doing, place)
    if isinstance(told, Corrupt):
        return Corrupt(
            f"can't {doing}",
            where=str(place),
            why="the database is damaged",
            fix="restore it from a backup, or remove it and fill it again with `headrace materialize`",
        )
    return told
