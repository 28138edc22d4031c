"""Parquet, JSON lines and the user's Python functions as sources."""

from __future__ import annotations

import datetime as dt
import textwrap
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.core.errors import DataError, UserCodeError
from headrace.core.schema import Snapshot, Type
from headrace.core.spec.learning import Limits
from headrace.core.spec.tables import TableSpec
from headrace.data.read import describe
from headrace.data.snapshot import fingerprint, snapshot
from headrace.stores.embedded import EmbeddedStore

TODAY = dt.date(2026, 1, 15)


def take(
    root: Path, name: str, zone: str | None = "UTC", **spec: Any
) -> tuple[Snapshot, list[dict[str, Any]]]:
    store = EmbeddedStore(root / "store")
    kept = snapshot(
        "t",
        TableSpec(read=name, **spec),
        store=store,
        root=root,
        zone=zone,
        limits=Limits(),
        taken="",
        scratch=root / "scratch",
    )
    return kept, pq.read_table(store.get(kept.artifact)).to_pylist()


def python(root: Path, code: str) -> None:
    (root / "sources.py").write_text(textwrap.dedent(code))


def test_parquet_types(tmp_path: Path) -> None:
    utc = dt.UTC
    table = pa.table(
        {
            "small": pa.array([1, None], pa.int8()),
            "unsigned": pa.array([2**40, 1], pa.uint64()),
            "single": pa.array([1.5, float("nan")], pa.float32()),
            "double": [float("inf"), 2.5],
            "price": pa.array([Decimal("1.25"), None]),
            "ok": [True, None],
            "kind": pa.array(["a", None]).dictionary_encode(),
            "long": pa.array(["x", "y"], pa.large_string()),
            "day": [dt.date(2024, 1, 1), None],
            "nano": pa.array([1_700_000_000_123_456_789, None], pa.timestamp("ns")),
            "moment": [dt.datetime(2024, 1, 1, 5, tzinfo=utc), None],
            "nothing": pa.nulls(2),
            "list": [[1], None],
            "bytes": [b"x", None],
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    kept, rows = take(tmp_path, "t.parquet", zone="America/New_York")
    assert {c: str(t) for c, t in kept.types().items()} == {
        "small": "number",
        "unsigned": "number",
        "single": "number",
        "double": "number",
        "price": "number",
        "ok": "bool",
        "kind": "text",
        "long": "text",
        "day": "time",
        "nano": "time",
        "moment": "time",
        "nothing": "number",
    }
    assert rows[0] == {
        "small": 1,
        "unsigned": 2**40,
        "single": 1.5,
        "double": None,
        "price": 1.25,
        "ok": True,
        "kind": "a",
        "long": "x",
        "day": dt.datetime(2024, 1, 1, 5),
        "nano": dt.datetime(2023, 11, 15, 3, 13, 20, 123456),
        "moment": dt.datetime(2024, 1, 1, 5),
        "nothing": None,
    }
    assert rows[1]["single"] is None and rows[1]["double"] == 2.5
    assert kept.columns == describe("t", TableSpec(read="t.parquet"), root=tmp_path, zone="America/New_York")


def test_wall_clock_times_where_the_clock_is_changed(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("at\n2024-03-10 02:30\n2024-11-03 01:30\n2024-07-01 00:00\n")
    _, rows = take(tmp_path, "t.csv", zone="America/New_York")
    assert [str(r["at"]) for r in rows] == [
        "2024-03-10 07:00:00",  # skipped: the moment after the gap
        "2024-11-03 05:30:00",  # twice: the first
        "2024-07-01 04:00:00",
    ]


def test_the_table_s_own_zone_comes_first(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("at\n2024-07-01 00:00\n")
    store = EmbeddedStore(tmp_path / "store")
    kept = snapshot(
        "t",
        TableSpec(read="t.csv", zone="Europe/Berlin"),
        store=store,
        root=tmp_path,
        zone="UTC",
        limits=Limits(),
        taken="",
        scratch=tmp_path / "s",
    )
    assert str(pq.read_table(store.get(kept.artifact)).to_pylist()[0]["at"]) == "2024-06-30 22:00:00"


def test_an_unusable_column_is_an_error_where_it_is_needed(tmp_path: Path) -> None:
    pq.write_table(pa.table({"k": [[1]], "v": [1]}), tmp_path / "t.parquet")
    with pytest.raises(
        DataError, match=r"t.parquet: column 'k' is a list<element: int64>, which can't be used"
    ):
        take(tmp_path, "t.parquet", key="k")


def test_parquet_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_text("hello")
    with pytest.raises(DataError, match=r"t.parquet: the file is no Parquet file, or is cut short"):
        take(tmp_path, "t.parquet")


def test_parquet_without_rows(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t.parquet: the table 't' has no rows"):
        take(tmp_path, "t.parquet")


def test_parquet_files_of_different_columns_and_of_wider_types(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array([1], pa.int32()), "b": ["x"]}), tmp_path / "p1.parquet")
    pq.write_table(pa.table({"b": ["y"], "a": pa.array([2.5])}), tmp_path / "p2.parquet")
    assert take(tmp_path, "p*.parquet")[1] == [{"a": 1.0, "b": "x"}, {"a": 2.5, "b": "y"}]
    pq.write_table(pa.table({"a": [1]}), tmp_path / "p3.parquet")
    with pytest.raises(DataError, match=r"p3.parquet: its columns differ from those of p1.parquet: b"):
        take(tmp_path, "p*.parquet")


def test_numbers_beyond_64_bits(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array([1, 2**63], pa.uint64())}), tmp_path / "t.parquet")
    with pytest.raises(
        DataError, match=r"t.parquet: row 2: column 'a' holds 9223372036854775808, beyond 64 bits"
    ):
        take(tmp_path, "t.parquet")


def test_parquet_text_that_is_no_utf8(tmp_path: Path) -> None:
    bad = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xe9")]
    )
    pq.write_table(pa.table({"a": bad}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t.parquet: row 1: column 'a' holds bytes that are no UTF-8"):
        take(tmp_path, "t.parquet")


def test_text_in_parquet_is_a_time_only_where_it_is_declared(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": ["2024-01-01"], "b": ["2024-01-01"]}), tmp_path / "t.parquet")
    types = take(tmp_path, "t.parquet", time="a")[0].types()
    assert types == {"a": Type.TIME, "b": Type.TEXT}


def test_json_lines(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(
        '{"a":1,"t":"2024-01-01T05:00:00Z","ok":true,"n":null,"s":"NA"}\n\n{"a":2.5,"late":"x","s":"y"}\n'
    )
    kept, rows = take(tmp_path, "t.jsonl")
    assert {c: str(t) for c, t in kept.types().items()} == {
        "a": "number",
        "t": "time",
        "ok": "bool",
        "n": "number",
        "s": "text",
        "late": "text",
    }
    assert [r["a"] for r in rows] == [1.0, 2.5]
    assert [r["s"] for r in rows] == ["NA", "y"]


def test_json_that_changes_after_the_beginning(tmp_path: Path) -> None:
    many = '{"a":1,"b":null}\n' * 300_000
    (tmp_path / "t.jsonl").write_text(many + '{"a":1.5,"b":"x","c":true}\n')
    kept, rows = take(tmp_path, "t.jsonl")
    assert rows[-1] == {"a": 1.5, "b": "x", "c": True}
    assert kept.types()["b"] is Type.TEXT


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "t.jsonl: the file is empty"),
        ('[{"a":1}]', "t.jsonl:1: the file is one JSON list"),
        ('{"a":1}\n{"a":"x"}\n', "t.jsonl:2: column 'a' holds \"x\", and whole numbers before"),
        ('{"a":1}\n\n{"a":\n', "t.jsonl:3: the line is no JSON"),
        ('{"a":1}\n7\n', "t.jsonl:2: the line holds 7, no object"),
    ],
)
def test_json_that_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "t.jsonl").write_text(text)
    with pytest.raises(DataError) as caught:
        take(tmp_path, "t.jsonl")
    assert told in str(caught.value)


