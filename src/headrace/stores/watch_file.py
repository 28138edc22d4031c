"""What watching keeps: counts of windows, what they were judged by, and how far the log has been read.

Counts can be made again from the prediction log, and which windows were judged stands in the ledger: the file
may be removed. Times are microseconds since 1970 UTC.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.stores.connect import transaction
from headrace.stores.own_file import OwnFile

FILE = OwnFile(
    what="file of watched windows",
    application=0x68657761,  # "hewa"
    version=1,
    schema=(
        "CREATE TABLE note (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
        """CREATE TABLE segment (
            id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, at INTEGER NOT NULL, done INTEGER NOT NULL,
            first INTEGER, last INTEGER)""",
        "CREATE TABLE taken (key INTEGER PRIMARY KEY, day TEXT NOT NULL)",
        "CREATE TABLE part (digest TEXT PRIMARY KEY) WITHOUT ROWID",
        """CREATE TABLE stream (
            id INTEGER PRIMARY KEY, release TEXT NOT NULL, arm TEXT NOT NULL, UNIQUE (release, arm))""",
        """CREATE TABLE piece (
            stream INTEGER NOT NULL, start INTEGER NOT NULL, source INTEGER NOT NULL, stop INTEGER NOT NULL,
            rows INTEGER NOT NULL, counts BLOB NOT NULL, traffic BLOB NOT NULL,
            UNIQUE (stream, start, source))""",
        "CREATE INDEX piece_source ON piece (source) WHERE source > 0",
        """CREATE TABLE window (
            id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL,
            rows INTEGER NOT NULL, digest TEXT NOT NULL, arrived INTEGER NOT NULL, labelled INTEGER NOT NULL,
            UNIQUE (stream, start))""",
        "CREATE INDEX window_stop ON window (stop)",
        "CREATE INDEX window_waiting ON window (stop) WHERE arrived > 0 AND labelled = 0",
        """CREATE TABLE series (
            id INTEGER PRIMARY KEY, family TEXT NOT NULL, kind TEXT NOT NULL, about TEXT NOT NULL,
            unit TEXT NOT NULL, UNIQUE (family, kind, about, unit))""",
        """CREATE TABLE reading (
            series INTEGER, window INTEGER, value REAL, threshold REAL, exceeds INTEGER NOT NULL, p REAL,
            low REAL, high REAL, n INTEGER NOT NULL, PRIMARY KEY (series, window)) WITHOUT ROWID""",
        "CREATE INDEX reading_exceeds ON reading (window) WHERE exceeds = 1",
        """CREATE TABLE remark (
            series INTEGER, window INTEGER, place TEXT NOT NULL, why TEXT NOT NULL, details BLOB,
            PRIMARY KEY (series, window)) WITHOUT ROWID""",
        "CREATE TABLE server (name TEXT PRIMARY KEY, at INTEGER NOT NULL, told BLOB NOT NULL) WITHOUT ROWID",
        "CREATE TABLE service (minute INTEGER PRIMARY KEY, told BLOB NOT NULL)",
        "CREATE TABLE cached (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    ),
    always=(
        "PRAGMA synchronous = NORMAL",
    ),  # a power cut takes back whole transactions, which are done again
    another="move the file away: a new one is made from the log and the ledger",
    damaged="remove it: it is made again from the log and the ledger",
)


@dataclass(frozen=True)
class Read:
    """A segment that was read. id: its number as a source of pieces. at: bytes read. done: to its end, and it
    is in no piece of its own any longer. first, last: times of its answers so far."""

    id: int
    name: str
    at: int
    done: bool
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True)
class Piece:
    """Counts of a span of a stream. source: the segment that they came from; 0: of all that are done."""

    stream: int
    start: int
    source: int
    stop: int
    rows: int
    counts: bytes
    traffic: bytes


@dataclass(frozen=True)
class Kept:
    """A judged window. digest: of its counts as they were judged. arrived, labelled: numbers of the ledger's
    events that say so (0: none does)."""

    id: int
    release: str
    arm: str
    start: int
    stop: int
    rows: int
    digest: str
    arrived: int
    labelled: int


_PIECE = "stream, start, source, stop, rows, counts, traffic"
_KEPT = "w.id, s.release, s.arm, w.start, w.stop, w.rows, w.digest, w.arrived, w.labelled"


class WatchFile:
    """The file, with one connection. For one thread; other processes may read and write it as well. What is
    changed inside `changing` is changed together or not at all.

    Raises, all of them:
        StoreError: the file can't be read or written, or is none of ours.
    """

    def __init__(self, path: Path, *, patience: float = 30.0) -> None:
        self.path = path
        with self._told("open the file of watched windows"):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = FILE.connect(path, patience)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def __enter__(self) -> WatchFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """All that is changed inside, or nothing."""
        with self._told("write what was watched"), transaction(self._db, "BEGIN IMMEDIATE"):
            yield

    @contextlib.contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise FILE.trouble(error, doing, self.path) from error

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """What a SELECT finds."""
        with self._told("read what was watched"):
            return self._db.execute(sql, values).fetchall()

    def run(self, sql: str, values: Sequence[object] = ()) -> int:
        """Carry out a statement; how many rows it changed."""
        with self._told("write what was watched"):
            return self._db.execute(sql, values).rowcount

    def run_many(self, sql: str, many: Iterable[Sequence[object]]) -> None:
        """Carry out a statement for each."""
        with self._told("write what was watched"):
            self._db.executemany(sql, many)

    def note(self, key: str) -> int:
        """A number that was kept; 0 where none was."""
        found = self.rows("SELECT value FROM note WHERE key = ?", (key,))
        return int(found[0][0]) if found else 0

    def set_note(self, key: str, value: int) -> None:
        """Keep a number."""
        self.run("INSERT OR REPLACE INTO note VALUES (?,?)", (key, value))

    def segments(self) -> dict[str, Read]:
        """The segments that were read and are not forgotten, by name."""
        found = self.rows("SELECT id, name, at, done, first, last FROM segment")
        return {name: Read(i, name, at, bool(done), *ends) for i, name, at, done, *ends in found}

    def set_segment(
        self, name: str, at: int, *, done: bool = False, first: int | None = None, last: int | None = None
    ) -> int:
        """Keep how far a segment was read, and the times of answers that were new in it; its number."""
        self.run(
            "INSERT INTO segment (name, at, done, first, last) VALUES (?,?,?,?,?) "
            "ON CONFLICT (name) DO UPDATE SET at = excluded.at, done = excluded.done, "
            "first = min(coalesce(first, excluded.first), coalesce(excluded.first, first)), "
            "last = max(coalesce(last, excluded.last), coalesce(excluded.last, last))",
            (name, at, done, first, last),
        )
        return int(self.rows("SELECT id FROM segment WHERE name = ?", (name,))[0][0])

    def forget_segment(self, read: Read) -> None:
        """Forget a segment, with the pieces that are its own."""
        self.run("DELETE FROM piece WHERE source = ?", (read.id,))
        self.run("DELETE FROM segment WHERE id = ?", (read.id,))

    def stream(self, release: str, arm: str) -> int:
        """The number of a release on an arm."""
        self.run("INSERT OR IGNORE INTO stream (release, arm) VALUES (?,?)", (release, arm))
        found = self.rows("SELECT id FROM stream WHERE release = ? AND arm = ?", (release, arm))
        return int(found[0][0])

    def streams(self) -> dict[int, tuple[str, str]]:
        """Release and arm by number."""
        return {i: (release, arm) for i, release, arm in self.rows("SELECT id, release, arm FROM stream")}

    def numbers(self) -> dict[tuple[str, str], int]:
        """The numbers of `streams` by release and arm."""
        return {who: number for number, who in self.streams().items()}

    def piece(self, stream: int, start: int, source: int) -> Piece | None:
        """A piece, where it is there."""
        found = self._pieces("stream = ? AND start = ? AND source = ?", (stream, start, source))
        return found[0] if found else None

    def pieces(self, stream: int, start: int, stop: int) -> list[Piece]:
        """The pieces that begin at or after `start`, and before `stop`."""
        return self._pieces("stream = ? AND start >= ? AND start < ? ORDER BY start, source",
                            (stream, start, stop))  # fmt: skip

    def pieces_of(self, source: int) -> list[Piece]:
        """A segment's pieces."""
        return self._pieces("source = ?", (source,))

    def _pieces(self, where: str, values: Sequence[object]) -> list[Piece]:
        return [Piece(*row) for row in self.rows(f"SELECT {_PIECE} FROM piece WHERE {where}", values)]

    def put_piece(self, piece: Piece) -> None:
        """Keep a piece in place of the one that was there."""
        self.run(
            f"INSERT OR REPLACE INTO piece ({_PIECE}) VALUES (?,?,?,?,?,?,?)",
            (piece.stream, piece.start, piece.source, piece.stop, piece.rows, piece.counts, piece.traffic),
        )

    def drop_pieces(self, stream: int, start: int, stop: int) -> None:
        """Forget the pieces that begin at or after `start`, and before `stop`."""
        self.run("DELETE FROM piece WHERE stream = ? AND start >= ? AND start < ?", (stream, start, stop))

    def spans(self, stream: int, start: int, stop: int) -> list[tuple[int, int, int]]:
        """Beginning, end and rows of the spans with answers that begin at or after `start`, and before
        `stop`, in their order."""
        found = self.rows(
            "SELECT start, max(stop), sum(rows) FROM piece WHERE stream = ? AND start >= ? AND start < ? "
            "GROUP BY start ORDER BY start",
            (stream, start, stop),
        )
        return [(begin, end, rows) for begin, end, rows in found]

    def windows(
        self, where: str = "", values: Sequence[object] = (), *, most: int | None = None
    ) -> list[Kept]:
        """Windows in the order of their ends, the newest `most`. where: a condition on `w` (window) and `s`
        (stream)."""
        condition = f"WHERE {where}" if where else ""
        limit = "" if most is None else f"LIMIT {int(most)}"
        rows = self.rows(
            f"SELECT {_KEPT} FROM window w JOIN stream s ON s.id = w.stream {condition} "
            f"ORDER BY w.stop DESC, w.start DESC, w.id DESC {limit}",
            values,
        )
        return [Kept(*row) for row in reversed(rows)]

    def window_at(self, stream: int, moment: int) -> Kept | None:
        """The judged window of a stream that holds a moment. No two of them do."""
        rows = self.rows(
            f"SELECT {_KEPT} FROM window w JOIN stream s ON s.id = w.stream "
            "WHERE w.stream = ? AND w.start <= ? AND w.arrived > 0 ORDER BY w.start DESC LIMIT 1",
            (stream, moment),
        )
        found = [Kept(*row) for row in rows]
        return found[0] if found and moment < found[0].stop else None

    def judged_upto(self, stream: int) -> int | None:
        """The end of a stream's newest window; None where it has none."""
        found = self.rows("SELECT max(stop) FROM window WHERE stream = ? AND arrived > 0", (stream,))[0][0]
        return None if found is None else int(found)

    def number_of(self, stream: int, start: int) -> int | None:
        """The number of a window that is kept; None where it is not."""
        found = self.rows("SELECT id FROM window WHERE stream = ? AND start = ?", (stream, start))
        return int(found[0][0]) if found else None

    def put_window(self, stream: int, start: int, stop: int, rows: int, digest: str) -> int:
        """Keep a window that is being judged, or was; its number."""
        self.run(
            "INSERT INTO window (stream, start, stop, rows, digest, arrived, labelled) "
            "VALUES (?,?,?,?,?,0,0) ON CONFLICT (stream, start) DO UPDATE SET "
            "stop = excluded.stop, rows = excluded.rows, digest = excluded.digest",
            (stream, start, stop, rows, digest),
        )
        return int(self.rows("SELECT id FROM window WHERE stream = ? AND start = ?", (stream, start))[0][0])

    def drop_unjudged(self) -> None:
        """Forget windows that were about to be judged when somebody died."""
        for table in ("reading", "remark"):
            self.run(f"DELETE FROM {table} WHERE window IN (SELECT id FROM window WHERE arrived = 0)")
        self.run("DELETE FROM window WHERE arrived = 0")

    def forget_before(self, moment: int) -> None:
        """Forget what ended before a moment, and the releases and arms of which nothing is left."""
        old = "(SELECT id FROM window WHERE stop <= ?)"
        for table in ("reading", "remark"):
            self.run(f"DELETE FROM {table} WHERE window IN {old}", (moment,))
        self.run("DELETE FROM window WHERE stop <= ?", (moment,))
        self.run("DELETE FROM piece WHERE stop <= ?", (moment,))
        self.run(
            "DELETE FROM stream WHERE id NOT IN (SELECT stream FROM piece UNION SELECT stream FROM window)"
        )
        self.run("DELETE FROM service WHERE minute < ?", (moment // 60_000_000,))
