"""Databases as sources: a real PostgreSQL server, and SQLite files."""

from __future__ import annotations

import sqlite3
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from headrace.core.errors import DataError
from headrace.core.schema import Type
from headrace.core.spec import TableSpec
from headrace.core.spec.learning import Limits
from headrace.data.read import describe
from headrace.data.snapshot import fingerprint, snapshot
from headrace.stores import EmbeddedStore

TODAY = date(2026, 1, 15)


@pytest.fixture(scope="session")
def postgres(postgres_server: str) -> str:
    """The URL of a PostgreSQL server, with a table of orders."""
    _fill(postgres_server)
    return postgres_server


def _fill(url: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as db:
        db.execute("create schema sales")
        db.execute(
            "create table sales.orders (id int primary key, placed timestamptz, due timestamp, day date, "
            "amount numeric(10,2), paid bool, note text, tags text[], extra jsonb)"
        )
        db.execute(
            "insert into sales.orders select i, '2024-01-01 10:00+02'::timestamptz + i * interval '1 hour', "
            "'2024-01-01 10:00', '2024-01-02', i * 1.5, i % 2 = 0, case when i % 5 > 0 then 'n' || i end, "
            "array['a'], '{}' from generate_series(30000, 1, -1) i"
        )
        db.execute("create table loose (a int, b text)")
        db.execute("insert into loose values (2, 'y'), (1, 'z'), (1, 'x'), (null, 'w')")
        db.execute("create sequence counter")
        db.execute('create table "odd name" ("Ä b" int primary key, "select" text)')
        db.execute("insert into \"odd name\" values (1, 'one')")


@pytest.fixture
def warehouse(postgres: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("WAREHOUSE", postgres)
    return "$WAREHOUSE"


def _take(table: TableSpec, root: Path, **more: Any) -> tuple[Any, list[dict[str, Any]]]:
    store = EmbeddedStore(root / ".headrace")
    taken = snapshot(
        "t", table, store=store, root=root, zone="UTC", limits=Limits(), taken="", scratch=root / "s", **more
    )
    return taken, pq.read_table(store.get(taken.artifact)).to_pylist()


def test_a_table_of_postgres_is_read_whole_in_the_order_of_its_key(warehouse: str, tmp_path: Path) -> None:
    taken, rows = _take(TableSpec(read=warehouse, table="sales.orders"), tmp_path)
    assert [r["id"] for r in rows] == list(range(1, 30001))
    types = {"id": Type.NUMBER, "placed": Type.TIME, "due": Type.TIME, "day": Type.TIME}
    types |= {"amount": Type.NUMBER, "paid": Type.BOOL, "note": Type.TEXT}
    assert taken.types() == types  # arrays and JSON have no place
    assert rows[0]["placed"] == datetime(2024, 1, 1, 9)
    assert rows[1]["amount"] == 3.0 and rows[1]["paid"] is True
    assert rows[4]["note"] is None and rows[5]["note"] == "n6"
    assert taken.source == "$WAREHOUSE"


def test_columns_are_described_without_reading_the_table(warehouse: str, tmp_path: Path) -> None:
    columns = describe("t", TableSpec(read=warehouse, table="sales.orders"), root=tmp_path, zone="UTC")
    assert [c.name for c in columns] == ["id", "placed", "due", "day", "amount", "paid", "note"]


def test_rows_without_a_key_are_sorted_so_that_the_same_rows_are_the_same_snapshot(
    warehouse: str, postgres: str, tmp_path: Path
) -> None:
    import psycopg

    first, rows = _take(TableSpec(read=warehouse, table="loose"), tmp_path)
    assert [(r["a"], r["b"]) for r in rows] == [(1, "x"), (1, "z"), (2, "y"), (None, "w")]
    with psycopg.connect(postgres, autocommit=True) as db:
        db.execute("delete from loose where b = 'x'")
        db.execute("insert into loose values (1, 'x')")  # the same rows, elsewhere on disk
    again, _ = _take(TableSpec(read=warehouse, table="loose"), tmp_path)
    assert again.content == first.content


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("select id, amount from sales.orders where id <= 2 order by id desc;", [(2, 3.0), (1, 1.5)]),
        ("select id, amount from sales.orders where id <= 2 -- newest", [(1, 1.5), (2, 3.0)]),
        ("with o as (select * from sales.orders) select id, amount from o where id = 7", [(7, 10.5)]),
        ("select 1 as id, avg(amount) filter (where note like '%9') as amount from loose, sales.orders "
         "where id < 20", [(1, 21.0)]),
    ],
)  # fmt: skip
def test_queries(warehouse: str, tmp_path: Path, query: str, expected: list[tuple[int, float]]) -> None:
    _, rows = _take(TableSpec(read=warehouse, query=query), tmp_path)
    assert [(r["id"], r["amount"]) for r in rows] == expected


def test_odd_names_are_quoted(warehouse: str, tmp_path: Path) -> None:
    _, rows = _take(TableSpec(read=warehouse, table="odd name"), tmp_path)
    assert rows == [{"Ä b": 1, "select": "one"}]


