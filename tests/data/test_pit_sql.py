"""Lookups and histories in SQL against headrace's own, on DuckDB and a real PostgreSQL: random tables with
ties, nulls, rows known late, ages at the edge, duplicates; Spark's text by way of its parser."""

from __future__ import annotations

import itertools
import math
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlglot

from headrace.core.errors import ExprError, UserError
from headrace.core.history import History
from headrace.core.schema import Type
from headrace.core.spec.tables import Data
from headrace.data.history.index import HistoryTable, plain
from headrace.data.history.parse import parse_aggregate
from headrace.data.history.plan import plan_histories
from headrace.data.lookup import LookupTable
from headrace.data.pit_sql.emit import pit_sql
from headrace.data.pit_sql.plan import Plan
from headrace.data.rows import moments

COLUMNS = {
    "k": (Type.TEXT, pa.string()),
    "n": (Type.NUMBER, pa.int64()),
    "at": (Type.TIME, pa.timestamp("us")),
    "told": (Type.TIME, pa.timestamp("us")),
    "x": (Type.NUMBER, pa.float64()),
    "ok": (Type.BOOL, pa.bool_()),
    "word": (Type.TEXT, pa.string()),
    "pos": (Type.NUMBER, pa.int64()),
}
TYPES = {c: t for c, (t, _) in COLUMNS.items()}
EVENTS = {c: TYPES[c] for c in ("pos", "k", "n", "at")}
DATA = Data.model_validate(
    {
        "events": "asked",
        "time": "at",
        "lead": "2 us",
        "tables": {
            "asked": {"read": "x.csv"},
            "newest": {"read": "x.csv", "key": "k", "time": "at", "ttl": "5 us"},
            "late": {"read": "x.csv", "key": ("k", "n"), "time": "at", "known_at": "told", "ttl": "30 us"},
            "ever": {"read": "x.csv", "key": "k", "time": "at", "known_at": "told"},
            "names": {"read": "x.csv", "key": "n"},
        },
    }
)
LOOKUPS = {"newest": ("x", "word"), "late": ("x", "ok", "at"), "ever": ("word",), "names": ("word", "at")}
AGGREGATES = [
    "count()", "count(x)", "sum(x)", "avg(x * 2)", "min(x)", "max(at)", "stddev(x)", "share(x > 3)",
    "first(x)", "last(word)", "last(ok)", "first(told)", "distinct(word)", "quantile(x, 0.9)", "since_last()",
]  # fmt: skip
WHERES = (None, "ok", "x >= 2 or word = 'it''s'")
BYS: tuple[tuple[str, ...], ...] = ((), ("k",), ("k", "n"))


def table(draw: random.Random, rows: int, columns: list[str]) -> pa.Table:
    """Few distinct moments and keys, so that ties and duplicates are many."""

    def maybe(value: Any) -> Any:
        return None if draw.random() < 0.1 else value

    at = [maybe(draw.randrange(-20, 60)) for _ in range(rows)]
    made: dict[str, list[Any]] = {
        "k": [maybe(draw.choice("abc")) for _ in range(rows)],
        "n": [maybe(draw.choice([1, 2, 2**53 + 1])) for _ in range(rows)],
        "at": at,
        "told": [maybe((a or 0) + draw.choice([-3, 0, 0, 1, 5, 40])) for a in at],
        "x": [maybe(draw.choice([0.5, 1.0, 2.0, 7.0, -0.0, 3.25])) for _ in range(rows)],
        "ok": [maybe(draw.random() < 0.5) for _ in range(rows)],
        "word": [maybe(draw.choice(["", "rain", "it's", "a\\b"])) for _ in range(rows)],
        "pos": list(range(rows)),
    }
    return pa.table({c: pa.array(made[c], COLUMNS[c][1]) for c in columns})


def world(seed: int) -> dict[str, pa.Table]:
    draw = random.Random(seed)
    every = list(COLUMNS)
    found = {name: table(draw, draw.choice([0, 1, 40, 90]), every) for name in ("newest", "late", "ever")}
    found["names"] = table(draw, 3, every).set_column(1, "n", pa.array([1, None, 2**53 + 1]))
    asked = table(draw, 60, list(EVENTS))
    return found | {"asked": pa.concat_tables([asked, asked.slice(0, 7)])}  # some rows twice


