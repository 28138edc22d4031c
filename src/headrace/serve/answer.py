"""Answering for one release: event rows in, predictions out. Lookups are resolved here.

Needs numpy, pyarrow and onnxruntime alone. Knows nothing of HTTP or files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.clock import format_duration
from headrace.core.ports import Store
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.core.spec.models import TableSpec
from headrace.core.task import Kind
from headrace.data.lookup import LookupTable
from headrace.graph.rows import RowEncoder
from headrace.graph.run import Runner
from headrace.release.manifest import Lookup, Serving

Feeds = Mapping[str, NDArray[Any]]


class Answerer:
    """A release, loaded and ready. Safe for use by several threads."""

    def __init__(self, store: Store, serving: Serving, release: str, *, threads: int = 1) -> None:
        self.serving = serving
        self.release = release
        self.types = serving.event_types()
        self._runner = Runner(store.get(serving.graph), threads=threads)
        self._tables = {
            lookup.table: LookupTable.load(
                lookup.table, store.get(lookup.artifact), _table_spec(lookup), lookup.columns
            )
            for lookup in serving.lookups
        }
        self._looked_up = [f for f in serving.fields if f.source != "event"]
        self._unused = frozenset(serving.unused)
        self._encoder = RowEncoder(self.types, zone=serving.zone, required=self.types)
        # Plain Python values once, instead of one conversion a row.
        self._labels = list(serving.task.classes)

    def answer(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Answer JSON-like rows. Every column of `types` has to be sent (null where unknown); columns of the
        events table that the release doesn't read may be sent and are ignored.

        Raises:
            DataError: every missing, unknown or wrongly typed field of every row, at once.
        """
        if self._unused:
            rows = [_without(row, self._unused) for row in rows]
        return self.labelled(self.run(self._encoder.encode(rows), len(rows)), len(rows))

    def run(self, feeds: Feeds, rows: int) -> dict[str, NDArray[Any]]:
        """The graph's outputs for encoded event columns, after the lookups."""
        return self._runner.run({**feeds, **self.look_up(feeds, rows)}, rows)

    def look_up(self, feeds: Feeds, rows: int) -> dict[str, NDArray[Any]]:
        """The side tables' columns for these events, at each event's moment of prediction."""
        if not self._looked_up:
            return {}
        moments = self._moments(feeds, rows)
        found = {
            name: [
                table.find(key, moment)
                for key, moment in zip(self._keys(feeds, table, rows), moments, strict=True)
            ]
            for name, table in self._tables.items()
        }
        return {f.name: _column(f.type, found[f.source], f.name.partition(".")[2]) for f in self._looked_up}

    def _moments(self, feeds: Feeds, rows: int) -> list[int | None]:
        time = self.serving.time
        if time is None or time not in feeds:
            return [None] * rows
        lead = self.serving.lead_us
        return [None if t == NULL_TIME else t - lead for t in feeds[time].tolist()]

    def _keys(self, feeds: Feeds, table: LookupTable, rows: int) -> Sequence[tuple[Any, ...]]:
        columns = [_plain(self.types[k], feeds[k]) for k in table.keys]
        return list(zip(*columns, strict=True)) if columns else [()] * rows

    def labelled(self, outputs: Feeds, rows: int) -> list[dict[str, Any]]:
        """Outputs as one JSON-like object a row: prediction, probability (of the positive class, or by
        class), and the release that gave it."""
        if self.serving.task.kind == Kind.REGRESSION:
            return [{"prediction": v, "release": self.release} for v in outputs["prediction"].tolist()]
        decisions = outputs["decision"].tolist()
        probabilities = outputs["probability"].tolist()
        if self.serving.task.kind == Kind.MULTICLASS:
            names = [str(c) for c in self._labels]
            probabilities = [dict(zip(names, p, strict=True)) for p in probabilities]
        return [
            {
                "prediction": self._labels[decisions[i]],
                "probability": probabilities[i],
                "release": self.release,
            }
            for i in range(rows)
        ]


def _without(row: Mapping[str, Any], unused: frozenset[str]) -> Mapping[str, Any]:
    if not isinstance(row, dict) or unused.isdisjoint(row):
        return row
    return {k: v for k, v in row.items() if k not in unused}


def _table_spec(lookup: Lookup) -> TableSpec:
    ttl = None if lookup.ttl_us is None else format_duration(timedelta(microseconds=lookup.ttl_us))
    return TableSpec(read=lookup.table, key=lookup.key, time=lookup.time, known_at=lookup.known_at, ttl=ttl)


def _plain(kind: Type, values: NDArray[Any]) -> list[Any]:
    """A vector in raw-column convention as Python values, None for null."""
    if kind == Type.TEXT:
        return [None if v == NULL_TEXT else v for v in values.tolist()]
    if kind == Type.TIME:
        return [None if v == NULL_TIME else v for v in values.tolist()]
    return [None if v != v else v for v in values.tolist()]


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