@pytest.mark.parametrize(
    "query",
    ["select nextval('counter') as n", "delete from loose returning a", "insert into loose values (9, 'q')"],
)
def test_a_source_can_not_write(warehouse: str, postgres: str, tmp_path: Path, query: str) -> None:
    import psycopg

    with pytest.raises(DataError, match="the database refused"):
        _take(TableSpec(read=warehouse, query=query), tmp_path)
    with psycopg.connect(postgres) as db:
        assert db.execute("select count(*) from loose where b = 'q'").fetchone() == (0,)
        assert db.execute("select is_called from counter").fetchone() == (False,)


@pytest.mark.parametrize(
    ("table", "message", "fix"),
    [
        ({"table": "sales.order"}, "no table 'sales.order'", "orders"),
        ({"query": "select nothing from loose"}, "nothing", "query"),
        ({"query": "select a, b as a from loose"}, "two columns are called 'a'", "as"),
        ({"query": "select id, tags from sales.orders", "key": "tags"}, "can't be used", ""),
    ],
)
def test_mistakes_are_told(
    warehouse: str, tmp_path: Path, table: dict[str, str], message: str, fix: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        _take(TableSpec(read=warehouse, **table), tmp_path)  # type: ignore[arg-type]  # columns and texts
    assert fix in str(caught.value)


def test_an_unset_variable_and_an_unreachable_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="no variable NOWHERE") as caught:
        _take(TableSpec(read="$NOWHERE", table="t"), tmp_path)
    assert "export NOWHERE=" in str(caught.value)
    monkeypatch.setenv("NOWHERE", "postgresql://me:hunter2@127.0.0.1:1/db")
    with pytest.raises(DataError, match="the database refused") as caught:
        _take(TableSpec(read="$NOWHERE", table="t"), tmp_path)
    assert "hunter2" not in str(caught.value)


def test_a_password_in_the_spec_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="password") as caught:
        _take(TableSpec(read="postgresql://me:hunter2@db/x", table="t"), tmp_path)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"read": "x.sqlite"}, "one thing of it is read"),
        ({"read": "x.sqlite", "table": "a", "query": "select 1"}, "one thing of it is read"),
        ({"read": "x.csv", "table": "a"}, "no database"),
        ({"read": "x.sqlite", "table": "a"}, "no file"),
    ],
)
def test_what_is_read_is_said_once(tmp_path: Path, table: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        describe("t", TableSpec(**table), root=tmp_path, zone=None)  # type: ignore[arg-type]  # all texts


def test_a_database_is_read_again_as_refresh_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE", "postgresql://me:secret@host/db")

    def name(refresh: str, salt: str, day: date = TODAY, query: str = "select 1") -> str:
        table = TableSpec(read="$WAREHOUSE", query=query, refresh=refresh)  # type: ignore[arg-type]  # a literal
        return fingerprint(table, root=tmp_path, today=day, salt=salt)

    assert name("always", "run-1") != name("always", "run-2")
    assert name("daily", "run-1") == name("daily", "run-2") != name("daily", "run-2", date(2026, 1, 16))
    assert name("never", "run-1") == name("never", "run-2", date(2026, 1, 16))
    assert name("never", "run-1") != name("never", "run-1", query="select 2")
    before = name("never", "")
    monkeypatch.setenv("WAREHOUSE", "postgresql://you:other@host/db")
    assert name("never", "") == before, "who reads is no part of what is read"
    monkeypatch.setenv("WAREHOUSE", "postgresql://you:other@elsewhere/db")
    assert name("never", "") != before


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with an SQLite file of sales."""
    with sqlite3.connect(tmp_path / "shop 1.sqlite") as db:
        db.execute("create table sales (day text, item text, price real, sold integer)")
        many = [(f"2024-01-{d:02d}", i, d * 1.5, d % 3) for d in range(28, 0, -1) for i in ("b", "a")]
        db.executemany("insert into sales values (?, ?, ?, ?)", many)
        db.execute("create table mixed (v)")
        db.executemany("insert into mixed values (?)", [(1,), ("two",)])
        db.execute("create table bare (v integer)")
    db.close()
    return tmp_path


def test_an_sqlite_file(shop: Path) -> None:
    taken, rows = _take(TableSpec(read="shop 1.sqlite", table="sales", time="day"), shop)
    assert taken.types() == {"day": Type.TIME, "item": Type.TEXT, "price": Type.NUMBER, "sold": Type.NUMBER}
    assert [r["item"] for r in rows[:3]] == ["a", "b", "a"]
    assert rows[2]["day"].replace(tzinfo=UTC) == datetime(2024, 1, 2, tzinfo=UTC)
    _, rows = _take(
        TableSpec(read="shop 1.sqlite", query="select item, sum(sold) n from sales group by 1"), shop
    )
    assert rows == [{"item": "a", "n": 28}, {"item": "b", "n": 28}]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"table": "mixed"}, "column 'v' can't be read"),
        ({"table": "bare"}, "no rows"),
        ({"table": "sale"}, "no table 'sale'"),
        ({"query": "update sales set price = 0"}, "refused"),
        ({"query": "drop table sales"}, "refused"),
    ],
)
def test_mistakes_with_sqlite_are_told(shop: Path, table: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        _take(TableSpec(read="shop 1.sqlite", **table), shop)  # type: ignore[arg-type]  # all texts
    assert len(_take(TableSpec(read="shop 1.sqlite", table="sales"), shop)[1]) == 56


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("no database")
    with pytest.raises(DataError, match="refused"):
        _take(TableSpec(read="x.db", table="t"), tmp_path)
