"""Profiles of whole tables and of bare files: what is told, and that nothing but the rows changes it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.core.codec import from_json, to_json
from headrace.core.errors import DataError
from headrace.core.schema import Column, Snapshot, Type
from headrace.data.profile.blind import from_outside
from headrace.data.profile.file import profile_file
from headrace.data.profile.record import LEVELS, ColumnProfile, Profile, TableProfile
from headrace.data.profile.table import Target, profile_table


def mixed(rows: int, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    null = rng.random(rows) < 0.1
    return pa.table(
        {
            "x": pa.array(rng.normal(size=rows), mask=null),
            "whole": pa.array(rng.integers(0, 9, rows)),
            "big": pa.array(2**60 + np.arange(rows)),
            "flag": pa.array(rng.random(rows) < 0.25, mask=null),
            "word": pa.array([f"w{i}" for i in rng.integers(0, 30, rows)], mask=null),
            "at": pa.array(rng.integers(0, 10**14, rows)).cast(pa.timestamp("us")),
        }
    )


def columns_of(table: pa.Table) -> list[Column]:
    kinds = {"flag": Type.BOOL, "word": Type.TEXT, "at": Type.TIME}
    return [Column(n, kinds.get(n, Type.NUMBER)) for n in table.column_names]


def profiled(table: pa.Table, size: int = 65_536, **more: object) -> TableProfile:
    return profile_table("t", columns_of(table), table.to_batches(size), **more)


def kinds(column: ColumnProfile) -> set[str]:
    return {n.kind for n in column.notes}


def test_counts_are_those_of_the_database() -> None:
    given = mixed(5_000)
    found = profiled(given)
    for c in found.columns:
        measures = f'count("{c.name}"), count(distinct "{c.name}"), min("{c.name}"), max("{c.name}")'
        # DuckDB finds the variable by its name.
        ((rows, known, distinct, low, high),) = duckdb.sql(
            f"select count(*), {measures} from given"
        ).fetchall()
        assert (c.rows, c.missing, c.distinct, c.distinct_error) == (rows, rows - known, distinct, 0.0)
        if c.type is Type.NUMBER:
            assert (c.low, c.high) == (float(low), float(high))
    x = given.column("x").drop_null().to_numpy()
    assert found.column("x").mean == pytest.approx(x.mean())
    assert found.column("x").std == pytest.approx(x.std(ddof=1))
    exact = np.quantile(x, LEVELS, method="inverted_cdf")
    assert found.column("x").quantiles == pytest.approx(exact)
    assert found.column("flag").mean == pytest.approx(given.column("flag").drop_null().to_numpy(False).mean())
    counts = duckdb.sql(
        "select word, count(*) as n from given where word is not null "
        "group by 1 order by n desc, word limit 10"
    ).fetchall()
    assert [(c.value, c.rows) for c in found.column("word").top] == counts


def test_the_profile_depends_on_rows_alone() -> None:
    """Not on the batches, nor on the number of threads."""
    table = mixed(150_000)
    truth = np.random.default_rng(1).random(150_000)
    made = [
        to_json(profiled(table, size, threads=threads, target=Target(truth)))
        for size, threads in ((65_536, 1), (7_001, 2), (150_000, 3))
    ]
    assert made[0] == made[1] == made[2]
    assert from_json(made[0], TableProfile) == profiled(table, target=Target(truth))


def test_a_binary_target_and_classes() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 3, 4_000).astype(float)
    table = pa.table({"near": truth + rng.normal(size=4_000) / 5, "far": rng.normal(size=4_000)})
    by_class = profiled(table, target=Target(truth, classes=3))
    links = {c.name: c.target for c in by_class.columns}
    assert links["near"] is not None and links["far"] is not None
    assert links["near"].measure == "correlation ratio"
    assert links["near"].value is not None and links["near"].value > 0.95
    assert links["far"].value is not None and links["far"].value < 0.08
    binary = profiled(table, target=Target((truth == 0).astype(float)))
    link = binary.column("near").target
    assert link is not None and link.value is not None
    assert link.value == pytest.approx(np.corrcoef(table["near"], truth == 0)[0, 1], abs=1e-3)
    assert binary.correlations is not None
    assert binary.correlations.columns == ("near", "far"), "the target is no column of the table"


def test_repeated_rows_are_counted_without_the_id() -> None:
    rows = {"id": list(range(6)), "a": [1.0, 1.0, None, None, 2.0, 1.0], "b": list("xxyyxx")}
    table = pa.table(rows)
    columns = [Column("id", Type.NUMBER), Column("a", Type.NUMBER), Column("b", Type.TEXT)]
    whole = profile_table("t", columns, table.to_batches())
    assert whole.duplicates is not None and whole.duplicates.rows == 0
    but = profile_table("t", columns, table.to_batches(), ids=["id"])
    assert but.duplicates is not None
    assert (but.duplicates.rows, but.duplicates.but) == (3, ("id",)), "null is as null"


def test_columns_to_look_at() -> None:
    rng = np.random.default_rng(3)
    n = 3_000
    table = pa.table(
        {
            "same": pa.array(np.full(n, 7.0)),
            "gone": pa.nulls(n, pa.float64()),
            "rare": pa.array(rng.normal(size=n), mask=rng.random(n) < 0.8),
            "cap": pa.array(np.minimum(rng.gamma(2, 10, n), 45.0)),
            "rain": pa.array(np.where(rng.random(n) < 0.7, 0.0, rng.exponential(3, n))),
            "smooth": pa.array(rng.normal(size=n)),
            "counts": pa.array(rng.poisson(1.0, n)),
            "key": pa.array(rng.permutation(n)),
        }
    )
    found = {c.name: kinds(c) for c in profiled(table).columns}
    assert found == {
        "same": {"constant"},
        "gone": {"empty"},
        "rare": {"sparse"},
        "cap": {"capped"},
        "rain": {"heavy-zero"},
        "smooth": set(),
        "counts": set(),
        "key": {"unique"},
    }


def test_honest_columns_are_not_called_capped() -> None:
    """Of 300 honest columns, continuous and whole, none has a heavy end."""
    rng = np.random.default_rng(4)
    draws = [
        lambda: rng.normal(size=2_000),
        lambda: rng.exponential(1, 2_000).round(1),
        lambda: rng.integers(0, 100, 2_000),
        lambda: rng.poisson(4, 2_000),
        lambda: rng.geometric(0.4, 2_000),
        lambda: rng.beta(0.8, 2, 2_000).round(2),
    ]
    table = pa.table({f"c{i}": draws[i % 6]().astype(float) for i in range(300)})
    assert [c.name for c in profiled(table).columns if kinds(c) & {"capped", "heavy-zero"}] == []


def write_csv(file: Path, header: list[str], rows: list[list[str]]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as f:
        csv.writer(f).writerows([header, *rows])
    return file


def test_a_bare_file_with_dirt(tmp_path: Path) -> None:
    cities = ["Paris", "paris ", "Rome", "PARIS", "Rome"]
    rows = [
        [str(i), cities[i % 5], str(i) if i % 50 else "n/a", f"2024-03-{1 + i % 9:02d}"] for i in range(500)
    ]
    found = profile_file(write_csv(tmp_path / "dirty.csv", ["id", "city", "size", "day"], rows)).tables[0]
    assert (found.table, found.whose, found.rows) == ("dirty", "all", 500)
    assert kinds(found.column("city")) == {"spaces", "variants"}
    assert found.column("size").type is Type.TEXT
    assert "490 of 500 texts look like numbers; 10 do not" in found.column("size").notes[0].text
    assert [c.column for c in found.coverage] == ["day"]
    assert from_json(to_json(Profile((found,))), Profile) == Profile((found,))


def test_every_kind_of_file_has_the_same_profile(tmp_path: Path) -> None:
    rows = [[str(i), f"w{i % 7}", f"{i / 4}"] for i in range(300)]
    write_csv(tmp_path / "t.csv", ["a", "b", "c"], rows)
    plain = [{"a": int(a), "b": b, "c": float(c)} for a, b, c in rows]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(r) + "\n" for r in plain))
    pq.write_table(pa.Table.from_pylist(plain), tmp_path / "t.parquet")
    told = []
    for ending in ("csv", "jsonl", "parquet"):
        table = profile_file(tmp_path / f"t.{ending}").tables[0]
        told.append([(c.name, c.type, c.distinct, c.mean, c.quantiles, c.top) for c in table.columns])
    assert told[0] == told[1] == told[2]


def test_a_type_that_shows_late_is_read_again(tmp_path: Path) -> None:
    rows = [[str(i)] for i in range(60_000)] + [["0.5"]]
    found = profile_file(write_csv(tmp_path / "late.csv", ["n"], rows)).tables[0]
    assert (found.rows, found.column("n").type, found.column("n").rows) == (60_001, Type.NUMBER, 60_001)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("gone.csv", None, "there is no file"),
        ("bare.csv", "a,b\n", "no rows"),
        ("odd.xyz", "1", "can't be read"),
        ("broken.parquet", "no parquet", "no Parquet"),
    ],
)
def test_files_that_hold_no_rows(tmp_path: Path, name: str, text: str | None, told: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=told):
        profile_file(tmp_path / name)


def test_one_row_and_no_value(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"a": pa.nulls(1, pa.float64()), "b": ["x"], "c": [True], "d": [3]}), tmp_path / "t.pq"
    )
    found = profile_file(tmp_path / "t.pq").tables[0]
    assert (found.column("a").distinct, found.column("a").histogram, found.column("d").std) == (0, None, None)
    assert found.correlations is not None and found.correlations.r[0] == (None, None, None)


def test_from_outside_nothing_of_the_target_is_read(tmp_path: Path) -> None:
    table = mixed(400).append_column("y", pa.array(np.arange(400.0)))
    file = tmp_path / "t.parquet"
    pq.write_table(table, file)
    snapshot = Snapshot("t", "", "", 400, tuple(columns_of(table)), "", "")
    chosen = np.zeros(400, bool)
    chosen[100:150] = True
    [part] = from_outside({"test": chosen}, file, snapshot, target=["y"])
    assert (part.rows, part.left_out) == (50, ("y",))
    assert "y" not in [c.name for c in part.columns]
    x = table.column("x")[100:150]
    seen = next(c for c in part.columns if c.name == "x")
    assert (seen.missing, seen.low) == (x.null_count, float(np.nanmin(x.to_numpy())))
    [nobody] = from_outside({"test": np.zeros(400, bool)}, file, snapshot, target=["y"])
    assert nobody.rows == 0 and {c.low for c in nobody.columns} == {None}
