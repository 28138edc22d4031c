"""Finding a row of a side table by key and moment: one index for batches and for single requests.

A row of a table with `time` (or `known_at`) is visible from the later of the two on. Of the visible rows of
a key the newest by `time` is found; of equal times the one known last, then the last in the file. It is used
while its age at the moment is at most `ttl`. A table without times holds one row a key. A null key, or a null
moment where the table has times, finds nothing. Every row that asks gets one answer, in the order of asking.

This room needs numpy and pyarrow alone: serving imports it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headrace.core.clock import duration_micros
from headrace.core.errors import DataError
from headrace.core.lazy import lazily
from headrace.core.schema import NULL_TIME
from headrace.data.keys import Keys, Value
from headrace.data.loaded import Loaded
from headrace.data.order import in_order, last, ranks, starts
from headrace.graph.buffers import Array, fixed, fixed_array, known, texts

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from headrace.core.spec.tables import TableSpec
else:
    pa = lazily("pyarrow")
    pc = lazily("pyarrow.compute")
    pq = lazily("pyarrow.parquet")

Ints = NDArray[np.int64]
Places = NDArray[np.int32] | Ints
"""Positions in a table: of 32 bits where that is enough, for they stay in memory."""


@dataclass(frozen=True, eq=False)
class _Index:
    """The rows of a table with key and times, in order of (key, visible, row).

    `start` says where the rows of each number of `keys` begin, and where the last end. A row is visible from
    `known` on (empty without times); of the rows of its key visible then, `best` is the one that is found,
    and `time` says when that one came to be.
    """

    keys: Keys
    start: Places
    known: Ints
    best: Places
    time: Ints


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
    _index: _Index
    _ttl: int | None

    @classmethod
    def load(
        cls, name: str, path: Path, table: TableSpec, columns: Sequence[str], *, loaded: Loaded | None = None
    ) -> LookupTable:
        """Read a snapshot's Parquet file. Only the key, the times and `columns` are read, and of these only
        what `loaded` doesn't hold of the file yet.

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
        loaded, aged = loaded or Loaded(), table.ttl is not None
        index = loaded.get(
            ("index", path, names, tuple(times), aged), lambda: _index(name, path, names, times, aged)
        )
        return cls(
            name=name,
            keys=names,
            columns=tuple(columns),
            timed=bool(times),
            _values=read_once(path, columns, loaded),
            _index=index,
            _ttl=duration_micros(table.ttl),
        )

    def match(self, keys: Sequence[Array], moments: Ints | None = None) -> Ints:
        """The table's row (by position in the snapshot) for each row that asks, -1 for none.

        `keys` are Arrow arrays in the order of `self.keys`; `moments` UTC microseconds (`NULL_TIME` for
        null), needed where the table has times.

        Raises:
            ValueError: the table has times and no moments are given.
        """
        index = self._index
        codes = index.keys.match(keys, len(keys[0]))
        if not len(index.best):
            return np.full(len(codes), -1, np.int64)
        found = codes >= 0
        codes = np.where(found, codes, 0)
        first, end = index.start[codes].astype(np.int64), index.start[codes + 1].astype(np.int64)
        if not self.timed:
            found &= first < end
            return np.where(found, index.best[np.where(found, first, 0)], np.int64(-1))
        if moments is None:
            raise ValueError(f"looking up {self.name} needs moments")
        spot = last(index.known, first, end, moments)
        found &= (spot >= first) & (moments != NULL_TIME)
        spot = np.where(found, spot, 0)
        if self._ttl is not None:
            found &= moments - index.time[spot] <= self._ttl
        return np.where(found, index.best[spot], np.int64(-1))

    def take(self, column: str, rows: Ints) -> Array:
        """A column's values at these rows; null at -1."""
        found = rows >= 0
        return pc.take(self._values[column], fixed_array(np.where(found, rows, 0), pa.int64(), found))

    def find(self, keys: Sequence[Value], moment: int | None = None) -> dict[str, Value] | None:
        """The values for one request: by column, times as UTC microseconds; None where no row is found.

        `keys` in the order of `self.keys` (times as microseconds), `moment` UTC microseconds or None.
        """
        index = self._index
        code = index.keys.find(keys)
        if code < 0:
            return None
        first, end = int(index.start[code]), int(index.start[code + 1])
        spot = first
        if self.timed:
            if moment is None or moment == NULL_TIME:
                return None
            spot = first + int(np.searchsorted(index.known[first:end], moment, side="right")) - 1
            if spot < first or (self._ttl is not None and moment - int(index.time[spot]) > self._ttl):
                return None
        elif first == end:
            return None
        row = int(index.best[spot])
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


def read_once(path: Path, names: Iterable[str], loaded: Loaded) -> dict[str, Array]:
    """`read_whole` of the columns that `loaded` doesn't hold yet, and those that it does."""
    return {n: loaded.get(("column", path, n), partial(_column, path, n)) for n in names}


def _column(path: Path, name: str) -> Array:
    return read_whole(path, [name])[name]


def _single(column: Array) -> Array:
    if pa.types.is_string(column.type) and column.nbytes >= 2**31:
        column = column.cast(pa.large_string())
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _index(name: str, path: Path, names: Sequence[str], times: Sequence[str], aged: bool) -> _Index:
    """Sort a table's rows. What this needs beside the index is let go before the values are read."""
    keys, codes = Keys.of(list(read_whole(path, names).values()), pq.ParquetFile(path).metadata.num_rows)
    read = read_whole(path, times)
    time, visible = moments_of([read.pop(c) for c in times], len(codes))
    rows = None
    usable = (codes >= 0) & (visible != NULL_TIME)
    if not usable.all():
        rows = np.flatnonzero(usable)
        codes, time, visible = codes[rows], time[rows], visible[rows]
    start = starts(codes, keys.count)
    order = in_order(codes, visible, keys.count)
    del codes
    if not times and int(np.diff(start).max(initial=0)) > 1:
        raise _twice(name, names, path, order if rows is None else rows[order], start)
    shown = visible[order] if times else visible[:0].copy()
    if len(times) < 2:
        best, time = order, shown
    else:
        best = order[_newest(time[order], start)]
        time = time[best] if aged else shown
    return _Index(keys, _small(start), shown, _small(best if rows is None else rows[best]), time)


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
        time = ranks(time)[1]
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
