"""A SQLite file of our own: its tables, and connections to it that are ours and sound."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from headrace.core.errors import Corrupt, StoreError
from headrace.stores.connect import switch_to_wal, transaction
from headrace.stores.trouble import sqlite_trouble


@dataclass(frozen=True)
class OwnFile:
    """A kind of file. what: it is called. application: the number in its header that makes it ours.
    schema: statements that make its tables. always: of every connection; before: of the file before it has
    tables. another: what to do with a file that is somebody else's; damaged: with one that is broken."""

    what: str
    application: int
    version: int
    schema: tuple[str, ...]
    always: tuple[str, ...]
    another: str
    damaged: str
    before: tuple[str, ...] = ()

    def connect(self, path: Path, patience: float) -> sqlite3.Connection:
        """A connection to a file that has our tables; they are made where it has none.

        Raises:
            StoreError: the database is not ours.
        """
        db = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(db, path, patience)
        except BaseException:
            db.close()
            raise
        return db

    def make(self, db: sqlite3.Connection) -> None:
        """Make the tables."""
        for statement in self.schema:
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {self.application}")
        db.execute(f"PRAGMA user_version = {self.version}")

    def trouble(self, error: sqlite3.Error, doing: str, place: Path) -> StoreError:
        """A SQLite error met while `doing`, as the store's error."""
        told = sqlite_trouble(error, doing, place, self.what)
        if isinstance(told, Corrupt):
            return Corrupt(
                f"can't {doing}", where=str(place), why="the database is damaged", fix=self.damaged
            )
        return told

    def _prepare(self, db: sqlite3.Connection, path: Path, patience: float) -> None:
        """Make or check the tables. Many processes may do so at once."""
        for statement in self.always:
            db.execute(statement)
        with transaction(db, "BEGIN"):
            if self._is_current(db, path):
                return
        for statement in self.before:
            db.execute(statement)
        switch_to_wal(db, path, patience)
        with transaction(db, "BEGIN IMMEDIATE"):
            if not self._is_current(db, path):
                self.make(db)

    def _is_current(self, db: sqlite3.Connection, path: Path) -> bool:
        """True where our tables are there, False in an empty file."""
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (application,) = db.execute("PRAGMA application_id").fetchone()
        if application == self.application and version == self.version:
            return True
        if application or db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise StoreError(
                f"this SQLite database is no {self.what}, or one of another headrace",
                where=str(path),
                fix=self.another,
            )
        return False
