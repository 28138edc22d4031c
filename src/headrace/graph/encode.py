"""Arrow columns to graph feeds: one vector [rows] a raw column, the same values that a JSON row gives.

The conventions are those of `graph.build.INPUT_TYPES`. NaN and infinity are null. Does not know what a graph
computes, nor where the rows come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from headrace.core.errors import DataError, Problem, did_you_mean
from headrace.core.lazy import lazily
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.graph.rows import RowEncoder, encode_rows

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = lazily("pyarrow")

__all__ = ["CHUNK", "Batch", "Feeds", "RowEncoder", "encode_batch", "encode_chunks", "encode_rows"]

Feeds: TypeAlias = Mapping[str, np.ndarray]
"""Raw column name -> vector [rows]; float64 (number, bool), object of str (text), int64 (time)."""

Batch: TypeAlias = "pa.RecordBatch | pa.Table | Feeds"
"""Rows as Arrow, or already encoded."""

CHUNK = 65_536
"""Rows run at once: large enough to hide the cost of a call, small enough that a column stays in cache."""


def encode_batch(batch: pa.RecordBatch | pa.Table, types: Mapping[str, Type]) -> dict[str, np.ndarray]:
    """The columns named by `types` as graph feeds; other columns are ignored.

    Any integer, float or decimal width is a number; plain, large, view and dictionary-encoded strings are
    text; timestamps of any unit and dates are times, those without a zone taken as UTC (ingest made them so).
    A column of Arrow's null type is null in any type. float64 columns without nulls are not copied.

    Raises:
        DataError: a column is missing, of another type, holds the null sentinel inside a text, or a time
            beyond what 64-bit microseconds hold; all of them at once.
    """
    feeds: dict[str, np.ndarray] = {}
    problems: list[Problem] = []
    names = set(batch.schema.names)
    for name, kind in types.items():
        if name not in names:
            problems.append(Problem("the column is missing", where=name, fix=did_you_mean(name, names)))
            continue
        column = batch.column(name)
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        accepts, convert = _CONVERTERS[kind]
        if not (pa.types.is_null(column.type) or accepts(_value_type(column.type))):
            problems.append(_wrong_type(name, kind, column.type))
            continue
        try:
            parts = [_nulls(kind, len(c)) if pa.types.is_null(c.type) else convert(c) for c in chunks]
        except (_Sentinel, pa.ArrowInvalid) as error:
            problems.append(_unusable(name, error))
            continue
        feeds[name] = parts[0] if len(parts) == 1 else np.concatenate([_nulls(kind, 0), *parts])
    if problems:
        raise DataError.of(problems)
    return feeds


def encode_chunks(
    batch: Batch, types: Mapping[str, Type], rows: int = CHUNK
) -> Iterator[tuple[dict[str, np.ndarray], int]]:
    """Cut a batch into feeds of at most `rows` rows, in order, each with its number of rows.

    Raises:
        DataError: as `encode_batch`.
        ValueError: feeds that are empty, so that their rows can't be counted, or of unequal lengths.
    """
    if isinstance(batch, (pa.RecordBatch, pa.Table)):
        for start in range(0, batch.num_rows, rows):
            part = batch.slice(start, rows)
            yield encode_batch(part, types), part.num_rows
        return
    lengths = {len(v) for v in batch.values()}
    if len(lengths) != 1:
        raise ValueError(f"feeds need one length to be cut; these have {sorted(lengths)}")
    total = lengths.pop()
    for start in range(0, total, rows):
        yield {n: v[start : start + rows] for n, v in batch.items()}, min(rows, total - start)


class _Sentinel(Exception):
    """A text holds NULL_TEXT."""


def _nulls(kind: Type, rows: int) -> np.ndarray:
    if kind is Type.TEXT:
        return np.array([NULL_TEXT] * rows, dtype=object)  # np.full strips trailing U+0000
    if kind is Type.TIME:
        return np.full(rows, NULL_TIME, dtype=np.int64)
    return np.full(rows, np.nan)


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _decoded(array: pa.Array[Any]) -> Any:
    return array.dictionary_decode() if isinstance(array, pa.DictionaryArray) else array


def _number(array: pa.Array[Any]) -> np.ndarray:
    array = _decoded(array)
    if pa.types.is_decimal(array.type):
        # Arrow's own cast is off by an ulp for one value in ten; through text it rounds as JSON does.
        array = array.cast(pa.string())
    values = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    infinite = np.isinf(values)
    if infinite.any():
        values = np.where(infinite, np.nan, values)
    return np.asarray(values)


def _bool(array: pa.Array[Any]) -> np.ndarray:
    return np.asarray(_decoded(array).cast(pa.float64()).to_numpy(zero_copy_only=False))


def _time(array: pa.Array[Any]) -> np.ndarray:
    array = _decoded(array)
    if not pa.types.is_timestamp(array.type):
        array = array.cast(pa.timestamp("ms")) if pa.types.is_date64(array.type) else array
        array = array.cast(pa.timestamp("us"))
    if array.type.unit == "ns":
        # Arrow truncates towards zero, which would move moments before 1970 forward.
        missing = array.is_null().to_numpy(zero_copy_only=False)
        nanoseconds = array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        return np.where(missing, np.int64(NULL_TIME), nanoseconds // 1000)
    micro = array.cast(pa.timestamp("us", array.type.tz)).cast(pa.int64())
    return np.asarray(micro.fill_null(NULL_TIME).to_numpy(zero_copy_only=False))


def _text(array: pa.Array[Any]) -> np.ndarray:
    # Through a dictionary, so that each distinct value becomes one Python string.
    encoded = array if isinstance(array, pa.DictionaryArray) else _plain(array).dictionary_encode()
    words = encoded.dictionary.to_pylist()
    if any(NULL_TEXT in w for w in words if w is not None):
        raise _Sentinel
    table = np.empty(len(words) + 1, dtype=object)
    table[:-1] = [NULL_TEXT if w is None else w for w in words]
    table[-1] = NULL_TEXT
    codes = encoded.indices.cast(pa.int64()).fill_null(len(words)).to_numpy(zero_copy_only=False)
    return np.asarray(table[codes])


def _plain(array: pa.Array[Any]) -> pa.Array[Any]:
    return array.cast(pa.large_string()) if pa.types.is_string_view(array.type) else array


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


_Converter: TypeAlias = "tuple[Callable[[pa.DataType], bool], Callable[[pa.Array[Any]], np.ndarray]]"
_CONVERTERS: Mapping[Type, _Converter] = {
    Type.NUMBER: (_is_number, _number),
    Type.BOOL: (lambda kind: pa.types.is_boolean(kind), _bool),
    Type.TEXT: (_is_text, _text),
    Type.TIME: (_is_time, _time),
}


def _wrong_type(name: str, kind: Type, found: pa.DataType) -> Problem:
    return Problem(
        f"expected {kind.value}, found a column of type {found}",
        where=name,
        fix=f"cast the column to {kind.value} when it is read, or change what reads it as {kind.value}",
    )


def _unusable(name: str, error: Exception) -> Problem:
    if isinstance(error, _Sentinel):
        return Problem(
            "a text holds the character U+0000",
            where=name,
            why="it stands for null inside a model graph",
            fix="remove the character where the data is written",
        )
    return Problem(
        f"a time is out of range: {error}",
        where=name,
        why="times are 64-bit microseconds since 1970",
        fix="make it null where the data is written",
    )