def test_python_sources(tmp_path: Path) -> None:
    python(
        tmp_path,
        """
        import datetime as dt
        import pandas as pd
        import pyarrow as pa
        import helper

        def rows():
            for i in range(25_000):
                yield {"i": i, "x": None if i < 12_000 else i / 2, "at": dt.date(2024, 1, 1)}

        def lists():
            return [{"a": helper.ONE}, {"a": 2, "b": "x"}]

        def frame():
            return pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=[7, 8])

        def tables():
            yield pa.table({"a": pa.array([1], pa.int32())})
            yield pa.table({"a": [2.5], "b": ["x"]})

        def columns():
            return {"a": [1, 2]}
        """,
    )
    (tmp_path / "helper.py").write_text("ONE = 1\n")
    _, rows = take(tmp_path, "sources.py:rows")
    assert len(rows) == 25_000 and rows[-1]["x"] == 12_499.5 and rows[0]["x"] is None
    assert take(tmp_path, "sources.py:lists")[1] == [{"a": 1, "b": None}, {"a": 2, "b": "x"}]
    assert take(tmp_path, "sources.py:frame")[1] == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]
    assert take(tmp_path, "sources.py:tables")[1] == [{"a": 1.0, "b": None}, {"a": 2.5, "b": "x"}]
    assert take(tmp_path, "sources.py:columns")[1] == [{"a": 1}, {"a": 2}]


