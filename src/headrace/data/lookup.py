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

Value = str | float | bool | None
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LookupTable:
    """A side table in memory, sorted for lookup. Build it with `load`; threads may share it.

    `keys` are the key's columns (the same names in the events table), `columns` the values' names,
    `timed` says whether a moment is needed.
    """

    name: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    timed: bool
    _values: Mapping[str, Array]
    _domains: tuple[Array, ...]
    _combos: Ints
    _start: Ints
    _best: Ints
    _known: Ints
    _time: Ints
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
        keys = (table.key,) if isinstance(table.key, str) else table.key
        times = [c for c in (table.time, table.known_at) if c is not None]
        wanted = list(dict.fromkeys([*keys, *times, *columns]))
        read = read_whole(path, wanted)
        domains, codes = _encode([read[k] for k in keys])
        usable = codes >= 0
        time, visible = moments_of([read[c] for c in times], len(codes))
        usable &= visible != NULL_TIME
        rows = np.flatnonzero(usable)
        combos, group = np.unique(codes[rows], return_inverse=True)
        order, best = _newest(rows, group, time[rows], visible[rows])
        start = np.searchsorted(group[order], np.arange(len(combos) + 1))
        if not times and len(combos) < len(rows):
            raise _twice(name, keys, [read[k] for k in keys], order, rows, start)
        return cls(
            name=name,
            keys=keys,
            columns=tuple(columns),
            timed=bool(times),
            _values={c: read[c] for c in columns},
            _domains=domains,
            _combos=combos,
            _start=start.astype(np.int64),
            _best=best,
            _known=visible[rows][order],
            _time=time[best],
            _ttl=None if table.ttl is None else parse_duration(table.ttl) // timedelta(microseconds=1),
        )

    def match(self, keys: Sequence[Array], moments: Ints | None = None) -> Ints:
        """The table's row (by position in the snapshot) for each row that asks, -1 for none.

        `keys` are Arrow arrays in the order of `self.keys`; `moments` UTC microseconds (`NULL_TIME` for
        null), needed where the table has times.

        Raises:
            ValueError: the table has times and no moments are given.
        """
        codes = _codes([_like(k, d.type) for k, d in zip(keys, self._domains, strict=True)], self._domains)
        group = np.searchsorted(self._combos, codes)
        group = np.minimum(group, max(len(self._combos) - 1, 0))
        if not len(self._combos):
            return np.full(len(codes), -1, np.int64)
        found = (codes >= 0) & (self._combos[group] == codes)
        if not self.timed:
            return np.where(found, self._best[self._start[group]], -1)
        if moments is None:
            raise ValueError(f"looking up {self.name} needs moments")
        distinct, spots = self._timeline
        latest = np.searchsorted(distinct, moments, side="right") - 1
        spot = np.searchsorted(spots, group * (len(distinct) + 1) + latest, side="right") - 1
        found &= (spot >= self._start[group]) & (moments != NULL_TIME)
        spot = np.where(found, spot, 0)
        if self._ttl is not None:
            found &= moments - self._time[spot] <= self._ttl
        return np.where(found, self._best[spot], -1)

    def take(self, column: str, rows: Ints) -> Array:
        """A column's values at these rows; null at -1."""
        found = rows >= 0
        return pc.take(self._values[column], fixed_array(np.where(found, rows, 0), pa.int64(), found))

    def find(self, keys: Sequence[Value], moment: int | None = None) -> dict[str, Value] | None:
        """The values for one request: by column, times as UTC microseconds; None where no row is found.

        `keys` in the order of `self.keys` (times as microseconds), `moment` UTC microseconds or None.
        """
        group = self._groups.get(tuple(keys))
        if group is None:
            return None
        start, end = int(self._start[group]), int(self._start[group + 1])
        spot = start
        if self.timed:
            if moment is None or moment == NULL_TIME:
                return None
            spot = start + int(np.searchsorted(self._known[start:end], moment, side="right")) - 1
            if spot < start or (self._ttl is not None and moment - int(self._time[spot]) > self._ttl):
                return None
        row = int(self._best[spot])
        return {name: cell[row] for name, cell in self._cells.items()}

    @cached_property
    def _timeline(self) -> tuple[Ints, Ints]:
        """The moments at which anything became known, and (group, moment) of every entry as one number."""
        distinct = np.unique(self._known)
        group = np.repeat(np.arange(len(self._combos)), np.diff(self._start))
        return distinct, group * (len(distinct) + 1) + np.searchsorted(distinct, self._known)

    @cached_property
    def _groups(self) -> Mapping[tuple[Value, ...], int]:
        domains = [_Cells(d) for d in self._domains]
        sizes = [len(d) for d in self._domains]
        found = {}
        for group, combo in enumerate(self._combos.tolist()):
            parts = []
            for domain, size in zip(reversed(domains), reversed(sizes), strict=True):
                combo, code = divmod(combo, size)
                parts.append(domain[code])
            found[tuple(reversed(parts))] = group
        return found

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
    # Not pq.read_table: it imports pyarrow.dataset, and that pandas.
    table = pq.ParquetFile(path).read(columns=list(names))
    return {n: _single(table.column(n)) for n in names}


