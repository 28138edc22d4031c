"""Tables that come bit by bit, as a source that can be read again and again: spooled to disk, or for a look
at the columns the first rows alone."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc

from headrace.core.errors import DataError
from headrace.core.schema import Type
from headrace.data.privacy.redact import Redaction, type_before
from headrace.data.raw import Raw
from headrace.data.times import formats_of
from headrace.graph.buffers import texts

_SAMPLE = 20_480


def spooled(
    name: str,
    chunks: Generator[pa.Table, None, None],
    *,
    spool: Path | None,
    times: Sequence[str],
    redaction: Redaction | None = None,
) -> Raw:
    """What `chunks` yield, as one source called `name`.

    `spool` is a folder that takes the rows; without it only the first 20,480 are taken, enough to see the
    columns. `times` are columns declared as times. The columns of `redaction` are treated before a row
    reaches the disk.

    Raises:
        DataError: there is no chunk, or a column has two types.
    """
    with closing(chunks):  # a look at the columns stops it midway: connections are given back now
        tables = list(_first(chunks, _SAMPLE)) if spool is None else []
        before: dict[str, Type] = {}
        if redaction is not None and spool is not None:
            parts = _spooled(_redacted(chunks, redaction, before), spool)
        else:
            parts = [] if spool is None else _spooled(chunks, spool)
    schema = _unify([t.schema for t in tables] or [s for _, s in parts], name)

    def batches() -> Iterator[pa.RecordBatch]:
        for table in tables:
            yield from _fit(table, schema).to_batches()
        for part, _ in parts:
            with pa.memory_map(str(part)) as file:
                for batch in pa.ipc.open_stream(file):
                    yield from _fit(pa.Table.from_batches([batch]), schema).to_batches()

    formats = _formats(batches, schema, times)
    return Raw(name, schema, formats, batches, lambda row: f"{name}: row {row + 1}", before)


def _redacted(
    chunks: Iterator[pa.Table], redaction: Redaction, before: dict[str, Type]
) -> Iterator[pa.Table]:
    """The tables with their personal data treated; `before` takes the types that columns had."""
    for table in chunks:
        for name in table.column_names:
            kind = type_before(table.schema.field(name).type)
            if redaction.drops(name) or (redaction.changes(name) and kind is not None):
                before.setdefault(name, kind or Type.TEXT)
        yield redaction.table(table)


def _first(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    for table in tables:
        yield table[:rows]
        rows -= table.num_rows
        if rows <= 0:
            return


def _spooled(tables: Iterator[pa.Table], folder: Path) -> list[tuple[Path, pa.Schema]]:
    """Write the tables to files, a new one whenever the columns change."""
    parts: list[tuple[Path, pa.Schema]] = []
    writer = None
    for table in tables:
        schema = table.schema.remove_metadata()
        if writer is None or parts[-1][1] != schema:
            if writer is not None:
                writer.close()
            parts.append((folder / f"spool-{len(parts)}.arrow", schema))
            writer = pa.ipc.new_stream(str(parts[-1][0]), schema)
        writer.write_table(table.replace_schema_metadata(None), max_chunksize=65_536)
    if writer is not None:
        writer.close()
    return parts


def _unify(schemas: Sequence[pa.Schema], name: str) -> pa.Schema:
    if not schemas:
        raise DataError("it gave no rows", where=name, fix="give at least one row")
    for schema in schemas:
        twice = {n for n in schema.names if schema.names.count(n) > 1}
        if twice:
            raise DataError(f"two columns are called {min(twice)!r}", where=name, fix="rename one")
    try:
        return pa.unify_schemas([s.remove_metadata() for s in schemas], promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(
            "a column has one type in one part and another in the next", where=name, why=str(error)
        ) from error


def _fit(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        table.column(f.name).cast(f.type) if f.name in table.schema.names else pa.nulls(len(table), f.type)
        for f in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _formats(
    batches: Callable[[], Iterator[pa.RecordBatch]], schema: pa.Schema, times: Sequence[str]
) -> dict[str, Any]:
    """Spellings of the text columns among the declared times, from the first batch."""
    words = [n for n in times if n in schema.names and pa.types.is_string(schema.field(n).type)]
    batch = next(batches(), None) if words else None
    if batch is None:
        return {}
    given = {w: [t for t in texts(batch.column(w)[:_SAMPLE]) if t is not None] for w in words}
    return {w: formats_of(values) for w, values in given.items() if values}
