"""Rows on the edge of what a column can hold: what the parity gate adds to real rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.core.clock import iso_micros
from headrace.core.errors import DataError, Problem, did_you_mean
from headrace.core.schema import Type

_DTYPES: Mapping[str, Any] = {
    **{f"{sign}int{bits}": np.dtype(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "halffloat": np.dtype(np.float16),
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
}

NUMBERS = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 5e-324, 1e-45, 1e38, 1e39, 1e300, -1e300)
"""Not finite, no sign, the smallest double and float32, and around the largest float32."""

TEXTS = ("never seen in training ¿?", "", " ", "Zoë 東京 🙂 e\u0301", "x" * 10_000, "NaN", "null", "0")

TIMES = (
    "0001-01-01T00:00:00+00:00",
    "1900-02-28T23:59:59+00:00",
    "1969-12-31T23:59:59.999999+00:00",
    "1970-01-01T00:00:00+00:00",
    "2000-02-29T12:00:00+00:00",
    "2024-03-10T06:59:59.999999+00:00",  # New York's clocks go forward, then back
    "2024-03-10T07:00:00+00:00",
    "2024-11-03T05:30:00+00:00",
    "2024-11-03T06:30:00+00:00",
    "2024-03-31T01:00:00+00:00",  # Europe's
    "2024-10-27T01:00:00+00:00",
    "2038-01-19T03:14:08+00:00",
    "9999-12-31T23:59:59.999999+00:00",
)


def edge_rows(
    types: Mapping[str, Type], sample: pa.Table, more: Mapping[str, Sequence[Any]] | None = None
) -> pa.Table:
    """Rows made from a real one by setting each raw column in turn to null and to every edge value that its
    Arrow type can hold, then a row of nulls alone.

    The real row is the one of `sample` with the fewest nulls (the first of them); without rows it is all
    null. Columns are those of `types`, in its order, in the sample's Arrow types. `more` are further values
    by column; those that the Arrow type can't hold are left out.

    Raises:
        DataError: the sample lacks a column.
    """
    problems = [
        Problem("the column is missing", where=n, fix=did_you_mean(n, sample.column_names))
        for n in types
        if n not in sample.column_names
    ]
    if problems:
        raise DataError.of(problems)
    values = {
        n: _with_more(_edges(kind, sample.schema.field(n).type), (more or {}).get(n, ()))
        for n, kind in types.items()
    }
    total = sum(len(v) for v in values.values()) + 1
    base = _fullest(sample.select(list(types)))
    columns: dict[str, pa.Array[Any]] = {}
    before = 0
    for name, edge in values.items():
        kind = sample.schema.field(name).type
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        real = base.column(name).cast(plain).combine_chunks() if base.num_rows else pa.nulls(1, plain)
        spread = np.zeros(total, dtype=np.int64)
        spread[before : before + len(edge)] = np.arange(1, len(edge) + 1)
        spread[-1] = len(edge) + 1
        column = pa.concat_arrays([real, edge, pa.nulls(1, plain)]).take(pa.array(spread))
        columns[name] = column.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else column
        before += len(edge)
    return pa.table(columns)


def _fullest(sample: pa.Table) -> pa.Table:
    """The row with the fewest nulls, as a table of one row (or none)."""
    nulls = np.zeros(sample.num_rows, dtype=np.int64)
    for column in sample.columns:
        nulls += column.is_null(nan_is_null=True).to_numpy()
    return sample.slice(int(np.argmin(nulls)), 1) if sample.num_rows else sample


def _edges(kind: Type, arrow: pa.DataType) -> pa.Array[Any]:
    """Null and the edge values that the Arrow type can hold."""
    if pa.types.is_dictionary(arrow):
        arrow = arrow.value_type
    if pa.types.is_null(arrow):
        return pa.nulls(1)
    candidates: list[Any]
    if kind is Type.TEXT:
        candidates = list(TEXTS)
    elif kind is Type.BOOL:
        candidates = [True, False]
    elif kind is Type.TIME:
        return _times(arrow)
    elif pa.types.is_integer(arrow):
        whole = np.iinfo(_DTYPES[str(arrow)])
        candidates = [0, 1, int(whole.min), int(whole.max)]
    elif pa.types.is_floating(arrow):
        info = np.finfo(_DTYPES[str(arrow)])
        fits = [v for v in NUMBERS if not np.isfinite(v) or abs(v) <= float(info.max)]
        candidates = [*fits, float(info.max), float(info.smallest_subnormal)]
    else:
        candidates = [0, 1]
    return pa.array([None, *candidates], arrow)


def _with_more(edges: pa.Array[Any], more: Sequence[Any]) -> pa.Array[Any]:
    """With these values behind, but for those that the type can't hold to the last digit."""
    held = []
    for value in more:
        with suppress(pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            one = pa.array([value], edges.type)
            if one.to_pylist() == [value]:
                held.append(one)
    return pa.concat_arrays([edges, *held])


def _times(arrow: pa.DataType) -> pa.Array[Any]:
    micro = [iso_micros(t) for t in TIMES]
    found: list[int | None] = [None]
    if pa.types.is_date(arrow):
        days = [m // 86_400_000_000 for m in micro]
        width = 1 if pa.types.is_date32(arrow) else 86_400_000
        storage: pa.DataType = pa.int32() if width == 1 else pa.int64()
        return pa.array([*found, *(d * width for d in days)], storage).cast(arrow)
    unit = arrow.unit if isinstance(arrow, pa.TimestampType) else "us"
    up, down = {"s": (1, 1_000_000), "ms": (1, 1000), "us": (1, 1), "ns": (1000, 1)}[unit]
    ticks = [m * up // down for m in micro]
    found += [t for t in ticks if -(2**63) < t < 2**63]
    return pa.array(found, pa.int64()).cast(arrow)
