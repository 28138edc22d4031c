"""The review queue's file: its tables, and a connection to it that is ours and sound."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from headrace.core.errors import Corrupt, StoreError
from headrace.stores.connect import switch_to_wal, transaction
from headrace.stores.trouble import sqlite_trouble

_APPLICATION = 0x68657276  # "herv"
_VERSION = 1
_SCHEMA = (
    """CREATE TABLE item (
        number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, source TEXT NOT NULL, asked INTEGER NOT NULL,
        due INTEGER NOT NULL, state INTEGER NOT NULL, wanted INTEGER NOT NULL, made INTEGER NOT NULL,
        held INTEGER NOT NULL, decision TEXT, settled INTEGER NOT NULL, collected INTEGER NOT NULL,
        body BLOB NOT NULL)""",
    "CREATE INDEX item_open ON item (due, number) WHERE state = 0",
    "CREATE INDEX item_settled ON item (settled, number) WHERE state > 0 AND collected = 0",
    """CREATE TABLE seat (
        item INTEGER, reviewer TEXT, place INTEGER NOT NULL, until INTEGER NOT NULL, decision TEXT,
        at INTEGER NOT NULL, PRIMARY KEY (item, reviewer)) WITHOUT ROWID""",
    "CREATE INDEX seat_held ON seat (until) WHERE decision IS NULL",
    "CREATE TABLE remark (number INTEGER PRIMARY KEY, item INTEGER, reviewer TEXT, at INTEGER, said TEXT)",
    "CREATE INDEX remark_item ON remark (item)",
    "CREATE TABLE sent (start INTEGER PRIMARY KEY, seats INTEGER NOT NULL, refused INTEGER NOT NULL)",
    "CREATE TABLE pace (holder TEXT PRIMARY KEY, rate REAL NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID",
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


def _prepare(db: sqlite3.Connection, path: Path, patience: float) -> None:
    """Make or check the tables. Many processes may do so at once."""
    db.execute("PRAGMA synchronous = FULL")  # what was acknowledged survives a power cut, too
    with transaction(db, "BEGIN"):
        if _is_current(db, path):
            return
    switch_to_wal(db, path, patience)
    with transaction(db, "BEGIN IMMEDIATE"):
        if not _is_current(db, path):
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
            "this SQLite database is no review queue, or one of another headrace",
            where=str(path),
            fix="move the file away: a new one is made when the next item is sent",
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
            fix="restore it from a backup; `sqlite3 reviews.db .recover` shows what can still be read",
        )
    return told
