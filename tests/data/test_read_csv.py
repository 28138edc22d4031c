"""CSV files as people send them: what is read, and what is refused with file, line and column."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from headrace.core.errors import DataError
from headrace.core.schema import Type
from headrace.core.spec.learning import Limits
from headrace.core.spec.tables import TableSpec
from headrace.data.read import describe
from headrace.data.snapshot import snapshot
from headrace.stores.embedded import EmbeddedStore

MANY = 25_000
"""More rows than the sample that types are taken from."""


def read(root: Path, name: str = "t.csv", **spec: Any) -> list[dict[str, Any]]:
    store = EmbeddedStore(root / "store")
    table = TableSpec(read=name, **spec)
    kept = snapshot(
        "t",
        table,
        store=store,
        root=root,
        zone="UTC",
        limits=Limits(),
        taken="2026-01-01",
        scratch=root / "scratch",
    )
    assert {
        c.name: c.type for c in describe("t", table, root=root, zone="UTC")
    }.items() <= kept.types().items()
    assert not (root / "scratch").exists()
    rows: list[dict[str, Any]] = pq.read_table(store.get(kept.artifact)).to_pylist()
    return rows


def refused(root: Path, text: str | bytes, **spec: Any) -> str:
    (root / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError) as caught:
        read(root, **spec)
    assert not (root / "scratch").exists()
    return str(caught.value)


def types_of(root: Path, text: str) -> dict[str, str]:
    (root / "t.csv").write_text(text)
    return {c.name: str(c.type) for c in describe("t", TableSpec(read="t.csv"), root=root, zone="UTC")}


def test_types_nulls_quotes_and_order(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(
        b'\xef\xbb\xbfid,share,ok,name,at\r\n3,0.5,true,"a, ""b""\nc",2024-01-01 05:00\r\n'
        b"1,NA,,caf\xc3\xa9,\r\n2,nan,false,NULL,2024-01-02T06:30:00.25\r\n"
    )
    rows = read(tmp_path)
    assert [r["id"] for r in rows] == [3, 1, 2]
    assert [r["share"] for r in rows] == [0.5, None, None]
    assert [r["ok"] for r in rows] == [True, None, False]
    assert [r["name"] for r in rows] == ['a, "b"\nc', "café", None]
    assert [str(r["at"]) for r in rows] == ["2024-01-01 05:00:00", "None", "2024-01-02 06:30:00.250000"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-2"], Type.NUMBER),
        (["1", "2.5"], Type.NUMBER),
        (["1e3", " 4 "], Type.NUMBER),
        (["true", "FALSE"], Type.BOOL),
        (["Y", "N"], Type.TEXT),
        (["12345678901234567890", "1"], Type.TEXT),
        (["2024-01-31", "2024-02-01"], Type.TIME),
        (["2024-01-31T05:00:00Z", "2024-01-31 06:00:00+02:00"], Type.TIME),
        (["31/01/2024 17:05", "01/02/2024 00:00"], Type.TIME),
        (["01/31/2024", "02/01/2024"], Type.TIME),
        (["01/02/2024", "03/04/2024"], Type.TEXT),
        (["2024-01-31", "31/01/2024"], Type.TEXT),
        (["", "NA"], Type.NUMBER),
    ],
)
def test_the_type_of_a_column(tmp_path: Path, values: list[str], kind: Type) -> None:
    assert types_of(tmp_path, "a,x\n" + "".join(f"1,{v}\n" for v in values))["x"] == kind


def test_day_first_and_month_first_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("d,m\n31/01/2024 05:30 PM,12/25/2024\n01/02/2024 12:00 AM,01/02/2024\n")
    rows = read(tmp_path)
    assert [str(r["d"]) for r in rows] == ["2024-01-31 17:30:00", "2024-02-01 00:00:00"]
    assert [str(r["m"]) for r in rows] == ["2024-12-25 00:00:00", "2024-01-02 00:00:00"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters(tmp_path: Path, delimiter: str) -> None:
    (tmp_path / "t.csv").write_text(f"a{delimiter}b\n1{delimiter}x y\n")
    assert read(tmp_path) == [{"a": 1, "b": "x y"}]


def test_compressed_and_many_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, value in (("p2.csv.gz", 2), ("p1.csv.gz", 1)):
        with gzip.open(tmp_path / name, "wt") as f:
            f.write(f"a\n{value}\n")
    assert read(tmp_path, "p*.csv.gz") == [{"a": 1}, {"a": 2}]


def test_a_whole_number_column_may_turn_into_fractions_late(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n" + "1\n" * MANY + "1.5\n")
    rows = read(tmp_path)
    assert (rows[0]["a"], rows[-1]["a"], len(rows)) == (1.0, 1.5, MANY + 1)


def test_a_column_that_is_empty_for_long_gets_its_type_where_it_begins(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,c\n" + "1,,\n" * MANY * 3 + "1,2024-01-01,7\n")
    assert str(read(tmp_path)[-1]["b"]) == "2024-01-01 00:00:00"
    assert types_of(tmp_path, (tmp_path / "t.csv").read_text()) == {"a": "number", "b": "time", "c": "number"}


def test_a_column_without_a_name_is_called_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(",b\n0,x\n")
    assert read(tmp_path) == [{"column0": 0, "b": "x"}]


def test_empty_file(tmp_path: Path) -> None:
    assert refused(tmp_path, "") == "t.csv: the file is empty\n  fix: give a file with a header and rows"


def test_header_only(tmp_path: Path) -> None:
    assert refused(tmp_path, "a,b\n") == ("t.csv: the table 't' has no rows\n  fix: give a source with rows")


def test_no_header(tmp_path: Path) -> None:
    assert "t.csv:1: the first line holds numbers (1, 2), not the columns' names" in refused(
        tmp_path, "1,2\n3,4\n"
    )


@pytest.mark.parametrize("before", [0, MANY * 12])
def test_ragged_rows_are_all_named(tmp_path: Path, before: int) -> None:
    told = refused(tmp_path, "a,b\n" + "1,2\n" * before + "1\n1,2\n1,2,3\n")
    assert f"t.csv:{before + 2}: the row has 1 fields, the header has 2" in told
    assert f"t.csv:{before + 4}: the row has 3 fields, the header has 2" in told


def test_text_in_a_column_of_numbers_late(tmp_path: Path) -> None:
    told = refused(tmp_path, 'n,a,f\n"x\ny",1,1.5\n' + "x,1,1.5\n" * MANY + "x,abc,1.5\nx,1,?\n")
    assert f"t.csv:{MANY + 4}: column 'a' holds 'abc', and whole numbers before" in told
    assert f"t.csv:{MANY + 5}: column 'f' holds '?', and numbers before" in told
    fix = "fix: correct the value; if it means 'missing', leave it empty, or name it in the table's `nulls:`"
    assert fix in told


def test_another_spelling_of_time_late(tmp_path: Path) -> None:
    told = refused(tmp_path, "at\n" + "2024-01-01\n" * MANY + "31/12/2024\n")
    assert told == (
        f"t.csv:{MANY + 2}: column 'at' holds '31/12/2024' (DD/MM/YYYY) where the values before are ISO 8601"
    )


@pytest.mark.parametrize("late", ["2024-02-30", "2024-02-30 05:00"])
def test_no_such_day(tmp_path: Path, late: str) -> None:
    told = refused(tmp_path, "at\n" + "2024-01-01\n" * MANY + f"{late}\n")
    assert told == f"t.csv:{MANY + 2}: column 'at' holds '{late}', which is no date"


def test_no_such_day_in_another_format(tmp_path: Path) -> None:
    assert "t.csv:3: column 'at' holds '31/02/2024', which is no date" in refused(
        tmp_path, "at\n13/01/2024\n31/02/2024\n"
    )


def test_a_declared_time_in_two_formats(tmp_path: Path) -> None:
    told = refused(tmp_path, "at\n2024-01-01\n\n31/01/2024\n", time="at")
    assert "t.csv:4: column 'at' is declared as time, and holds '31/01/2024' (DD/MM/YYYY)" in told
    assert "after '2024-01-01' (ISO 8601)" in told
    assert "fix: write all its times in one format, such as 2013-01-31 05:00" in told


def test_a_declared_time_with_and_without_zone(tmp_path: Path) -> None:
    told = refused(tmp_path, "at\n2024-01-01 05:00\n2024-01-01 05:00Z\n", known_at="at")
    assert "t.csv:3" in told and "(ISO 8601 with a zone) after '2024-01-01 05:00' (ISO 8601)" in told


def test_a_declared_time_that_is_ambiguous(tmp_path: Path) -> None:
    told = refused(tmp_path, "at\n01/02/2024\n03/04/2024\n", time="at")
    assert "its values may be DD/MM/YYYY or MM/DD/YYYY" in told
    assert "why: no value tells day and month apart" in told


def test_a_declared_time_that_is_a_number(tmp_path: Path) -> None:
    assert "column 'at' is declared as time, and is int64" in refused(tmp_path, "at\n5\n", time="at")


def test_a_time_without_any_zone(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("at,b\n2024-01-01 05:00,2024-01-01\n")
    with pytest.raises(DataError) as caught:
        describe("t", TableSpec(read="t.csv"), root=tmp_path, zone=None)
    assert "t.csv: times without a zone: at, b" in str(caught.value)
    assert "fix: declare `zone:` under data, or under data.tables.t, such as 'UTC'" in str(caught.value)


def test_a_moment_needs_no_zone(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("at\n2024-01-01T05:00:00+01:00\n")
    assert describe("t", TableSpec(read="t.csv"), root=tmp_path, zone=None)[0].type is Type.TIME


@pytest.mark.parametrize("header", ["a,a", "a,A"])
def test_two_columns_of_one_name(tmp_path: Path, header: str) -> None:
    assert "names must differ by more than case" in refused(tmp_path, f"{header}\n1,2\n")


def test_bytes_that_are_no_utf8(tmp_path: Path) -> None:
    told = refused(tmp_path, b"a,b\n" + b"1,x\n" * MANY + b"1,caf\xe9\n")
    assert (
        told == f"t.csv:{MANY + 2}: column 'b' holds bytes that are no UTF-8\n  fix: save the file as UTF-8"
    )


@pytest.mark.parametrize("start", ["größe;y\n1;2\n".encode("latin-1"), b"\x89PNG\r\n\x1a\n\x00"])
def test_a_header_that_is_no_utf8(tmp_path: Path, start: bytes) -> None:
    message = refused(tmp_path, start)
    assert "t.csv:1: the first line holds bytes that are no UTF-8" in message
    assert "save the file as UTF-8" in message


def test_utf16(tmp_path: Path) -> None:
    assert "t.csv: the file is UTF-16" in refused(tmp_path, "a,b\n1,2\n".encode("utf-16"))


def test_nul(tmp_path: Path) -> None:
    assert refused(tmp_path, "a,b\n1,x\n2,x\0y\n") == "t.csv:3: column 'b' holds a NUL character"


def test_a_quote_that_is_never_closed(tmp_path: Path) -> None:
    told = refused(tmp_path, 'a,b\n1,x\n1,"x\n' + "2,y\n" * 1000)
    assert "t.csv:3: a field that begins here can't be read" in told
    assert "fix: look for a quote that is opened and never closed" in told


def test_files_of_different_headers(tmp_path: Path) -> None:
    (tmp_path / "p1.csv").write_text("a,b\n1,2\n")
    (tmp_path / "p2.csv").write_text("a,c\n1,2\n")
    with pytest.raises(DataError, match=r"p2.csv:1: the header differs from that of p1.csv: a, c"):
        read(tmp_path, "p*.csv")


def test_missing_columns_are_all_told(tmp_path: Path) -> None:
    told = refused(tmp_path, "key,seen\n1,2024-01-01\n", key="kee", time="sen")
    assert "t.csv: there is no column 'kee'\n  fix: did you mean 'key'?" in told
    assert "t.csv: there is no column 'sen'\n  fix: did you mean 'seen'?" in told


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("flihgts.csv", "there is no file 'flihgts.csv'\n  fix: did you mean 'flights.csv'?"),
        ("no/flights.csv", "there is no file 'no/flights.csv'\n  fix: there is no folder"),
        ("folder", "'folder' is a folder"),
        ("x*.csv", "no file matches 'x*.csv'"),
        ("notes.txt", "'notes.txt': files ending in .txt can't be read"),
        ("../out.py:f", "'../out.py:f' lies outside of the project"),
    ],
)
def test_files_that_can_t_be_read(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "flights.csv").write_text("a\n1\n")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError) as caught:
        describe("t", TableSpec(read=name), root=tmp_path, zone="UTC")
    assert told in str(caught.value)
