"""Labels: what turned out to be true, as it becomes known, late, corrected, sent twice.

A label is about a prediction (its id), or about whatever prediction has these inputs. Nothing is overwritten:
each new value is one more row with the time of its arrival, and the newest counts. Needs no pyarrow and no
DuckDB: the serving process takes labels, and which prediction has the inputs is found by `logs.match`.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from headrace.core.clock import Clock, micros, system_clock
from headrace.core.codec import to_plain
from headrace.core.errors import DataError, Problem, StoreError
from headrace.core.review import EVENT as REVIEWED
from headrace.core.spelled import spelled
from headrace.logs.label_rows import EVENT, INPUT, LABEL, Row, mistakes, row_of

FILE = "labels.db"
MOST = 10_000
_PATIENCE = 30.0
_SOME = 500
_APPLICATION = 0x68726C62
_SCHEMA = (
    """CREATE TABLE label (
        number INTEGER PRIMARY KEY AUTOINCREMENT, arrived INTEGER NOT NULL, subject BLOB NOT NULL,
        id TEXT, inputs TEXT, value TEXT NOT NULL, weight REAL, source TEXT NOT NULL, event TEXT)""",
    "CREATE INDEX label_subject ON label (subject, number)",
    "CREATE INDEX label_id ON label (id, number) WHERE id IS NOT NULL",
    "CREATE UNIQUE INDEX label_event ON label (event) WHERE event IS NOT NULL",
    "CREATE INDEX label_waiting ON label (number) WHERE id IS NULL",
    f"PRAGMA application_id = {_APPLICATION}",
    "PRAGMA user_version = 1",
)

Treat = Callable[[Mapping[str, Any]], Mapping[str, Any]]
Value = str | float | bool
Fit = Callable[[Value], Value]


@dataclass(frozen=True)
class Label:
    """A label as it was kept. number: in the order of arrival. arrived: UTC microseconds. id: of the
    prediction (None: not found yet). inputs: that the prediction has, where it was sent by them. value: a
    text, number or truth; None: what was said before is withdrawn. weight: one over the chance at which the
    row was chosen to be labelled, where it was. source: who says so."""

    number: int
    arrived: int
    id: str | None
    inputs: Mapping[str, Any] | None
    value: Value | None
    weight: float | None = None
    source: str = ""


@dataclass
class Taken:
    """What became of labels: `new`, `corrected` (another value than the newest was), `known` already,
    `waiting` (of the new ones: sent by inputs, and not matched with a prediction yet) and `refused`, for the
    reasons in `problems`."""

    new: int = 0
    corrected: int = 0
    known: int = 0
    waiting: int = 0
    refused: int = 0
    problems: list[Problem] = field(default_factory=list)

    def add(self, more: Taken) -> None:
        """Count these too."""
        self.new += more.new
        self.corrected += more.corrected
        self.known += more.known
        self.waiting += more.waiting
        self.refused += more.refused
        self.problems += more.problems

    def plain(self) -> dict[str, Any]:
        """Ready for JSON."""
        told: dict[str, Any] = {
            "new": self.new,
            "corrected": self.corrected,
            "known": self.known,
            "waiting": self.waiting,
            "refused": self.refused,
        }
        if self.problems:
            told["errors"] = [to_plain(p) for p in self.problems]
        return told


class LabelBook:
    """The labels of a log's folder. May be shared by threads and processes; what `take` acknowledged survives
    the death of the process and a power cut."""

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock = system_clock,
        treat: Treat | None = None,
        fit: Fit | None = None,
    ) -> None:
        """`treat` makes of inputs what the log has of them (hashed, masked); it may raise `DataError` for
        columns that the log does not keep. `fit` makes of a label what the task has of it, and raises
        `DataError` where that is nothing. Without them both are kept as they are sent."""
        self._path = folder / FILE
        self._clock = clock
        self._treat = treat
        self._fit = fit

    def take(self, rows: Any, *, source: str = "", first: int = 0, reviewed: bool = False) -> Taken:
        """Keep labels as sent: an object or a list of such, each with `label` (text, number, truth; null
        withdraws what was said) and either `id` (the prediction's) or `input_NAME` for columns of the inputs
        that tell the prediction; also `weight`, `source`, and `event_id`, which names this very message.
        Those that begin with "review " name reviewers' decisions: only with `reviewed` are they taken.

        Each row is kept or refused by itself. A row whose value is the newest that is known of the same
        prediction or inputs is known; one with a known `event_id` too, if it says the same. Problems tell
        rows by their numbers; `first` is that of the first, where another list is gone on with.

        Raises:
            DataError: the body as a whole has another form, or too many rows; nothing was kept.
            StoreError: the medium refused; nothing was kept.
        """
        given = rows if isinstance(rows, list) else [rows]
        if len(given) > MOST:
            raise DataError(
                f"{len(given):,} labels in one request", where="labels", fix=f"send at most {MOST:,} at once"
            )
        taken = Taken()
        sound: list[Row] = []
        for i, row in enumerate(given):
            where = f"[{first + i}]" if isinstance(rows, list) else ""
            problems, kept = self._checked(row, where, source)
            if kept is not None and not reviewed and (kept.event or "").startswith(REVIEWED):
                problems, kept = [_reserved(where)], None
            if kept is None:
                taken.refused += 1
                taken.problems += problems
            else:
                sound.append(kept)
        if sound:
            self._keep(sound, taken)
        return taken

    def _checked(self, row: Any, where: str, source: str) -> tuple[list[Problem], Row | None]:
        problems = mistakes(row, where)
        if problems:
            return problems, None
        inputs = {n.removeprefix(INPUT): v for n, v in row.items() if n.startswith(INPUT)}
        if inputs and self._treat is not None:
            try:
                inputs = dict(self._treat(inputs))
            except DataError as error:
                return list(error.problems), None
        if self._fit is not None and row[LABEL] is not None:
            try:
                row = {**row, LABEL: self._fit(row[LABEL])}
            except DataError as error:
                at = f"{where}." if where else ""
                return [replace(p, where=f"{at}{LABEL}") for p in error.problems], None
        return [], row_of(row, inputs, where, source)

    def _keep(self, rows: Sequence[Row], taken: Taken) -> None:
        arrived = micros(self._clock())
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            for row in rows:
                self._keep_one(db, row, arrived, taken)
            db.execute("COMMIT")

    def _keep_one(self, db: sqlite3.Connection, row: Row, arrived: int, taken: Taken) -> None:
        if row.event is not None:
            old = db.execute(
                "SELECT subject, value, weight FROM label WHERE event = ?", (row.event,)
            ).fetchone()
            if old is not None:
                if (bytes(old[0]), *old[1:]) == (row.subject, row.value, row.weight):
                    taken.known += 1
                else:
                    taken.refused += 1
                    taken.problems.append(_other(row))
                return
        newest, found = _newest(db, row)
        same = newest == (row.value, row.weight)
        if same and row.event is None:
            taken.known += 1
            return
        db.execute(
            "INSERT INTO label (arrived, subject, id, inputs, value, weight, source, event) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (arrived, row.subject, found, row.inputs, row.value, row.weight, row.source, row.event),
        )
        if same:
            taken.known += 1
            return
        if newest is None:
            taken.new += 1
        else:
            taken.corrected += 1
        taken.waiting += found is None

    def labels(self, *, until: int | None = None) -> Iterator[Label]:
        """Every label, in the order of arrival; with `until` (UTC microseconds) those known then.

        Raises:
            StoreError: the labels can't be read.
        """
        limit = (1 << 63) - 1 if until is None else until
        return self._labels("arrived <= ?", limit)

    def news(self) -> tuple[int, int]:
        """The number of the newest label, and how many wait: another pair whenever labels came or were
        matched. Costs next to nothing. Raises as `labels`."""
        if not self._path.exists():
            return 0, 0
        with self._open() as db:
            (newest,) = db.execute("SELECT coalesce(max(number), 0) FROM label").fetchone()
            (waiting,) = db.execute("SELECT count(*) FROM label WHERE id IS NULL").fetchone()
        return int(newest), int(waiting)

    def unseen(self, after: int, until: int) -> tuple[int, int | None]:
        """How many predictions have labels that arrived in `after < arrived <= until` (UTC microseconds), and
        when the first of these did. Raises as `labels`."""
        if not self._path.exists():
            return 0, None
        with self._open() as db:
            count, first = db.execute(
                "SELECT count(DISTINCT id), min(arrived) FROM label "
                "WHERE arrived > ? AND arrived <= ? AND id IS NOT NULL AND value <> 'null'",
                (after, until),
            ).fetchone()
        return int(count), first

    def newest(self, ids: Sequence[str]) -> dict[str, Value]:
        """The newest label of each of these predictions that has one and was not withdrawn. Raises as
        `labels`."""
        if not self._path.exists() or not ids:
            return {}
        found: dict[str, Value] = {}
        with self._open() as db:
            for i in range(0, len(ids), _SOME):
                some = ids[i : i + _SOME]
                marks = ",".join("?" * len(some))
                rows = db.execute(f"SELECT id, value FROM label WHERE id IN ({marks}) ORDER BY number", some)
                found |= {name: msgspec.json.decode(value) for name, value in rows}
        return {name: value for name, value in found.items() if value is not None}

    def waiting(self) -> list[Label]:
        """The labels that were sent by inputs and not matched yet. Raises as `labels`."""
        return list(self._labels("id IS NULL"))

    def _labels(self, which: str, *given: int) -> Iterator[Label]:
        if not self._path.exists():
            return
        with self._open() as db:
            for row in db.execute(
                "SELECT number, arrived, id, inputs, value, weight, source FROM label "
                f"WHERE {which} ORDER BY number",
                given,
            ):
                number, arrived, name, inputs, value, weight, source = row
                sent = None if inputs is None else msgspec.json.decode(inputs)
                yield Label(number, arrived, name, sent, msgspec.json.decode(value), weight, source)

    def match(self, found: Mapping[int, str]) -> None:
        """Note which predictions waiting labels (by their numbers) are about.

        Raises:
            StoreError: the medium refused; nothing was noted.
        """
        if not found:
            return
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            db.executemany(
                "UPDATE label SET id = ? WHERE number = ? AND id IS NULL", [(i, n) for n, i in found.items()]
            )
            db.execute("COMMIT")

    def erase(self, ids: Sequence[str], column: str, values: Sequence[str]) -> int:
        """Remove the labels of predictions, and those that were sent by such a value of a column; how many.

        Raises:
            StoreError: the medium refused; nothing was removed.
        """
        if not self._path.exists():
            return 0
        with self._open() as db:
            db.execute("PRAGMA secure_delete = ON")
            db.execute("BEGIN IMMEDIATE")
            gone = 0
            for i in range(0, len(ids), 500):
                some = ids[i : i + 500]
                marks = ",".join("?" * len(some))
                gone += db.execute(f"DELETE FROM label WHERE id IN ({marks})", some).rowcount
            sent = db.execute("SELECT number, inputs FROM label WHERE inputs IS NOT NULL").fetchall()
            held = [(n, msgspec.json.decode(inputs).get(column)) for n, inputs in sent]
            about = [(n,) for n, value in held if value is not None and spelled(value) in values]
            db.executemany("DELETE FROM label WHERE number = ?", about)
            db.execute("COMMIT")
        return gone + len(about)

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(self._path, timeout=_PATIENCE, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise self._trouble(error) from error
        try:
            _prepare(db)
            yield db
        except sqlite3.Error as error:
            raise self._trouble(error) from error
        finally:
            db.close()

    def _trouble(self, error: Exception) -> StoreError:
        return StoreError(
            "can't read or write the labels",
            where=str(self._path),
            why=str(error),
            fix="check the folder, the disk and its free space",
        )


def _prepare(db: sqlite3.Connection) -> None:
    """Make the schema where it is not there; several may do so at once."""
    db.execute("PRAGMA synchronous = FULL")
    if db.execute("PRAGMA user_version").fetchone()[0]:
        return
    db.execute("BEGIN IMMEDIATE")
    if not db.execute("PRAGMA user_version").fetchone()[0]:
        for statement in _SCHEMA:
            db.execute(statement)
    db.execute("COMMIT")


def _newest(db: sqlite3.Connection, row: Row) -> tuple[tuple[str, float | None] | None, str | None]:
    """The newest value and weight of what a row is about, and the prediction that this is: inputs that were
    matched before mean the same one now."""
    found = row.id
    if found is None:
        known = db.execute(
            "SELECT value, weight, id FROM label WHERE subject = ? ORDER BY number DESC LIMIT 1",
            (row.subject,),
        ).fetchone()
        if known is None or known[2] is None:
            return None if known is None else (known[0], known[1]), None
        found = str(known[2])
    newest = db.execute(
        "SELECT value, weight FROM label WHERE id = ? ORDER BY number DESC LIMIT 1", (found,)
    ).fetchone()
    return None if newest is None else (newest[0], newest[1]), found


def _reserved(where: str) -> Problem:
    at = f"{where}." if where else ""
    return Problem(
        f"an {EVENT} that begins with {REVIEWED!r} names a reviewer's decision",
        f"{at}{EVENT}",
        fix="send another, or none",
    )


def _other(row: Row) -> Problem:
    return Problem(
        "a label of this event_id is known, which says something else",
        where=row.where,
        fix="send a correction with an event_id of its own, or none",
    )
