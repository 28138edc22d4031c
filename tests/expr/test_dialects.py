"""What PostgreSQL makes of expressions, against DuckDB's SQL, which is the graph's to the bit; Spark's text
by way of its parser."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import duckdb
import pytest
import sqlglot

from headrace.core.errors import ExprError, UserError
from headrace.core.schema import Type
from headrace.expr import parse, to_sql
from headrace.expr.dialects import POSTGRES, SPARK, dialect_of
from headrace.expr.to_sql import WRITE

TYPES = {"i": Type.NUMBER, "a": Type.NUMBER, "b": Type.NUMBER, "s": Type.TEXT, "t": Type.TIME, "f": Type.BOOL}
ROWS: list[tuple[Any, ...]] = [
    (0, 2.5, -1.5, "rain", datetime(2024, 3, 31, 0, 59, 59, 999_999), True),
    (1, -2.5, 0.0, "it's", datetime(2024, 3, 31, 1, 0), False),
    (2, 0.49999999999999994, 3.0, "Straße", datetime(1969, 12, 31, 23, 59, 59, 1), None),
    (3, 1e300, 2.0, "", datetime(2024, 2, 29, 12, 30), True),
    (4, None, 7.25, None, None, False),
    (5, -7.0, -0.0, "a\\b", datetime(1, 1, 1), True),
    (6, 3.5, None, "RAIN", datetime(9999, 12, 31, 23, 59, 59, 999_999), None),
    (7, -0.5, 1e-3, "%_", datetime(2024, 10, 27, 1, 30), False),
]
EXPRESSIONS = [
    "a + b", "a - b * 2", "b * b - a / 4", "a / b", "-a", "abs(a)", "floor(a)", "ceil(a)", "trunc(b)",
    "round(a)", "cast(a as int)", "sign(a)", "sqrt(b)", "ln(b)", "exp(b)", "sin(b)", "cos(b)",
    "greatest(a, b)", "least(a, b, 0)", "a = b", "a < b", "a <= 2.5", "a is not distinct from b",
    "f and a > 0", "f or a > 0", "not f", "a is null", "f is true",
    "case when a > 0 then a when f then b else 1 end", "coalesce(a, b, 0)", "a in (2.5, -7)",
    "s in ('rain', 'it''s', 'a\\b')", "s not in ('rain', null)", "cast(f as double)", "s || '-' || s",
    "lower(s)", "upper(s)", "s like 'ra%'", "s like '%ße'", "contains(s, '\\\\')", "contains(s, 'ai')",
    "ends_with(s, '')", "year(t)", "quarter(t)", "month(t)", "day(t)", "hour(t)", "minute(t)",
    "second(t)", "dayofweek(t)", "isodow(t)", "dayofyear(t)", "week(t)", "epoch(t)",
    "date_trunc('hour', t)", "date_trunc('week', t)", "date_trunc('quarter', t)", "t + interval 3 hours",
    "t - interval 1 day", "t > timestamp '2024-03-31 01:00'",
    "date_diff('day', timestamp '2024-01-01', t)", "date_diff('week', timestamp '2024-01-01', t)",
    "date_diff('month', timestamp '2024-01-01', t)", "date_diff('year', timestamp '2024-01-01', t)",
    "epoch(t) - epoch(timestamp '2024-01-01')", "case when a / b > 1 then sqrt(a / b) else ln(a / b) end",
]  # fmt: skip
ZONES = ("UTC", "Europe/Berlin", "America/New_York")
CLOCKS = ("hour(t)", "dayofweek(t)", "day(t)", "date_diff('day', timestamp '2024-01-01', t)", "week(t)")


def asked() -> list[tuple[str, str]]:
    return [(e, "UTC") for e in EXPRESSIONS] + [(e, z) for e in CLOCKS for z in ZONES[1:]]


def test_postgres_agrees_with_duckdb(postgres_server: str) -> None:
    import psycopg

    exprs = [parse(text, TYPES, zone=zone) for text, zone in asked()]
    names = ", ".join(TYPES)
    with psycopg.connect(postgres_server) as db, duckdb.connect() as duck:
        db.execute("create temp table x (i int, a float8, b float8, s text, t timestamp, f bool)")
        duck.execute("create table x (i int, a double, b double, s varchar, t timestamp, f boolean)")
        with db.cursor() as cursor:
            cursor.executemany("insert into x values (%s, %s, %s, %s, %s, %s)", ROWS)
        duck.executemany("insert into x values (?, ?, ?, ?, ?, ?)", ROWS)
        for (text, zone), expr in zip(asked(), exprs, strict=True):
            query = f"select {{}} from (select {names} from x) y order by i"
            theirs = db.execute(query.format(to_sql(expr, POSTGRES)).encode()).fetchall()
            ours = duck.execute(query.format(to_sql(expr))).fetchall()
            agree(text, zone, ours, theirs)


def agree(text: str, zone: str, ours: list[tuple[Any, ...]], theirs: list[tuple[Any, ...]]) -> None:
    for row, (mine,), (found,) in zip(ROWS, ours, theirs, strict=True):
        if isinstance(found, datetime):
            found = found.replace(tzinfo=None)
        same = mine == found
        if isinstance(mine, float) and found is not None:
            same = math.isclose(mine, found, rel_tol=1e-14)
        assert same, (text, zone, row, mine, found)


def test_spark_s_text_means_the_same_to_its_parser() -> None:
    """Spark is not run: sqlglot reads the text as Spark's and says it in DuckDB's words."""
    with duckdb.connect() as duck:
        duck.execute("set timezone = 'UTC'")
        for macro in (
            "unix_micros(t) as epoch_us(t)",
            "timestamp_micros(n) as make_timestamp(n)",
            "make_dt_interval(d, h, m, s) as to_seconds(s)",
            "rint(x) as round_even(x, 0)",
        ):
            duck.execute(f"create macro {macro}")
        duck.execute("create table x (i int, a double, b double, s varchar, t timestamp, f boolean)")
        duck.executemany("insert into x values (?, ?, ?, ?, ?, ?)", ROWS)
        for text, zone in [*asked(), ("a % b", "UTC"), ("a ** b", "UTC")]:
            if text in ("dayofweek(t)", "isodow(t)"):
                continue  # Spark's weeks begin with 1, which sqlglot forgets
            expr = parse(text, TYPES, zone=zone)
            query = f"select {{}} as x from (select {', '.join(TYPES)} from x) y order by i"
            (written,) = sqlglot.transpile(query.format(to_sql(expr, SPARK)), read="spark", write="duckdb")
            ours = duck.execute(query.format(to_sql(expr))).fetchall()
            agree(text, zone, ours, duck.execute(written).fetchall())
    assert to_sql(parse("s = 'it''s a\\b'", TYPES), SPARK) == "(CAST(`s` AS STRING) = 'it\\'s a\\\\b')"
    assert to_sql(parse("dayofweek(t)", TYPES), SPARK).startswith("CAST((dayofweek(")


def test_operations_without_an_exact_form_are_refused() -> None:
    assert set(WRITE) - set(POSTGRES.write) == {"mod", "pow", "parse"}
    assert set(WRITE) - set(SPARK.write) == {"parse"}
    with pytest.raises(ExprError, match="PostgreSQL has no exact form of the operation 'pow'"):
        to_sql(parse("a ** b", TYPES), POSTGRES)
    with pytest.raises(UserError, match="the start of a unit on the clock of Europe/Berlin"):
        to_sql(parse("date_trunc('day', t)", TYPES, zone="Europe/Berlin"), POSTGRES)
    with pytest.raises(UserError, match="there is no dialect 'oracle'"):
        dialect_of("oracle")
