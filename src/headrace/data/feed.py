"""Columns of snapshots as a graph's raw columns, straight over Arrow's buffers.

The same values as `graph.encode` gives, whose conversions import pandas where it is installed: serving needs
none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.lazy import lazily
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.graph.buffers import Array, fixed, fixed_array, known, text_array, texts

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa = lazily("pyarrow")
    pc = lazily("pyarrow.compute")


def feed(values: Array, kind: Type) -> NDArray[Any]:
    """A column in snapshot form as a graph's raw column [rows] (`graph.build.INPUT_TYPES`)."""
    if kind is Type.TEXT:
        coded = values.dictionary_encode()
        words = np.empty(len(coded.dictionary) + 1, dtype=object)
        words[:] = [*texts(coded.dictionary.cast(pa.string())), NULL_TEXT]
        column: NDArray[Any] = words[np.where(known(coded), fixed(coded.indices), -1)]
        return column
    if kind is Type.TIME:
        return np.where(known(values), fixed(values), np.int64(NULL_TIME))
    numbers = fixed(values).astype(np.float64)
    return numbers if values.null_count == 0 else np.where(known(values), numbers, np.nan)


def there(values: NDArray[Any], kind: Type) -> NDArray[np.bool_]:
    """Where a raw column is not null."""
    if kind is Type.TEXT:
        # As an object: numpy's own strings drop trailing NULs, and would compare with the empty text.
        return np.asarray(values != np.array(NULL_TEXT, dtype=object), dtype=np.bool_)
    if kind is Type.TIME:
        return np.asarray(values != NULL_TIME)
    return np.asarray(np.isfinite(values))


def column_of(values: NDArray[Any], kind: Type) -> Array:
    """`feed` undone: a raw column [rows] as an Arrow array, null where it is null."""
    if kind is Type.TEXT:
        flags = there(values, kind)
        # A null's place holds an empty text.
        held = text_array(np.where(flags, values, "").tolist())
        return pc.take(held, fixed_array(np.arange(len(values)), pa.int64(), flags))
    if kind is Type.TIME:
        return fixed_array(values, pa.timestamp("us"), there(values, kind))
    flags = there(values, kind)
    if kind is Type.BOOL:
        return fixed_array(np.where(flags, values, 0.0) != 0, pa.bool_(), flags)
    return fixed_array(values, pa.float64(), flags)
