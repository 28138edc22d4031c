"""Runs found, sorted and paged without reading them all: a projection of the ledger in a file of its own.

It follows the ledger: what was written since is read when somebody asks. Where the file is missing, damaged,
of another version, or of another ledger, it is made anew; where none can be written it is in memory.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from headrace.core.codec import from_json, to_json
from headrace.core.errors import NotFound, StoreError, UserError, did_you_mean
from headrace.core.event import Event
from headrace.core.ports import Store
from headrace.core.schema import Type
from headrace.core.views import RUN_KINDS, RunView, run_after
from headrace.engine.tracking.search import FIELDS, answers, fields, parse_where, type_of
from headrace.stores.connect import transaction
from headrace.stores.runs_file import CHUNK, FILE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")

INDEX = "runs.db"
_PATIENCE = 20.0
_TOGETHER = 2000
"""Events of one transaction while the index is made."""


@dataclass(frozen=True)
class RunLine:
    """A run in a list. metric, value, low, high: the sealed test where it told one, else the validation's.
    numbers: every number that is known of it, by `metrics.X`, `validation.X`, …"""

    run: str
    name: str
    started: str
    finished: str
    author: str
    status: str
    kind: str
    release: str
    parent: str
    group: str
    model: str
    seconds: float | None
    metric: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    tested: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """A part of the runs that were looked for. total: all of them; every: all runs."""

    lines: tuple[RunLine, ...]
    total: int
    every: int


class _Kept(msgspec.Struct):
    """A run as the index has it: its view without the summary, and its line."""

    view: RunView
    line: RunLine


class RunIndex:
    """The index of one ledger. For any number of threads and processes; a thread waits for another."""

    def __init__(self, store: Store, folder: Path) -> None:
        """folder: of the store, where the file is kept."""
        self._store = store
        self._path = folder / INDEX
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._columns: dict[str, list[Any]] = {}
        self._at = (-1, "")

    def close(self) -> None:
        """Close the file. It is opened again when it is next used."""
        with self._lock:
            self._close()

    def find(
        self, where: str = "", *, sort: str = "started", down: bool = True, start: int = 0, most: int = 50
    ) -> Found:
        """Runs for which an expression is true (empty: all), sorted by a field (nulls last; runs of one value
        by age), from `start` on.

        Raises:
            UserError: the expression has a mistake, or no run has the field to sort by.
            StoreError: the ledger can't be read.
        """

        def look(db: sqlite3.Connection) -> Found:
            names = self._names(db)
            every: int = db.execute("SELECT count(*) FROM run").fetchone()[0]
            numbers = self._where(db, where, names)
            ordered = self._sorted(db, numbers, sort, down, names)
            wanted = [int(n) + 1 for n in ordered[start : start + most]]
            return Found(tuple(k.line for k in self._kept(db, wanted)), len(ordered), every)

        return self._ask(look)

    def line(self, run: str) -> RunLine:
        """One run.

        Raises:
            NotFound: there is no such run.
        """

        def look(db: sqlite3.Connection) -> RunLine:
            row = db.execute("SELECT body FROM run WHERE run = ?", (run,)).fetchone()
            if row is None:
                near = [r[0] for r in db.execute("SELECT run FROM run ORDER BY number DESC LIMIT 1000")]
                raise NotFound(f"there is no run {run!r}", fix=did_you_mean(run, near))
            return from_json(row[0], _Kept).line

        return self._ask(look)

    def names(self) -> dict[str, Type]:
        """Every field that a run can be found by, with its type."""
        return self._ask(self._names)

    # --- following

    def _ask(self, look: Callable[[sqlite3.Connection], T]) -> T:
        """What `look` finds in the index as the ledger stands. A damaged index is made anew, once."""
        with self._lock:
            try:
                return look(self._follow(anew=False))
            except (StoreError, sqlite3.DatabaseError, msgspec.MsgspecError):
                self._close()
            return look(self._follow(anew=True))

    def _follow(self, *, anew: bool) -> sqlite3.Connection:
        head = self._store.head()
        if self._db is not None and self._at == head:
            return self._db
        db = self._open(anew=anew)
        self._catch_up(db, head)
        self._at = head
        self._columns.clear()
        return db

    def _open(self, *, anew: bool) -> sqlite3.Connection:
        if self._db is not None:
            return self._db
        if anew:
            for tail in ("", "-wal", "-shm"):
                with contextlib.suppress(OSError):
                    self._path.with_name(self._path.name + tail).unlink()
        try:
            self._db = FILE.connect(self._path, _PATIENCE)
        except (OSError, sqlite3.OperationalError):
            # A folder that can only be read: the index lives as long as this process.
            self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            FILE.make(self._db)
        return self._db

    def _close(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
        self._db = None
        self._columns.clear()
        self._at = (-1, "")

    def _catch_up(self, db: sqlite3.Connection, head: tuple[int, str]) -> None:
        row = db.execute("SELECT seq, digest FROM cursor").fetchone() or (0, "")
        if row[0] > head[0] or not self._same(row):
            with transaction(db, "BEGIN IMMEDIATE"):
                for table in ("cursor", "run", "name", "field"):
                    db.execute(f"DELETE FROM {table}")
            row = (0, "")
        events = self._store.read(after=row[0], kinds=RUN_KINDS)
        for part in _parts(events, _TOGETHER):
            with transaction(db, "BEGIN IMMEDIATE"):
                # Another process may have come further meanwhile.
                done = (db.execute("SELECT seq FROM cursor").fetchone() or (0,))[0]
                _write(db, [e for e in part if e.seq > done])
                _move(db, part[-1].seq, part[-1].digest)

    def _same(self, row: tuple[int, str]) -> bool:
        """Whether the line that the index came to is still that line."""
        if not row[0]:
            return True
        return next((e.digest == row[1] for e in self._store.read(after=row[0] - 1, kinds=RUN_KINDS)), False)

    # --- finding

    def _names(self, db: sqlite3.Connection) -> dict[str, Type]:
        found = {n: Type(k) for n, k in db.execute("SELECT name, kind FROM name") if n not in FIELDS}
        return {**FIELDS, **dict(sorted(found.items()))}

    def _where(self, db: sqlite3.Connection, where: str, names: Mapping[str, Type]) -> NDArray[np.int64]:
        import numpy as np

        every: int = db.execute("SELECT count(*) FROM run").fetchone()[0]
        if not where.strip() or not every:
            return np.arange(every)
        expr = parse_where(where, names)
        columns = {n: self._column(db, n) for n in expr.columns}
        return answers(expr, columns, names, every)

    def _sorted(
        self,
        db: sqlite3.Connection,
        numbers: NDArray[np.int64],
        sort: str,
        down: bool,
        names: Mapping[str, Type],
    ) -> NDArray[np.int64]:
        import numpy as np

        if sort not in names:
            raise UserError(f"no run has {sort!r} to sort by", fix=did_you_mean(sort, names))
        if sort == "started":  # the order in which they came
            return numbers[::-1] if down else numbers
        values = self._column(db, sort)
        places: list[int] = numbers.tolist()
        known = [i for i in places if values[i] is not None]
        last = [i for i in places if values[i] is None]
        if names[sort] in (Type.TEXT, Type.TIME):
            known.sort(key=lambda i: str(values[i]))  # stable, and quicker than arrays of text
            first = known
        else:
            order = np.argsort(np.array([float(values[i]) for i in known]), kind="stable")
            first = np.array(known, dtype=np.int64)[order].tolist()
        if down:
            first.reverse()
            last.reverse()
        return np.array([*first, *last], dtype=np.int64)

    def _column(self, db: sqlite3.Connection, name: str) -> list[Any]:
        """The values of a field, one a run, oldest first: runs are numbered from 1 without a gap."""
        found = self._columns.get(name)
        if found is not None:
            return found
        every: int = db.execute("SELECT count(*) FROM run").fetchone()[0]
        made: list[Any] = [None] * every
        known = db.execute("SELECT id FROM name WHERE name = ?", (name,)).fetchone()
        rows = db.execute("SELECT chunk, cells FROM field WHERE name = ?", known or (-1,))
        for chunk, cells in rows:
            values = msgspec.msgpack.decode(cells)
            made[chunk * CHUNK : chunk * CHUNK + len(values)] = values
        self._columns[name] = made
        return made

    def _kept(self, db: sqlite3.Connection, numbers: Sequence[int]) -> list[_Kept]:
        marks = ",".join("?" * len(numbers))
        rows = dict(db.execute(f"SELECT number, body FROM run WHERE number IN ({marks})", list(numbers)))
        return [from_json(rows[n], _Kept) for n in numbers]


def _parts(events: Iterable[Event], most: int) -> Iterator[list[Event]]:
    part: list[Event] = []
    for event in events:
        part.append(event)
        if len(part) == most:
            yield part
            part = []
    if part:
        yield part


def _write(db: sqlite3.Connection, events: Sequence[Event]) -> None:
    """Fold events into the runs that they are about."""
    views: dict[str, tuple[int, RunView, RunLine | None]] = {}
    flat: dict[str, dict[str, Any]] = {}
    for e in events:
        known = views.get(e.subject) or _read(db, e.subject)
        view = run_after(known[1] if known else None, e)
        if view is None:
            continue
        number = known[0] if known else _number(db, e.subject)
        line = known[2] if known else None
        if e.kind in ("run.started", "run.finished") or line is None:
            line = _line(view)
        else:
            line = replace(line, tags=view.tags, group=view.group, notes=view.notes)
        seen = fields(view)
        mine = flat.setdefault(e.subject, {})
        if e.kind == "run.noted":
            # A tag that was taken away is null from now on.
            mine.update({f"tags.{n}": None for n in e.payload.get("tags", {})})
            seen = {n: v for n, v in seen.items() if n.startswith("tags.") or n == "group"}
        mine.update(seen)
        views[e.subject] = (number, replace(view, summary={}), line)
    ids = _ids(db, flat.values())
    db.executemany(
        "INSERT OR REPLACE INTO run VALUES (?,?,?)",
        [(n, v.run, to_json(_Kept(v, line or _line(v)))) for n, v, line in views.values()],
    )
    _set(db, [(ids[n], views[run][0], v) for run, mine in flat.items() for n, v in mine.items() if n in ids])


def _set(db: sqlite3.Connection, cells: Sequence[tuple[int, int, Any]]) -> None:
    """Put values into their chunks: the field's number, the run's, the value."""
    chunks: dict[tuple[int, int], list[Any]] = {}
    for name, number, value in cells:
        chunk, place = divmod(number - 1, CHUNK)
        mine = chunks.get((name, chunk))
        if mine is None:
            row = db.execute("SELECT cells FROM field WHERE name = ? AND chunk = ?", (name, chunk)).fetchone()
            mine = chunks[name, chunk] = msgspec.msgpack.decode(row[0]) if row else []
        mine.extend([None] * (place + 1 - len(mine)))
        mine[place] = _plain(value)
    packed = [(n, c, msgspec.msgpack.encode(values)) for (n, c), values in chunks.items()]
    db.executemany("INSERT OR REPLACE INTO field VALUES (?,?,?)", packed)


def _read(db: sqlite3.Connection, run: str) -> tuple[int, RunView, RunLine | None] | None:
    row = db.execute("SELECT number, body FROM run WHERE run = ?", (run,)).fetchone()
    if row is None:
        return None
    kept = from_json(row[1], _Kept)
    return row[0], kept.view, kept.line


def _number(db: sqlite3.Connection, run: str) -> int:
    """A place for a new run, behind the others."""
    found: int = db.execute("SELECT coalesce(max(number), 0) + 1 FROM run").fetchone()[0]
    db.execute("INSERT INTO run VALUES (?,?,?)", (found, run, b""))
    return found


def _ids(db: sqlite3.Connection, rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Numbers of the fields' names; a field whose values are of several types is text."""
    kinds: dict[str, Type] = {}
    for row in rows:
        for name, value in row.items():
            if value is not None:
                kind = FIELDS.get(name) or type_of(value)
                kinds[name] = kind if kinds.get(name, kind) is kind else Type.TEXT
    for name, kind in kinds.items():
        db.execute(
            "INSERT INTO name (name, kind) VALUES (?,?) ON CONFLICT (name) DO UPDATE SET kind = "
            "CASE WHEN kind = excluded.kind THEN kind ELSE 'text' END",
            (name, kind.value),
        )
    return dict(db.execute("SELECT name, id FROM name"))


