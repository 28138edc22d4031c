"""Which row is this? 64-bit names of event rows that stay the same over platforms and library versions.

The seal's budget is keyed on them: rows that were looked at once are known again in tomorrow's snapshot.
Where `data.id` is declared, a row is named by its id alone, and neither a new column nor a changed value
makes it another row. Without it a row is named by all its values: a column that is added or mended makes
every row a new one, which the seal can't tell from new data. Projects that add rows should declare an id.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from headrace.core.errors import DataError, Problem, did_you_mean

_NUMBER, _INTEGER, _NEGATIVE, _BOOL, _TIME, _NULL = (
    np.uint64(k * 0x9E3779B97F4A7C15 % 2**64) for k in range(1, 7)
)
_BATCH = 131_072


def row_ids(batches: Iterable[pa.RecordBatch], columns: Sequence[str]) -> NDArray[np.uint64]:
    """Names of the rows, uint64 [rows], by the values of `columns` (in any order; one: its values alone).

    Values count as headrace types, so that a change of storage changes no name: 3, 3.0 and a decimal 3.00
    are one number, -0 is 0, NaN is null, times are UTC microseconds. Whole numbers beyond 2^53 keep all
    their digits. Text is named by 8 bytes of BLAKE2b over its UTF-8. Two different rows share a name with
    probability 2^-64 (one pair among 5,000,000 rows: 7e-7).

    Raises:
        DataError: a column is missing, or of a type that headrace has no values for.
    """
    return _concatenate(_batch_ids(batch, columns) for batch in batches)


def parquet_row_ids(
    path: Path,
    columns: Sequence[str] | None = None,
    *,
    rows: NDArray[np.bool_] | None = None,
    threads: int = 1,
) -> NDArray[np.uint64]:
    """`row_ids` of a Parquet file, read in batches: of `columns` (default: all), and only of the rows that
    the mask `rows` (bool, one a row of the file) holds.

    Raises:
        DataError: see `row_ids`.
        ValueError: the mask has another length than the file.
    """
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        chosen = names if columns is None else list(columns)
        missing = [c for c in chosen if c not in names]
        if missing:
            raise DataError.of([_missing(c, names) for c in missing])
        if rows is not None and rows.size != file.metadata.num_rows:
            raise ValueError(f"a mask of {rows.size} for {file.metadata.num_rows} rows")
        batches = _selected(file.iter_batches(_BATCH, columns=chosen, use_threads=False), rows)
        with ThreadPoolExecutor(max(1, threads), thread_name_prefix="headrace-names") as pool:
            return _concatenate(_in_order(pool, batches, chosen, 2 * max(1, threads)))


def _in_order(
    pool: ThreadPoolExecutor, batches: Iterable[pa.RecordBatch], columns: Sequence[str], ahead: int
) -> Iterator[NDArray[np.uint64]]:
    """The batches' names in their order, a few batches at a time."""
    waiting: deque[Future[NDArray[np.uint64]]] = deque()
    for batch in batches:
        waiting.append(pool.submit(_batch_ids, batch, columns))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _selected(batches: Iterable[pa.RecordBatch], rows: NDArray[np.bool_] | None) -> Iterator[pa.RecordBatch]:
    start = 0
    for batch in batches:
        mask = None if rows is None else rows[start : start + batch.num_rows]
        start += batch.num_rows
        if mask is None or mask.all():
            yield batch
        elif mask.any():
            yield batch.filter(pa.array(mask))


def _concatenate(parts: Iterator[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    result: NDArray[np.uint64] = np.concatenate([np.empty(0, dtype=np.uint64), *parts])
    return result


def _batch_ids(batch: pa.RecordBatch, columns: Sequence[str]) -> NDArray[np.uint64]:
    missing = [_missing(c, batch.schema.names) for c in columns if c not in batch.schema.names]
    if missing:
        raise DataError.of(missing)
    if len(columns) == 1:
        return _value_names(columns[0], batch.column(columns[0]))
    total = np.zeros(batch.num_rows, dtype=np.uint64)
    for name in columns:
        # a sum, so that the order of the columns doesn't matter; the name tells equal columns apart
        total += _mix(_value_names(name, batch.column(name)) ^ _text_names(pa.array([name])))
    return _mix(total)


def _missing(column: str, names: Iterable[str]) -> Problem:
    return Problem(
        f"there is no column {column!r} to tell rows apart by", "data.id", fix=did_you_mean(column, names)
    )


def _value_names(name: str, column: pa.Array[Any]) -> NDArray[np.uint64]:
    """uint64 [rows]: one for each value, the same for equal values."""
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), _NULL)
    if pa.types.is_dictionary(kind):
        return _value_names(name, column.cast(kind.value_type))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _text_names(column)
    null = column.is_null().to_numpy(zero_copy_only=False)
    names: NDArray[np.uint64]
    if pa.types.is_integer(kind):
        names, nan = _number_names(column.fill_null(0).to_numpy()), None
    elif pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = column.cast(pa.float64()).fill_null(0.0).to_numpy()
        names, nan = _number_names(numbers), np.isnan(numbers)
    elif pa.types.is_boolean(kind):
        names, nan = _mix(column.fill_null(False).cast(pa.uint64()).to_numpy() ^ _BOOL), None
    elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        micros = pc.cast(column, pa.timestamp("us", getattr(kind, "tz", None)), safe=False).cast(pa.int64())
        names, nan = _mix(micros.fill_null(0).to_numpy().view(np.uint64) ^ _TIME), None
    else:
        raise DataError(
            f"column {name!r} is of type {kind}, which is neither number, bool, text nor time",
            where="data.id",
            fix="declare another column as data.id, or read this column as text",
        )
    return np.where(null if nan is None else null | nan, _NULL, names)


def _number_names(numbers: NDArray[Any]) -> NDArray[np.uint64]:
    """By the bits of the float64 where it holds the number exactly, else by those of the integer."""
    double = numbers.astype(np.float64) + 0.0  # -0 + 0 is 0
    names = _mix(double.view(np.uint64) ^ _NUMBER)
    if numbers.dtype.kind in "iu" and numbers.dtype.itemsize == 8:
        large = np.flatnonzero(np.abs(double) >= 2.0**53)
        top = 2.0**63 if numbers.dtype.kind == "i" else 2.0**64  # rounded up to it: not exact
        back = np.where(double[large] < top, double[large], 0.0).astype(numbers.dtype)
        inexact = large[back != numbers[large]]
        sign = np.where(numbers[inexact] < 0, _NEGATIVE, _INTEGER)  # bits alone mix up -1 and 2^64 - 1
        names[inexact] = _mix(numbers[inexact].astype(np.uint64) ^ sign)
    return names


def _text_names(column: pa.Array[Any]) -> NDArray[np.uint64]:
    encoded: Any = column.dictionary_encode()
    distinct = encoded.dictionary.cast(pa.large_binary()).to_numpy(zero_copy_only=False).tolist()
    digests = b"".join([blake2b(text, digest_size=8).digest() for text in distinct])
    names = np.append(np.frombuffer(digests, dtype="<u8"), _NULL)
    result: NDArray[np.uint64] = names[encoded.indices.fill_null(len(distinct)).to_numpy()]
    return result


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of splitmix64 (Steele, Lea and Flood 2014): a bijection in which each bit of the input
    changes about half of the output's. Wraps around 2^64 on purpose."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