def test_what_the_user_s_code_raises_is_named_as_the_user_s(tmp_path: Path) -> None:
    python(
        tmp_path,
        """
        def fails():
            return inner()

        def inner():
            raise KeyError("token")

        def late():
            yield {"a": 1}
            import sys
            sys.exit("stop")
        """,
    )
    with pytest.raises(UserCodeError) as caught:
        take(tmp_path, "sources.py:fails")
    assert str(caught.value).startswith("sources.py:6: fails raised KeyError: 'token'")
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(UserCodeError, match=r"sources.py:11: late raised SystemExit: stop"):
        take(tmp_path, "sources.py:late")
    python(tmp_path, "def f(:\n")
    with pytest.raises(UserCodeError, match=r"sources.py:1: f raised SyntaxError"):
        take(tmp_path, "sources.py:f")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return 7", "sources.py:f: it gave a int, which is no table"),
        ("return [1, 2]", "sources.py:f: it gave a int, which is no table"),
        ("return []", "sources.py:f: it gave no rows"),
        ("return [{'a': 1}, {'a': 'x'}]", "sources.py:f: rows 1 to 2: column 'a' can't be read"),
        ("return {'a': [1], 'b': [1, 2]}", "sources.py:f: the columns are of different lengths"),
    ],
)
def test_what_a_python_source_may_not_give(tmp_path: Path, body: str, told: str) -> None:
    python(tmp_path, f"def f():\n    {body}\n")
    with pytest.raises(DataError) as caught:
        take(tmp_path, "sources.py:f")
    assert told in str(caught.value)


def test_a_data_frame_whose_column_has_two_types(tmp_path: Path) -> None:
    python(tmp_path, "import pandas\ndef f():\n    return pandas.DataFrame({'a': [1, 'x']})\n")
    with pytest.raises(DataError, match=r"sources.py:f: a column of its data frame can't be read"):
        take(tmp_path, "sources.py:f")


def test_modules_beside_the_source_are_read_anew(tmp_path: Path) -> None:
    python(tmp_path, "def f():\n    import helper_of_test\n    return [{'a': helper_of_test.A}]\n")
    for value in (1, 2):
        folder = tmp_path / str(value)
        folder.mkdir()
        (folder / "helper_of_test.py").write_text(f"A = {value}\n")
        (folder / "sources.py").write_text((tmp_path / "sources.py").read_text())
        assert take(tmp_path, f"{value}/sources.py:f")[1] == [{"a": value}]


def test_no_such_function(tmp_path: Path) -> None:
    python(tmp_path, "def orders():\n    return []\n")
    with pytest.raises(
        DataError, match=r"sources.py: there is no function 'ordres'\n  fix: did you mean 'orders'"
    ):
        describe("t", TableSpec(read="sources.py:ordres"), root=tmp_path, zone="UTC")


def test_describe_looks_only_at_the_first_rows_of_a_python_source(tmp_path: Path) -> None:
    python(
        tmp_path,
        """
        def f():
            for i in range(30_000):
                yield {"a": i}
            raise RuntimeError("read to the end")
        """,
    )
    assert [c.name for c in describe("t", TableSpec(read="sources.py:f"), root=tmp_path, zone="UTC")] == ["a"]


def _print(root: Path, name: str, salt: str = "s", today: dt.date = TODAY, **spec: Any) -> str:
    return fingerprint(TableSpec(read=name, **spec), root=root, today=today, salt=salt)


def test_a_file_s_fingerprint_follows_its_bytes_alone(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("a\n1\n")
    first = _print(tmp_path, "t.csv")
    assert first == _print(tmp_path, "t.csv", salt="other", today=dt.date(2027, 1, 1))
    file.write_text("a\n2\n")
    assert first != _print(tmp_path, "t.csv")


def test_a_python_source_s_fingerprint_follows_refresh_and_code(tmp_path: Path) -> None:
    python(tmp_path, "import helper\ndef f():\n    return []\n")
    (tmp_path / "helper.py").write_text("A = 1\n")
    name, later = "sources.py:f", dt.date(2026, 1, 16)
    assert _print(tmp_path, name, "a") != _print(tmp_path, name, "b")
    daily = _print(tmp_path, name, "a", refresh="daily")
    assert daily == _print(tmp_path, name, "b", refresh="daily")
    assert daily != _print(tmp_path, name, "a", later, refresh="daily")
    never = _print(tmp_path, name, "a", refresh="never")
    assert never == _print(tmp_path, name, "b", later, refresh="never")
    (tmp_path / "helper.py").write_text("A = 2\n")
    assert never != _print(tmp_path, name, "a", refresh="never")
