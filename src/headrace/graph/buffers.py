"""Arrow arrays from and to numpy and lists, straight over their buffers.

`pa.array`, `pa.scalar`, `to_numpy` and `to_pylist` import pandas wherever it is installed, which costs a
second and breaks the rule that reading and serving don't load it. These helpers do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from headrace.core.lazy import lazily

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = lazily("pyarrow")

Array: TypeAlias = Any
"""An Arrow array whose type is known only at run time: the stubs' overloads have no name for it."""


def stream(path: Path) -> Any:
    """The file's bytes, decompressed where its name ends in .gz or .zst."""
    if path.suffix.lower() == ".gz":
        return pa.input_stream(str(path), compression="gzip")
    if path.suffix.lower() == ".zst":
        return pa.input_stream(str(path), compression="zstd")
    return pa.input_stream(str(path), compression=None)  # type: ignore[arg-type]  # the stubs forget None


def text_array(values: Sequence[str]) -> Array:
    """Texts (none of them null) as an Arrow array."""
    encoded = [v.encode() for v in values]
    offsets = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum([len(e) for e in encoded], out=offsets[1:])
    return pa.StringArray.from_buffers(len(encoded), _buffer(offsets), pa.py_buffer(b"".join(encoded)))


def texts(values: Array) -> list[str | None]:
    """The values of a text array."""
    if not len(values):
        return []
    start, end = span(values)
    offsets = np.frombuffer(values.buffers()[1], np.int32, len(values) + 1, values.offset * 4) - start
    data = b"" if values.buffers()[2] is None else memoryview(values.buffers()[2])[start:end].tobytes()
    cuts = offsets.tolist()
    flags = known(values).tolist() if values.null_count else [True] * len(values)
    return [data[a:b].decode() if k else None for a, b, k in zip(cuts, cuts[1:], flags, strict=False)]


def span(values: Array) -> tuple[int, int]:
    """Where the bytes of a text array begin and end in its data buffer."""
    if not len(values):
        return 0, 0
    offsets = np.frombuffer(values.buffers()[1], np.int32, len(values) + 1, values.offset * 4)
    return int(offsets[0]), int(offsets[-1])


def known(values: Array) -> NDArray[np.bool_]:
    """One flag a value: False where it is null."""
    buffer = values.buffers()[0]
    if buffer is None or values.null_count == 0:
        return np.ones(len(values), np.bool_)
    return _flags(buffer, values.offset, len(values))


def fixed(values: Array) -> NDArray[Any]:
    """The values of a number, boolean or timestamp array (int64); under nulls lies whatever lies there."""
    buffer = values.buffers()[1]
    kind = values.type
    if buffer is None:
        return np.zeros(len(values), np.int64)
    if pa.types.is_boolean(kind):
        return _flags(buffer, values.offset, len(values))
    dtype = np.dtype(np.int64) if pa.types.is_timestamp(kind) else np.dtype(kind.to_pandas_dtype())
    return np.frombuffer(buffer, dtype, len(values), values.offset * dtype.itemsize)


def fixed_array(values: NDArray[Any], kind: pa.DataType, flags: NDArray[np.bool_] | None = None) -> Array:
    """Numbers, booleans or timestamps as an Arrow array over the same memory; null where a flag is False."""
    data = np.packbits(values, bitorder="little") if pa.types.is_boolean(kind) else values
    data = np.ascontiguousarray(data)
    mask = None if flags is None or flags.all() else _buffer(np.packbits(flags, bitorder="little"))
    return pa.Array.from_buffers(kind, len(values), [mask, _buffer(data)])


def _flags(buffer: Any, offset: int, length: int) -> NDArray[np.bool_]:
    first, last = offset // 8, (offset + length + 7) // 8
    packed: NDArray[np.uint8] = np.frombuffer(buffer, np.uint8)[first:last]
    bits: NDArray[np.bool_] = np.unpackbits(packed, bitorder="little").view(np.bool_)
    return bits[offset - first * 8 : offset - first * 8 + length]


def _buffer(values: NDArray[Any]) -> Any:
    return pa.py_buffer(values)  # type: ignore[arg-type]  # numpy arrays have the buffer interface
