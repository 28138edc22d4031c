"""A source, frozen: streamed into content-addressed Parquet in memory that doesn't grow with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pyarrow as pa

from headrace.core.digest import digest, digest_file
from headrace.core.errors import DataError, Problem
from headrace.core.ports import Store
from headrace.core.schema import Column, Snapshot
from headrace.core.spec.learning import Limits
from headrace.core.spec.scalars import parse_size
from headrace.core.spec.tables import TableSpec
from headrace.core.sql import quoted
from headrace.data.convert import ColumnPlan, Plan, convert
from headrace.data.database import address
from headrace.data.privacy.redact import Redaction
from headrace.data.raw import Raw, Retyped
from headrace.data.read import connect, key_columns, open_source, plan, resolve, workspace
from headrace.data.sources import code_files
from headrace.data.times import BadValue
from headrace.data.written import write_rows
from headrace.graph.buffers import Array

_RETYPES = 3

Progress = Callable[[int], None]
"""Called now and then with the number of rows done."""

Guard = Callable[[Path, tuple[Column, ...]], bool]
"""Looks at a table's Parquet file before it is kept, and says whether it may be."""


def fingerprint(table: TableSpec, *, root: Path, today: date, salt: str) -> str:
    """What decides whether a source is read again: the ingest key's part that stands for its bytes.

    Files: the SHA-256 of each, in the order of their names. Python sources: the code of the function's
    file and of the modules beside it that it imports, with `salt` (`refresh: always`; give a fresh one
    each run), `today` (daily) or nothing (never). Databases: which one, and the same three.

    Raises:
        DataError: there is no such file.
    """
    source = resolve(table, root=root)
    seen = {"always": salt, "daily": today.isoformat(), "never": ""}[table.refresh]
    if source.kind == "database":
        return digest(["database", address(table, root), table.table, table.query, seen])
    if source.kind == "python":
        code = [[name, digest_file(path)] for name, path in code_files(source.files[0], root)]
        return digest(["python", source.function, code, seen])
    return digest(["files", [[p.name, digest_file(p)] for p in source.files]])


def snapshot(
    name: str,
    table: TableSpec,
    *,
    store: Store,
    root: Path,
    zone: str | None,
    limits: Limits,
    taken: str,
    scratch: Path,
    progress: Progress | None = None,
    times: Collection[str] = (),
    redaction: Redaction | None = None,
    guard: Guard | None = None,
) -> Snapshot:
    """Read a source once, from its first row to its last, into a Parquet artifact.

    Rows keep the source's order. Times become UTC microseconds (wall-clock times of `table.zone`, else of
    `zone`; a date is its midnight there; an hour that the clock repeats is its first, an hour that it
    skips the moment after). NaN and infinities become null, decimals doubles. Columns of other types are
    left out. `times` are columns declared as times elsewhere in the spec. Files in the making lie in the
    folder `scratch`; memory is bounded by blocks of rows, whatever the source's size.

    Columns of `redaction` are dropped, hashed or masked as they are read: no file holds what they were.
    Where `guard` says no, nothing is kept, and the snapshot's `artifact` is empty.

    Raises:
        DataError: the source is missing, empty, broken or not as the spec says; a key of a table without
            `time` names two rows. File, line and column are named.
        UserCodeError: the user's function raised.
        StoreError: the store refused the artifact.
    """
    source = resolve(table, root=root)
    with workspace(scratch) as folder:
        path = folder / "table.parquet"
        with _discreet(redaction):
            raw = open_source(source, table=table, times=times, spool=folder, redaction=redaction)
            planned, rows, content = _written(
                name, table, raw, path, zone=zone, limits=limits, times=times, redaction=redaction,
                progress=progress,
            )  # fmt: skip
        # Arrow keeps freed memory for reuse; DuckDB, which comes next, counts only its own.
        pa.default_memory_pool().release_unused()
        if not rows:
            raise DataError(f"the table {name!r} has no rows", where=raw.name, fix="give a source with rows")
        if table.key is not None and table.time is None and table.known_at is None:
            _require_unique(name, key_columns(table), path, raw, limits=limits, scratch=folder)
        columns = tuple(c.column for c in planned.columns)
        kept = store.put(path).digest if guard is None or guard(path, columns) else ""
    return Snapshot(name, kept, content, rows, columns, table.read, taken)


