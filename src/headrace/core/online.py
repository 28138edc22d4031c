"""What an online store keeps: facts of tables, put into streams by key, found by key and moment.

A *fact* is a row of a table, as it became known. A *stream* is what one release needs of a table, by key:
either the row that is newest at a moment (a lookup), or a number a row over a window of time (a history).
Times are UTC microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

NEWEST = "newest"
WINDOW = "window"

ARRIVED = 1 << 40
"""Facts that arrived one by one have positions from here on, behind those of any file's rows."""

CELL = 8
"""Bytes that a row of a window's stream holds."""


@dataclass(frozen=True)
class Stream:
    """Rows of a table by key. `name` is the digest of all that decides what is in it, `kind` is NEWEST (rows
    of any bytes) or WINDOW (rows of `CELL` bytes), `about` says what it is, for people."""

    name: str
    table: str
    kind: str
    about: str = ""


@dataclass(frozen=True)
class Filled:
    """A stream that is there. `source` is the digest of the snapshot it was filled from; empty: it is not
    (wholly) filled yet. `upto` is the number of the newest fact up to which none that arrived is missing."""

    stream: Stream
    source: str
    upto: int


class Place(NamedTuple):
    """Where a fact lies in a stream. `known` is the later of `on` and the moment at which it became known."""

    stream: str
    key: bytes
    on: int
    known: int
    payload: bytes


class Fact(NamedTuple):
    """A row of a table. `id` (16 bytes) names it within the table. `content` (8 bytes) stands for what it
    says: the first two for what of it was looked at, the rest for that. `moment` is when it was known
    (`schema.NULL_TIME`: nobody can tell). `body` is the row as it arrived, kept so that later streams can be
    filled with it (empty: it is a snapshot's, which is kept)."""

    id: bytes
    content: bytes
    moment: int
    places: tuple[Place, ...]
    body: bytes = b""


class Outcome(IntEnum):
    """What became of a fact: it was new; it was known already; another of this name is known, which says
    something else, and nothing was done. Where other things of the two were looked at, they are one."""

    NEW = 0
    KNOWN = 1
    OTHER = 2


class Found(NamedTuple):
    """The newest row of a key at a moment."""

    payload: bytes
    on: int
    known: int


class Kept(NamedTuple):
    """A fact as it arrived, and its number."""

    number: int
    id: bytes
    body: bytes


@dataclass(frozen=True)
class Freshness:
    """How many facts of a table there are, how many of them arrived one by one (and the number of the last
    that did), and the moment at which the newest became known (None: no fact has one)."""

    facts: int
    arrived: int
    last: int
    newest: int | None
