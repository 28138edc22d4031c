"""The rows of a window, read again from the log: for checks that counts say too little for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from headrace.core.schema import Type
from headrace.core.spelled import spelled
from headrace.core.task import Kind, Task, code_of
from headrace.core.watching import Window
from headrace.logs.columns import only
from headrace.logs.frames import HEADER, every
from headrace.logs.parts import Part, load, reading
from headrace.logs.read import Wanted, fresh_segments, segment_bytes
from headrace.stores.watch_file import Read
from headrace.summary.bins import UNKNOWN
from headrace.summary.reference import PREDICTION, PROBABILITY
from headrace.watch.arms import Arms
from headrace.watch.chunks import Chunk, of_entries, of_table
from headrace.watch.counting import apart, by_model, columns_of
from headrace.watch.watched import Watched

_TIME = "time"
MOST = 20_000
"""Rows that a check looks at, at most, where it does not need all: so many are read, for all checks."""


@dataclass(frozen=True, eq=False)
class LiveRows:
    """Rows of a window in the order of their times.

    ids: as labels name them. time: UTC microseconds [n]. codes: uint8 [n, columns of the release's bins];
    `UNKNOWN` in columns of answers that the model did not give. sliced: uint8 [n, expressions], in the bins
    that the reference has of slices that are. score: probability of the positive class, or
    prediction, float64 [n]; of more than two classes [n, K]; NaN where the model gave none. decision: code of
    the class that was predicted, -1 for regression and where the model did not answer [n].
    """

    ids: tuple[str, ...]
    time: NDArray[np.int64]
    codes: NDArray[np.uint8]
    sliced: NDArray[np.uint8]
    score: NDArray[np.float64]
    decision: NDArray[np.int64]

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.ids)

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Which of them the model answered [n]."""
        first = self.score if self.score.ndim == 1 else self.score[:, 0]
        return np.isfinite(first)

    def at(self, spots: NDArray[np.int64]) -> LiveRows:
        """Some of them."""
        return LiveRows(
            tuple(self.ids[i] for i in spots.tolist()),
            self.time[spots],
            self.codes[spots],
            self.sliced[spots],
            self.score[spots],
            self.decision[spots],
        )


def live_rows(
    folder: Path,
    watched: Watched,
    arms: Arms,
    window: Window,
    seen: Mapping[str, Read],
    most: int | None = None,
) -> LiveRows:
    """The rows of a window; with `most` no more than so many, evenly spread over it. seen: segments that were
    read before, by name.

    Raises:
        StoreError: the log can't be read.
        Corrupt: a part is not what was written.
    """
    step = 1 if most is None else max(1, window.rows // most)
    parts = [_coded(c, watched, arms, window) for c in _chunks(folder, window.start, window.end, step, seen)]
    task = _task(watched)
    found = _joined([p for p in parts if p is not None], watched, task)
    found = found.at(np.lexsort((np.array(found.ids, dtype=object).astype(str), found.time)))
    if most is None or found.rows <= most:
        return found
    return found.at(np.arange(most) * found.rows // most)


class Reread:
    """The rows of one window, read when they are first asked for and kept: fewer are chosen among more."""

    def __init__(self, read: Callable[[int | None], LiveRows]) -> None:
        self._read = read
        self._most: int | None = 0
        self._held: LiveRows | None = None

    def __call__(self, most: int | None) -> LiveRows:
        """The rows, or so many of them, evenly spread. Raises as `live_rows`."""
        if self._held is None or (self._most is not None and (most is None or most > self._most)):
            self._most = None if most is None else max(most, MOST)
            self._held = self._read(self._most)
        rows = self._held
        if most is None or rows.rows <= most:
            return rows
        return rows.at(np.arange(most) * rows.rows // most)


def _chunks(folder: Path, start: int, end: int, step: int, seen: Mapping[str, Read]) -> Iterator[Chunk]:
    """One row in so many, in the order in which they lie in each file."""
    wanted = Wanted(start, end)
    with reading(folder):
        counts = load(folder)
        for part in counts.parts:
            if wanted.may_be_in(part):
                yield from _of_part(folder, part, start, end, step)
        for path in fresh_segments(folder, counts):
            if _apart(seen.get(path.name), start, end):
                continue
            entries = [e for e in every(segment_bytes(path), len(HEADER), step) if wanted.holds(e)]
            if entries:
                yield of_entries(entries)


def _apart(read: Read | None, start: int, end: int) -> bool:
    """Whether nothing of a segment is in a span."""
    if read is None or not read.done or read.first is None or read.last is None:
        return False
    return read.last < start or read.first >= end


def _of_part(folder: Path, part: Part, start: int, end: int, step: int) -> Iterator[Chunk]:
    """The groups of rows that may hold any: parts are in the order of time."""
    with pq.ParquetFile(folder / part.file) as file:
        at = file.schema_arrow.get_field_index(_TIME)
        for group in range(file.num_row_groups):
            known = _ends(file.metadata.row_group(group), file.schema_arrow.names[at])
            if known is not None and (known[1] < start or known[0] >= end):
                continue
            table = only(file.read_row_group(group), start, end, {})
            if table.num_rows:
                yield of_table(table.take(np.arange(0, table.num_rows, step)) if step > 1 else table)


def _ends(group: Any, name: str) -> tuple[int, int] | None:
    for i in range(group.num_columns):
        column = group.column(i)
        if column.path_in_schema == name and column.statistics is not None and column.statistics.has_min_max:
            kind = pa.timestamp("us")
            ends = pa.array([column.statistics.min, column.statistics.max], kind).cast(pa.int64())
            return int(ends[0].as_py()), int(ends[1].as_py())
    return None


def _coded(chunk: Chunk, watched: Watched, arms: Arms, window: Window) -> LiveRows | None:
    """A chunk's rows of the window's release and arm."""
    spots = apart(chunk, arms).get((window.release, window.arm))
    counter = watched.binned.counter
    if spots is None or counter is None:
        return None
    how = watched.binned
    codes = counter.codes(columns_of(chunk, how, counter.bins), chunk.rows)[spots]
    codes = np.ascontiguousarray(codes)
    own = np.isin(spots, by_model(chunk, spots))
    for i, name in enumerate(counter.bins.names):
        if name in how.outputs:
            codes[~own, i] = UNKNOWN
    score, decision = _answers(chunk, _task(watched), watched.plan.zone)
    score, decision = score[spots], decision[spots]
    score[~own], decision[~own] = np.nan, -1
    ids = tuple(chunk.ids[i] for i in spots.tolist())
    slicer = watched.slicer
    sliced = np.empty((chunk.rows, 0), np.uint8) if slicer is None else slicer.codes(chunk)
    return LiveRows(ids, chunk.times[spots], codes, sliced[spots], score, decision)


def _answers(chunk: Chunk, task: Task, zone: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Scores and the codes of decisions of all rows."""
    none = np.full(chunk.rows, -1, np.int64)
    if task.kind is Kind.REGRESSION:
        return _numbers(chunk.values("answer", PREDICTION, Type.NUMBER, zone), chunk.rows), none
    told = chunk.values("answer", PREDICTION, _kind(task), zone)
    decision = none
    if told is not None:
        words = told.to_pylist() if isinstance(told, pa.Array | pa.ChunkedArray) else list(told)
        memo: dict[Any, int] = {}
        decision = np.array([_code(task, w, memo) for w in words], np.int64)
    if task.kind is Kind.BINARY:
        return _numbers(chunk.values("answer", PROBABILITY, Type.NUMBER, zone), chunk.rows), decision
    names = [f"{PROBABILITY}[{spelled(c)}]" for c in task.classes]
    each = [_numbers(chunk.values("answer", n, Type.NUMBER, zone), chunk.rows) for n in names]
    return np.stack(each, axis=1), decision


def _code(task: Task, value: Any, memo: dict[Any, int]) -> int:
    key = (type(value), value)
    if key not in memo:
        code = None
        if value is not None and value == value:
            if isinstance(task.classes[0], bool) and isinstance(value, float):
                value = bool(value)
            code = code_of(task, value)
        memo[key] = -1 if code is None else code
    return memo[key]


def _kind(task: Task) -> Type:
    first = task.classes[0]
    return Type.BOOL if isinstance(first, bool) else Type.TEXT if isinstance(first, str) else Type.NUMBER


def _numbers(values: Any, rows: int) -> NDArray[np.float64]:
    if values is None:
        return np.full(rows, np.nan)
    if isinstance(values, list):
        plain = [
            float(v) if isinstance(v, int | float) and not isinstance(v, bool) else np.nan for v in values
        ]
        return np.array(plain, np.float64)
    if isinstance(values, np.ndarray):
        return values.astype(np.float64)
    return np.array(values.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _task(watched: Watched) -> Task:
    return Task(Kind.REGRESSION) if watched.manifest is None else watched.manifest.serving.task


def _joined(parts: list[LiveRows], watched: Watched, task: Task) -> LiveRows:
    if parts:
        return LiveRows(
            tuple(i for p in parts for i in p.ids),
            np.concatenate([p.time for p in parts]),
            np.concatenate([p.codes for p in parts]),
            np.concatenate([p.sliced for p in parts]),
            np.concatenate([p.score for p in parts]),
            np.concatenate([p.decision for p in parts]),
        )
    reference = watched.reference
    wide, more = (0, 0) if reference is None else (len(reference.bins.columns), len(reference.sliced.columns))
    none = np.empty((0, wide), np.uint8), np.empty((0, more), np.uint8)
    shape = (0, len(task.classes)) if task.kind is Kind.MULTICLASS else (0,)
    whole = np.empty(0, np.int64)
    return LiveRows((), whole, *none, np.empty(shape), whole)
