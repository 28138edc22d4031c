"""Tables and queries of databases as sources: read-only, in a stated order, credentials from the environment.

SQLAlchemy speaks to the database. Whole reads happen in one read-only transaction (PostgreSQL: repeatable
read, through a server-side cursor; SQLite: the file is opened read-only), so that a source can't change
anything and sees one state. Rows without an order of their own are sorted by the primary key, or by every
column that can be: the same rows are the same snapshot.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa

from headrace.core.errors import DataError, MissingDependency, Problem, did_you_mean
from headrace.core.spec.tables import TableSpec
from headrace.data.privacy.redact import Redaction
from headrace.data.raw import Raw
from headrace.data.spool import spooled

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, CursorResult, Engine

_ROWS = 10_000
_FILE = re.compile(r".+\.(sqlite|sqlite3|db)$", re.IGNORECASE)
_VARIABLE = re.compile(r"\$([A-Za-z_]\w*)")
_MOMENT, _CLOCK = pa.timestamp("us", "UTC"), pa.timestamp("us")
_POSTGRES: dict[int, pa.DataType] = {
    16: pa.bool_(),
    **dict.fromkeys((20, 21, 23, 26), pa.int64()),
    700: pa.float32(),
    701: pa.float64(),
    1700: pa.float64(),
    1082: pa.date32(),
    1114: _CLOCK,
    1184: _MOMENT,
    **dict.fromkeys((18, 19, 25, 1042, 1043, 2950), pa.string()),
}
"""PostgreSQL's type numbers (pg_type.oid): what has no place here is kept as a column that can't be used."""


@dataclass(frozen=True)
class _Column:
    """A column of a result. `kind` is None where it is seen from the values (SQLite)."""

    name: str
    kind: pa.DataType | None


def is_database(read: str) -> bool:
    """Whether `read:` names a database: `$VARIABLE` with its URL, a URL, or an SQLite file."""
    return bool(_VARIABLE.fullmatch(read) or "://" in read or _FILE.fullmatch(read))


def open_database(
    table: TableSpec,
    *,
    root: Path,
    spool: Path | None,
    times: Sequence[str],
    redaction: Redaction | None = None,
) -> Raw:
    """Read `table.table` or `table.query`. `spool` is a folder that takes the rows; without it only the
    first 20,480 are taken, enough to see the columns.

    Raises:
        DataError: the database can't be reached, has no such table, refuses the query, or gives a value
            that has no place in a table.
        MissingDependency: SQLAlchemy or the database's driver is not installed.
    """
    name = label(table)
    return spooled(name, _chunks(table, root, name), spool=spool, times=times, redaction=redaction)


def label(table: TableSpec) -> str:
    """The source as messages call it: no URL, which may hold secrets."""
    place = table.read.partition("://")[0] if "://" in table.read else table.read
    return f"{place}: {table.table or 'query'}"


def address(table: TableSpec, root: Path) -> str:
    """Which database is read, without user and password: part of what decides whether to read again.

    Raises:
        DataError: the variable that should hold the URL is not set, or the URL is none.
        MissingDependency: SQLAlchemy is not installed.
    """
    if _FILE.fullmatch(table.read):
        return str((root / table.read).resolve())
    url = _url(table)
    return f"{url.get_backend_name()}://{url.host or ''}:{url.port or ''}/{url.database or ''}"


def _chunks(table: TableSpec, root: Path, name: str) -> Generator[pa.Table, None, None]:
    from sqlalchemy.exc import SQLAlchemyError

    engine = _engine(table, root)
    driver = engine.dialect.loaded_dbapi
    try:
        with _reading(engine) as connection, closing(_rows(connection, table)) as result:
            columns = _columns(result, engine)
            done = 0
            while rows := result.fetchmany(_ROWS):
                yield _table(columns, rows, name, done)
                done += len(rows)
            if not done:
                yield pa.table({c.name: pa.array([], c.kind or pa.null()) for c in columns})
    except (SQLAlchemyError, driver.Error) as error:
        raise _refused(error, name) from error
    finally:
        engine.dispose()


def _rows(connection: Connection, table: TableSpec) -> CursorResult[Any]:
    sql = _ordered(connection, table)
    return _execute(connection.execution_options(stream_results=True), sql)


def _execute(connection: Connection, sql: str) -> CursorResult[Any]:
    if connection.dialect.paramstyle in ("format", "pyformat"):
        sql = sql.replace("%", "%%")  # the driver would take it for a placeholder
    return connection.exec_driver_sql(sql)


@contextmanager
def _reading(engine: Engine) -> Iterator[Connection]:
    """One transaction that can't write."""
    options: dict[str, Any] = {}
    if engine.dialect.name == "postgresql":
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with engine.connect().execution_options(**options) as connection:
        yield connection


def _engine(table: TableSpec, root: Path) -> Engine:
    try:
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool
    except ImportError as error:
        raise _missing("sqlalchemy") from error
    if not _FILE.fullmatch(table.read):
        url = _url(table)
        try:
            return create_engine(url, poolclass=NullPool)
        except ImportError as error:
            raise _missing(error.name or url.drivername) from error
    path = (root / table.read).resolve()
    if not path.is_file():
        raise DataError(f"there is no file {table.read!r}", where=str(path.parent))

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)

    return create_engine("sqlite://", creator=connect, poolclass=NullPool)


