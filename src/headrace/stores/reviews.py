"""The review queue that needs no server: one SQLite file in write-ahead mode.

`synchronous=FULL`: what was acknowledged survives the death of every process, and a power cut. An item has
as many seats as people are to decide it; `held` are those that somebody holds, `made` the decisions. The
capacity of a period is held in the transaction that writes the items, so that no number of processes can
exceed it.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from headrace.core.errors import DataError
from headrace.core.review import TRAFFIC, Counts, Item, Label, Load, Period, Reviewed, State
from headrace.core.spelled import spelled
from headrace.stores.connect import transaction
from headrace.stores.reviews_file import FILE
from headrace.stores.reviews_rows import (
    NEVER,
    ROW,
    STATES,
    body_of,
    encode,
    fitting,
    free,
    mine,
    named,
    note,
    numbered,
    remark,
    require_seat,
    reviewed,
    reviewed_all,
    sent,
    settle,
    settle_due,
    sit,
    unknown,
    waiting,
)
from headrace.stores.trouble import os_trouble

T = TypeVar("T")

_PACE_US = 30_000_000
_INSERT = (
    "INSERT INTO item (id, source, asked, due, state, wanted, made, held, settled, collected, body)"
    " VALUES (?,?,?,?,0,?,0,0,0,0,?)"
)
_TOLD = "(SELECT count(DISTINCT decision) FROM seat WHERE seat.item = number)"


class SqliteReviews:
    """A `ReviewQueue` in one file. Nothing is created before something is written; reading a file that is not
    there finds nothing. One connection, behind a lock, does everything: a queue is small.

    `patience` is how many seconds a write waits for other writers before it raises `StoreError`.
    """

    def __init__(self, path: Path, *, patience: float = 30.0) -> None:
        self.path = Path(path)
        self.patience = patience
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._process = 0

    def put(self, items: Sequence[Item], *, period: Period | None = None) -> frozenset[str]:
        """See `ReviewQueue.put`."""
        bodies = [encode(item) for item in items]
        most = None if period is None else period.capacity
        start = 0 if period is None else period.start

        def work(db: sqlite3.Connection) -> frozenset[str]:
            seats, refused = sent(db, start)
            load = waiting(db, max(i.asked for i in items)) if most is not None else 0
            over = set()
            for item, body in zip(items, bodies, strict=True):
                if db.execute("SELECT 1 FROM item WHERE id = ?", (item.id,)).fetchone():
                    continue
                if most is not None and max(seats, load) + item.wanted > most:
                    over.add(item.id)
                    refused += item.wanted
                    continue
                seats += item.wanted
                load += item.wanted
                db.execute(
                    _INSERT, (item.id, item.source, item.asked, item.deadline or NEVER, item.wanted, body)
                )
            if period is not None:
                note(db, start, seats, refused)
            return frozenset(over)

        if not items:
            return frozenset()
        return self._write("keep what people are to look at", work)

    def load(self, period: Period, *, now: int, holder: str = "", rate: float = 0.0, missed: int = 0) -> Load:
        """See `ReviewQueue.load`."""

        def look(db: sqlite3.Connection) -> Load:
            seats, refused = sent(db, period.start)
            (total,) = db.execute("SELECT sum(rate) FROM pace WHERE at > ?", (now - _PACE_US,)).fetchone()
            return Load(seats, refused, waiting(db, now), total or 0.0)

        def tell(db: sqlite3.Connection) -> Load:
            db.execute("DELETE FROM pace WHERE at <= ?", (now - 10 * _PACE_US,))
            db.execute("INSERT OR REPLACE INTO pace VALUES (?,?,?)", (holder, rate, now))
            if missed:
                seats, refused = sent(db, period.start)
                note(db, period.start, seats, refused + missed)
            return look(db)

        if holder:
            return self._write("say how many rows come", tell)
        return self._read("look at the queue", look, Load(0, 0, 0))

    def take(
        self, reviewer: str, *, now: int, lease: int, name: str | None = None, source: str | None = None
    ) -> Reviewed | None:
        """See `ReviewQueue.take`."""

        def work(db: sqlite3.Connection) -> Reviewed | None:
            settle_due(db, now)
            free(db, now)
            if name is not None:
                row = named(db, name)
                if not mine(db, row, reviewer):
                    require_seat(db, row, reviewer)
            else:
                found = db.execute(
                    f"SELECT {ROW} FROM item WHERE state = 0 AND made + held < wanted"
                    " AND (? IS NULL OR source = ?) AND NOT EXISTS"
                    " (SELECT 1 FROM seat WHERE item = number AND reviewer = ?) ORDER BY due, number LIMIT 1",
                    (source, source, reviewer),
                ).fetchone()
                if found is None:
                    return None
                row = found
            sit(db, row, reviewer, min(now + lease, row[5]))
            return reviewed(db, numbered(db, row[0]))

        if not self.path.exists():
            if name is not None:
                raise unknown(name)
            return None
        return self._write("take an item", work)

    def decide(self, name: str, reviewer: str, decision: Label, *, now: int, comment: str = "") -> Reviewed:
        """See `ReviewQueue.decide`."""

        def work(db: sqlite3.Connection) -> Reviewed:
            settle_due(db, now)
            free(db, now)
            row = named(db, name)
            item = body_of(row[8])
            made = fitting(item, decision)
            if not mine(db, row, reviewer):
                require_seat(db, row, reviewer)
                sit(db, row, reviewer, now)
            row = numbered(db, row[0])
            place = row[3]
            db.execute(
                "UPDATE seat SET decision = ?, at = ?, place = ? WHERE item = ? AND reviewer = ?",
                (encode(made).decode(), now, place, row[0], reviewer),
            )
            db.execute("UPDATE item SET held = held - 1, made = made + 1 WHERE number = ?", (row[0],))
            if comment.strip():
                remark(db, row[0], reviewer, now, comment)
            settle(db, numbered(db, row[0]), now)
            return reviewed(db, numbered(db, row[0]))

        return self._write("write a decision down", work)

    def comment(self, name: str, reviewer: str, text: str, *, now: int) -> Reviewed:
        """See `ReviewQueue.comment`."""

        def work(db: sqlite3.Connection) -> Reviewed:
            row = named(db, name)
            remark(db, row[0], reviewer, now, text)
            return reviewed(db, row)

        return self._write("write a comment down", work)

    def give_back(self, name: str, reviewer: str, *, now: int) -> Reviewed:
        """See `ReviewQueue.give_back`."""

        def work(db: sqlite3.Connection) -> Reviewed:
            free(db, now)
            row = named(db, name)
            if not mine(db, row, reviewer):
                raise DataError(
                    f"{reviewer} holds no seat of {name}", fix="a lease may have ended: nothing to do"
                )
            db.execute("DELETE FROM seat WHERE item = ? AND reviewer = ?", (row[0], reviewer))
            db.execute("UPDATE item SET held = held - 1 WHERE number = ?", (row[0],))
            return reviewed(db, numbered(db, row[0]))

        return self._write("give an item back", work)

    def expire(self, *, now: int) -> int:
        """See `ReviewQueue.expire`."""
        if not self.path.exists():
            return 0
        return self._write("settle what is due", lambda db: settle_due(db, now))

    def get(self, name: str) -> Reviewed | None:
        """See `ReviewQueue.get`."""

        def look(db: sqlite3.Connection) -> Reviewed | None:
            row = db.execute(f"SELECT {ROW} FROM item WHERE id = ?", (name,)).fetchone()
            return None if row is None else reviewed(db, row)

        return self._read("read an item", look, None)

    def items(
        self,
        *,
        state: State | None = None,
        source: str | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> list[tuple[int, Reviewed]]:
        """See `ReviewQueue.items`."""
        number = None if state is None else STATES.index(state)

        def look(db: sqlite3.Connection) -> list[tuple[int, Reviewed]]:
            rows = db.execute(
                f"SELECT {ROW} FROM item WHERE number > ? AND (? IS NULL OR state = ?)"
                " AND (? IS NULL OR source = ?) ORDER BY number LIMIT ?",
                (after, number, number, source, source, limit),
            ).fetchall()
            return [(row[0], found) for row, found in zip(rows, reviewed_all(db, rows), strict=True)]

        return self._read("list items", look, [])

    def settled(self, *, limit: int = 1000) -> list[Reviewed]:
        """See `ReviewQueue.settled`."""

        def look(db: sqlite3.Connection) -> list[Reviewed]:
            rows = db.execute(
                f"SELECT {ROW} FROM item WHERE state > 0 AND collected = 0 ORDER BY settled, number LIMIT ?",
                (limit,),
            ).fetchall()
            return reviewed_all(db, rows)

        return self._read("read decisions", look, [])

    def collected(self, ids: Sequence[str]) -> None:
        """See `ReviewQueue.collected`."""

        def work(db: sqlite3.Connection) -> None:
            rows = [(i,) for i in ids]
            db.executemany("UPDATE item SET collected = 1 WHERE id = ? AND state > 0", rows)

        self._write("note what was collected", work)

    def counts(self, *, now: int, source: str | None = None) -> Counts:
        """See `ReviewQueue.counts`."""

        def look(db: sqlite3.Connection) -> Counts:
            of = "(:source IS NULL OR source = :source)"
            asks = {"source": source, "now": now}
            told = {
                what: db.execute(
                    f"SELECT count(*), min(asked) FROM item WHERE {of} AND {rule}", asks
                ).fetchone()
                for what, rule in (
                    ("open", "state = 0 AND due > :now"),
                    ("decided", f"state = 1 OR (state = 0 AND due <= :now AND {_TOLD} = 1)"),
                    ("expired", f"state = 2 OR (state = 0 AND due <= :now AND {_TOLD} != 1)"),
                )
            }
            (taken,) = db.execute(
                "SELECT count(DISTINCT item) FROM seat JOIN item ON number = item"
                f" WHERE seat.decision IS NULL AND until > :now AND state = 0 AND {of}",
                asks,
            ).fetchone()
            people = db.execute(
                "SELECT reviewer, count(*) FROM seat JOIN item ON number = item"
                f" WHERE seat.decision IS NOT NULL AND {of} GROUP BY reviewer ORDER BY reviewer",
                asks,
            ).fetchall()
            newest = db.execute("SELECT seats, refused FROM sent ORDER BY start DESC LIMIT 1").fetchone()
            seats, refused = newest if newest and source in (None, TRAFFIC) else (0, 0)
            return Counts(
                open=told["open"][0],
                taken=taken,
                decided=told["decided"][0],
                expired=told["expired"][0],
                oldest=told["open"][1] or 0,
                sent=seats,
                refused=refused,
                reviewers=dict(people),
            )

        return self._read("count the queue", look, Counts())

    def erase(self, column: str, values: Collection[str]) -> int:
        """See `ReviewQueue.erase`."""
        wanted = frozenset(values)

        def work(db: sqlite3.Connection) -> int:
            gone = [
                (number,)
                for number, body in db.execute("SELECT number, body FROM item")
                if (value := body_of(body).inputs.get(column)) is not None and spelled(value) in wanted
            ]
            for table, name in (("item", "number"), ("seat", "item"), ("remark", "item")):
                db.executemany(f"DELETE FROM {table} WHERE {name} = ?", gone)
            return len(gone)

        if not self.path.exists():
            return 0
        with self._open("forget items") as db:
            db.execute("PRAGMA secure_delete = ON")
            with transaction(db, "BEGIN IMMEDIATE"):
                gone = work(db)
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._db is not None and self._process == os.getpid():
            self._db.close()
        self._db = None

    def __del__(self) -> None:
        self._close()

    @contextmanager
    def _open(self, doing: str) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._db is not None and self._process != os.getpid():
                self._db = None  # a connection is no use to the child of a fork
            try:
                if self._db is None:
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                    self._db, self._process = FILE.connect(self.path, self.patience), os.getpid()
                yield self._db
            except OSError as error:
                raise os_trouble(error, doing, self.path) from error
            except sqlite3.Error as error:
                self._close()
                raise FILE.trouble(error, doing, self.path) from error

    def _write(self, doing: str, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._open(doing) as db, transaction(db, "BEGIN IMMEDIATE"):
            return work(db)

    def _read(self, doing: str, look: Callable[[sqlite3.Connection], T], nothing: T) -> T:
        if not self.path.exists():
            return nothing
        with self._open(doing) as db, transaction(db, "BEGIN"):
            return look(db)
