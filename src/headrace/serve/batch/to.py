"""Answers into a table: each part is put there by its rows' key, so that doing it again changes nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from headrace.core.errors import DataError, MissingDependency, UserError
from headrace.core.sql import quoted

KEY = ("source", "row")
"""What names a row of a batch where no column of its own does."""
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?")
_ROWS = 65_536
Load = Callable[[Path, str], int]


def loader(to: str, root: Path, key: Sequence[str] = ()) -> tuple[str, Load]:
    """What puts parts into the table `to`, and its address without secrets.

    to: `duckdb:FILE#TABLE`, `postgresql://…#TABLE`, or `$VARIABLE#TABLE` with either in the variable; TABLE
    may have a schema. The table is made where there is none, with `key` (default: source and row) as its
    primary key; rows that are there are replaced.

    Raises:
        UserError: it is none of these, or the variable is not set.
    """
    place, mark, table = to.rpartition("#")
    if place.startswith("$"):
        name = place[1:]
        if name not in os.environ:
            raise UserError(f"the variable {name} is not set", where=to, fix=f"export {name}=postgresql://…")
        place = os.environ[name]
    if not mark or not _NAME.fullmatch(table):
        raise UserError(
            "that names no table",
            where=to,
            fix="write duckdb:FILE#TABLE or '$VARIABLE#TABLE', TABLE a plain name",
        )
    keys = tuple(key) or KEY
    if place.startswith("duckdb:"):
        file = (root / place.removeprefix("duckdb:")).resolve()
        return f"duckdb:{file}#{table}", lambda part, _: _duckdb(file, table, keys, part)
    url = urlsplit(place)
    if url.scheme.partition("+")[0] in ("postgres", "postgresql"):
        plain = place.replace(url.scheme, "postgresql", 1)
        told = f"postgresql://{url.hostname or ''}:{url.port or 5432}{url.path}#{table}"
        return told, lambda part, _: _postgres(plain, told, table, keys, part)
    raise UserError(
        f"tables of {url.scheme or 'that'} can't be written",
        fix="write duckdb:FILE#TABLE or '$VARIABLE#TABLE' with a URL of PostgreSQL",
    )


def _duckdb(file: Path, table: str, key: Sequence[str], part: Path) -> int:
    import duckdb

    schema = _schema(part, key)
    try:
        with closing(duckdb.connect(str(file))) as db:
            db.execute("SET preserve_insertion_order = false")
            db.execute(_create(schema, table, key))
            names = ", ".join(quoted(n) for n in schema.names)
            count = db.execute(
                f"INSERT INTO {_table(table)} ({names}) SELECT {names} FROM read_parquet(?) "
                f"ON CONFLICT ({_list(key)}) {_update(schema, key)}",
                [str(part)],
            ).fetchone()
    except duckdb.Error as error:
        raise _refused(error, f"{file}#{table}") from error
    return int(count[0]) if count else 0


def _postgres(url: str, told: str, table: str, key: Sequence[str], part: Path) -> int:
    try:
        import psycopg
    except ImportError as error:
        raise MissingDependency(
            "writing to PostgreSQL needs psycopg", fix="pip install 'headrace[databases]'"
        ) from error
    schema = _schema(part, key)
    names = ", ".join(quoted(n) for n in schema.names)
    try:
        # One transaction: the part is there, or nothing of it is.
        with psycopg.connect(url) as db, db.cursor() as cursor:
            cursor.execute("SET client_min_messages = warning")
            _made_once(cursor, _create(schema, table, key))
            cursor.execute(f"CREATE TEMP TABLE headrace_part (LIKE {_table(table)}) ON COMMIT DROP")
            with cursor.copy(f"COPY headrace_part ({names}) FROM STDIN (FORMAT csv)") as copy:
                for block in _csv(part):
                    copy.write(block)
            cursor.execute(
                f"INSERT INTO {_table(table)} ({names}) SELECT {names} FROM headrace_part "
                f"ON CONFLICT ({_list(key)}) {_update(schema, key)}"
            )
            return int(cursor.rowcount)
    except psycopg.Error as error:
        raise _refused(error, told) from error


def _made_once(cursor: Any, statement: str) -> None:
    """Where two make the table at once, PostgreSQL refuses the second, in spite of IF NOT EXISTS."""
    cursor.execute("SELECT pg_advisory_xact_lock(hashtext('headrace table'))")
    cursor.execute(statement)


def _csv(part: Path) -> Iterator[bytes]:
    """A part's rows as COPY reads them: nothing is null, two quotes are the empty text."""
    options = pa_csv.WriteOptions(include_header=False)
    for batch in pq.ParquetFile(part).iter_batches(_ROWS):
        arrays = [c.cast(pa.string()) if pa.types.is_dictionary(c.type) else c for c in batch.columns]
        sink = pa.BufferOutputStream()
        pa_csv.write_csv(pa.RecordBatch.from_arrays(arrays, batch.schema.names), sink, options)
        yield sink.getvalue().to_pybytes()


def _schema(part: Path, key: Sequence[str]) -> pa.Schema:
    if part.suffix != ".parquet":
        raise UserError("answers go to a table from Parquet parts", fix="leave --format out, or --to")
    schema = pq.read_schema(part)
    missing = [k for k in key if k not in schema.names]
    if missing:
        raise UserError(
            f"the parts have no column {missing[0]!r}", where=str(part), fix="name it with --keep too"
        )
    return schema


def _create(schema: pa.Schema, table: str, key: Sequence[str]) -> str:
    columns = [f"{quoted(f.name)} {_type(f.type)}" for f in schema]
    return f"CREATE TABLE IF NOT EXISTS {_table(table)} ({', '.join(columns)}, PRIMARY KEY ({_list(key)}))"


def _update(schema: pa.Schema, key: Sequence[str]) -> str:
    rest = [quoted(n) for n in schema.names if n not in key]
    return f"DO UPDATE SET {', '.join(f'{n} = excluded.{n}' for n in rest)}"


def _type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "BOOLEAN"
    if pa.types.is_integer(kind):
        return "BIGINT"
    if pa.types.is_floating(kind):
        return "DOUBLE PRECISION"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP" if kind.tz is None else "TIMESTAMP WITH TIME ZONE"
    return "DATE" if pa.types.is_date(kind) else "TEXT"


def _list(names: Sequence[str]) -> str:
    return ", ".join(quoted(n) for n in names)


def _table(name: str) -> str:
    return ".".join(quoted(p) for p in name.split("."))


def _refused(error: Exception, where: str) -> DataError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return DataError(
        f"the database refused: {lines[0] if lines else type(error).__name__}",
        where=where,
        why=" ".join(lines[1:3]),
        fix="check its address and rights, and that the table has the answers' columns and primary key",
    )
