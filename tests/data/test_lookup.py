"""Lookups by key and moment: batches, single requests and a plain loop give the same answers."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.errors import DataError
from headrace.core.schema import NULL_TIME
from headrace.core.spec.tables import TableSpec
from headrace.data.lookup import LookupTable

KEYS = st.sampled_from(["a", "b", "", None])
TIMES = st.one_of(st.none(), st.integers(0, 12))


def load(folder: Path, columns: dict[str, Any], values: list[str], **spec: Any) -> LookupTable:
    pq.write_table(pa.table(columns), folder / "side.parquet", row_group_size=3)
    return LookupTable.load("side", folder / "side.parquet", TableSpec(read="side.csv", **spec), values)


def moments(values: list[int | None]) -> pa.Array:
    return pa.array(values, pa.timestamp("us"))


def micros(values: list[int | None]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array([NULL_TIME if v is None else v for v in values], np.int64)


def oracle(rows: list[tuple[Any, ...]], key: Any, now: int | None, ttl: int | None) -> int:
    """The newest row (time, known, place) of the key among those visible at `now`, within `ttl`."""
    if now is None or None in key:
        return -1
    seen = [
        (time, max(time, known), i)
        for i, (k, time, known) in enumerate(rows)
        if k == key and time is not None and known is not None and max(time, known) <= now
    ]
    if not seen:
        return -1
    time, _, row = max(seen)
    return row if ttl is None or now - time <= ttl else -1


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(st.tuples(KEYS, st.integers(0, 2)), TIMES, TIMES), max_size=14),
    asked=st.lists(st.tuples(st.tuples(KEYS, st.integers(0, 3)), TIMES), min_size=1, max_size=14),
    ttl=st.one_of(st.none(), st.integers(1, 6)),
    known_at=st.booleans(),
)
def test_batches_requests_and_a_plain_loop_agree(
    rows: list[Any], asked: list[Any], ttl: int | None, known_at: bool
) -> None:
    if not known_at:
        rows = [(key, time, time) for key, time, _ in rows]
    columns = {
        "k": pa.array([k for (k, _), _, _ in rows], pa.string()),
        "j": pa.array([j for (_, j), _, _ in rows], pa.int32()),
        "time": moments([t for _, t, _ in rows]),
        "known": moments([n for _, _, n in rows]),
        "v": pa.array([None if i % 4 == 3 else i * 1.5 for i in range(len(rows))], pa.float64()),
        "s": pa.array([None if i % 5 == 4 else f"row {i}" for i in range(len(rows))], pa.string()),
        "ok": pa.array([i % 2 == 0 for i in range(len(rows))], pa.bool_()),
    }
    spec: dict[str, Any] = {"key": ("k", "j"), "time": "time"}
    if known_at:
        spec["known_at"] = "known"
    if ttl is not None:
        spec["ttl"] = f"{ttl} us"
    with TemporaryDirectory() as folder:
        table = load(Path(folder), columns, ["v", "s", "ok", "time"], **spec)
    expected = [oracle(rows, key, now, ttl) for key, now in asked]
    found = table.match(
        [pa.array([k for (k, _), _ in asked], pa.string()), pa.array([j for (_, j), _ in asked], pa.int64())],
        micros([n for _, n in asked]),
    )
    assert found.tolist() == expected
    taken = {c: table.take(c, found).to_pylist() for c in ("v", "s", "ok")}
    for i, ((key, now), row) in enumerate(zip(asked, expected, strict=True)):
        answer = table.find(key, now)
        assert (answer is None) == (row < 0)
        if answer is not None:
            assert answer["time"] == rows[row][1]
            assert {c: answer[c] for c in taken} == {c: taken[c][i] for c in taken}


def test_the_answers_are_those_of_duckdb_s_asof_join(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    many = 5_000
    side = pa.table(
        {
            "k": draw.integers(0, 40, many),
            "t": pa.array(draw.permutation(many * 10)[:many].astype("int64")),
            "v": np.arange(many),
        }
    )
    asked = pa.table(
        {
            "r": np.arange(20_000),
            "k": draw.integers(0, 50, 20_000),
            "now": draw.integers(-10, many * 10, 20_000),
        }
    )
    with duckdb.connect() as db:
        db.register("side", side)
        db.register("asked", asked)
        joined = db.execute(
            "SELECT v FROM asked ASOF LEFT JOIN side ON asked.k = side.k AND asked.now >= side.t ORDER BY r"
        ).fetchall()
    stamped = side.set_column(1, "t", side["t"].cast(pa.timestamp("us")))
    pq.write_table(stamped, tmp_path / "side.parquet")
    table = LookupTable.load(
        "side", tmp_path / "side.parquet", TableSpec(read="x.csv", key="k", time="t"), ["v"]
    )
    found = table.match([asked["k"].combine_chunks()], asked["now"].to_numpy())
    assert table.take("v", found).to_pylist() == [v for (v,) in joined]


def test_ttl_is_inclusive_and_a_later_row_is_never_seen(tmp_path: Path) -> None:
    table = load(
        tmp_path, {"k": ["a", "a"], "t": moments([10, 20]), "v": [1, 2]}, ["v"], key="k", time="t", ttl="5 us"
    )
    asked = [9, 10, 15, 16, 19, 20, 25, 26]
    found = table.match([pa.array(["a"] * 8)], micros(list(asked)))
    assert found.tolist() == [-1, 0, 0, -1, -1, 1, 1, -1]


def test_a_late_correction_of_an_old_row_does_not_hide_the_newest(tmp_path: Path) -> None:
    columns = {"k": ["a"] * 3, "t": moments([5, 1, 5]), "n": moments([6, 10, 12]), "v": [1, 2, 3]}
    table = load(tmp_path, columns, ["v"], key="k", time="t", known_at="n")
    found = table.match([pa.array(["a"] * 4)], micros([5, 6, 11, 12]))
    assert found.tolist() == [-1, 0, 0, 2]


def test_without_times_a_key_finds_its_row(tmp_path: Path) -> None:
    table = load(tmp_path, {"k": ["a", None, "b"], "v": [1, 2, 3]}, ["v"], key="k")
    assert not table.timed
    assert table.match([pa.array(["b", None, "c", "a"])]).tolist() == [2, -1, -1, 0]
    assert table.find(["b"]) == {"v": 3}
    assert table.find([None]) is None
    assert table.take("v", np.array([2, -1])).to_pylist() == [3, None]


def test_numbers_are_compared_by_value(tmp_path: Path) -> None:
    big = 2**60 + 1
    table = load(tmp_path, {"k": [1, big], "v": [1, 2]}, ["v"], key="k")
    asked = pa.array([1.0, 1.5, float(2**60), 1e300])
    assert table.match([asked]).tolist() == [0, -1, -1, -1]
    assert table.match([pa.array([big, big - 1])]).tolist() == [1, -1]
    floats = load(tmp_path, {"k": [1.0, 2.5], "v": [1, 2]}, ["v"], key="k")
    assert floats.match([pa.array([1, 2, big], pa.int64())]).tolist() == [0, -1, -1]


def test_an_empty_table_finds_nothing(tmp_path: Path) -> None:
    columns = {"k": pa.array([], pa.string()), "t": moments([]), "v": pa.array([], pa.int64())}
    table = load(tmp_path, columns, ["v"], key="k", time="t")
    assert table.match([pa.array(["a"])], micros([1])).tolist() == [-1]
    assert table.take("v", np.array([-1])).to_pylist() == [None]
    assert table.find(["a"], 1) is None


def test_two_rows_of_one_key_without_time(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 1, row 3: the key k = 'a' names 2 rows of the table 'side'"):
        load(tmp_path, {"k": ["a", "b", "a"], "v": [1, 2, 3]}, ["v"], key="k")


def test_a_table_without_a_key(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data.tables.side: the table 'side' has no key"):
        load(tmp_path, {"k": ["a"]}, ["k"])


def test_keys_of_different_types(tmp_path: Path) -> None:
    table = load(tmp_path, {"k": ["a"], "v": [1]}, ["v"], key="k")
    with pytest.raises(DataError, match="a key of int64 can't be compared with one of string"):
        table.match([pa.array([1])])


def test_a_timed_table_needs_moments(tmp_path: Path) -> None:
    table = load(tmp_path, {"k": ["a"], "t": moments([1]), "v": [1]}, ["v"], key="k", time="t")
    with pytest.raises(ValueError, match="looking up side needs moments"):
        table.match([pa.array(["a"])])


def test_times_as_far_apart_as_there_are(tmp_path: Path) -> None:
    """Keys and moments together are too long for one number: late rows, and order, are found all the same."""
    draw, ends = np.random.default_rng(0), (-62_000_000_000_000_000, 253_000_000_000_000_000)
    rows: list[tuple[Any, ...]] = [
        ((f"k{draw.integers(0, 300)}",), int(t), int(t) + int(draw.choice([0, 3, 10**15])))
        for t in draw.choice([*ends, 0, 1, 2], 2_000)
    ]
    columns = {
        "k": [k for (k,), _, _ in rows],
        "t": moments([t for _, t, _ in rows]),
        "n": moments([n for _, _, n in rows]),
        "v": list(range(2_000)),
    }
    table = load(tmp_path, columns, ["v"], key="k", time="t", known_at="n", ttl="5 us")
    asked = [
        ((f"k{i}",), now) for i in range(300) for now in (ends[0] + 4, 2, 4, 10**15 + 1, ends[1] + 10**15)
    ]
    found = table.match([pa.array([k for (k,), _ in asked])], micros([n for _, n in asked]))
    assert found.tolist() == [oracle(rows, k, n, 5) for k, n in asked]
    assert [table.find(k, n) for k, n in asked] == [None if r < 0 else {"v": r} for r in found.tolist()]
