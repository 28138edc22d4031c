"""The rows of a table, sorted so that histories of any key at any moment are found: one index for batches
and for single requests.

Rows lie in order of (key, on, known, position in the table). What a row is worth (the values of expressions,
and where conditions hold) is computed once, by the graph that `data.history.values` makes.

This room needs numpy, pyarrow and onnxruntime alone: serving imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.digest import digest_bytes, digest_file
from headrace.core.history import History
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.data.feed import feed, there
from headrace.data.history.kernel import Ints, Past, Values, aggregate
from headrace.data.keys import Keys, Value
from headrace.data.loaded import Loaded
from headrace.data.lookup import moments_of, read_once
from headrace.data.order import highest, in_order, ranks
from headrace.data.order import starts as row_starts
from headrace.graph.buffers import Array
from headrace.graph.run import Runner

OUTPUT = "="
"""What the outputs of a table's graph begin with: the text of the expression follows."""

_CHUNK = 65_536

_Read = Callable[[Iterable[str]], Mapping[str, Array]]
"""Columns of a table, by name."""


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
        loaded: Loaded | None = None,
    ) -> HistoryTable:
        """Read what histories of one table need from its snapshot's Parquet file.

        `graph` gives the values of their expressions (`data.history.values`; None where they have none),
        `without` marks rows, by position, that are left out. What `loaded` holds of this is not made again.

        Raises:
            DataError: a column is missing, or of another type than the graph reads.
        """
        loaded, source = loaded or Loaded(), _Source(path, graph, threads)
        rows = () if without is None else (digest_bytes(np.packbits(without).tobytes()),)
        views: dict[tuple[Any, ...], _View] = {}
        by_name = {}
        for h in histories:
            at = (h.by, h.on, h.known_at)
            if at not in views:
                view = partial(_View.of, h, source.read, without)
                views[at] = loaded.get(("view", path, *rows, *at), view)
            base = partial(_Base.of, h, views[at], source.values)
            key = ("base", path, *rows, *at, source.digest, h.value, h.where)
            by_name[h.name] = loaded.get(key, base)
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
        asks, spots, found = {}, {}, {}
        for history in asked:
            at = (history.by, history.on, history.known_at)
            view = self._views[at]
            if at not in asks:
                asks[at] = view.ask([keys[k] for k in history.by], moments)
            window = (*at, history.window_us)
            if window not in spots:
                spots[window] = view.slices(asks[at], history.window_us)
            found[history.name] = self._bases[history.name].value(history, spots[window], moments)
        return found

    def find(
        self, keys: Mapping[str, Value], moment: int | None, only: Sequence[str] | None = None
    ) -> dict[str, Value]:
        """Every history (or those called `only`) for one request: by name, null as None, times as UTC
        microseconds. `keys` as `Keys.find` takes them, `moment` UTC microseconds or None."""
        moments = np.array([NULL_TIME if moment is None else moment])
        groups: dict[tuple[Any, ...], int] = {}
        spots: dict[tuple[Any, ...], Slices] = {}
        found: dict[str, Value] = {}
        for history in self.histories:
            if only is not None and history.name not in only:
                continue
            at = (history.by, history.on, history.known_at)
            window = (at, history.window_us)
            if window not in spots:
                view = self._views[at]
                if at not in groups:
                    groups[at] = -1 if moment is None else view.keys.find([keys[k] for k in history.by])
                spots[window] = view.slice(groups[at], int(moments[0]), history.window_us)
            value = self._bases[history.name].value(history, spots[window], moments)
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


