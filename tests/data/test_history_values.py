"""Histories over random tables, against a loop over rows: ties, nulls, late rows, duplicates."""

from __future__ import annotations

import itertools
import math
import random
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.core.history import History
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.data.history import kernel
from headrace.data.history.index import HistoryTable, plain
from headrace.data.history.parse import parse_aggregate
from headrace.data.history.plan import plan_histories

TYPES = {
    "k": Type.TEXT,
    "n": Type.NUMBER,
    "at": Type.TIME,
    "told": Type.TIME,
    "x": Type.NUMBER,
    "y": Type.NUMBER,
    "ok": Type.BOOL,
    "word": Type.TEXT,
    "due": Type.TIME,
}
MOMENT = pa.timestamp("us")
AGGREGATES = [
    "count()", "count(x)", "count(word)", "sum(x)", "sum(y)", "avg(x)", "avg(y)", "min(y)", "max(x)",
    "min(due)", "max(due)", "stddev(y)", "stddev(x)", "share(x > 3)", "share(ok)", "first(y)", "last(x)",
    "first(word)", "last(word)", "last(ok)", "last(due)", "distinct(word)", "distinct(x)", "distinct(due)",
    "quantile(y, 0.9)", "quantile(x, 0.5)", "since_last()",
]  # fmt: skip
WINDOWS = (None, 7, 30)
BYS: tuple[tuple[str, ...], ...] = ((), ("k",), ("k", "n"))


def table(draw: random.Random, rows: int, *, late: bool) -> dict[str, list[Any]]:
    """Random rows with few distinct moments, so that ties are many."""

    def maybe(value: Any) -> Any:
        return None if draw.random() < 0.1 else value

    at = [maybe(draw.randrange(100)) for _ in range(rows)]
    lag = [draw.choice([0, 0, 1, 5, 40]) if late else 0 for _ in range(rows)]
    return {
        "k": [maybe(draw.choice("abc")) for _ in range(rows)],
        "n": [maybe(draw.choice([1, 2, 2**53 + 1])) for _ in range(rows)],
        "at": at,
        "told": [None if a is None else maybe(a + g) if late else a for a, g in zip(at, lag, strict=True)],
        "x": [maybe(float(draw.randrange(6))) for _ in range(rows)],
        "y": [maybe(draw.choice([0.1, -0.3, draw.gauss(0, 1), 1e15, -0.0])) for _ in range(rows)],
        "ok": [maybe(draw.random() < 0.5) for _ in range(rows)],
        "word": [maybe(draw.choice(["", "rain", "sun", "Überflug"])) for _ in range(rows)],
        "due": [maybe(draw.randrange(200)) for _ in range(rows)],
    }


ARROW = {
    **dict.fromkeys(("k", "word"), pa.string()),
    **dict.fromkeys(("at", "told", "due"), MOMENT),
    **dict.fromkeys(("x", "y"), pa.float64()),
    "n": pa.int64(),
    "ok": pa.bool_(),
}


def histories(late: bool) -> list[History]:
    found = []
    for i, (text, window, by) in enumerate(itertools.product(AGGREGATES, WINDOWS, BYS)):
        made = parse_aggregate(text, TYPES)
        where = (None, "ok", "x >= 2 or word = 'rain'")[i % 3]
        found.append(
            History(
                f"h{i}", made.function, made.argument, made.value.text if made.value else None,
                made.value.type if made.value else None, where, by, "t", "at", "told" if late else None,
                window, made.type,
            )
        )  # fmt: skip
    return found


def true(where: str | None, row: dict[str, Any]) -> bool:
    if where is None:
        return True
    if where == "ok":
        return row["ok"] is True
    return (row["x"] is not None and row["x"] >= 2) or row["word"] == "rain"


def value_of(text: str | None, row: dict[str, Any]) -> Any:
    if text is None:
        return 0
    if text == "x > 3":
        return None if row["x"] is None else row["x"] > 3
    return row[text]


def naive(h: History, rows: list[dict[str, Any]], key: dict[str, Any], moment: int | None) -> Any:
    """The definition, word by word."""
    seen = []
    for position, row in enumerate(rows):
        if moment is None or any(key[b] is None or row[b] != key[b] for b in h.by):
            continue
        times = [row["at"]] + ([row["told"]] if h.known_at else [])
        if any(t is None for t in times) or not max(times) < moment:
            continue
        if h.window_us is not None and not moment - h.window_us <= row["at"]:
            continue
        value = value_of(h.value, row)
        if true(h.where, row) and value is not None:
            seen.append((row["at"], max(times), position, value))
    seen.sort(key=lambda s: s[:3])
    values = [s[3] for s in seen]
    if h.function == "count":
        return len(values)
    if h.function == "distinct":
        return len(set(values))
    if not values:
        return None
    match h.function:
        case "sum":
            return math.fsum(values)
        case "avg" | "share":
            return math.fsum(values) / len(values)
        case "min":
            return min(values)
        case "max":
            return max(values)
        case "stddev":
            return statistics.stdev(values) if len(values) > 1 else None
        case "first":
            return values[0]
        case "last":
            return values[-1]
        case "since_last":
            return (moment - seen[-1][0]) / 1e6 if moment is not None else None
    return float(np.quantile(np.array(values, float), h.argument or 0.0))


