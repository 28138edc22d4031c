"""Finding a row of a side table by key and moment: one index for batches and for single requests.

A row of a table with `time` (or `known_at`) is visible from the later of the two on. Of the visible rows of
a key the newest by `time` is found; of equal times the one known last, then the last in the file. It is used
while its age at the moment is at most `ttl`. A table without times holds one row a key. A null key, or a null
moment where the table has times, finds nothing. Every row that asks gets one answer, in the order of asking.

This room needs numpy and pyarrow alone: serving imports it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from headrace.core.clock import parse_duration
from headrace.core.errors import DataError
from headrace.core.schema import NULL_TIME
from headrace.core.spec.tables import TableSpec
from headrace.data.buffers import Array, fixed, fixed_array, known, texts
from headrace.data.keys import Keys, Value

Ints = NDArray[np.int64]
Places = NDArray[np.int32] | Ints
"""Positions in a table: of 32 bits where that is enough, for they stay in memory."""


@dataclass(frozen=True, eq=False)
class LookupTable:
    """A side table in memory, sorted for lookup. Build it with `load`; threads may share it.

    `keys` are the key's columns (the same names in the events table), `columns` the values' names,
    `timed` says whether a moment is needed. Beside the values a row costs 12 bytes (20 with both `known_at`
    and `ttl`), a key 4.
    """

    name: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    timed: bool
    _values: Mapping[str, Array]
    _keys: Keys
    _start: Places
    """Where the rows of each key's code begin among those below, and where the last end."""
    _known: Ints
    """From when on each row is visible, in order of (key, visible, row); empty without times."""
    _best: Places
    """Of the rows of its key that are visible then, the one that is found."""
    _time: Ints
    """When that one came to be."""
    _ttl: int | None

    @classmethod
    def load(cls, name: str, path: Path, table: TableSpec, columns: Sequence[str]) -> LookupTable:
        """Read a snapshot's Parquet file. Only the key, the times and `columns` are read.

        Raises:
            DataError: the table has no key, or (without times) two rows of one key.
        """
        if table.key is None:
            raise DataError(
                f"the table {name!r} has no key to look rows up by",
                where=f"data.tables.{name}",
                fix="declare `key:`, the column that both tables share",
            )
        names = (table.key,) if isinstance(table.key, str) else table.key
        times = [c for c in (table.time, table.known_at) if c is not None]
        keys, codes, time, visible = _read_index(path, names, times)
        rows = np.flatnonzero((codes >= 0) & (visible != NULL_TIME))
        if len(rows) == len(codes):
            rows = rows[:0]  # all: nothing has to be picked
        else:
            codes, time, visible = codes[rows], time[rows], visible[rows]
        start = _starts(codes, keys.count)
        order = in_order(codes, visible, keys.count)
        if not times and len(order) and int(np.diff(start).max()) > 1:
            raise _twice(name, names, path, order if not len(rows) else rows[order], start)
        shown = visible[order] if times else visible[:0]
        best = order
        if len(times) > 1:
            best = order[_newest(time[order], start)]
            time = time[best] if table.ttl is not None else time[:0]
        return cls(
            name=name,
            keys=names,
            columns=tuple(columns),
            timed=bool(times),
            _values=read_whole(path, columns),
            _keys=keys,
            _start=_small(start),
            _known=shown,
            _best=_small(rows[best] if len(rows) else best),
            _time=time if len(times) > 1 else shown,
            _ttl=None if table.ttl is None else parse_duration(table.ttl) // timedelta(microseconds=1),
        )

    def match(self, keys: Sequence[Array], moments: Ints | None = None) -> Ints:
        """The table's row (by position in the snapshot) for each row that asks, -1 for none.

        `keys` are Arrow arrays in the order of `self.keys`; `moments` UTC microseconds (`NULL_TIME` for
        null), needed where the table has times.

        Raises:
            ValueError: the table has times and no moments are given.
        """
        codes = self._keys.match(keys, len(keys[0]))
        if not len(self._best):
            return np.full(len(codes), -1, np.int64)
        found = codes >= 0
        codes = np.where(found, codes, 0)
        first, end = self._start[codes].astype(np.int64), self._start[codes + 1].astype(np.int64)
        if not self.timed:
            found &= first < end
            return np.where(found, self._best[np.where(found, first, 0)], np.int64(-1))
        if moments is None:
            raise ValueError(f"looking up {self.name} needs moments")
        spot = _last(self._known, first, end, moments)
        found &= (spot >= first) & (moments != NULL_TIME)
        spot = np.where(found, spot, 0)
        if self._ttl is not None:
            found &= moments - self._time[spot] <= self._ttl
        return np.where(found, self._best[spot], np.int64(-1))

    def take(self, column: str, rows: Ints) -> Array:
        """A column's values at these rows; null at -1."""
        found = rows >= 0
        return pc.take(self._values[column], fixed_array(np.where(found, rows, 0), pa.int64(), found))

    def find(self, keys: Sequence[Value], moment: int | None = None) -> dict[str, Value] | None:
        """The values for one request: by column, times as UTC microseconds; None where no row is found.

        `keys` in the order of `self.keys` (times as microseconds), `moment` UTC microseconds or None.
        """
        code = self._keys.find(keys)
        if code < 0:
            return None
        first, end = int(self._start[code]), int(self._start[code + 1])
        spot = first
        if self.timed:
            if moment is None or moment == NULL_TIME:
                return None
            spot = first + int(np.searchsorted(self._known[first:end], moment, side="right")) - 1
            if spot < first or (self._ttl is not None and moment - int(self._time[spot]) > self._ttl):
                return None
        elif first == end:
            return None
        row = int(self._best[spot])
        return {name: cell[row] for name, cell in self._cells.items()}

    @cached_property
    def _cells(self) -> Mapping[str, _Cells]:
        return {c: _Cells(v) for c, v in self._values.items()}


