"""The review queue's file and its tables."""

from __future__ import annotations

from headrace.stores.own_file import OwnFile

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
)

FILE = OwnFile(
    what="review queue",
    application=0x68657276,  # "herv"
    version=1,
    schema=_SCHEMA,
    always=("PRAGMA synchronous = FULL",),  # what was acknowledged survives a power cut, too
    another="move the file away: a new one is made when the next item is sent",
    damaged="restore it from a backup; `sqlite3 reviews.db .recover` shows what can still be read",
)
