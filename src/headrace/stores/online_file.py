"""The online store's file and its tables."""

from __future__ import annotations

import sqlite3

from headrace.stores.own_file import OwnFile

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
)

FILE = OwnFile(
    what="online store",
    application=0x6865616F,  # "heao"
    version=1,
    schema=_SCHEMA,
    always=("PRAGMA synchronous = NORMAL", "PRAGMA mmap_size = 1073741824"),
    before=("PRAGMA page_size = 8192",),
    another="move the file away, and fill another with `headrace materialize`",
    damaged="restore it from a backup, or remove it and fill it again with `headrace materialize`",
)


def nothing() -> sqlite3.Connection:
    """A database in memory with our tables, and nothing in them."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    FILE.make(db)
    return db