def _single(column: Array) -> Array:
    if pa.types.is_string(column.type) and column.nbytes >= 2**31:
        column = column.cast(pa.large_string())
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _wide(values: Array) -> Array:
    """Whole numbers as int64, other numbers as double: what keys are compared as."""
    if pa.types.is_integer(values.type):
        return values.cast(pa.int64())
    return values.cast(pa.float64()) if pa.types.is_floating(values.type) else values


def _encode(keys: Sequence[Array]) -> tuple[tuple[Array, ...], Ints]:
    """The distinct values of each key column, and each row's combination of them as one number."""
    wide = [_wide(k) for k in keys]
    domains = tuple(pc.drop_null(pc.unique(k)) for k in wide)
    return domains, _codes(wide, domains)


def _codes(keys: Sequence[Array], domains: Sequence[Array]) -> Ints:
    total = np.zeros(len(keys[0]), np.int64)
    missing = np.zeros(len(keys[0]), np.bool_)
    for values, domain in zip(keys, domains, strict=True):
        places = pc.index_in(values, value_set=domain)
        missing |= ~known(places) | ~known(values)
        total = total * max(len(domain), 1) + fixed(places)
    return np.where(missing, -1, total)


def _like(values: Array, kind: pa.DataType) -> Array:
    """Keys of the asking rows in the type of the table's; a number without an exact counterpart is null."""
    values = _wide(values)
    if values.type == kind:
        return values
    if pa.types.is_large_string(kind):
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


def key_codes(keys: Sequence[Array]) -> Ints:
    """A number a row, equal for equal keys; -1 where a part of the key is null."""
    return _encode(keys)[1]


def moments_of(times: Sequence[Array], rows: int) -> tuple[Ints, Ints]:
    """When each row happened, and from when on it is visible; `NULL_TIME` where either is unknown."""
    if not times:
        return np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    columns = [np.where(known(t), fixed(t), NULL_TIME) for t in times]
    visible = np.maximum.reduce(columns)
    visible = np.where(np.minimum.reduce(columns) == NULL_TIME, NULL_TIME, visible)
    return columns[0], visible


def _newest(rows: Ints, group: Ints, time: Ints, visible: Ints) -> tuple[Ints, Ints]:
    """Entries in order of (group, visible, row), and for each the newest row visible then."""
    order = np.lexsort((rows, visible, group))
    by_rank = np.lexsort((rows, visible, time))
    rank = np.empty(len(rows), np.int64)
    rank[by_rank] = np.arange(len(rows))
    lifted = group[order] * len(rows)
    newest = np.maximum.accumulate(rank[order] + lifted) - lifted if len(rows) else rank
    return order, rows[by_rank[newest]]


def _twice(
    name: str, keys: Sequence[str], columns: Sequence[Array], order: Ints, rows: Ints, start: Ints
) -> DataError:
    group = int(np.flatnonzero(np.diff(start) > 1)[0])
    held = rows[order[start[group] : start[group + 1]]]
    told = ", ".join(f"{k} = {_Cells(c)[int(held[0])]!r}" for k, c in zip(keys, columns, strict=True))
    return DataError(
        f"the key {told} names {len(held)} rows of the table {name!r}",
        where=", ".join(f"row {r + 1}" for r in held[:2].tolist()),
        fix=f"keep one row a key, or declare `time:` under data.tables.{name}",
    )
