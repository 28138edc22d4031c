"""Rows that nobody may look at, seen from outside: how many, what is missing, how far the values reach.

This is all that is told of validation and test rows before the seal is opened. No row, no value between the
ends and nothing of the target leaves this file: a handle on the rows themselves is `data.rows.Rows`, and for
the test it needs an opening.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.core.schema import Column, Snapshot, Type
from headrace.data.parquet import open_file
from headrace.data.profile.values import End, end_of
from headrace.graph.buffers import fixed_array

_READ = 65_536


@dataclass(frozen=True)
class Outside:
    """A column from outside: nulls among `rows`, and the ends of numbers and times (ISO 8601, UTC)."""

    name: str
    type: Type
    missing: int
    low: End
    high: End


@dataclass(frozen=True)
class Part:
    """A part of the events seen from outside. `left_out` are the columns that the target is made of."""

    name: str
    rows: int
    columns: tuple[Outside, ...]
    left_out: tuple[str, ...]


def from_outside(
    parts: Mapping[str, NDArray[np.bool_]], path: Path, snapshot: Snapshot, *, target: Collection[str]
) -> tuple[Part, ...]:
    """Count nulls and find the ends over the rows of each part's mask (bool [rows of the table]), in one
    pass over the file.

    `target` are the columns that the target reads: they are not opened.
    """
    shown = [c for c in snapshot.columns if c.name not in target]
    seen = {name: _Seen(shown) for name in parts}
    at = 0
    if shown:
        for batch in open_file(path).iter_batches(_READ, columns=[c.name for c in shown], use_threads=False):
            for name, selected in parts.items():
                seen[name].add(batch, selected[at : at + batch.num_rows])
            at += batch.num_rows
    left_out = tuple(c.name for c in snapshot.columns if c.name in target)
    return tuple(Part(n, int(parts[n].sum()), s.columns(), left_out) for n, s in seen.items())


class _Seen:
    """Adds up one part's rows. Live."""

    def __init__(self, shown: Sequence[Column]) -> None:
        self._shown = shown
        self._missing = dict.fromkeys((c.name for c in shown), 0)
        self._ends: dict[str, tuple[Any, Any]] = {}

    def add(self, batch: pa.RecordBatch, mask: NDArray[np.bool_]) -> None:
        if not mask.any():
            return
        kept = batch if mask.all() else batch.filter(fixed_array(mask, pa.bool_()))
        for c in self._shown:
            values = kept.column(c.name)
            self._missing[c.name] += values.null_count
            if c.type in (Type.NUMBER, Type.TIME):
                _widen(self._ends, c.name, values)

    def columns(self) -> tuple[Outside, ...]:
        return tuple(
            Outside(
                c.name,
                c.type,
                self._missing[c.name],
                *(end_of(e, c.type) for e in self._ends.get(c.name, (None, None))),
            )
            for c in self._shown
        )


def _widen(ends: dict[str, tuple[Any, Any]], name: str, values: Any) -> None:
    if values.null_count == len(values):
        return
    if pa.types.is_timestamp(values.type):
        values = values.view(pa.int64())
    found = pc.min_max(values)
    low, high = found["min"].as_py(), found["max"].as_py()
    if name in ends:
        low, high = min(low, ends[name][0]), max(high, ends[name][1])
    ends[name] = (low, high)
