"""Parquet files to score: columns have one type each, so a wrong type is a mistake of the whole file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from headrace.core.errors import DataError, Problem
from headrace.core.schema import Type
from headrace.data.convert import ColumnPlan, convert, plan_columns
from headrace.data.parquet import open_file
from headrace.data.times import BadValue, Format
from headrace.graph.buffers import Array, texts
from headrace.serve.cells import Reasons, from_text, nulls, salvage, time_format, without_nul
from headrace.serve.source import (
    ROWS,
    SAMPLE,
    SNAPSHOT_TYPES,
    Chunk,
    Groups,
    Source,
    no_lines,
    require_columns,
)


def open_parquet_rows(
    path: Path,
    types: Mapping[str, Type],
    *,
    zone: str,
    groups: Groups | None = None,
    keep: Sequence[str] = (),
) -> Source:
    """Open a Parquet file: see `source.open_source`."""
    try:
        file = open_file(path)
        schema, rows = file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            "the file is no Parquet file, or is cut short", where=str(path), why=str(error)[:200]
        ) from error
    require_columns(path, {**types, **dict.fromkeys(keep, Type.TEXT)}, schema.names)
    kept = {name: _kept_type(path, schema.field(name)) for name in keep}
    needed = pa.schema([schema.field(name) for name in types])
    words = [n for n, kind in types.items() if kind is Type.TIME and _is_text(needed.field(n).type)]
    formats = _formats(path, words)
    plans = _plans(path, types, needed, formats, zone)
    if groups is not None:
        rows = groups.rows
    return Source(lambda: _chunks(path, types, plans, formats, zone, groups, kept), no_lines, rows, kept)


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _plans(
    path: Path,
    types: Mapping[str, Type],
    schema: pa.Schema,
    formats: Mapping[str, Format | None],
    zone: str,
) -> dict[str, ColumnPlan]:
    """What becomes of each column; columns of texts that hold times are not among them."""
    typed = pa.schema([f for f in schema if f.name not in formats])
    planned = plan_columns("", typed, {}, zone=zone, times=(), needed=(), where=str(path))
    plans = {c.name: c for c in planned.columns}
    problems = [
        Problem(
            f"column {name!r} is {schema.field(name).type}, and the release reads a {kind.value}",
            where=str(path),
            fix=f"write the column as {kind.value}, as in the data that the release was made from",
        )
        for name, kind in types.items()
        if name not in formats
        and not pa.types.is_null(schema.field(name).type)
        and (name not in plans or plans[name].column.type is not kind)
    ]
    if problems:
        raise DataError.of(problems)
    return plans


def _formats(path: Path, words: list[str]) -> dict[str, Format | None]:
    """How columns of text spell their times, by their first values."""
    if not words:
        return {}
    found: dict[str, list[str]] = {name: [] for name in words}
    rows = 0
    for batch in _read(path, words):
        for name, values in found.items():
            if len(values) < SAMPLE:
                column = _text(name, batch.column(name).slice(0, SAMPLE), {})
                values += [v for v in texts(column) if v is not None]
        rows += batch.num_rows
        if rows >= SAMPLE and all(found.values()):
            break
    formats = {name: time_format(name, dict.fromkeys(values)) for name, values in found.items()}
    problems = [f for f in formats.values() if isinstance(f, Problem)]
    if problems:
        raise DataError.of(problems)
    return {name: f for name, f in formats.items() if not isinstance(f, Problem)}


def _read(path: Path, names: list[str], groups: Groups | None = None) -> Iterator[pa.RecordBatch]:
    try:
        file = open_file(path)
        wanted = range(file.num_row_groups)
        if groups is not None:
            wanted = wanted[groups.first : groups.first + groups.count]
        for batch in file.iter_batches(ROWS, columns=names, row_groups=list(wanted)):
            yield batch.select(names)
    except (pa.ArrowException, OSError) as error:
        raise DataError("the file can't be read to its end", where=str(path), why=str(error)[:200]) from error


def _chunks(
    path: Path,
    types: Mapping[str, Type],
    plans: Mapping[str, ColumnPlan],
    formats: Mapping[str, Format | None],
    zone: str,
    groups: Groups | None,
    kept: Mapping[str, pa.DataType],
) -> Iterator[Chunk]:
    first = 1 if groups is None else groups.row
    for batch in _read(path, list({**types, **kept}), groups):
        bad: Reasons = {}
        columns = {}
        for name, kind in types.items():
            values = batch.column(name)
            if pa.types.is_null(values.type):
                columns[name] = nulls(len(values), SNAPSHOT_TYPES[kind])
            elif name in formats:
                text = _text(name, values, bad)
                columns[name] = from_text(name, kind, text, bad, form=formats[name], zone=zone)
            else:
                columns[name] = _converted(values, plans[name], bad)
        beside = {name: batch.column(name).cast(kind) for name, kind in kept.items()}
        yield Chunk(np.arange(first, first + batch.num_rows, dtype=np.int64), columns, bad, kept=beside)
        first += batch.num_rows


def _kept_type(path: Path, column: pa.Field[pa.DataType]) -> pa.DataType:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise DataError(f"column {column.name!r} is {kind}, which can't be kept", where=str(path))
    return kind


def _text(name: str, values: Array, bad: Reasons) -> Array:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return without_nul(name, values.cast(pa.string()), bad)


def _convert(values: Array, plan: ColumnPlan) -> Array:
    try:
        return convert(values, plan)
    except OverflowError:
        # Such moments have no Python value, not even for a message.
        raise BadValue(0, "holds a time beyond the years that microseconds can hold") from None


def _converted(values: Array, plan: ColumnPlan, bad: Reasons) -> Array:
    column, wrong = salvage(values, partial(_convert, plan=plan))
    for at, reason in wrong.items():
        bad.setdefault(at, []).append(f"{plan.name}: {reason}")
    return column
