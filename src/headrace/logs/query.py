"""Questions to the log in SQL, answered by DuckDB in memory, which reads the log's files and nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import pyarrow as pa

from headrace.core.errors import UserError
from headrace.core.sql import quoted, sql_text
from headrace.logs.columns import ANSWER, FILLED, FIXED, INPUT, concat, is_json, to_table, unites
from headrace.logs.compact import segment_tables
from headrace.logs.label_tables import LabelTables
from headrace.logs.parts import Parts, load, reading
from headrace.logs.read import fresh_segments, part_schema, part_tables

_PREDICTION = "prediction"
RENAMED = {"by": "answered_by", "of": "shadow_of"}
"""Columns whose names are words of SQL, and what they are called in queries."""
_ANSWERED = """
CREATE VIEW answered AS
SELECT p.*, l.label, l.weight AS label_weight, l.arrived AS labelled
FROM predictions p LEFT JOIN newest_labels l ON l.id = coalesce(nullif(p.shadow_of, ''), p.id)"""


@dataclass(frozen=True)
class Told:
    """The answer to a query: the columns' names and types, and rows."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[tuple[Any, ...]]


@dataclass(frozen=True)
class Opened:
    """A connection with the table `predictions`, and which of its columns hold JSON."""

    db: duckdb.DuckDBPyConnection
    as_json: frozenset[str]


@contextmanager
def opened(folder: Path) -> Iterator[Opened]:
    """A connection that can read the log's files and no other, load nothing, and write nowhere.

    Raises:
        StoreError: the log can't be read.
        Corrupt: a file of it is not what was written.
    """
    with (
        reading(folder),
        tempfile.TemporaryDirectory(prefix="headrace-") as spill,
        duckdb.connect(
            ":memory:", config={"temp_directory": spill, "python_enable_replacements": False}
        ) as db,
    ):
        counts = load(folder)
        fresh = concat([to_table([], ""), *_fresh(folder, counts)])
        files = [str(folder / p.file) for p in counts.parts]
        schemas = [fresh.schema, *(part_schema(folder, p) for p in counts.parts)]
        if not unites(schemas):
            # SQL would refuse: these columns become JSON, at the price of reading everything.
            fresh = concat([fresh, *(t for part in counts.parts for t in part_tables(folder, part))])
            files, schemas = [], [fresh.schema]
        names = _predictions(db, files, fresh)
        db.execute("SET allowed_paths = " + _list(files))
        db.execute("SET enable_external_access = false")
        db.execute("SET lock_configuration = true")
        yield Opened(db, frozenset(names[f.name] for schema in schemas for f in schema if is_json(f)))


Select: TypeAlias = str | Callable[[tuple[str, ...]], str]
"""A SELECT, or what writes it for the names that the columns of `predictions` have."""


def query(folder: Path, sql: Select, labels: LabelTables) -> Told:
    """Ask one SELECT over `predictions`, `labels` and `answered`.

    Raises:
        UserError: it is no single SELECT, or DuckDB refuses it.
        StoreError: the log can't be read.
    """
    with opened(folder) as log:
        return ask(log.db, sql, labels)


def ask(db: duckdb.DuckDBPyConnection, sql: Select, labels: LabelTables) -> Told:
    """`query` on a connection that `opened` gave, once: adds the table `labels` and the view `answered`,
    every prediction with its newest label.

    Raises:
        UserError: it is no single SELECT, or DuckDB refuses it.
    """
    db.register("labels", labels.every)
    db.register("newest_labels", labels.newest)
    db.execute(_ANSWERED)
    try:
        statements = db.extract_statements(sql if isinstance(sql, str) else sql(_columns(db)))
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise UserError(
                "only one SELECT is answered",
                why="the log is read here, never written",
                fix='ask such as "SELECT release, count(*) FROM predictions GROUP BY 1"',
            )
        done = db.execute(statements[0])
        about = done.description or []
        rows = done.fetchall()
    except duckdb.Error as error:
        raise UserError("DuckDB refuses the query", why=str(error), fix=_fix(db)) from error
    return Told(tuple(str(c[0]) for c in about), tuple(str(c[1]) for c in about), rows)


def _fix(db: duckdb.DuckDBPyConnection) -> str:
    return f"columns of predictions: {', '.join(_columns(db))}"


def _columns(db: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    return tuple(r[0] for r in db.execute("DESCRIBE predictions").fetchall())


def _fresh(folder: Path, counts: Parts) -> list[pa.Table]:
    return [t for path in fresh_segments(folder, counts) for t in segment_tables(path)]


def _predictions(db: duckdb.DuckDBPyConnection, files: list[str], fresh: pa.Table) -> Mapping[str, str]:
    """Make the view `predictions` of parts and a table of fresh rows; what columns are called there."""
    db.register("fresh", fresh)
    every = "SELECT * FROM fresh"
    if files:
        every = f"SELECT * FROM read_parquet({_list(files)}, union_by_name = true) UNION ALL BY NAME {every}"
    found = db.execute(f"DESCRIBE {every}").fetchall()
    names = _names(r[0] for r in found)
    columns = ", ".join(f"{quoted(old)} AS {quoted(new)}" for old, new in names.items())
    if _PREDICTION not in names.values():  # nothing was answered yet, or nothing but failures
        columns += f", CAST(NULL AS DOUBLE) AS {_PREDICTION}"
    db.execute(f"CREATE OR REPLACE VIEW predictions AS SELECT {columns} FROM ({every})")
    db.execute("SELECT * FROM predictions LIMIT 0")
    return names


def _names(columns: Iterator[str]) -> Mapping[str, str]:
    """What columns are called in queries: `input_NAME`, `filled_NAME`; parts of an answer by their own names,
    where no other column has them."""
    taken = {RENAMED.get(n, n) for n in FIXED}
    there = list(columns)
    names = {n: RENAMED.get(n, n) for n in FIXED if n in there}
    for column in there:
        if column.startswith(ANSWER):
            short = column.removeprefix(ANSWER)
            names[column] = f"answer_{short}" if short.lower() in taken else short
        elif column.startswith(INPUT):
            names[column] = f"input_{column.removeprefix(INPUT)}"
        elif column.startswith(FILLED):
            names[column] = f"filled_{column.removeprefix(FILLED)}"
    return names


def _list(texts: list[str]) -> str:
    return "[" + ", ".join(map(sql_text, texts)) + "]"