def _plain(value: Any) -> Any:
    return (
        int(value)
        if isinstance(value, bool)
        else value
        if isinstance(value, int | float)
        else (None if value is None else str(value))
    )


def _move(db: sqlite3.Connection, seq: int, digest: str) -> None:
    db.execute(
        "INSERT INTO cursor VALUES (1, ?, ?) ON CONFLICT (only) DO UPDATE SET seq = excluded.seq, "
        "digest = excluded.digest WHERE excluded.seq > seq",
        (seq, digest),
    )


def _line(view: RunView) -> RunLine:
    s = view.summary
    flat = fields(view)
    shown: Mapping[str, Any] = {}
    metric, tested = "", False
    test = s.get("test") or {}
    if test.get("value") is not None:
        metric, shown, tested = test["metric"], test, True
    elif s.get("validation"):
        metric = test.get("metric") or s.get("metric") or next(iter(s["validation"]))
        shown = s["validation"].get(metric) or {}
    elif s.get("metrics"):
        metric, value = next(iter(s["metrics"].items()))
        shown = {"value": value}
    interval = shown.get("interval") or {}
    return RunLine(
        run=view.run,
        name=view.name,
        started=view.started,
        finished=view.finished,
        author=view.author,
        status=view.status,
        kind=flat["kind"],
        release=view.release,
        parent=view.parent,
        group=view.group,
        model=str(flat["model"] or ""),
        seconds=flat["seconds"],
        metric=metric,
        value=shown.get("value"),
        low=interval.get("low"),
        high=interval.get("high"),
        tested=tested,
        tags=dict(view.tags),
        notes=view.notes,
    )
