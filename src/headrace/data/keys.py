"""Keys of one or several columns as numbers: for whole batches, and for a request's Python values.

Equal keys have one number; a key with a null in it has none. Numbers are compared by value, whatever their
type, whole numbers by all their digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import DataError
from headrace.core.lazy import lazily
from headrace.data.profile.hashing import hash_texts
from headrace.graph.buffers import Array, fixed, fixed_array, known, texts

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa = lazily("pyarrow")
    pc = lazily("pyarrow.compute")

Value = str | float | bool | None
Ints = NDArray[np.int64]

_SPARSE = 1 << 31
"""Combinations are numbered anew before there could be more of them than this."""
_LARGEST = float(np.finfo(np.float64).max)


class _Domain(Protocol):
    """Values of a key column, each with its place from 0 to `size` - 1."""

    @property
    def size(self) -> int:
        """How many places."""

    def places(self, values: Array) -> Ints:
        """The place of each value, -1 for null and for values that have none."""

    def place(self, value: Value) -> int:
        """The same for one value; times as UTC microseconds."""


@dataclass(frozen=True, eq=False)
class _Level:
    """A key column: its type, its domain, and the combinations up to it where they were numbered anew."""

    type: pa.DataType
    domain: _Domain
    combos: Ints | None


@dataclass(frozen=True, eq=False)
class Keys:
    """The keys of a table's rows, numbered below `count`. Build it with `of`; threads may share it.

    Whole numbers that lie close together are their own numbers, less the lowest: `count` is then up to twice
    the number of rows, and some numbers have no row.
    """

    count: int
    _levels: tuple[_Level, ...]

    @classmethod
    def of(cls, columns: Sequence[Array], rows: int) -> tuple[Keys, Ints]:
        """The keys of so many rows, and each row's number (-1 for none). No columns: one key for all."""
        levels: list[_Level] = []
        codes, count = np.zeros(rows, np.int64), 1
        for values in map(_wide, columns):
            domain, places = _learn(values)
            codes = _joined(codes, places, domain.size) if levels else places
            count *= domain.size
            combos = None
            if levels and count > min(2 * rows + 1024, _SPARSE):
                combos = np.unique(codes[codes >= 0])
                codes, count = np.where(codes < 0, -1, np.searchsorted(combos, codes)), len(combos)
            levels.append(_Level(values.type, domain, combos))
        return cls(count, tuple(levels)), codes

    def match(self, columns: Sequence[Array], rows: int) -> Ints:
        """The number of each row's key, -1 where it is not among these. `columns` in the order of `of`.

        Raises:
            DataError: a column can't be compared with the table's.
        """
        codes = np.zeros(rows, np.int64)
        for i, (level, values) in enumerate(zip(self._levels, columns, strict=True)):
            places = level.domain.places(_like(values, level.type))
            codes = _joined(codes, places, level.domain.size) if i else places
            if level.combos is not None:
                codes = _among(level.combos, codes)
        return codes

    def find(self, values: Sequence[Value]) -> int:
        """The number of one key, as Python values (times as microseconds); -1 where it is none of these."""
        code = 0
        for level, value in zip(self._levels, values, strict=True):
            place = -1 if value is None else level.domain.place(value)
            if place < 0:
                return -1
            code = code * level.domain.size + place
            if level.combos is not None:
                at = int(np.searchsorted(level.combos, code))
                if at == len(level.combos) or level.combos[at] != code:
                    return -1
                code = at
        return code


def _joined(codes: Ints, places: Ints, size: int) -> Ints:
    return np.where((codes < 0) | (places < 0), -1, codes * size + places)


def _among(ascending: NDArray[Any], values: NDArray[Any]) -> Ints:
    """The place of each value among these, -1 for none."""
    if not len(ascending):
        return np.full(len(values), -1, np.int64)
    at = np.searchsorted(ascending, values)
    np.minimum(at, len(ascending) - 1, out=at)
    return np.where(ascending[at] == values, at, -1)


def _learn(values: Array) -> tuple[_Domain, Ints]:
    """The domain of a table's column, and each row's place in it."""
    if _is_text(values.type):
        coded = values.dictionary_encode()
        return _Texts(coded.dictionary), _or_none(coded.indices)
    numbers, flags = fixed(values), known(values)
    there = numbers if flags.all() else numbers[flags]
    if numbers.dtype != np.float64:
        low, high = (int(there.min()), int(there.max())) if len(there) else (0, -1)
        if high - low <= 2 * len(values) + 1024:
            near = _Near(low, high - low + 1)
            return near, near.places(values)
    # A hash table of the domain, made once, pays for a whole table; for a batch it doesn't.
    kind = pa.float64() if numbers.dtype == np.float64 else pa.int64()
    domain = np.sort(fixed(pc.unique(fixed_array(there.astype(numbers.dtype), kind))))
    places = pc.index_in(fixed_array(numbers, kind, flags), value_set=fixed_array(domain, kind))
    return _Sorted(domain), np.where(flags, _or_none(places), -1)


