"""The rows of a table, sorted so that histories of any key at any moment are found: one index for batches
and for single requests.

Rows lie in order of (key, on, known, position in the table). What a row is worth (the values of expressions,
and where conditions hold) is computed once, by the graph that `data.history.values` makes.

This room needs numpy, pyarrow and onnxruntime alone: serving imports it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.history import History
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.data.buffers import Array
from headrace.data.feed import feed, there
from headrace.data.history.kernel import Ints, Past, Values, aggregate
from headrace.data.keys import Keys, Value
from headrace.data.lookup import moments_of, read_whole
from headrace.graph.run import Runner

OUTPUT = "="
"""What the outputs of a table's graph begin with: the text of the expression follows."""

_CHUNK = 65_536


@dataclass(frozen=True, eq=False)
class HistoryTable:
    """A table's histories, ready to be asked. Build it with `load`; threads may share it."""

    histories: tuple[History, ...]
    _views: Mapping[tuple[Any, ...], _View]
    _bases: Mapping[str, _Base]

    @classmethod
    def load(
        cls,
        path: Path,
        histories: Sequence[History],
        graph: bytes | Path | None,
        *,
        without: NDArray[np.bool_] | None = None,
        threads: int = 1,
    ) -> HistoryTable:
        """Read what histories of one table need from its snapshot's Parquet file.

        `graph` gives the values of their expressions (`data.history.values`; None where they have none),
        `without` marks rows, by position, that are left out.

        Raises:
            DataError: a column is missing, or of another type than the graph reads.
        """
        runner = None if graph is None else Runner(graph, threads=threads)
        inputs = {} if runner is None else runner.inputs
        times = {c for h in histories for c in (h.on, h.known_at) if c is not None}
        read = read_whole(path, sorted({*inputs, *times, *(k for h in histories for k in h.by)}))
        values = {} if runner is None else _values(runner, read)
        views: dict[tuple[Any, ...], _View] = {}
        bases: dict[tuple[Any, ...], _Base] = {}
        by_name = {}
        for history in histories:
            at = (history.by, history.on, history.known_at)
            if at not in views:
                views[at] = _View.of(history, read, without)
            base = (*at, history.value, history.where)
            if base not in bases:
                bases[base] = _Base.of(history, views[at], values)
            by_name[history.name] = bases[base]
        return cls(tuple(histories), views, by_name)

    @property
    def by(self) -> tuple[str, ...]:
        """The key columns of all of them."""
        return tuple(dict.fromkeys(k for h in self.histories for k in h.by))

    def compute(
        self, keys: Mapping[str, Array], moments: Ints, only: Sequence[str] | None = None
    ) -> dict[str, Values]:
        """Every history (or those called `only`) for each event, in the form of a raw column [events].

        `keys` are Arrow arrays by column, `moments` UTC microseconds. An event with a null key or a null
        moment (`NULL_TIME`) has no rows.
        """
        asked = [h for h in self.histories if only is None or h.name in only]
        groups, spots, found = {}, {}, {}
        for history in asked:
            at = (history.by, history.on, history.known_at)
            view = self._views[at]
            if at not in groups:
                groups[at] = view.groups([keys[k] for k in history.by], moments)
            window = (*at, history.window_us)
            if window not in spots:
                spots[window] = view.slices(groups[at], moments, history.window_us)
            found[history.name] = self._bases[history.name].value(history, spots[window], moments)
        return found

    def find(
        self, keys: Mapping[str, Value], moment: int | None, only: Sequence[str] | None = None
    ) -> dict[str, Value]:
        """Every history (or those called `only`) for one request: by name, null as None, times as UTC
        microseconds. `keys` as `Keys.find` takes them, `moment` UTC microseconds or None."""
        moments = np.array([NULL_TIME if moment is None else moment])
        spots: dict[tuple[Any, ...], Slices] = {}
        found: dict[str, Value] = {}
        for history in self.histories:
            if only is not None and history.name not in only:
                continue
            at = (history.by, history.on, history.known_at, history.window_us)
            if at not in spots:
                view = self._views[at[:3]]
                group = -1 if moment is None else view.keys.find([keys[k] for k in history.by])
                spots[at] = view.slice(group, int(moments[0]), history.window_us)
            value = self._bases[history.name].value(history, spots[at], moments)
            found[history.name] = plain(value[0], history.type)
        return found


def plain(value: Any, kind: Type) -> Value:
    """A cell of a raw column as a Python value; null is None."""
    if kind is Type.TEXT:
        return None if value == NULL_TEXT else str(value)
    if kind is Type.TIME:
        return None if value == NULL_TIME else int(value)
    if np.isnan(value):
        return None
    return bool(value) if kind is Type.BOOL else float(value)


def _values(runner: Runner, read: Mapping[str, Array]) -> dict[str, Values]:
    """The expressions' values over all rows, by their text."""
    columns = {n: feed(read[n], kind) for n, kind in runner.inputs.items()}
    rows = len(next(iter(read.values())))
    parts: dict[str, list[Values]] = {n: [] for n in runner.outputs}
    for at in range(0, max(rows, 1), _CHUNK):
        chunk = {n: c[at : at + _CHUNK] for n, c in columns.items()}
        for name, values in runner.run(chunk, min(rows - at, _CHUNK)).items():
            parts[name].append(values)
    return {n.removeprefix(OUTPUT): np.concatenate(p) for n, p in parts.items()}


@dataclass(frozen=True, eq=False)
class Slices:
    """The rows of a view that lie in each event's window, and up to where all of them were known before its
    moment (None: all were)."""

    starts: Ints
    ends: Ints
    settled: Ints | None


