"""Python values as Arrow columns in snapshot form, straight over buffers (`pa.array` imports pandas)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from headrace.core.lazy import lazily
from headrace.core.schema import NULL_TIME, Type
from headrace.graph.buffers import Array, fixed_array, text_array

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa = lazily("pyarrow")
    pc = lazily("pyarrow.compute")

Value = str | float | bool | None


def column(values: Sequence[Value], kind: Type) -> Array:
    """Values of a type as a snapshot holds them, None as null; times are UTC microseconds. Whole numbers keep
    all their digits where every number is whole."""
    held: Any = values
    if kind is Type.TEXT:
        return texts_array(held)
    if kind is Type.BOOL:
        return truths_array(held)
    if kind is Type.TIME:
        return times_array(held)
    return numbers_array(held, whole=True)


def times_array(values: Sequence[int | None]) -> Array:
    """UTC microseconds as timestamps."""
    moments = np.array([NULL_TIME if v is None else v for v in values], np.int64)
    return fixed_array(moments, pa.timestamp("us"), moments != NULL_TIME)


def numbers_array(values: Sequence[float | None], *, whole: bool) -> Array:
    """Python numbers as double (`whole`: as int64 where all of them are), None as null, infinity too."""
    flags = np.array([v is not None for v in values], dtype=np.bool_)
    if whole and all(v is None or (type(v) is int and -(2**63) <= v < 2**63) for v in values):
        return fixed_array(np.array([v or 0 for v in values], dtype=np.int64), pa.int64(), flags)
    doubles = np.array(values, dtype=np.float64)
    return fixed_array(doubles, pa.float64(), flags & np.isfinite(doubles))


def truths_array(values: Sequence[bool | None]) -> Array:
    """Python booleans, None as null."""
    flags = np.array([v is not None for v in values], dtype=np.bool_)
    return fixed_array(np.array([bool(v) for v in values], dtype=np.bool_), pa.bool_(), flags)


def texts_array(values: Sequence[str | None]) -> Array:
    """Python strings, None as null."""
    flags = np.array([v is not None for v in values], dtype=np.bool_)
    given = text_array([v for v in values if v is not None])
    if flags.all():
        return given
    if not len(given):
        return pa.nulls(len(values), pa.string())
    return pc.take(given, fixed_array(np.maximum(np.cumsum(flags) - 1, 0), pa.int64(), flags))
