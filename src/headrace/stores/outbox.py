"""Messages on their way: kept until their receiver has taken them. One SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

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

    def put(self, messages: Collection[tuple[str, str, bytes]], now: int) -> int:
        """Queue messages (id, receiver, body), all or none, but those that are there; how many are new."""

        def work(db: sqlite3.Connection) -> int:
            with transaction(db, "BEGIN IMMEDIATE"):
                statement = "INSERT OR IGNORE INTO message VALUES (?,?,?,?,?,0,NULL,'')"
                return db.executemany(statement, [(*m, now, now) for m in messages]).rowcount

        return self._with(work, "queue alerts") if messages else 0

    def due(self, now: int, most: int = 100) -> list[Posted]:
        """Messages that are to be tried by now, those that wait longest first."""
        query = f"SELECT {_COLUMNS} FROM message WHERE sent IS NULL AND due <= ? ORDER BY due, id LIMIT ?"
        return [Posted(*row) for row in self._read(query, (now, most))]

    def known(self) -> set[tuple[str, str]]:
        """Id and receiver of every message that was ever queued."""
        return set(self._read("SELECT id, receiver FROM message"))

    def all(self) -> list[Posted]:
        """Every message, oldest first."""
        query = f"SELECT {_COLUMNS} FROM message ORDER BY queued, id, receiver"
        return [Posted(*row) for row in self._read(query)]

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

    def _read(self, query: str, values: Sequence[int] = ()) -> list[Any]:
        if not self.path.exists():
            return []
        return self._with(lambda db: db.execute(query, values).fetchall(), "read the outbox")

    def _with(self, work: Callable[[sqlite3.Connection], T], doing: str) -> T:
        try:
            with closing(FILE.connect(self.path, self.patience)) as db:
                return work(db)
        except sqlite3.Error as error:
            raise FILE.trouble(error, doing, self.path) from error