def histories(seed: int, table: str) -> tuple[History, ...]:
    draw = random.Random(seed)
    every = list(itertools.product(AGGREGATES, WHERES, (None, 7, 30), BYS, (None, "told")))
    found = []
    for i, (text, where, window, by, known_at) in enumerate(draw.sample(every, 14)):
        made = parse_aggregate(text, TYPES)
        found.append(
            History(
                f"h{i}", made.function, made.argument, made.value.text if made.value else None,
                made.value.type if made.value else None, where, by, table, "at", known_at, window, made.type,
            )
        )  # fmt: skip
    return tuple(found)


def expected(tables: dict[str, pa.Table], chosen: tuple[History, ...], folder: Path) -> list[dict[str, Any]]:
    """What headrace finds, a row of the events each."""
    for name, content in tables.items():
        pq.write_table(content, folder / f"{name}.parquet")
    asked = tables["asked"].combine_chunks()
    now = moments(asked["at"].combine_chunks(), DATA.lead)
    rows = [{c: v for c, v in row.items() if c in EVENTS} for row in asked.to_pylist()]
    for name, columns in LOOKUPS.items():
        side = LookupTable.load(name, folder / f"{name}.parquet", DATA.tables[name], columns)
        spots = side.match([asked[k].combine_chunks() for k in side.keys], now)
        for column in columns:
            for row, value in zip(rows, side.take(column, spots).to_pylist(), strict=True):
                row[f"{name}.{column}"] = value
    for name in {h.table for h in chosen}:
        own = [h for h in chosen if h.table == name]
        graph = plan_histories(own, {name: TYPES if name != "asked" else EVENTS}).graphs[name]
        held = HistoryTable.load(folder / f"{name}.parquet", own, graph)
        values = held.compute({k: asked[k].combine_chunks() for k in held.by}, now)
        for history in own:
            for row, value in zip(rows, values[history.name], strict=True):
                row[history.column] = plain(value, history.type)
    return rows


