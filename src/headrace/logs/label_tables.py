"""Labels as tables of queries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa

from headrace.logs.columns import typed
from headrace.logs.labels import Label


@dataclass(frozen=True)
class LabelTables:
    """Every label as it arrived, and the newest of each prediction. Each has types of its own: what was
    corrected or withdrawn since has no say in that of the newest."""

    every: pa.Table
    newest: pa.Table


def label_tables(labels: Iterable[Label]) -> LabelTables:
    """Labels, in the order of their numbers, as tables: number, arrived (UTC), id (null: not matched), label,
    weight, source, inputs (JSON). Labels of several types are text: texts as they are, others as JSON."""
    every = list(labels)
    newest = {label.id: label for label in every if label.id is not None}
    return LabelTables(_table(every), _table(list(newest.values())))


def _table(labels: Sequence[Label]) -> pa.Table:
    sent = [None if label.inputs is None else msgspec.json.encode(label.inputs).decode() for label in labels]
    return pa.table(
        {
            "number": pa.array([label.number for label in labels], pa.int64()),
            "arrived": pa.array([label.arrived for label in labels], pa.timestamp("us")),
            "id": pa.array([label.id for label in labels], pa.string()),
            "label": _values(labels),
            "weight": pa.array([label.weight for label in labels], pa.float64()),
            "source": pa.array([label.source for label in labels], pa.string()),
            "inputs": pa.array(sent, pa.string()),
        }
    )


def _values(labels: Sequence[Label]) -> pa.Array[Any]:
    values = [label.value for label in labels]
    found, mixed = typed(values)
    if not mixed:
        return found
    plain = [v if v is None or isinstance(v, str) else msgspec.json.encode(v).decode() for v in values]
    return pa.array(plain, pa.string())
