"""Parquet files as Arrow batches, in the order of their rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.core.errors import DataError
from headrace.data.raw import Raw
from headrace.data.times import formats_of
from headrace.graph.buffers import texts

_ROWS = 65_536
_SAMPLE = 20_480


def open_file(path: Path) -> pq.ParquetFile:
    """Open for streaming: pages are read as they are needed, not whole row groups ahead."""
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 17)


def open_parquet(files: Sequence[Path], labels: Sequence[str], times: Collection[str]) -> Raw:
    """Open Parquet files of the same columns as one source. Text columns among `times` are looked into
    for their spelling.

    Raises:
        DataError: a file is no Parquet, or has other columns than the first.
    """
    schemas = [_schema(path, label) for path, label in zip(files, labels, strict=True)]
    schema = _unify(schemas, labels)
    read = [f.name for f in schema if not pa.types.is_nested(f.type)]
    name = labels[0] if len(labels) == 1 else f"{labels[0]}, …"
    text = [n for n in times if n in read and _is_text(schema.field(n).type)]
    formats = {}
    for column in text:
        batch = next(_batches(files[:1], labels, [column], schema), None)
        values = texts(batch.column(0).cast(pa.string())[:_SAMPLE]) if batch is not None else []
        given = [v for v in values if v is not None]
        formats[column] = formats_of(given) if given else ()
    return Raw(
        name=name,
        schema=schema,
        formats=formats,
        batches=lambda: _batches(files, labels, read, schema),
        where=lambda row: _where(files, labels, row),
    )


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _schema(path: Path, label: str) -> pa.Schema:
    try:
        return open_file(path).schema_arrow.remove_metadata()
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            "the file is no Parquet file, or is cut short", where=label, why=str(error)[:200]
        ) from error


def _unify(schemas: Sequence[pa.Schema], labels: Sequence[str]) -> pa.Schema:
    first = schemas[0]
    for schema, label in zip(schemas[1:], labels[1:], strict=True):
        differing = set(first.names) ^ set(schema.names)
        if differing:
            raise DataError(
                f"its columns differ from those of {labels[0]}: {', '.join(sorted(differing))}", where=label
            )
    try:
        unified = pa.unify_schemas(list(schemas), promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(
            "a column has types that don't go together", where=labels[0], why=str(error)
        ) from error
    return pa.schema([unified.field(n) for n in first.names]) if len(schemas) > 1 else first


def _batches(
    files: Sequence[Path], labels: Sequence[str], columns: Sequence[str], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    wanted = pa.schema([schema.field(c) for c in columns])
    for path, label in zip(files, labels, strict=False):
        try:
            for batch in open_file(path).iter_batches(_ROWS, columns=list(columns)):
                ordered = batch.select(list(columns))
                yield ordered if ordered.schema.equals(wanted) else ordered.cast(wanted)
        except (pa.ArrowException, OSError) as error:
            raise DataError("the file can't be read to its end", where=label, why=str(error)[:200]) from error


def _where(files: Sequence[Path], labels: Sequence[str], row: int) -> str:
    for path, label in zip(files, labels, strict=True):
        rows = open_file(path).metadata.num_rows
        if row < rows:
            return f"{label}: row {row + 1}"
        row -= rows
    return labels[-1]