@dataclass(frozen=True, eq=False)
class _View:
    """All rows with key and times, in order of (key, on, known, position). `rows` are their positions in the
    table, `start` where each key's begin. `late` says that a row was known later than it happened: then
    `_latest` is the latest that any of a key's rows up to this one was known."""

    keys: Keys
    rows: Ints
    start: Ints
    on: Ints
    known: Ints
    late: bool
    _latest: Ints

    @classmethod
    def of(cls, history: History, read: Mapping[str, Array], without: NDArray[np.bool_] | None) -> _View:
        times = [read[c] for c in (history.on, history.known_at) if c is not None]
        count = len(times[0])
        on, known = moments_of(times, count)
        keys, group = Keys.of([read[k] for k in history.by], count)
        usable = (group >= 0) & (known != NULL_TIME)
        if without is not None:
            usable &= ~without
        rows = np.flatnonzero(usable)
        order = rows[np.lexsort((rows, known[rows], on[rows], group[rows]))]
        group, on, known = group[order], on[order], known[order]
        late = bool((known > on).any())
        latest = _highest(known, group) if late else known
        start = np.searchsorted(group, np.arange(keys.count + 1)).astype(np.int64)
        return cls(keys, order, start, on, known, late, latest)

    def groups(self, keys: Sequence[Array], moments: Ints) -> Ints:
        """The key's number for each event; -1 where there is none, or no moment."""
        return np.where(moments == NULL_TIME, -1, self.keys.match(keys, len(moments)))

    def slices(self, groups: Ints, moments: Ints, window: int | None) -> Slices:
        """The rows in each event's window."""
        at = np.maximum(groups, 0)
        found = groups >= 0
        if not self.keys.count:
            none = np.zeros(len(groups), np.int64)
            return Slices(none, none, None)
        ends = self._on.search(at, moments)
        starts = self.start[at] if window is None else self._on.search(at, _before(moments, window))
        ends, starts = np.where(found, ends, 0), np.where(found, starts, 0)
        if not self.late:
            return Slices(starts, ends, None)
        return Slices(starts, ends, np.clip(self._settling.search(at, moments), starts, ends))

    def slice(self, group: int, moment: int, window: int | None) -> Slices:
        """`slices` of one request."""
        if group < 0:
            return Slices(np.zeros(1, np.int64), np.zeros(1, np.int64), None)
        low, high = int(self.start[group]), int(self.start[group + 1])
        on = self.on[low:high]
        start = low if window is None else low + int(np.searchsorted(on, max(moment - window, -(2**62))))
        end = low + int(np.searchsorted(on, moment))
        if not self.late:
            return Slices(np.array([start]), np.array([end]), None)
        settled = low + int(np.searchsorted(self._latest[low:high], moment))
        return Slices(np.array([start]), np.array([end]), np.clip(np.array([settled]), start, end))

    @cached_property
    def _on(self) -> _Timeline:
        return _Timeline.of(self.on, self.start)

    @cached_property
    def _settling(self) -> _Timeline:
        return _Timeline.of(self._latest, self.start)


def _before(moments: Ints, window: int) -> Ints:
    """Window's begin; a null moment stays far in the past."""
    return np.where(moments == NULL_TIME, moments, np.maximum(moments, -(2**62)) - window)


def _highest(known: Ints, group: Ints) -> Ints:
    """The running maximum within each key's rows."""
    distinct, rank = np.unique(known, return_inverse=True)
    lifted = group * len(distinct)
    return distinct[np.maximum.accumulate(rank + lifted) - lifted]


@dataclass(frozen=True, eq=False)
class _Timeline:
    """Ascending moments within each key, as one ascending array of (key, moment) to search in."""

    distinct: Ints
    lifted: Ints

    @classmethod
    def of(cls, moments: Ints, start: Ints) -> _Timeline:
        distinct, rank = np.unique(moments, return_inverse=True)
        group = np.repeat(np.arange(len(start) - 1), np.diff(start))
        return cls(distinct, group * (len(distinct) + 1) + rank)

    def search(self, groups: Ints, moments: Ints) -> Ints:
        """The first row of each key that is not before the moment."""
        wanted = groups * (len(self.distinct) + 1) + np.searchsorted(self.distinct, moments)
        return np.searchsorted(self.lifted, wanted).astype(np.int64)


@dataclass(frozen=True, eq=False)
class _Base:
    """The rows of a view that count for a value and a condition. `before` is how many of them lie before
    each row of the view (None: all count)."""

    past: Past
    before: Ints | None = field(default=None)

    @classmethod
    def of(cls, history: History, view: _View, values: Mapping[str, Values]) -> _Base:
        counts = np.ones(len(view.rows), np.bool_)
        if history.where is not None:
            counts &= values[history.where][view.rows] == 1.0
        held = None
        if history.value is not None and history.value_type is not None:
            held = values[history.value][view.rows]
            counts &= there(held, history.value_type)
            if held.dtype == np.float64:
                held = held + 0.0  # minus zero is zero
        if counts.all():
            return cls(Past(view.on, view.known, held))
        before = np.concatenate([[0], np.cumsum(counts)])
        return cls(Past(view.on[counts], view.known[counts], None if held is None else held[counts]), before)

    def value(self, history: History, spots: Slices, moments: Ints) -> Values:
        """The history over these slices of the view."""
        b = self.before
        if b is None:
            return aggregate(history, self.past, spots.starts, spots.ends, moments, spots.settled)
        settled = None if spots.settled is None else b[spots.settled]
        return aggregate(history, self.past, b[spots.starts], b[spots.ends], moments, settled)