def _or_none(places: Array) -> Ints:
    """Arrow's places as int64, null as -1."""
    return np.where(known(places), fixed(places), -1).astype(np.int64)


@dataclass(frozen=True)
class _Near:
    """Whole numbers, times or booleans that lie close together: the place is the distance from `low`."""

    low: int
    size: int

    def places(self, values: Array) -> Ints:
        numbers = fixed(values).astype(np.int64, copy=False)
        inside = known(values) & (numbers >= self.low) & (numbers <= self.low + self.size - 1)
        if inside.all():
            return numbers - self.low
        return np.where(inside, np.where(inside, numbers, self.low) - self.low, -1)

    def place(self, value: Value) -> int:
        if value is None or isinstance(value, str) or not self.low <= value < self.low + self.size:
            return -1
        return int(value) - self.low if int(value) == value else -1


@dataclass(frozen=True, eq=False)
class _Sorted:
    """Numbers or times in their order."""

    values: NDArray[Any]

    @property
    def size(self) -> int:
        return len(self.values)

    def places(self, values: Array) -> Ints:
        numbers = fixed(values)
        order = np.argsort(numbers)  # neighbours are found in neighbouring memory: twice as fast
        places = np.empty(len(numbers), np.int64)
        places[order] = _among(self.values, numbers[order])
        return np.where(known(values), places, -1)

    def place(self, value: Value) -> int:
        if value is None or isinstance(value, str) or not -_LARGEST <= value <= _LARGEST:
            return -1
        if self.values.dtype == np.int64 and (int(value) != value or not -(2**63) <= value < 2**63):
            return -1
        at = int(np.searchsorted(self.values, self.values.dtype.type(value)))
        # Compared as Python compares: a whole number too long for a double is none of the doubles.
        return at if at < len(self.values) and self.values[at].item() == value else -1


@dataclass(frozen=True, eq=False)
class _Texts:
    """Texts. Batches find them by 64-bit names and compare what they found; requests by a dictionary. Either
    is made at the first need."""

    values: Array

    @property
    def size(self) -> int:
        return len(self.values)

    def places(self, values: Array) -> Ints:
        if self._named is None or pa.types.is_large_string(values.type):
            found = pc.index_in(values, value_set=self.values)
            return np.where(known(values), _or_none(found), -1)
        names, order = self._named
        spots = _among(names, hash_texts(values))
        hits = np.flatnonzero((spots >= 0) & known(values))
        held = order[spots[hits]]
        same = pc.equal(_taken(self.values, held), _taken(values, hits))
        places = np.full(len(values), -1, np.int64)
        places[hits] = np.where(fixed(same), held, -1)
        return places

    def place(self, value: Value) -> int:
        return self._by_text.get(value, -1) if isinstance(value, str) else -1

    @cached_property
    def _named(self) -> tuple[NDArray[np.uint64], Ints] | None:
        """The texts' names in order, and whose they are; None where two texts share one, or the texts are
        too long together to be named at once."""
        if pa.types.is_large_string(self.values.type) or not len(self.values):
            return None
        names = hash_texts(self.values)
        order = np.argsort(names)
        names = names[order]
        return None if (names[1:] == names[:-1]).any() else (names, order.astype(np.int64))

    @cached_property
    def _by_text(self) -> dict[str | None, int]:
        return {text: i for i, text in enumerate(texts(self.values.cast(pa.string())))}


def _taken(values: Array, rows: Ints) -> Array:
    return values.take(fixed_array(rows, pa.int64()))


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _wide(values: Array) -> Array:
    """Whole numbers as int64, other numbers as double (minus zero is zero): what keys are compared as."""
    if pa.types.is_integer(values.type):
        return values.cast(pa.int64())
    if pa.types.is_floating(values.type):
        return fixed_array(fixed(values).astype(np.float64) + 0.0, pa.float64(), known(values))
    return values


def _like(values: Array, kind: pa.DataType) -> Array:
    """Keys of the asking rows in the type of the table's; a number without an exact counterpart is null."""
    values = _wide(values)
    if values.type == kind:
        return values
    if _is_text(kind) and _is_text(values.type):
        return values.cast(kind)
    numbers, flags = fixed(values), known(values)
    if pa.types.is_floating(values.type) and pa.types.is_integer(kind):
        exact = flags & (np.abs(numbers) < 2.0**63) & (np.floor(numbers) == numbers)
        return fixed_array(np.where(exact, numbers, 0).astype(np.int64), kind, exact)
    if pa.types.is_integer(values.type) and pa.types.is_floating(kind):
        as_float = numbers.astype(np.float64)
        exact = flags & (np.abs(as_float) < 2.0**63)
        exact &= np.where(exact, as_float, 0).astype(np.int64) == numbers
        return fixed_array(as_float, kind, exact)
    raise DataError(
        f"a key of {values.type} can't be compared with one of {kind}",
        fix="make the key's columns of one type in both tables",
    )
