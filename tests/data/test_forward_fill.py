"""Forward fill of a side table against a plain loop; and what a lookup then finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.schema import Column, Snapshot, Type
from headrace.core.spec.tables import TableSpec
from headrace.data.content import ColumnDigest, table_digest
from headrace.data.fill import forward_fill
from headrace.data.lookup import LookupTable
from headrace.stores import EmbeddedStore

KEYS = st.sampled_from(["a", "a", "a", "b", None])
TIMES = st.sampled_from([*range(13), None])
ROWS = st.lists(
    st.tuples(
        KEYS, TIMES, TIMES, st.sampled_from([None, None, 1.0, 2.0, 3.0]), st.sampled_from([None, "u", "v"])
    ),
    min_size=1,
    max_size=16,
)
SCHEMA = pa.schema(
    {
        "k": pa.string(),
        "at": pa.timestamp("us"),
        "known": pa.timestamp("us"),
        "n": pa.float64(),
        "word": pa.string(),
    }
)
COLUMNS = tuple(
    Column(n, t)
    for n, t in zip(SCHEMA.names, (Type.TEXT, Type.TIME, Type.TIME, Type.NUMBER, Type.TEXT), strict=True)
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedStore:
    return EmbeddedStore(tmp_path_factory.mktemp("fill"))


def kept(store: EmbeddedStore, rows: list[tuple[Any, ...]], group: int = 8) -> Snapshot:
    table = pa.table(
        [pa.array(c, f.type) for c, f in zip(zip(*rows, strict=True), SCHEMA, strict=True)], SCHEMA
    )
    file = store.scratch(".parquet")
    pq.write_table(table, file, row_group_size=group)
    return Snapshot("side", store.put(file).digest, content(table), len(rows), COLUMNS, "side.csv", "")


def content(table: pa.Table) -> str:
    sums = [ColumnDigest(c, SCHEMA.field(c.name).type) for c in COLUMNS]
    for s, column in zip(sums, table.combine_chunks().to_batches()[0].columns, strict=True):
        s.update(column)
    return table_digest(table.num_rows, sums)


def oracle(
    rows: list[tuple[Any, ...]], place: int, ttl: int | None, *, known_at: bool
) -> tuple[list[Any], int]:
    """The column `place` filled by a plain loop, and how many cells."""

    def moments(i: int) -> tuple[int, int, int] | None:
        key, time, known = rows[i][:3]
        if key is None or time is None or (known_at and known is None):
            return None
        return (time, max(time, known) if known_at else time, i)

    result, count = [r[place] for r in rows], 0
    for i, row in enumerate(rows):
        mine = moments(i)
        if row[place] is not None or mine is None:
            continue
        before = [
            theirs
            for j, other in enumerate(rows)
            if other[0] == row[0] and other[place] is not None and (theirs := moments(j)) is not None
            if theirs < mine and theirs[1] <= mine[1]
        ]
        if before and (ttl is None or mine[0] - max(before)[0] <= ttl):
            result[i] = rows[max(before)[2]][place]
            count += 1
    return result, count


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, ttl=st.one_of(st.none(), st.integers(1, 6)), known_at=st.booleans())
def test_a_null_becomes_the_keys_last_known_value(
    rows: list[tuple[Any, ...]], ttl: int | None, known_at: bool, store: EmbeddedStore
) -> None:
    before = kept(store, rows)
    spec = TableSpec(
        read="side.csv",
        key="k",
        time="at",
        known_at="known" if known_at else None,
        ttl=None if ttl is None else f"{ttl} us",
    )
    after, counts = forward_fill(before, spec, ["n", "word"], store=store, scratch=store.scratch())
    table = pq.read_table(store.get(after.artifact))
    for name, place in (("n", 3), ("word", 4)):
        expected, count = oracle(rows, place, ttl, known_at=known_at)
        assert table[name].to_pylist() == expected
        assert counts[name] == count
    assert table.drop_columns(["n", "word"]).equals(
        pq.read_table(store.get(before.artifact)).drop_columns(["n", "word"])
    )
    assert table.schema.equals(SCHEMA)
    assert (after.content, after.rows) == (content(table), before.rows)
    assert (after == before) is (not any(counts.values()))


def test_a_value_that_is_known_later_is_never_seen_before(store: EmbeddedStore) -> None:
    """The row of 5 is null and known at once; the value of 3 is known at 9 only: it fills what comes then."""
    rows = [("a", 1, 1, 10.0, "u"), ("a", 3, 9, 30.0, None), ("a", 5, 5, None, None), ("a", 9, 9, None, None)]
    spec = TableSpec(read="side.csv", key="k", time="at", known_at="known")
    after, counts = forward_fill(kept(store, rows), spec, ["n"], store=store, scratch=store.scratch())
    path = store.get(after.artifact)
    assert pq.read_table(path)["n"].to_pylist() == [10.0, 30.0, 10.0, 30.0]
    assert counts == {"n": 2}
    table = LookupTable.load("side", path, spec, ["n"])
    assert [table.find(["a"], m) for m in (0, 1, 5, 8, 9)] == [
        None,
        *({"n": v} for v in (10.0, 10.0, 10.0, 30.0)),
    ]


def test_many_keys_and_blocks(store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.data.fill._BATCH", 60)
    monkeypatch.setattr("headrace.data.written._BLOCK_BYTES", 1000)
    draw = np.random.default_rng(0)
    rows = [
        (f"k{k}", int(t), int(t + d), None if miss else float(i), None)
        for i, (k, t, d, miss) in enumerate(
            zip(
                draw.integers(0, 40, 3000),
                draw.integers(0, 500, 3000),
                draw.integers(0, 60, 3000),
                draw.random(3000) < 0.4,
                strict=True,
            )
        )
    ]
    spec = TableSpec(read="side.csv", key="k", time="at", known_at="known", ttl="20 us")
    after, counts = forward_fill(kept(store, rows, 1024), spec, ["n"], store=store, scratch=store.scratch())
    expected, count = oracle(rows, 3, 20, known_at=True)
    with pq.ParquetFile(store.get(after.artifact)) as file:
        assert file.num_row_groups > 20
        table = file.read()
    assert table["n"].to_pylist() == expected
    assert counts["n"] == count > 100
    assert after.content == content(table)


def test_a_column_without_any_value_stays_as_it_is(store: EmbeddedStore, tmp_path: Path) -> None:
    rows = [("a", i, i, None, None) for i in range(5)]
    spec = TableSpec(read="side.csv", key="k", time="at")
    before = kept(store, rows)
    assert forward_fill(before, spec, ["n", "n"], store=store, scratch=tmp_path) == (before, {"n": 0})
    assert forward_fill(before, spec, [], store=store, scratch=tmp_path) == (before, {})
    assert not list(tmp_path.iterdir())