def loaded(folder: Path, columns: dict[str, list[Any]], wanted: list[History]) -> HistoryTable:
    file = folder / "t.parquet"
    pq.write_table(pa.table({n: pa.array(v, ARROW[n]) for n, v in columns.items()}), file)
    plan = plan_histories(wanted, {"t": TYPES})
    return HistoryTable.load(file, wanted, plan.graphs["t"])


def same(a: Any, b: Any) -> bool:
    if a is None or b is None or isinstance(a, str | bool):
        return a == b
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_every_history_is_what_a_loop_says(tmp_path: Path, seed: int, late: bool) -> None:
    draw = random.Random(seed)
    columns = table(draw, 80 if seed else 0, late=late)
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    wanted = histories(late)
    asked = [
        {"k": draw.choice(["a", "b", "c", "z", None]), "n": draw.choice([1, 2, 2**53 + 1, 2**53, None]),
         "moment": draw.choice([None, *range(0, 150, 5)])}
        for _ in range(12)
    ]  # fmt: skip
    index = loaded(tmp_path, columns, wanted)
    keys = {
        "k": pa.array([a["k"] for a in asked], pa.string()),
        "n": pa.array([a["n"] for a in asked], pa.int64()),
    }
    moments = np.array([NULL_TIME if a["moment"] is None else a["moment"] for a in asked], np.int64)
    found = index.compute(keys, moments)
    for h in wanted:
        for i, key in enumerate(asked):
            told = naive(h, rows, key, key["moment"])
            got = plain(found[h.name][i], h.type)
            assert same(got, told), f"{h} at {key}: {got!r}, not {told!r}"


@pytest.mark.parametrize("late", [False, True])
def test_one_request_and_many_give_the_same_bits(tmp_path: Path, late: bool, monkeypatch: Any) -> None:
    draw = random.Random(9)
    wanted = histories(late)
    index = loaded(tmp_path, table(draw, 300, late=late), wanted)
    asked = [{"k": draw.choice(["a", "b", None]), "n": draw.choice([1, 2**53 + 1])} for _ in range(20)]
    at = [draw.randrange(120) for _ in asked]
    keys = {
        "k": pa.array([a["k"] for a in asked], pa.string()),
        "n": pa.array([a["n"] for a in asked], pa.int64()),
    }
    whole = index.compute(keys, np.array(at, np.int64))
    monkeypatch.setattr(kernel, "CHUNK", 50)
    cut = index.compute(keys, np.array(at, np.int64))
    for i, (key, moment) in enumerate(zip(asked, at, strict=True)):
        one = index.find(key, moment)
        for h in wanted:
            for many in (whole, cut):
                got = plain(many[h.name][i], h.type)
                assert (one[h.name], math.copysign(1, one[h.name] or 0) if h.type is Type.NUMBER else 0) == (
                    got, math.copysign(1, got or 0) if h.type is Type.NUMBER else 0
                ), f"{h} of {key} at {moment}"  # fmt: skip


def test_a_row_known_late_is_not_seen_before_it_was_known(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {n: [None, None] for n in TYPES}
    columns |= {"k": ["a", "a"], "at": [10, 10], "told": [10, 50], "x": [1.0, 99.0]}
    made = History("h", "avg", None, "x", Type.NUMBER, None, ("k",), "t", "at", "told", None, Type.NUMBER)
    index = loaded(tmp_path, columns, [made])
    assert [index.find({"k": "a"}, m)["h"] for m in (10, 11, 50, 51)] == [None, 1.0, 1.0, 50.0]


def test_rows_that_are_left_out_are_seen_by_nobody(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {n: [None, None] for n in TYPES}
    columns |= {"k": ["a", "a"], "at": [10, 11], "told": [10, 11], "x": [1.0, 99.0]}
    made = History("h", "sum", None, "x", Type.NUMBER, None, ("k",), "t", "at", None, None, Type.NUMBER)
    loaded(tmp_path, columns, [made])
    plan = plan_histories([made], {"t": TYPES})
    without = np.array([False, True])
    index = HistoryTable.load(tmp_path / "t.parquet", [made], plan.graphs["t"], without=without)
    assert index.find({"k": "a"}, 20) == {"h": 1.0}


def test_sums_of_halves_and_of_tenths_do_not_depend_on_what_lies_around(tmp_path: Path) -> None:
    draw = random.Random(4)
    for step, exact in ((0.5, True), (0.1, False)):
        values = np.array([draw.randrange(1000) * step for _ in range(5000)])
        past = kernel.Past(np.arange(5000), np.arange(5000), values)
        assert (past.running is not None) is exact
        made = History("h", "sum", None, "x", Type.NUMBER, None, (), "t", "at", None, None, Type.NUMBER)
        starts = np.array([draw.randrange(4000) for _ in range(50)])
        ends = starts + np.array([draw.randrange(900) for _ in range(50)])
        many = kernel.aggregate(made, past, starts, ends, ends)
        for i, (a, b) in enumerate(zip(starts, ends, strict=True)):
            part = kernel.Past(np.arange(b - a), np.arange(b - a), values[a:b].copy())
            one = kernel.aggregate(made, part, np.array([0]), np.array([b - a]), np.array([b]))
            assert np.array_equal(one, many[i : i + 1], equal_nan=True)


def test_nulls_of_each_type() -> None:
    assert plain(NULL_TEXT, Type.TEXT) is None
    assert plain(NULL_TIME, Type.TIME) is None
    assert plain(math.nan, Type.BOOL) is None
    assert plain(1.0, Type.BOOL) is True
