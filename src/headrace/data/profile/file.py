"""A bare file of any kind that ingest reads, streamed into a profile without being kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from headrace.core.errors import DataError, Problem
from headrace.data.convert import Plan, convert, plan_columns
from headrace.data.files import kind_of, open_files
from headrace.data.profile.record import Profile, TableProfile
from headrace.data.profile.table import profile_table
from headrace.data.raw import Raw, Retyped
from headrace.data.times import BadValue

_RETYPES = 3


def profile_file(
    file: Path, *, zone: str = "UTC", threads: int = 2, progress: Callable[[int], None] | None = None
) -> Profile:
    """The profile of every row of a CSV, Parquet or JSON-lines file, read once.

    Times without a zone are taken as `zone`'s. A CSV file is begun again where its first rows did not show
    the type of a column.

    Raises:
        DataError: there is no such file, it has no rows, or it is broken; file and line are named.
    """
    raw = _open(file)
    for _ in range(_RETYPES):
        planned = plan_columns(
            file.stem, raw.schema, raw.formats, zone=zone, times=(), needed=(), where=raw.name
        )
        if not planned.columns:
            raise DataError("the file has no usable column", where=raw.name)
        columns = [c.column for c in planned.columns]
        try:
            table = profile_table(
                file.stem, columns, _batches(raw, planned), zone=zone, threads=threads, progress=progress
            )
        except Retyped as again:
            raw = again.raw
            continue
        if not table.rows:
            raise DataError("the file has no rows", where=raw.name, fix="give a file with rows")
        return Profile((_with_skipped(table, planned),))
    raise DataError("the columns' types keep changing while the file is read", where=raw.name)


def _open(file: Path) -> Raw:
    if file.is_file():
        return open_files(kind_of(file.name), [file.resolve()], [file.name], ())
    # Imported only here: a plain file needs no spec, no database and no script.
    from headrace.core.spec.tables import TableSpec
    from headrace.data.read import open_source, resolve

    spec = TableSpec(read=file.name)
    return open_source(resolve(spec, root=file.resolve().parent), table=spec, spool=None)


def _with_skipped(table: TableProfile, planned: Plan) -> TableProfile:
    return replace(table, skipped=planned.skipped)


def _batches(raw: Raw, planned: Plan) -> Iterator[pa.RecordBatch]:
    schema, done = planned.schema(), 0
    for batch in raw.batches():
        arrays = []
        for column in planned.columns:
            try:
                arrays.append(convert(batch.column(column.name), column))
            except BadValue as bad:
                where = raw.where(done + bad.index)
                raise DataError.of([Problem(f"column {column.name!r} {bad.reason}", where=where)]) from bad
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)
        done += batch.num_rows