def agree(given: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    """The same rows as often, whatever their order; sums to the last digits."""

    def key(row: dict[str, Any]) -> str:
        return repr([row[c] for c in EVENTS])

    assert len(given) == len(wanted)
    for mine, theirs in zip(sorted(wanted, key=key), sorted(given, key=key), strict=True):
        assert mine.keys() == theirs.keys()
        for column, value in mine.items():
            found = theirs[column]
            if column.startswith("history.") and isinstance(found, datetime):
                found = (found - datetime(1970, 1, 1)) // timedelta(microseconds=1)
            same = found == value
            if isinstance(value, float) and found is not None:
                same = math.isclose(float(found), value, rel_tol=1e-12, abs_tol=1e-12)
            assert same, (column, found, value, mine)


@pytest.mark.parametrize("seed", range(25))
def test_duckdb_finds_what_headrace_finds(seed: int, tmp_path: Path) -> None:
    tables, chosen = world(seed), histories(seed, ("newest", "late")[seed % 2])
    plan = Plan(DATA, schemas(), LOOKUPS, chosen, position="pos")
    with duckdb.connect() as db:
        for name, content in tables.items():
            db.register(name, content)
        given = db.sql(pit_sql(plan, "duckdb")).to_arrow_table().to_pylist()
    agree(given, expected(tables, chosen, tmp_path))


@pytest.mark.parametrize("seed", range(100, 112))
def test_postgres_finds_what_headrace_finds(seed: int, postgres_server: str, tmp_path: Path) -> None:
    import psycopg
    from psycopg.rows import dict_row

    tables, chosen = world(seed), histories(seed, ("newest", "late")[seed % 2])
    plan = Plan(DATA, schemas(), LOOKUPS, chosen, position="pos")
    with psycopg.connect(postgres_server, row_factory=dict_row) as db:
        for name, content in tables.items():
            fill(db, name, content)
        given = db.execute(pit_sql(plan, "postgres")).fetchall()
        db.rollback()
    agree(given, expected(tables, chosen, tmp_path))


def fill(db: Any, name: str, content: pa.Table) -> None:
    kinds = {Type.TEXT: "text", Type.NUMBER: "float8", Type.TIME: "timestamp", Type.BOOL: "bool"}
    columns = [
        f'"{c}" ' + ("bigint" if pa.types.is_integer(content[c].type) else kinds[TYPES[c]])
        for c in content.column_names
    ]
    db.execute(f"create temp table {name} ({', '.join(columns)})")
    with db.cursor().copy(f"copy {name} from stdin") as copy:
        for row in zip(*(c.to_pylist() for c in content.columns), strict=True):
            copy.write_row(row)


def schemas() -> dict[str, dict[str, Type]]:
    return {n: TYPES if n != "asked" else EVENTS for n in DATA.tables}


@pytest.mark.parametrize("seed", range(200, 208))
def test_spark_s_text_means_the_same_to_its_parser(seed: int, tmp_path: Path) -> None:
    """Spark is not run: sqlglot reads the text as Spark's and says it in DuckDB's words."""
    tables, chosen = world(seed), histories(seed, ("newest", "late")[seed % 2])
    written = pit_sql(Plan(DATA, schemas(), LOOKUPS, chosen, position="pos"), "spark")
    assert "ASOF" not in written.upper()
    (text,) = sqlglot.transpile(written, read="spark", write="duckdb")
    with duckdb.connect() as db:
        db.execute("set timezone = 'UTC'")
        db.execute("create macro unix_micros(t) as epoch_us(t)")
        db.execute("create macro timestamp_micros(n) as make_timestamp(n)")
        for name, content in tables.items():
            db.register(name, content)
        given = db.sql(text).to_arrow_table().to_pylist()
    agree(given, expected(tables, chosen, tmp_path))


def test_events_that_are_their_own_history(tmp_path: Path) -> None:
    """A row never sees itself, nor another of the same moment."""
    tables = world(3)
    chosen = (
        History("n", "count", None, None, None, None, ("k",), "asked", "at", None, None, Type.NUMBER),
        History("since", "since_last", None, None, None, None, (), "asked", "at", None, 9, Type.NUMBER),
    )
    plan = Plan(DATA, schemas(), {}, chosen, position="pos")
    with duckdb.connect() as db:
        for name, content in tables.items():
            db.register(name, content)
        given = db.sql(pit_sql(plan, "duckdb")).to_arrow_table().to_pylist()
    wanted = expected(tables, chosen, tmp_path)
    agree(given, [{c: v for c, v in r.items() if c in EVENTS or c.startswith("history.")} for r in wanted])


def test_without_a_position_the_values_decide() -> None:
    """Ties are decided the same way on every run, by the largest values, and the query says so."""
    when = pa.array([5, 5, 5], pa.timestamp("us"))
    side = pa.table({"k": ["a"] * 3, "at": when, "x": [2.0, 9.0, 1.0], "word": ["b", "a", "c"]})
    asked = pa.table({"pos": [1], "k": ["a"], "n": [0], "at": pa.array([7], pa.timestamp("us"))})
    text = pit_sql(Plan(DATA, schemas(), {"newest": ("x", "word")}), "duckdb")
    assert "by their values" in text
    with duckdb.connect() as db:
        db.register("newest", side)
        db.register("asked", asked)
        (row,) = db.sql(text).to_arrow_table().to_pylist()
    assert (row["newest.x"], row["newest.word"]) == (9.0, "a")


def test_tables_of_other_names_are_read_from_there() -> None:
    plan = Plan(DATA, schemas(), {"names": ("word",)}, relations={"asked": "sales.asked", "names": "ref.n"})
    text = pit_sql(plan, "postgres")
    assert "FROM sales.asked" in text and "FROM ref.n" in text
    with pytest.raises(UserError, match="there is no table 'nams'"):
        pit_sql(Plan(DATA, schemas(), {}, relations={"nams": "x"}), "postgres")


def test_what_can_t_be_written_is_refused_by_name() -> None:
    made = parse_aggregate("avg(x % 3)", TYPES)
    assert made.value is not None
    history = History(
        "h", "avg", None, made.value.text, Type.NUMBER, None, (), "late", "at", None, 9, made.type
    )
    plan = Plan(DATA, schemas(), {}, (history,))
    assert "%" in pit_sql(plan, "duckdb") and "%" in pit_sql(plan, "spark")
    with pytest.raises(ExprError, match="PostgreSQL has no exact form of the operation 'mod'"):
        pit_sql(plan, "postgres")
    with pytest.raises(UserError, match="there is no dialect 'postgre': duckdb, postgres, spark"):
        pit_sql(plan, "postgre")
    with pytest.raises(UserError, match="column '__at' begins with two underscores"):
        pit_sql(Plan(DATA, {**schemas(), "asked": {"__at": Type.TIME}}, {}), "duckdb")
    timeless = Data.model_validate(
        {"events": "asked", "tables": {"asked": {"read": "x"}, "late": {"read": "x"}}}
    )
    with pytest.raises(UserError, match="the events have no time to look rows up at"):
        pit_sql(Plan(timeless, schemas(), {}, (history,)), "duckdb")
