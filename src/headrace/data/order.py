"""Rows in order of key and moment, and the last one of a key at a moment: sorting and searching at scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def in_order(codes: Ints, visible: Ints, size: int) -> Ints:
    """The rows in order of (code, visible, row): int64 [rows]. Codes lie between 0 and `size` - 1.

    One sort of one number a row, in which the code, the highest bits of the moment and the row stand side by
    side; rows of a code whose moments share these bits are put in order afterwards. Several times as fast as
    sorting by two columns.
    """
    if not len(codes):
        return np.zeros(0, np.int64)
    row_bits = len(codes).bit_length()
    room = 63 - row_bits - size.bit_length()
    if room < 0:
        return np.lexsort((visible, codes))
    span, coarse = 0, 0
    packed = codes.copy()
    if not (visible[1:] >= visible[:-1]).all():  # else the row says it
        low = int(visible.min())
        span = (int(visible.max()) - low).bit_length()
        if span > 63:
            return np.lexsort((visible, codes))
        coarse = max(span - room, 0)
        packed <<= span - coarse
        packed |= (visible - low) >> coarse
    packed <<= row_bits
    packed |= np.arange(len(codes))
    packed.sort()
    order = packed & ((1 << row_bits) - 1)
    if coarse:
        packed >>= row_bits
        _settle(order, packed, visible)
    return order


def _settle(order: Ints, prefix: Ints, visible: Ints) -> None:
    """Put in order, in place, the rows whose prefix is the same."""
    alike = prefix[1:] == prefix[:-1]
    if not (visible[order[1:][alike]] < visible[order[:-1][alike]]).any():
        return
    inside = np.zeros(len(order), np.bool_)
    inside[1:] |= alike
    inside[:-1] |= alike
    spots = np.flatnonzero(inside)
    rows = order[spots]
    order[spots] = rows[np.lexsort((rows, visible[rows], prefix[spots]))]


def ranks(values: Ints) -> tuple[Ints, Ints]:
    """The distinct values, ascending, and of each value its place among them: int64 [rows]. `np.unique` does
    the same by a slower sort."""
    order = in_order(np.zeros(len(values), np.int64), values, 1)
    ordered = values[order]
    new = np.ones(len(values), np.bool_)
    new[1:] = ordered[1:] != ordered[:-1]
    rank = np.empty(len(values), np.int64)
    rank[order] = np.cumsum(new) - 1
    return ordered[new], rank


def highest(values: Ints, group: Ints) -> Ints:
    """The running maximum within each group; rows of a group lie together, groups ascend from 0."""
    if not len(values):
        return values
    low = int(values.min())
    span = int(values.max()) - low + 1
    if span.bit_length() + int(group[-1] + 1).bit_length() <= 62:
        lifted = group * span
        return np.maximum.accumulate(values - low + lifted) - lifted + low
    distinct, rank = ranks(values)
    lifted = group * len(distinct)
    return distinct[np.maximum.accumulate(rank + lifted) - lifted]


def starts(codes: Ints, size: int) -> Ints:
    """Where the rows of each code begin when they lie in order, and where the last end: int64 [size + 1]."""
    start = np.zeros(size + 1, np.int64)
    np.cumsum(np.bincount(codes, minlength=size), out=start[1:])
    return start


def last(known: Ints, first: Ints, end: Ints, moments: Ints) -> Ints:
    """The last place in [first, end) at which `known` (rising there) is at most the moment; first - 1 for
    none. All rows that ask halve their ranges together."""
    spot = first - 1
    step = 1 << max(int((end - first).max(initial=0)).bit_length() - 1, 0)
    while step:
        ahead = spot + step
        take = ahead < end
        take &= known[np.minimum(ahead, len(known) - 1)] <= moments
        spot += np.where(take, step, 0)
        step >>= 1
    return spot