def _missing(module: str) -> MissingDependency:
    return MissingDependency(
        f"{module.partition('.')[0]} is not installed",
        why="databases are read with it",
        fix="pip install 'headrace[databases]' (and your database's driver)",
    )


def _url(table: TableSpec) -> URL:
    try:
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError
    except ImportError as error:
        raise _missing("sqlalchemy") from error
    variable = _VARIABLE.fullmatch(table.read)
    text = os.environ.get(variable[1], "") if variable else table.read
    if not text:
        raise DataError(
            f"the environment has no variable {table.read[1:]}",
            why="it holds the database's URL, which is no part of the spec",
            fix=f"export {table.read[1:]}=postgresql://user:password@host/database",
        )
    try:
        url = make_url(text)
    except ArgumentError:
        raise DataError(
            f"{table.read!r} is no database URL", fix="write one such as postgresql://host:5432/database"
        ) from None
    if url.password is not None and not variable:
        raise DataError(
            "the spec holds a database password",
            why="the spec is kept in the ledger, where everybody reads it",
            fix="put the URL into an environment variable and write `read: $NAME`",
        )
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    return url


def _ordered(connection: Connection, table: TableSpec) -> str:
    """The statement that reads the source, in a stated order.

    Raises:
        DataError: there is no such table, or two columns of the query share a name.
    """
    if table.query is not None:
        query = table.query.strip().rstrip(";")
        keys: list[str] = []
        inner = f"({query}\n) as rows_"
    else:
        inner, keys = _quoted(connection, table.table or "")
    probe = _execute(connection, f"select * from {inner} limit 0")
    columns = _columns(probe, connection.engine)
    probe.close()
    _distinct(columns, label(table))
    if table.query is not None and _has_order(query, connection.dialect.name):
        return query
    quote_name = connection.dialect.identifier_preparer.quote_identifier
    keys = keys or [c.name for c in columns if c.kind != pa.binary()]
    order = ", ".join(quote_name(k) for k in keys)
    return f"select * from {inner}" + (f" order by {order}" if order else "")


def _has_order(query: str, dialect: str) -> bool:
    """Whether a query orders its rows. What the parser doesn't know is left to the database."""
    import sqlglot
    from sqlglot.errors import SqlglotError

    reader = {"postgresql": "postgres"}.get(dialect, dialect)
    try:
        parsed = sqlglot.parse_one(query, read=reader)
    except (SqlglotError, ValueError):
        return False
    return parsed is not None and parsed.args.get("order") is not None


def _quoted(connection: Connection, name: str) -> tuple[str, list[str]]:
    """A table's quoted name and its primary key.

    Raises:
        DataError: the database has no table or view of this name.
    """
    from sqlalchemy import inspect

    schema, _, bare = name.rpartition(".")
    inspector = inspect(connection)
    there = [*inspector.get_table_names(schema or None), *inspector.get_view_names(schema or None)]
    if bare not in there:
        raise DataError(f"the database has no table {name!r}", fix=did_you_mean(bare, there))
    quote_name = connection.dialect.identifier_preparer.quote_identifier
    full = f"{quote_name(schema)}.{quote_name(bare)}" if schema else quote_name(bare)
    return full, list(inspector.get_pk_constraint(bare, schema or None)["constrained_columns"])


def _columns(result: CursorResult[Any], engine: Engine) -> list[_Column]:
    described = result.cursor.description if result.cursor is not None else ()
    if engine.dialect.name != "postgresql":
        return [_Column(d[0], None) for d in described]
    return [_Column(d[0], _POSTGRES.get(int(d[1]), pa.binary())) for d in described]  # type: ignore[call-overload]  # the stubs know no type codes


def _distinct(columns: Sequence[_Column], name: str) -> None:
    names = [c.name for c in columns]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise DataError.of(
            [Problem(f"two columns are called {n!r}", name, fix="rename one with `as`") for n in twice]
        )


def _table(columns: Sequence[_Column], rows: Sequence[Any], name: str, done: int) -> pa.Table:
    arrays, problems = {}, []
    for i, column in enumerate(columns):
        try:
            arrays[column.name] = _array([row[i] for row in rows], column.kind)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            where = f"{name}: rows {done + 1} to {done + len(rows)}"
            fix = "cast it to one type in a `query:`"
            problems.append(Problem(f"column {column.name!r} can't be read: {error}", where, fix=fix))
    if problems:
        raise DataError.of(problems)
    return pa.table(arrays)


def _array(values: list[Any], kind: pa.DataType | None) -> Any:
    if kind == pa.binary():
        return pa.nulls(len(values), kind)  # a type without a place in headrace: it is told where it is used
    if kind is not None and pa.types.is_floating(kind):
        values = [float(v) if isinstance(v, Decimal) else v for v in values]
    if kind is not None and pa.types.is_string(kind):
        values = [v if v is None else str(v) for v in values]
    return pa.array(values, kind)


def _refused(error: BaseException, name: str) -> DataError:
    cause = getattr(error, "orig", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return DataError(
        f"the database refused: {lines[0] if lines else type(cause).__name__}",
        where=name,
        why=" ".join(lines[1:3]),
        fix="check the URL, the rights of its user (reading is all that is needed), and the query",
    )
