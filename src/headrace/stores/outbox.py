"""Messages on their way: kept until their receiver has taken them. One SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from headrace.stores.connect import transaction
from headrace.stores.own_file import OwnFile

T = TypeVar("T")

FILE = OwnFile(
    what="outbox of alerts",
    application=0x68656F62,  # "heob"
    version=1,
    schema=(
        """CREATE TABLE message (
            id TEXT, receiver TEXT, body BLOB NOT NULL, queued INTEGER NOT NULL, due INTEGER NOT NULL,
            tries INTEGER NOT NULL, sent INTEGER, trouble TEXT NOT NULL,
            PRIMARY KEY (id, receiver)) WITHOUT ROWID""",
        "CREATE INDEX message_due ON message (due) WHERE sent IS NULL",
    ),
    always=("PRAGMA synchronous = FULL",),
    another="move the file away: a new one is made with the next alert",
    damaged="move it away: what is open is told again",
)
_COLUMNS = "id, receiver, body, queued, due, tries, sent, trouble"


@dataclass(frozen=True)
class Posted:
    """A message for a receiver. Times are microseconds since 1970 UTC. due: when it is tried next; sent: when
    it was taken (None: not yet); trouble: why it was not, the last time."""

    id: str
    receiver: str
    body: bytes
    queued: int
    due: int
    tries: int = 0
    sent: int | None = None
    trouble: str = ""


class Outbox:
    """Messages by id and receiver. Nothing is created before something is put. Many processes may use it;
    each operation has a connection of its own: there are few.

    Raises, all of them:
        StoreError: the file can't be read or written, or is none of ours.
    """

    def __init__(self, path: Path, *, patience: float = 30.0) -> None:
        self.path = path
        self.patience = patience

    def put(self, id_: str, receivers: Collection[str], body: bytes, now: int) -> int:
        """Queue a message for receivers that don't have it yet; how many these are."""

        def work(db: sqlite3.Connection) -> int:
            with transaction(db, "BEGIN IMMEDIATE"):
                rows = [(id_, r, body, now, now) for r in receivers]
                statement = "INSERT OR IGNORE INTO message VALUES (?,?,?,?,?,0,NULL,'')"
                return sum(db.execute(statement, row).rowcount for row in rows)

        return self._with(work, "queue an alert")

    def due(self, now: int, most: int = 100) -> list[Posted]:
        """Messages that are to be tried by now, those that wait longest first."""
        query = f"SELECT {_COLUMNS} FROM message WHERE sent IS NULL AND due <= ? ORDER BY due, id LIMIT ?"
        return self._read(query, (now, most))

    def has(self, id_: str, receiver: str) -> bool:
        """Whether the message was ever queued for the receiver."""
        query = f"SELECT {_COLUMNS} FROM message WHERE id = ? AND receiver = ?"
        return bool(self._read(query, (id_, receiver)))

    def all(self) -> list[Posted]:
        """Every message, oldest first."""
        return self._read(f"SELECT {_COLUMNS} FROM message ORDER BY queued, id, receiver", ())

    def mark(self, posted: Posted) -> None:
        """Keep what became of an attempt."""

        def work(db: sqlite3.Connection) -> None:
            with transaction(db, "BEGIN IMMEDIATE"):
                db.execute(
                    "UPDATE message SET due = ?, tries = ?, sent = ?, trouble = ?"
                    " WHERE id = ? AND receiver = ?",
                    (posted.due, posted.tries, posted.sent, posted.trouble, posted.id, posted.receiver),
                )

        self._with(work, "note what became of an alert")

    def _read(self, query: str, values: Sequence[int | str]) -> list[Posted]:
        if not self.path.exists():
            return []
        return self._with(lambda db: [Posted(*row) for row in db.execute(query, values)], "read the outbox")

    def _with(self, work: Callable[[sqlite3.Connection], T], doing: str) -> T:
        try:
            with closing(FILE.connect(self.path, self.patience)) as db:
                return work(db)
        except sqlite3.Error as error:
            raise FILE.trouble(error, doing, self.path) from error
