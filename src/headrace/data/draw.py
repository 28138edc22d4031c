"""Seeded draws over arrays, and the codes they work on. Knows no spec and no part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.core.schema import NULL_TEXT, NULL_TIME

Values: TypeAlias = "NDArray[Any] | pa.Array[Any] | pa.ChunkedArray[Any]"
"""A column of any headrace type. Null is None, NaN, an Arrow null, `NULL_TEXT` or `NULL_TIME`."""


def take(values: Values, rows: NDArray[np.int64]) -> Values:
    """These rows of a column, ascending; the column itself where they are all of it."""
    if rows.size == len(values):
        return values
    return values[rows] if isinstance(values, np.ndarray) else values.take(rows)


@dataclass(frozen=True, eq=False)
class Coded:
    """A column as codes int32 [rows] into its distinct `values`, ascending. Null, where there is one, has
    the last code, `len(values)`. Text is ordered by code point, as NumPy and Python order it."""

    codes: NDArray[np.int32]
    values: pa.Array[Any]
    null: bool

    def __len__(self) -> int:
        return len(self.values) + self.null

    def label(self, code: int) -> Any:
        """The value behind a code; None for null."""
        return self.values[code].as_py() if code < len(self.values) else None


def encode(values: Values) -> Coded:
    """Distinct values and their codes, nulls as in `Values`; -0 is 0.

    Raises:
        pyarrow.ArrowInvalid: an object array mixes types.
    """
    array: Any = pa.array(values, from_pandas=True) if isinstance(values, np.ndarray) else values
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if pa.types.is_boolean(array.type):
        coded = encode(array.cast(pa.int8()))
        return Coded(coded.codes, coded.values.cast(pa.bool_()), coded.null)
    if pa.types.is_floating(array.type):
        array = _without(pc.add(array, 0.0), pc.is_nan(array))
    elif pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        array = _without(array, pc.equal(array, pa.scalar(NULL_TEXT)))
    elif pa.types.is_int64(array.type):
        array = _without(array, pc.equal(array, pa.scalar(NULL_TIME)))
    chunked: Any = pa.chunked_array(
        array.chunks if isinstance(array, pa.ChunkedArray) else [array], array.type
    )
    encoded = chunked.dictionary_encode().unify_dictionaries()
    distinct = encoded.chunk(0).dictionary if encoded.num_chunks else pa.array([], array.type)
    order = pc.sort_indices(distinct).to_numpy()
    rank = np.empty(len(order) + 1, dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    rank[-1] = len(order)  # null
    codes = np.empty(len(values), dtype=np.int32)
    start = 0
    for chunk in encoded.chunks:
        codes[start : start + len(chunk)] = rank[chunk.indices.fill_null(len(order)).to_numpy()]
        start += len(chunk)
    return Coded(codes, distinct.take(order), bool(encoded.null_count))


def _without(array: Any, null: Any) -> Any:
    return pc.if_else(null, pa.scalar(None, array.type), array)


def group_units(groups: Values) -> NDArray[np.int64]:
    """Group numbers in the order of the groups' values; a null has a number of its own."""
    coded = encode(groups)
    units = coded.codes.astype(np.int64)
    null = units == len(coded.values)
    units[null] += np.arange(int(np.count_nonzero(null)))
    return units


def stratified_draw(codes: NDArray[np.int32], draws: int, seed: int) -> NDArray[np.int64]:
    """The rows that scikit-learn's StratifiedShuffleSplit would put into the test part: `draws` row numbers.

    The same draws from the same generator, as arrays instead of its lists (which take 300 MB for
    5,000,000 rows); a test compares the two. Codes have the order of the strata's values.
    """
    rng = np.random.RandomState(seed)
    counts = np.bincount(codes)
    counts = counts[counts > 0]
    kept = _approximate_mode(counts, codes.size - draws, rng)
    drawn = _approximate_mode(counts - kept, draws, rng)
    small = codes.astype(np.int16) if counts.size < 2**15 and codes.max() < 2**15 else codes
    order = np.argsort(small, kind="stable")  # radix for 16 bits
    picked, start = [], 0
    for count, keep, draw in zip(counts.tolist(), kept.tolist(), drawn.tolist(), strict=True):
        members = rng.permutation(count)[keep : keep + draw]
        picked.append(order[start : start + count][members])
        start += count
    result: NDArray[np.int64] = np.concatenate(picked)
    return result


def _approximate_mode(counts: NDArray[np.int64], draws: int, rng: np.random.RandomState) -> NDArray[np.int64]:
    """The most likely numbers by stratum among `draws` rows (mode of the multivariate hypergeometric, as
    scikit-learn approximates it: floors first, then by remainder, equal remainders at random)."""
    continuous = counts / counts.sum() * draws
    floored = np.floor(continuous)
    missing = int(draws - floored.sum())
    if missing > 0:
        remainder = continuous - floored
        for value in np.sort(np.unique(remainder))[::-1]:
            (where,) = np.where(remainder == value)
            now = min(len(where), missing)
            floored[rng.choice(where, size=now, replace=False)] += 1
            missing -= now
            if missing == 0:
                break
    result: NDArray[np.int64] = floored.astype(np.int64)
    return result


def fill(left: NDArray[np.int64], sizes: NDArray[np.int64], target: int, spare: int) -> NDArray[np.int64]:
    """The first groups of `left` that come closest to `target` rows; at least one,
    all but `spare` at most."""
    fitting = left[sizes[left] <= target]
    if fitting.size == 0:
        return left[[int(np.argmin(sizes[left]))]]
    filled = np.cumsum(sizes[fitting])
    closest = int(np.argmin(np.abs(filled - target))) + 1
    result: NDArray[np.int64] = fitting[: min(closest, left.size - spare)]
    return result
