"""64-bit names of values, many at once: the same value has the same name on every machine and day."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.data.buffers import Array, fixed, span

NULL = np.uint64(0xD1B54A32D192ED03)
"""The name of a null."""

_LONG = 256
_ONES = np.uint64(2**64 - 1)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of splitmix64 (Steele, Lea and Flood 2014): every bit of the input changes about half of
    the output's. Wraps around 2^64 on purpose."""
    x = x + _GOLDEN
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x


def hash_numbers(values: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.uint64]:
    """uint64 [rows]: names by the bits of 64-bit numbers. -0.0 has to be made 0.0 before."""
    return mix(values.view(np.uint64))


def hash_texts(values: Array) -> NDArray[np.uint64]:
    """uint64 [rows]: names of the texts (Arrow strings, none null) by their length and UTF-8 bytes.

    Eight bytes at a time, each mixed into the name so far. Texts of more than 256 bytes go through BLAKE2b.
    """
    count = len(values)
    if not count:
        return np.empty(0, np.uint64)
    offsets = np.frombuffer(values.buffers()[1], np.int32, count + 1, values.offset * 4)
    first, last = span(values)
    data = np.zeros(last - first + 8, np.uint8)
    if last > first:
        data[:-8] = np.frombuffer(values.buffers()[2], np.uint8, last - first, first)
    words = np.ndarray((data.size - 7,), "<u8", data, strides=(1,))
    starts = (offsets[:-1] - first).astype(np.int64)
    lengths = np.diff(offsets).astype(np.int64)
    names = mix(lengths.astype(np.uint64))
    short = np.flatnonzero((lengths > 0) & (lengths <= _LONG))
    at, left = starts[short], lengths[short]
    while short.size:
        unused = (np.maximum(8 - left, 0) * 8).astype(np.uint64)
        word = words[at] & (_ONES >> unused)
        names[short] = mix(names[short] ^ word) if short.size < count else mix(names ^ word)
        more = left > 8
        if not more.all():
            short, at, left = short[more], at[more], left[more]
        at, left = at + 8, left - 8
    for i in np.flatnonzero(lengths > _LONG).tolist():
        text = data[starts[i] : starts[i] + lengths[i]].tobytes()
        names[i] = int.from_bytes(blake2b(text, digest_size=8).digest(), "little")
    return names


def text_lengths(values: Array) -> NDArray[np.int64]:
    """Lengths in characters, int64 [rows], of texts none of which is null."""
    lengths: Array = pc.utf8_length(values)
    return fixed(lengths).astype(np.int64)


def take_rows(values: Array, rows: NDArray[np.int64]) -> Array:
    """These elements of an Arrow array."""
    data = np.ascontiguousarray(rows, np.int64)
    index = pa.Array.from_buffers(pa.int64(), len(data), [None, pa.py_buffer(data)])  # type: ignore[arg-type]  # numpy arrays have the buffer interface
    return values.take(index)