@dataclass(eq=False)
class _Source:
    """The file that one `load` reads: every column once, and the graph over its rows once, where it is asked
    for at all. Live."""

    path: Path
    graph: bytes | Path | None
    threads: int
    _columns: Loaded = field(default_factory=Loaded)

    @cached_property
    def digest(self) -> str:
        """The graph's."""
        if self.graph is None:
            return ""
        return digest_bytes(self.graph) if isinstance(self.graph, bytes) else digest_file(self.graph)

    def read(self, names: Iterable[str]) -> dict[str, Array]:
        """Columns of the table, whole."""
        return read_once(self.path, names, self._columns)

    def values(self) -> Mapping[str, Values]:
        """The expressions' values over all rows, by their text."""
        return self._columns.get("values", self._computed)

    def _computed(self) -> dict[str, Values]:
        if self.graph is None:
            return {}
        runner = Runner(self.graph, threads=self.threads)
        read = self.read(sorted(runner.inputs))
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
    def of(cls, history: History, read: _Read, without: NDArray[np.bool_] | None) -> _View:
        times = [c for c in (history.on, history.known_at) if c is not None]
        held = read([*times, *history.by])
        count = len(held[history.on])
        on, known = moments_of([held[c] for c in times], count)
        keys, group = Keys.of([held[k] for k in history.by], count)
        usable = (group >= 0) & (known != NULL_TIME)
        if without is not None:
            usable &= ~without
        rows = np.flatnonzero(usable)
        group, on, known = group[rows], on[rows], known[rows]
        late = bool((known > on).any())
        if late:  # by `known` where key and `on` are the same
            order = in_order(np.zeros(len(known), np.int64), known, 1)
            order = order[in_order(group[order], on[order], max(keys.count, 1))]
        else:
            order = in_order(group, on, max(keys.count, 1))
        group, on, known, rows = group[order], on[order], known[order], rows[order]
        latest = highest(known, group) if late else known
        return cls(keys, rows, row_starts(group, keys.count), on, known, late, latest)

    def ask(self, keys: Sequence[Array], moments: Ints) -> _Ask:
        """Events by key and moment, ready to be searched for."""
        groups = np.where(moments == NULL_TIME, -1, self.keys.match(keys, len(moments)))
        rows = np.flatnonzero(groups >= 0)
        order = in_order(groups[rows], moments[rows], max(self.keys.count, 1))
        return _Ask(len(moments), rows[order], groups[rows][order], moments[rows][order])

    def slices(self, ask: _Ask, window: int | None) -> Slices:
        """The rows in each event's window."""
        at, moments = ask.groups, ask.moments
        ends = self._on.search(at, moments)
        starts = self.start[at] if window is None else self._on.search(at, moments - window)
        settled = np.clip(self._settling.search(at, moments), starts, ends) if self.late else None
        return Slices(ask.spread(starts), ask.spread(ends), None if settled is None else ask.spread(settled))

    def slice(self, group: int, moment: int, window: int | None) -> Slices:
        """`slices` of one request."""
        if group < 0:
            return Slices(np.zeros(1, np.int64), np.zeros(1, np.int64), None)
        low, high = int(self.start[group]), int(self.start[group + 1])
        on = self.on[low:high]
        start = low if window is None else low + int(on.searchsorted(moment - window))
        end = low + int(on.searchsorted(moment))
        if not self.late:
            return Slices(np.array([start]), np.array([end]), None)
        settled = low + int(self._latest[low:high].searchsorted(moment))
        return Slices(np.array([start]), np.array([end]), np.array([min(max(settled, start), end)]))

    @cached_property
    def _on(self) -> _Timeline:
        return _Timeline.of(self.on, self.start)

    @cached_property
    def _settling(self) -> _Timeline:
        return _Timeline.of(self._latest, self.start)


@dataclass(frozen=True, eq=False)
class _Ask:
    """The events of a batch that have a key and a moment, in order of both: what is searched for in order is
    found several times as fast. `events` are their positions among the `count` of the batch."""

    count: int
    events: Ints
    groups: Ints
    moments: Ints

    def spread(self, values: Ints) -> Ints:
        """Values in this order as values of all events; 0 for the others."""
        spread = np.zeros(self.count, np.int64)
        spread[self.events] = values
        return spread


@dataclass(frozen=True, eq=False)
class _Timeline:
    """Ascending moments within each key, as one ascending array of (key, moment) to search in. `distinct` are
    the moments that stand for themselves by their rank, where (key, moment) would not fit one number; else
    None, and they count from `low`."""

    low: int
    span: int
    distinct: Ints | None
    lifted: Ints

    @classmethod
    def of(cls, moments: Ints, start: Ints) -> _Timeline:
        group = np.repeat(np.arange(len(start) - 1), np.diff(start))
        low, high = (int(moments.min()), int(moments.max())) if len(moments) else (0, 0)
        span = high - low + 2
        if len(start) * span < 2**62:
            return cls(low, span, None, group * span + (moments - low))
        distinct, rank = ranks(moments)
        return cls(0, len(distinct) + 1, distinct, group * (len(distinct) + 1) + rank)

    def search(self, groups: Ints, moments: Ints) -> Ints:
        """The first row of each key that is not before the moment."""
        if self.distinct is None:
            at = np.clip(moments - self.low, 0, self.span - 1)
        else:
            at = np.searchsorted(self.distinct, moments)
        return np.searchsorted(self.lifted, groups * self.span + at).astype(np.int64)


@dataclass(frozen=True, eq=False)
class _Base:
    """The rows of a view that count for a value and a condition. `before` is how many of them lie before
    each row of the view (None: all count)."""

    past: Past
    before: Ints | None = field(default=None)

    @classmethod
    def of(cls, history: History, view: _View, values: Callable[[], Mapping[str, Values]]) -> _Base:
        counts = np.ones(len(view.rows), np.bool_)
        if history.where is not None:
            counts &= values()[history.where][view.rows] == 1.0
        held = None
        if history.value is not None and history.value_type is not None:
            held = values()[history.value][view.rows]
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
