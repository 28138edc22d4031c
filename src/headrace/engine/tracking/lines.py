"""Runs as their index has them: written event by event, in the order of the ledger."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from headrace.core.codec import from_json, to_json
from headrace.core.event import Event
from headrace.core.schema import Type
from headrace.core.views import RunView, run_after
from headrace.engine.tracking.search import FIELDS, fields, type_of
from headrace.stores.runs_file import CHUNK


@dataclass(frozen=True)
class RunLine:
    """A run in a list. metric, value, low, high: the sealed test where it told one, else the validation's."""

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


class Kept(msgspec.Struct):
    """A run as the index has it: its view without the summary, and its line."""

    view: RunView
    line: RunLine


def write(db: sqlite3.Connection, events: Sequence[Event]) -> None:
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
        [(n, v.run, to_json(Kept(v, line or _line(v)))) for n, v, line in views.values()],
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
    kept = from_json(row[1], Kept)
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


def move(db: sqlite3.Connection, seq: int, digest: str) -> None:
    """Note the event that the index has come to. Never backwards: another process may be further."""
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