@contextmanager
def _discreet(redaction: Redaction | None) -> Iterator[None]:
    """Messages about columns of personal data don't tell values: messages are kept too."""
    try:
        yield
    except DataError as error:
        hidden = {} if redaction is None else redaction.columns
        told = [_hushed(p, [n for n, how in hidden.items() if how.do != "keep"]) for p in error.problems]
        if told == list(error.problems):
            raise
        raise DataError.of(told) from None


def _hushed(problem: Problem, names: list[str]) -> Problem:
    name = next((n for n in names if f"column {n!r}" in problem.what), None)
    if name is None and not (names and problem.what.startswith("the line holds")):
        return problem
    what = f"column {name!r} holds" if name is not None else "the line holds"
    return Problem(
        f"{what} a value that doesn't fit (not shown: personal data)", problem.where, fix=problem.fix
    )


def _written(
    name: str,
    table: TableSpec,
    raw: Raw,
    path: Path,
    *,
    zone: str | None,
    limits: Limits,
    times: Collection[str],
    redaction: Redaction | None,
    progress: Progress | None,
) -> tuple[Plan, int, str]:
    """Write the source; begin again where its sample was too small to see a column's type."""
    for _ in range(_RETYPES):
        planned = plan(name, table, raw, zone=zone, times=times, redaction=redaction)
        if not planned.columns:
            raise DataError(f"the table {name!r} has no usable column", where=raw.name)
        try:
            rows, content = _write(raw, planned, path, redaction or Redaction(), limits.threads, progress)
        except Retyped as again:
            raw = again.raw
            continue
        return planned, rows, content
    raise DataError("the columns' types keep changing while the file is read", where=raw.name)


def _write(
    raw: Raw, planned: Plan, path: Path, redaction: Redaction, threads: int, progress: Progress | None
) -> tuple[int, str]:
    schema = planned.schema()
    columns = [c.column for c in planned.columns]
    batches = _converted(raw, planned, schema, redaction)
    return write_rows(path, schema, columns, batches, threads=threads, progress=progress)


def _converted(raw: Raw, planned: Plan, schema: pa.Schema, redaction: Redaction) -> Iterator[pa.RecordBatch]:
    done = 0
    for batch in raw.batches():
        arrays = [_column(raw, batch.column(c.name), c, redaction, done) for c in planned.columns]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)
        done += batch.num_rows


def _column(raw: Raw, values: Array, column: ColumnPlan, redaction: Redaction, offset: int) -> Array:
    try:
        if column.before is not None:
            return redaction.apply(column.name, convert(values, column.before))
        return convert(values, column)
    except BadValue as bad:
        raise DataError.of(
            [Problem(f"column {column.name!r} {bad.reason}", where=raw.where(offset + bad.index))]
        ) from bad


def _require_unique(
    name: str, key: tuple[str, ...], path: Path, raw: Raw, *, limits: Limits, scratch: Path
) -> None:
    columns = ", ".join(map(quoted, key))
    known = " and ".join(f"{quoted(k)} is not null" for k in key)
    sql = (
        f"select {columns}, min(file_row_number), max(file_row_number), count(*) "
        f"from read_parquet(?, file_row_number=true) where {known} group by {columns} "
        f"having count(*) > 1 order by min(file_row_number) limit 1"
    )
    with connect(parse_size(limits.memory), limits.threads, scratch) as db:
        found = db.execute(sql, [str(path)]).fetchone()
    if found is None:
        return
    *values, first, last, count = found
    told = ", ".join(f"{k} = {v!r}" for k, v in zip(key, values, strict=True))
    raise DataError(
        f"the key {told} names {count} rows of the table {name!r}",
        where=f"{raw.where(first)} and {raw.where(last)}",
        why="a row of the events table would find several rows, and none is the newest without a time",
        fix=f"keep one row a key, or declare `time:` under data.tables.{name}",
    )
