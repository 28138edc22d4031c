"""The ledger's file: events in one SQLite table, in write-ahead mode.

`synchronous=NORMAL`: what was committed survives the death of every process; a power cut may take the
newest commits with it, never a part of one, and never the file.

A row holds an event's `line`, the canonical JSON that its digest names, and what finds it. Two indexes serve
`read`. The one on `kind` leaves out the two kinds that most events have: reading these by kind alone walks
the table, most of which it yields. An index on the subject would scatter each batch over the whole file
(subjects are digests), which makes appending slower as the ledger grows; so `spot` packs the event's
*stretch* (its number over 8,192) above the subject's CRC-32: writes touch the newest stretch alone, and
looking a subject up costs one probe for each stretch, some 5 µs for 8,192 events.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar
from zlib import crc32

import msgspec

from headrace.core.digest import FORMAT, canonical, digest_bytes
from headrace.core.errors import Conflict, Corrupt
from headrace.core.event import GENESIS, KINDS, Draft, Event
from headrace.stores.connect import BULK_KINDS, RARE, Line, transaction
from headrace.stores.trouble import os_trouble, sqlite_trouble

T = TypeVar("T")

_STRETCH_BITS = 13
_PAGE_ROWS = 1024
_FIRST_ROWS = 16  # who asks for the newest one shouldn't wait for a thousand

_COLUMNS = "seq, kind, spot, digest, line"
_INSERT = f"INSERT INTO event ({_COLUMNS}) VALUES (?,?,?,?,?)"
_MANY = 250
_INSERT_MANY = _INSERT + ", (?,?,?,?,?)" * (_MANY - 1)
_HEAD = "SELECT seq, digest FROM event ORDER BY seq DESC LIMIT 1"
_new_event = object.__new__
_decode = msgspec.json.Decoder(tuple[int, str, int, str, str, str, dict[str, Any], str]).decode

Row = tuple[int, str, int, str, str]
Arm = tuple[str, tuple[str, ...]]


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
        self._writer = Line(self.path, self.patience)
        self._reader = Line(self.path, self.patience, writes=False)

    def _lines(self) -> tuple[Line, Line]:
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
        arms: list[Arm] = [("", ())] if kinds is None else _arms(kinds)
        union = " UNION ALL ".join(select + condition for condition, _ in arms)
        sql = f"{union} ORDER BY seq {order} LIMIT ?"
        low, high, rows = after, head, _FIRST_ROWS
        while low < high:
            values = [value for _, names in arms for value in (low, high, *names)]
            page = self._fetch(sql, [*values, rows])
            if page:
                yield page
            if len(page) < rows:
                return
            rows = min(4 * rows, _PAGE_ROWS)
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


def _arms(kinds: Collection[str]) -> list[Arm]:
    """Conditions with their values, together `kind IN kinds`.

    Each rare kind has its own, as SQLite merges the arms of a union in order where it would sort what it
    finds by `IN`. The kinds that make up most of the ledger share one, which walks the table.
    """
    bulk = tuple(k for k in kinds if k in BULK_KINDS)
    rare: list[Arm] = [(f" AND kind = ? AND {RARE}", (k,)) for k in kinds if k not in BULK_KINDS]
    return [(f" AND kind IN ({','.join('?' * len(bulk))})", bulk), *rare] if bulk else rare


def _head(db: sqlite3.Connection) -> tuple[int, str]:
    row = db.execute(_HEAD).fetchone()
    return (0, GENESIS) if row is None else (row[0], row[1])


def _append(db: sqlite3.Connection, drafts: Sequence[Draft], expect: str | None) -> tuple[Event, ...]:
    with transaction(db, "BEGIN IMMEDIATE"):
        seq, prev = _head(db)
        if expect is not None and expect != prev:
            raise Conflict(
                "the ledger has moved on",
                why=f"event {seq} was written by somebody else in the meantime",
                fix="read the new events and try again",
            )
        events = []
        rows: list[Row] = []
        for draft in drafts:
            seq += 1
            event, row = _sealed(draft, seq, prev)
            prev = event.digest
            events.append(event)
            rows.append(row)
        _insert(db, rows)
    return tuple(events)


def _insert(db: sqlite3.Connection, rows: list[Row]) -> None:
    """Many rows a statement where there are many: a fifth cheaper than one by one."""
    whole = len(rows) - len(rows) % _MANY
    for start in range(0, whole, _MANY):
        db.execute(_INSERT_MANY, list(chain.from_iterable(rows[start : start + _MANY])))
    db.executemany(_INSERT, rows[whole:])


def _sealed(draft: Draft, seq: int, prev: str) -> tuple[Event, Row]:
    """What `core.event.seal_event` makes, and its row.

    Half of the work: the line is encoded once for the digest and the row, and the event's fields are set
    in one go, where a frozen dataclass sets them one by one. A test holds the two to the same events.
    """
    known = KINDS.get(draft.kind)
    if known is None:
        raise ValueError(f"unknown event kind {draft.kind!r}")
    kind, version, subject, moment, actor = draft.kind, known[0], draft.subject, draft.time, draft.actor
    if not (isinstance(subject, str) and isinstance(moment, str) and isinstance(actor, str)):
        raise TypeError(f"subject, time and actor of an event are strings: {draft}")
    if type(draft.payload) is not dict and not isinstance(draft.payload, Mapping):
        raise TypeError(f"the payload of an event is a mapping: {draft}")
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
