"""The index of runs: what they can be found and sorted by, kept beside the ledger and made anew where it is
missing. Not the truth: it may be removed at any time."""

from __future__ import annotations

from headrace.stores.own_file import OwnFile

CHUNK = 4096
"""Runs whose values of a field lie together: a search reads one value of every run, and little else."""

_SCHEMA = (
    """CREATE TABLE cursor (
        only INTEGER PRIMARY KEY CHECK (only = 1), seq INTEGER NOT NULL, digest TEXT NOT NULL)""",
    "CREATE TABLE run (number INTEGER PRIMARY KEY, run TEXT UNIQUE NOT NULL, body BLOB NOT NULL)",
    "CREATE TABLE name (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, kind TEXT NOT NULL)",
    """CREATE TABLE field (
        name INTEGER NOT NULL, chunk INTEGER NOT NULL, cells BLOB NOT NULL,
        PRIMARY KEY (name, chunk)) WITHOUT ROWID""",
)

FILE = OwnFile(
    what="index of runs",
    application=0x68657278,  # "herx"
    version=1,
    schema=_SCHEMA,
    always=("PRAGMA synchronous = OFF",),  # what is lost is made anew
    another="move the file away: a new one is made of the ledger",
    damaged="remove it: a new one is made of the ledger",
)
