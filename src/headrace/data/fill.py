"""Forward fill of a side table: a null becomes the key's last value that was known by then.

Done once, at ingest, so that the snapshot that training and serving look up in holds the history already.
The order is that of lookups (`data.lookup`): by `time`, then by when a row became known, then by its place
in the file. A row is filled from rows of its key that come before it in that order and became known no later
than it did; where `ttl` is declared, from none whose `time` lies further back than that. Rows without a key
or a time neither give nor take.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from headrace.core.clock import duration_micros
from headrace.core.ports import Store
from headrace.core.schema import NULL_TIME, Snapshot
from headrace.core.spec.tables import TableSpec
from headrace.data.keys import Keys
from headrace.data.lookup import moments_of, read_whole
from headrace.data.read import workspace
from headrace.data.written import write_rows
from headrace.graph.buffers import Array, fixed_array, known

Ints = NDArray[np.int64]
_BATCH = 65_536


def forward_fill(
    snapshot: Snapshot, table: TableSpec, columns: Sequence[str], *, store: Store, scratch: Path
) -> tuple[Snapshot, Mapping[str, int]]:
    """The snapshot with these columns filled, as a new artifact, and how many cells of each were filled.

    Rows, their order and types stay. The key, the times and one column at a time are held in memory.
    Without a cell to fill it is the same snapshot.
    """
    if not columns:
        return snapshot, {}
    path = store.get(snapshot.artifact)
    order = _Order.of(path, table)
    counts: dict[str, int] = {}
    filled: dict[str, Array] = {}
    for name in dict.fromkeys(columns):
        values = read_whole(path, [name])[name]
        source = order.sources(known(values))
        counts[name] = int(np.count_nonzero(source >= 0))
        if counts[name]:
            rows = np.where(source >= 0, source, np.arange(len(source)))
            filled[name] = pc.take(values, fixed_array(rows, pa.int64())).cast(_kind(path, name))
    if not filled:
        return snapshot, counts
    with workspace(scratch) as folder, pq.ParquetFile(path) as file:
        written = folder / "filled.parquet"
        batches = _rewritten(file, [c.name for c in snapshot.columns], filled)
        _, content = write_rows(written, file.schema_arrow, snapshot.columns, batches)
        artifact = store.put(written)
    return replace(snapshot, artifact=artifact.digest, content=content), counts


class _Order:
    """The rows in lookup's order: all that filling needs to know beside which cells are null."""

    def __init__(self, group: Ints, time: Ints, visible: Ints, usable: Ints, ttl: int | None) -> None:
        rank = np.lexsort((usable, visible[usable], time[usable], group[usable]))
        self._rows = usable[rank]
        self._group, self._time = group[self._rows], time[self._rows]
        self._visible, self._ttl, self._count = visible[self._rows], ttl, len(group)
        # Groups in which a row became known after one that comes behind it: only these need more than a scan.
        late = (self._visible[1:] < self._visible[:-1]) & (self._group[1:] == self._group[:-1])
        self._late = np.unique(self._group[1:][late])

    @classmethod
    def of(cls, path: Path, table: TableSpec) -> _Order:
        keys = (table.key,) if isinstance(table.key, str) else table.key or ()
        times = [c for c in (table.time, table.known_at) if c is not None]
        read = read_whole(path, list(dict.fromkeys([*keys, *times])))
        count = len(next(iter(read.values())))
        _, group = Keys.of([read[k] for k in keys], count)
        time, visible = moments_of([read[c] for c in times], count)
        usable = np.flatnonzero((group >= 0) & (visible != NULL_TIME))
        return cls(group, time, visible, usable.astype(np.int64), duration_micros(table.ttl))

    def sources(self, present: NDArray[np.bool_]) -> Ints:
        """For each row of the table the row whose value fills its null, -1 for none."""
        have = present[self._rows]
        spots = np.arange(len(self._rows))
        last = np.maximum.accumulate(np.where(have, spots, -1)) if len(spots) else spots
        last = np.where((last >= 0) & (self._group[last] == self._group), last, -1) if len(spots) else last
        for group in self._late.tolist():
            first, end = np.searchsorted(self._group, [group, group + 1]).tolist()
            last[first:end] = self._known_by(first, end, have)
        found = ~have & (last >= 0)
        if self._ttl is not None and len(spots):
            found &= self._time - self._time[last] <= self._ttl
        source = np.full(self._count, -1, np.int64)
        source[self._rows[found]] = self._rows[last[found]]
        return source

    def _known_by(self, first: int, end: int, have: NDArray[np.bool_]) -> Ints:
        """The same for one key, in the order in which its rows became known: a row that is known later
        gives nothing to one that was known before."""
        visible = self._visible[first:end]
        result = np.full(end - first, -1, np.int64)
        so_far: list[int] = []
        order = np.argsort(visible, kind="stable").tolist()
        at = 0
        while at < len(order):
            upto = at
            while upto < len(order) and visible[order[upto]] == visible[order[at]]:
                if have[first + order[upto]]:
                    insort(so_far, order[upto])
                upto += 1
            for spot in order[at:upto]:
                before = bisect_left(so_far, spot)
                if before:
                    result[spot] = first + so_far[before - 1]
            at = upto
        return result


def _kind(path: Path, name: str) -> pa.DataType:
    kind: pa.DataType = pq.read_schema(path).field(name).type
    return kind


def _rewritten(
    file: pq.ParquetFile, names: list[str], filled: Mapping[str, Array]
) -> Iterator[pa.RecordBatch]:
    """The table with some columns replaced."""
    done = 0
    for batch in file.iter_batches(_BATCH, columns=names):
        arrays = [filled[n].slice(done, batch.num_rows) if n in filled else batch.column(n) for n in names]
        yield pa.RecordBatch.from_arrays(arrays, schema=file.schema_arrow)
        done += batch.num_rows
