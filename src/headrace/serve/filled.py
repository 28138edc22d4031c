"""What the server fills in: lookups and histories, at each row's moment of prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.clock import format_duration
from headrace.core.errors import DataError
from headrace.core.ports import Store
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.data.feed import feed
from headrace.data.history.index import HistoryTable
from headrace.data.lookup import LookupTable
from headrace.graph.buffers import Array, fixed, known
from headrace.release.manifest import Lookup, Serving
from headrace.serve.online import Notes, Online

if TYPE_CHECKING:
    from headrace.core.spec.tables import TableSpec

Columns = dict[str, NDArray[Any]]


class Filled:
    """A release's looked up columns and histories: from the online store for the tables that it holds, where
    rows of a request are asked about, else from the release's snapshots. Safe for use by several threads."""

    def __init__(self, store: Store, serving: Serving, online: Online | None) -> None:
        self._store = store
        self._serving = serving
        self._online = online
        self._histories = {t: [h for h in serving.histories if h.table == t] for t in serving.pasts}
        self._columns = _looked_up(serving)
        if online is None:
            _ = self.tables, self.pasts  # not by the first who ask, several at once

    def __bool__(self) -> bool:
        """Whether anything is filled in."""
        return bool(self._columns or self._histories)

    @cached_property
    def tables(self) -> Mapping[str, LookupTable]:
        """The snapshots that rows are looked up in. Not loaded by `__init__`: an online store needs none."""
        return {
            t.table: LookupTable.load(t.table, self._store.get(t.artifact), _table_spec(t), t.columns)
            for t in self._serving.lookups
        }

    @cached_property
    def pasts(self) -> Sequence[HistoryTable]:
        """The snapshots that histories are computed from."""
        return [_past(self._store, self._serving, table) for table in self._serving.pasts]

    def find(
        self, key: Callable[[str], list[Any]], moments: Sequence[int | None], notes: Notes | None = None
    ) -> Columns:
        """For the rows of a request: the values of their key columns by `key`, and their moments. `notes` are
        told what the online store lacks."""
        notes = notes or Notes()
        found: dict[str, Sequence[Mapping[str, Any] | None]] = {}
        for lookup in self._serving.lookups:
            name = lookup.table
            keys = [key(k) for k in lookup.key]
            if self._online is not None and name in self._online.feeds:
                found[name] = self._online.rows(name, list(zip(*keys, strict=True)), moments, notes)
            else:
                table = self.tables[name]
                found[name] = [table.find(parts, m) for *parts, m in zip(*keys, moments, strict=True)]
        columns = {
            name: _column(kind, found[source], name.partition(".")[2]) for name, kind, source in self._columns
        }
        for at, (source, histories) in enumerate(self._histories.items()):
            sent = {k: key(k) for k in dict.fromkeys(k for h in histories for k in h.by)}
            if self._online is not None and source in self._online.feeds:
                told: Sequence[Mapping[str, Any]] = self._online.histories(source, sent, moments, notes)
            else:
                past = self.pasts[at]
                told = [
                    past.find({k: parts[i] for k, parts in sent.items()}, m) for i, m in enumerate(moments)
                ]
            columns |= {h.column: _column(h.type, told, h.name) for h in histories}
        return columns

    def match(self, columns: Mapping[str, Array]) -> Columns:
        """For a batch of Arrow columns: from the release's snapshots.

        Raises:
            DataError: there are histories, and the event's time was not sent.
        """
        moments = None
        if self._serving.time is not None and self._serving.time in columns:
            times = columns[self._serving.time]
            moments = np.where(known(times), fixed(times) - self._serving.lead_us, np.int64(NULL_TIME))
        spots = {
            name: table.match([columns[k] for k in table.keys], moments)
            for name, table in self.tables.items()
        }
        found = {
            name: feed(self.tables[source].take(name.partition(".")[2], spots[source]), kind)
            for name, kind, source in self._columns
        }
        for past in self.pasts:
            if moments is None:
                raise DataError("histories need the event's time", fix=f"send {self._serving.time}")
            values = past.compute({k: columns[k] for k in past.by}, moments)
            found |= {h.column: values[h.name] for h in past.histories}
        return found


def _past(store: Store, serving: Serving, table: str) -> HistoryTable:
    """A table's histories, from the release's own snapshot."""
    of = serving.pasts[table]
    graph = store.get(of.graph) if of.graph else None
    return HistoryTable.load(
        store.get(of.artifact), [h for h in serving.histories if h.table == table], graph
    )


def _looked_up(serving: Serving) -> list[tuple[str, Type, str]]:
    """The raw columns that side tables fill, for the graph, functions and rules: name, type and table."""
    tables = {lookup.table for lookup in serving.lookups}
    found = {f.name: (f.type, f.source) for f in serving.fields if f.source in tables}
    sent = serving.event_types()
    for function in serving.functions:
        for name, kind in zip(function.reads, function.types, strict=True):
            table = name.partition(".")[0]
            if name not in sent and table in tables:
                found.setdefault(name, (kind, table))
    for name, kind in serving.beside.items():
        if name.partition(".")[0] in tables:
            found.setdefault(name, (kind, name.partition(".")[0]))
    return [(n, kind, table) for n, (kind, table) in found.items()]


def _table_spec(lookup: Lookup) -> TableSpec:
    from headrace.core.spec.tables import TableSpec  # a server that has no tables needs no pydantic

    ttl = None if lookup.ttl_us is None else format_duration(timedelta(microseconds=lookup.ttl_us))
    return TableSpec(read=lookup.table, key=lookup.key, time=lookup.time, known_at=lookup.known_at, ttl=ttl)


def _column(kind: Type, found: Sequence[Mapping[str, Any] | None], name: str) -> NDArray[Any]:
    """One looked-up column in raw-column convention; null where nothing was found."""
    values = [None if row is None else row[name] for row in found]
    if kind == Type.TEXT:
        column = np.empty(len(values), dtype=object)
        column[:] = [NULL_TEXT if v is None else v for v in values]
        return column
    if kind == Type.TIME:
        return np.array([NULL_TIME if v is None else v for v in values], dtype=np.int64)
    return np.array([np.nan if v is None else float(v) for v in values], dtype=np.float64)
