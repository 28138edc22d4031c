"""64-bit names of values, many at once: the same value has the same name on every machine and day."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headrace.core.lazy import lazily
from headrace.graph.buffers import Array, fixed, span

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa = lazily("pyarrow")
    pc = lazily("pyarrow.compute")

NULL = np.uint64(0xD1B54A32D192ED03)
"""The name of a null."""

_LONG = 256
_PIECE = 8_192
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_STEPS = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)
_LAST = np.uint64(31)
_MASKS = np.array([(1 << 8 * k) - 1 for k in range(9)], np.uint64)
"""The bits of the first 0 to 8 bytes of a word."""


def mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of splitmix64 (Steele, Lea and Flood 2014): every bit of the input changes about half of
    the output's. Wraps around 2^64 on purpose."""
    out = x.copy()
    _mix_all(out)
    return out


def _mix_all(x: NDArray[np.uint64]) -> None:
    """`mix` in place."""
    room = np.empty(min(_PIECE, x.size), np.uint64)
    for at in range(0, x.size, _PIECE):
        _mix(x[at : at + _PIECE], room)


def _mix(x: NDArray[np.uint64], room: NDArray[np.uint64]) -> None:
    """`mix` in place, of a piece that stays in the processor's cache; `room` is as long at least."""
    moved = room[: x.size]
    x += _GOLDEN
    for shift, factor in _STEPS:
        np.right_shift(x, shift, out=moved)
        x ^= moved
        x *= factor
    np.right_shift(x, _LAST, out=moved)
    x ^= moved


def hash_numbers(values: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.uint64]:
    """uint64 [rows]: names by the bits of 64-bit numbers. -0.0 has to be made 0.0 before."""
    return mix(values.view(np.uint64))


def hash_texts(values: Array) -> NDArray[np.uint64]:
    """uint64 [rows]: names of the texts (Arrow strings) by their length and UTF-8 bytes; of nulls whatever
    lies there.

    Eight bytes at a time, each mixed into the name so far. Texts of more than 256 bytes go through BLAKE2b.
    """
    count = len(values)
    names = np.empty(count, np.uint64)
    if not count:
        return names
    offsets = np.frombuffer(values.buffers()[1], np.int32, count + 1, values.offset * 4)
    first, last = span(values)
    data = np.zeros(last - first + 8, np.uint8)
    if last > first:
        data[:-8] = np.frombuffer(values.buffers()[2], np.uint8, last - first, first)
    words = np.ndarray((data.size - 7,), "<u8", data, strides=(1,))
    room = np.empty(min(_PIECE, count), np.uint64)
    for at in range(0, count, _PIECE):
        cuts = offsets[at : at + _PIECE + 1].astype(np.int64) - first
        _name(names[at : at + _PIECE], words, cuts[:-1], np.diff(cuts), room)
    lengths = np.diff(offsets)
    for i in np.flatnonzero(lengths > _LONG).tolist():
        begin = offsets[i] - first
        text = data[begin : begin + lengths[i]].tobytes()
        names[i] = int.from_bytes(blake2b(text, digest_size=8).digest(), "little")
    return names


def _name(
    names: NDArray[np.uint64],
    words: NDArray[np.uint64],
    at: NDArray[np.int64],
    left: NDArray[np.int64],
    room: NDArray[np.uint64],
) -> None:
    """Write the names of texts that begin at the bytes `at` and have `left` of them."""
    names[:] = left
    _mix(names, room)
    rows: NDArray[np.int64] | None = None  # all
    own, least = names, int(left.min())
    if least == 0 or int(left.max()) > _LONG:
        rows = np.flatnonzero((left > 0) & (left <= _LONG))
        own, at, left = names[rows], at[rows], left[rows]
    while left.size:
        word = words[at]
        if least < 8:
            word &= _MASKS[np.minimum(left, 8)]
        own ^= word
        _mix(own, room)
        if rows is not None:
            names[rows] = own
        if int(left.min()) <= 8:
            more = np.flatnonzero(left > 8)
            rows = more if rows is None else rows[more]
            own, at, left = own[more], at[more], left[more]
        at, left = at + 8, left - 8
        least = int(left.min()) if left.size else 0


def text_lengths(values: Array) -> NDArray[np.int64]:
    """Lengths in characters, int64 [rows], of texts; of nulls whatever lies there."""
    first, last = span(values)
    data = np.frombuffer(values.buffers()[2], np.uint8)[first:last] if last > first else np.empty(0, np.uint8)
    if not data.size or data.max() < 128:
        # One byte is one character.
        offsets = np.frombuffer(values.buffers()[1], np.int32, len(values) + 1, values.offset * 4)
        return np.diff(offsets).astype(np.int64)
    lengths: Array = pc.utf8_length(values)
    return fixed(lengths).astype(np.int64)


def take_rows(values: Array, rows: NDArray[np.int64]) -> Array:
    """These elements of an Arrow array."""
    data = np.ascontiguousarray(rows, np.int64)
    index = pa.Array.from_buffers(pa.int64(), len(data), [None, pa.py_buffer(data)])  # type: ignore[arg-type]  # numpy arrays have the buffer interface
    return values.take(index)
