"""The name of a table's rows, whatever file holds them.

Format 1. Every column has three running SHA-256 sums over its rows in order:
- `known`: one bit a row (1 = known, 0 = null), least significant bit first, eight rows a byte;
- `values`: int64 little-endian for whole numbers and times (microseconds), float64 for other numbers (-0.0
  as it is), one bit a row for booleans, int32 byte lengths for text; null counts as zero, False, length 0;
- `bytes`: the UTF-8 of all texts one after the other (text only).
The table's name is the digest (`core.digest`) of [1, rows, [[name, type, kind, known, values, bytes], ...]].
It depends neither on the writer of the file nor on how rows come in batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.core.digest import digest
from headrace.core.schema import Column, Type
from headrace.graph.buffers import Array, fixed, span
from headrace.graph.buffers import known as flags


class ColumnDigest:
    """The running sums of one column. Every batch but the last holds a multiple of eight rows."""

    def __init__(self, column: Column, kind: pa.DataType) -> None:
        self._column = column
        self._kind = _kind(column.type, kind)
        self._sums = tuple(hashlib.sha256() for _ in range(3))

    def update(self, values: Array) -> None:
        """Add a batch."""
        known, numbers, text = self._sums
        if values.null_count:
            known.update(np.packbits(flags(values), bitorder="little").tobytes())
        else:
            full, rest = divmod(len(values), 8)
            known.update(b"\xff" * full + (bytes([(1 << rest) - 1]) if rest else b""))
        if self._column.type is Type.TEXT:
            # Nulls may lie on bytes of their own: dropped, so that the bytes are those of the texts.
            numbers.update(_plain(pc.binary_length(values), np.dtype(np.int32)))
            kept = values.drop_null() if values.null_count else values
            start, end = span(kept)
            data = kept.buffers()[2]
            if data is not None:
                text.update(memoryview(data)[start:end])
        elif self._column.type is Type.BOOL:
            numbers.update(np.packbits(fixed(values) & flags(values), bitorder="little").tobytes())
        else:
            numbers.update(_plain(values, np.dtype(np.float64 if self._kind == "float" else np.int64)))

    def plain(self) -> list[str]:
        """The column's part of the table's name."""
        return [self._column.name, self._column.type, self._kind, *(s.hexdigest() for s in self._sums)]


def table_digest(rows: int, columns: Sequence[ColumnDigest]) -> str:
    """The name of the whole table."""
    return digest([1, rows, [c.plain() for c in columns]])


def updates(columns: Sequence[ColumnDigest], batch: pa.RecordBatch) -> list[Callable[[], None]]:
    """One call a column that adds the batch: columns don't depend on each other."""
    return [
        lambda column=column, values=values: column.update(values)  # type: ignore[misc]  # mypy can't infer a lambda with defaults
        for column, values in zip(columns, batch.columns, strict=True)
    ]


def _kind(type_: Type, kind: pa.DataType) -> str:
    if type_ is Type.NUMBER:
        return "float" if pa.types.is_floating(kind) else "int"
    return str(type_)


def _plain(values: Array, dtype: np.dtype[Any]) -> bytes | memoryview:
    numbers = fixed(values).astype(dtype, copy=False)
    if values.null_count:
        numbers = np.where(flags(values), numbers, dtype.type(0))
    return np.ascontiguousarray(numbers).data.cast("B")
