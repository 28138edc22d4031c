"""What the server filled in is in the log, as the graph read it; nothing is where nothing was filled in."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from desk_world import Kept, ask, desk, planned, served
from serve_releases import PLANES, WEATHER, Release, requests
from test_desk_chain import failing
from test_desk_rules import BLOCKED, FAR, WINDY

from headrace.core.answered import Answered
from headrace.core.clock import from_micros, iso
from headrace.core.errors import UserCodeError
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.logs.columns import concat, to_entries, to_table
from headrace.logs.compact import compact
from headrace.logs.erase import Subject, erase
from headrace.logs.frames import frame, scan
from headrace.logs.label_tables import label_tables
from headrace.logs.labels import LabelBook
from headrace.logs.query import query
from headrace.logs.read import read
from headrace.logs.writer import LogWriter
from headrace.stores import EmbeddedStore
from headrace.testing.log_exam import Callers, answered

ADDED = WEATHER | PLANES


def plain(value: Any, kind: Type) -> Any:
    """A raw value of a graph as JSON has it."""
    if kind is Type.TEXT:
        return None if value == NULL_TEXT else value
    if kind is Type.TIME:
        return None if value == NULL_TIME else iso(from_micros(int(value)))
    if math.isnan(value):
        return None
    return bool(value) if kind is Type.BOOL else float(value)


def wanted(release: Release, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    feeds, _ = served(release).answerer.seen(rows)
    names = {f.name: f.type for f in release.manifest.serving.fields if f.source != "event"}
    assert names == ADDED
    return [{n: plain(feeds[n][i], k) for n, k in names.items()} for i in range(len(rows))]


def test_what_was_looked_up_is_logged(binary: Release) -> None:
    log, rows = Kept(), requests(60)
    there = desk(served(binary), log=log)
    ask(there, rows)
    alone = [ask(there, [row]) for row in rows[:5]]
    assert len(alone) == 5
    expected = wanted(binary, rows)
    assert [dict(e.filled) for e in log.entries] == expected + expected[:5]
    for name in ADDED:
        held = {e.filled[name] for e in log.entries}
        assert None in held and len(held) > 1, name


def test_rules_that_answer_before_anything_is_looked_up_leave_nothing(binary: Release) -> None:
    rows = requests(60)
    expected = wanted(binary, rows)
    log = Kept()
    ask(desk(served(binary, planned(binary, before=(FAR, BLOCKED))), log=log), rows)
    for entry, own in zip(log.entries, expected, strict=True):
        assert entry.filled == (own if entry.by == "model" else {})
    assert {e.by for e in log.entries} == {"model", "rule: too far", "rule: blocked"}
    log = Kept()
    ask(desk(served(binary, planned(binary, before=(WINDY,))), log=log), rows)
    assert [e.filled for e in log.entries] == expected  # the rule itself reads what was looked up


def test_a_fallback_leaves_nothing(binary: Release) -> None:
    log = Kept()
    bad = failing(served(binary, planned(binary, fallback=(False,))), UserCodeError("it raised"))
    ask(desk(bad, log=log), requests(3))
    assert [e.filled for e in log.entries] == [{}, {}, {}] and log.entries[0].by.startswith("fallback")


def test_a_release_that_fills_nothing_in_logs_nothing_more(binary: Release) -> None:
    loaded = served(binary)
    loaded.around.filled = ()  # as that of a release whose columns are all sent
    log = Kept()
    ask(desk(loaded, log=log), requests(3))
    assert [e.filled for e in log.entries] == [{}, {}, {}]
    bare = frame([replace_filled(e, {}) for e in log.entries])
    assert frame(log.entries) == bare and b"filled" not in bare


def replace_filled(entry: Answered, filled: dict[str, Any]) -> Answered:
    return Answered(**{f: getattr(entry, f) for f in entry.__struct_fields__} | {"filled": filled})


def entries() -> list[Answered]:
    some = [answered(i, inputs={"n": i}, unit="") for i in range(6)]
    filled: list[dict[str, Any]] = [
        {"weather.wind": 1.5, "history.late": 3, "planes.owner": "Ada"},
        {"weather.wind": None, "history.late": None, "planes.owner": "Eve"},
        {},
        {"weather.wind": 2.5, "history.late": 4, "planes.owner": None},
        {"weather.wind": 2.5},
        {},
    ]
    return [replace_filled(e, f) for e, f in zip(some, filled, strict=True)]


def known(entry: Answered) -> dict[str, Any]:
    return {n: v for n, v in entry.filled.items() if v is not None}


def test_filled_columns_come_back_from_every_file(tmp_path: Path) -> None:
    made = entries()
    pieces = [p for p in scan(b"x" * 16 + frame(made), 16) if hasattr(p, "entries")]
    assert [e.filled for p in pieces for e in p.entries] == [e.filled for e in made]
    table = to_table(made, "s")
    assert {"filled.weather.wind", "filled.history.late"} < set(table.schema.names)
    assert [known(e) for e in to_entries(table)] == [known(e) for e in made]
    without = to_table(made[2:3], "s")
    assert not any(n.startswith("filled.") for n in without.schema.names)
    assert [known(e) for e in to_entries(concat([without, table]))] == [{}, *(known(e) for e in made)]

    folder, told = tmp_path / "log", Callers()
    store = EmbeddedStore(tmp_path / "store")
    writer = LogWriter(folder, worker="w", mode="durable")
    writer.append(made[:4], told)
    assert told.wait(1) == [None]
    writer.close()
    compact(folder, store)
    writer = LogWriter(folder, worker="w", mode="durable")
    writer.append(made[4:], told)
    assert told.wait(2)[1] is None
    writer.close()
    book = LabelBook(folder)
    sql = 'SELECT "filled_weather.wind", "filled_history.late" FROM predictions ORDER BY id'
    rows = query(folder, sql, label_tables([])).rows
    assert rows == [(1.5, 3), (None, None), (None, None), (2.5, 4), (2.5, None), (None, None)]

    done = erase(folder, Subject("n", ("0",)), store, book)
    assert done.rows == 1
    done = erase(folder, Subject("planes.owner", ("Eve",)), store, book)  # whom a lookup names
    assert done.rows == 1
    left = sorted(read(folder), key=lambda e: e.id)
    assert [known(e) for e in left] == [known(e) for e in made[2:]]
    assert not [p for p in folder.rglob("*") if p.is_file() and b"Eve" in p.read_bytes()]
    store.close()
