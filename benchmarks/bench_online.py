"""Looking up online: a row by key, a hundred, and a history over a window, against SQLite alone in one run.

What SQLite alone reads is ready: one row a key with no moments, and rows of a window summed up by SQL. What
the store finds is the newest row that was known at a moment, within its TTL, and a history by the very kernel
that training uses, over 180 rows of which some were known later than the moment. Tables: 1,000 keys with 300
rows each, on disk.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.rows import Row, row
from headrace.core.feed import Newest, Window
from headrace.core.history import History
from headrace.core.online import Fact, Place
from headrace.core.schema import Type
from headrace.data.history.kernel import Past, aggregate
from headrace.data.online.ask import Histories, Rows
from headrace.data.online.facts import key_of
from headrace.stores import SqliteOnlineStore

KEYS, ROWS = 1_000, 300
WINDOW = 180
ASKED = 4_000
MINUTE = 60_000_000
DAY = 1440 * MINUTE

NEWEST = Newest("readings", ("sensor",), ("a", "b", "c", "d"), "at", "told")
AVERAGE = History(
    name="mean",
    function="avg",
    argument=None,
    value="a",
    value_type=Type.NUMBER,
    where=None,
    by=("sensor",),
    table="readings",
    on="at",
    known_at="told",
    window_us=WINDOW * MINUTE,
    type=Type.NUMBER,
)


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        values = np.random.default_rng(0).normal(50, 20, (KEYS, ROWS, 4))
        raw = _raw(Path(folder) / "raw.db", values)
        store = _store(Path(folder) / "online.db", values)
        asked = np.random.default_rng(1).integers(0, KEYS, ASKED).tolist()
        names = [f"sensor-{k}" for k in asked]
        hundreds = [names[i : i + 100] for i in range(0, ASKED, 100)] * 10
        moment = (ROWS - 50) * MINUTE + 1
        lookup = _lookups(raw, store, names, hundreds, moment)
        return [*lookup, _window(raw, store, names, values, asked, moment)]


def _lookups(
    raw: sqlite3.Connection,
    store: SqliteOnlineStore,
    names: list[str],
    hundreds: list[list[str]],
    moment: int,
) -> list[Row]:
    one = "SELECT a, b, c, d FROM ready WHERE sensor = ?"
    many = f"SELECT sensor, a, b, c, d FROM ready WHERE sensor IN ({','.join('?' * 100)})"

    rows = Rows(store, NEWEST, DAY)

    def found(asked: Sequence[str], at: int = (ROWS + 10) * MINUTE) -> Any:
        return rows.find([[n] for n in asked], [at] * len(asked))

    if any(values is None for values, _ in found(hundreds[0])):
        raise RuntimeError("every sensor has a row")
    singles = [[n] for n in names]
    raw_one, ours_one = _pair(lambda n: raw.execute(one, n).fetchone(), found, singles)
    raw_many, ours_many = _pair(lambda n: raw.execute(many, n).fetchall(), found, hundreds)
    raw_back, ours_back = _pair(
        lambda n: raw.execute(many, n).fetchall(), lambda n: found(n, moment), hundreds
    )
    peers = "; Feast 195 µs (quoted)", "; Feast 4,790 µs (quoted)"
    return [
        _row("a row of 1 key at a moment (p50)", ours_one, raw_one, "ready row" + peers[0]),
        _row("rows of 100 keys at a moment (p50)", ours_many, raw_many, "ready rows" + peers[1]),
        _row("rows of 100 keys an hour ago (p50)", ours_back, raw_back, "ready rows"),
    ]


def _window(
    raw: sqlite3.Connection,
    store: SqliteOnlineStore,
    names: list[str],
    values: np.ndarray,
    asked: list[int],
    moment: int,
) -> Row:
    sql = "SELECT avg(a), count(*) FROM reading WHERE sensor = ? AND at >= ? AND at < ?"
    start = moment - WINDOW * MINUTE
    histories = Histories(store, [AVERAGE])
    mean = histories.find([names[0]], moment)[0]["mean"]
    inside = values[asked[0], _inside(start, moment), 0]
    expected = aggregate(AVERAGE, Past(np.arange(len(inside)), np.arange(len(inside)), inside), *_all(inside))
    if mean != expected[0]:
        raise RuntimeError(f"the store's mean is {mean}, the kernel's over all rows {expected[0]}")
    theirs, ours = _pair(
        lambda n: raw.execute(sql, (n, start, moment)).fetchone(),
        lambda n: histories.find([n], moment),
        names,
    )
    return _row(f"a history over {WINDOW} rows, by the kernel (p50)", ours, theirs, "summed up by SQL")


def _inside(start: int, moment: int) -> np.ndarray:
    on = np.arange(ROWS) * MINUTE
    return np.asarray((on >= start) & (on + _delay(np.arange(ROWS)) < moment))


def _delay(number: Any) -> Any:
    """Every tenth row is told three minutes late."""
    return np.where(number % 10 == 0, 3 * MINUTE, 0)


def _all(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.array([0]), np.array([len(inside)]), np.array([0])


def _row(what: str, ours: float, theirs: float, floor: str) -> Row:
    ratio = ours / theirs
    told = f"SQLite {theirs:.1f} µs, {floor}"
    return row("online", what, ours, "µs", floor=told, ratio=ratio, reach="≤ 3×", ok=ratio <= 3)


def _pair(
    theirs: Callable[[Any], Any], ours: Callable[[Any], Any], asked: Sequence[Any]
) -> tuple[float, float]:
    """Median microseconds of both, taken in turns: what else the machine does falls on both."""
    took: tuple[list[float], list[float]] = ([], [])
    for ask in asked:
        for work, into in zip((theirs, ours), took, strict=True):
            began = time.perf_counter()
            work(ask)
            into.append(time.perf_counter() - began)
    return statistics.median(took[0]) * 1e6, statistics.median(took[1]) * 1e6


def _raw(path: Path, values: np.ndarray) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = wal")
    db.execute("PRAGMA mmap_size = 1073741824")
    db.execute("CREATE TABLE ready (sensor TEXT PRIMARY KEY, a REAL, b REAL, c REAL, d REAL) WITHOUT ROWID")
    db.execute(
        "CREATE TABLE reading (sensor TEXT, at INTEGER, a REAL, PRIMARY KEY (sensor, at)) WITHOUT ROWID"
    )
    db.execute("BEGIN")
    for k in range(KEYS):
        db.execute("INSERT INTO ready VALUES (?,?,?,?,?)", (f"sensor-{k}", *values[k, -1].tolist()))
        rows = [(f"sensor-{k}", i * MINUTE, v) for i, v in enumerate(values[k, :, 0].tolist())]
        db.executemany("INSERT INTO reading VALUES (?,?,?)", rows)
    db.execute("COMMIT")
    return db


def _store(path: Path, values: np.ndarray) -> SqliteOnlineStore:
    store = SqliteOnlineStore(path)
    window = Window.of(AVERAGE)
    store.declare([NEWEST.stream, window.stream])
    newest, windows = NEWEST.stream.name, window.stream.name
    delays = _delay(np.arange(ROWS)).tolist()
    for k in range(KEYS):
        key = key_of([f"sensor-{k}"])
        if key is None:
            raise RuntimeError("a name is a key")
        facts = []
        for i, cells in enumerate(values[k].tolist()):
            on = i * MINUTE
            known = on + delays[i]
            looked = Place(newest, key, on, known, msgspec.msgpack.encode(cells))
            cell = Place(windows, key, on, known, np.float64(cells[0]).tobytes())
            name = (k * ROWS + i).to_bytes(16, "little")
            facts.append(Fact(name, b"12345678", known, (looked, cell)))
        store.put("readings", facts, start=k * ROWS)
    return store