class _Cells:
    """A column whose cells are read one at a time as Python values."""

    def __init__(self, values: Array) -> None:
        self._words: list[str | None] | None = None
        self._known = known(values) if values.null_count else None
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            coded = values.dictionary_encode()
            self._words = texts(coded.dictionary.cast(pa.string()))
            self._numbers = fixed(coded.indices)
        else:
            self._numbers = fixed(values)

    def __getitem__(self, row: int) -> Value:
        if self._known is not None and not self._known[row]:
            return None
        value: float | bool = self._numbers[row].item()
        return value if self._words is None else self._words[int(value)]


def read_whole(path: Path, names: Sequence[str]) -> dict[str, Array]:
    """Columns of a Parquet file, each as one array."""
    # Not pq.read_table: it imports pyarrow.dataset, and that pandas. One column after another: a second copy
    # of its pieces, made when they are joined, is then of one column alone.
    file = pq.ParquetFile(path)
    return {n: _single(file.read(columns=[n]).column(n)) for n in dict.fromkeys(names)}


def _single(column: Array) -> Array:
    if pa.types.is_string(column.type) and column.nbytes >= 2**31:
        column = column.cast(pa.large_string())
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _read_index(path: Path, keys: Sequence[str], times: Sequence[str]) -> tuple[Keys, Ints, Ints, Ints]:
    """The keys, and of each row the key's code, when it came to be, and from when on it is visible."""
    rows = pq.ParquetFile(path).metadata.num_rows
    learnt, codes = Keys.of(list(read_whole(path, keys).values()), rows)
    read = read_whole(path, times)
    time, visible = moments_of([read[c] for c in times], len(codes))
    return learnt, codes, time, visible


def moments_of(times: Sequence[Array], rows: int) -> tuple[Ints, Ints]:
    """When each row happened, and from when on it is visible; `NULL_TIME` where either is unknown."""
    if not times:
        return np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    columns = [np.where(known(t), fixed(t), NULL_TIME) if t.null_count else fixed(t) for t in times]
    if len(columns) == 1:
        return columns[0], columns[0]
    visible = np.maximum.reduce(columns)
    visible = np.where(np.minimum.reduce(columns) == NULL_TIME, NULL_TIME, visible)
    return columns[0], visible


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
    if (visible[1:] >= visible[:-1]).all():
        room, span = 0, 0  # in order of time already: the row says it
    else:
        low = int(visible.min())
        span = (int(visible.max()) - low).bit_length()
    coarse = max(span - room, 0)
    packed = codes << (span - coarse)
    if span:
        packed |= ((visible - low) >> coarse) if coarse else visible - low
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


def _starts(codes: Ints, size: int) -> Ints:
    start = np.zeros(size + 1, np.int64)
    np.cumsum(np.bincount(codes, minlength=size), out=start[1:])
    return start


def _last(known: Ints, first: Ints, end: Ints, moments: Ints) -> Ints:
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


def _newest(time: Ints, start: Ints) -> Ints:
    """For each place the newest one by time of the places of its key up to it, the last of equal ones."""
    places = np.arange(len(time))
    group = np.repeat(np.arange(len(start) - 1), np.diff(start))
    late = (time[1:] < time[:-1]) & (group[1:] == group[:-1])
    if not late.any():
        return places
    low = int(time.min())
    span = int(time.max()) - low + 1
    if span.bit_length() + len(start).bit_length() > 63:
        time = np.unique(time, return_inverse=True)[1]
        low, span = 0, len(time)
    lifted = (time - low) + group * span
    return np.maximum.accumulate(np.where(lifted == np.maximum.accumulate(lifted), places, 0))


def _small(places: Ints) -> Places:
    return places.astype(np.int32) if len(places) < 2**31 and places.max(initial=0) < 2**31 else places


def _twice(name: str, keys: Sequence[str], path: Path, rows: Ints, start: Ints) -> DataError:
    code = int(np.flatnonzero(np.diff(start) > 1)[0])
    held = rows[start[code] : start[code + 1]]
    columns = read_whole(path, keys)
    told = ", ".join(f"{k} = {_Cells(columns[k])[int(held[0])]!r}" for k in keys)
    return DataError(
        f"the key {told} names {len(held)} rows of the table {name!r}",
        where=", ".join(f"row {r + 1}" for r in held[:2].tolist()),
        fix=f"keep one row a key, or declare `time:` under data.tables.{name}",
    )
