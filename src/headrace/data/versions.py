"""Snapshots as versions of a table: how old one is, and what differs between two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from headrace.core.clock import from_micros, micros
from headrace.core.schema import Snapshot, Type
from headrace.data.identity import parquet_row_ids
from headrace.graph.buffers import fixed, known

_BATCH = 131_072
_BINS = 10
_FLOOR = 1e-4
_LISTED = 10
_CATEGORIES = 50
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


def newest(path: Path, column: str, upto: datetime) -> datetime | None:
    """The newest moment of a time column at or before `upto`; None where there is none. Later moments are
    plans or mistakes, and make no table younger."""
    limit = micros(upto)
    best: int | None = None
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH, columns=[column]):
            times = fixed(batch.column(0))[known(batch.column(0))]
            past = times[times <= limit]
            if len(past):
                best = max(int(past.max()), best if best is not None else int(past.max()))
    return None if best is None else from_micros(best)


@dataclass(frozen=True)
class ColumnDiff:
    """One column in two snapshots, `a` the older.

    missing: shares of null. psi: population stability index over deciles of `a` (numbers, times) or over
    categories. ks, p: the two-sample Kolmogorov-Smirnov statistic with its asymptotic p-value (numbers,
    times), or the chi-squared test's p-value of equal shares (text, booleans; `ks` is None); rows are taken
    as independent, which flatters p where they are not. quantiles: at `QUANTILES`. gained, lost: categories
    that only one holds, the most frequent first (at most 10), with how many there are.
    """

    column: str
    type: Type
    missing: tuple[float, float]
    psi: float | None = None
    ks: float | None = None
    p: float | None = None
    quantiles: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    gained: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    gained_count: int = 0
    lost_count: int = 0


@dataclass(frozen=True)
class RowsDiff:
    """Rows by identity: `by` is the id's column, or empty for whole rows. `changed` counts ids on both sides
    whose rows differ in a column that both have (None without an id)."""

    by: str
    added: int
    removed: int
    same: int
    changed: int | None = None


@dataclass(frozen=True)
class TableDiff:
    """What differs between two snapshots of a table. `retyped` are (column, type before, type after)."""

    table: str
    a: str
    b: str
    rows: tuple[int, int]
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    retyped: tuple[tuple[str, str, str], ...]
    columns: tuple[ColumnDiff, ...]
    identity: RowsDiff


def diff(a: Snapshot, b: Snapshot, paths: tuple[Path, Path], *, id_column: str | None) -> TableDiff:
    """Compare two snapshots, a column at a time (memory for one column of both, and a few bytes a row)."""
    before, after = a.types(), b.types()
    both = [c for c in before if c in after]
    same = [c for c in both if before[c] == after[c]]
    return TableDiff(
        a.table,
        a.artifact,
        b.artifact,
        (a.rows, b.rows),
        tuple(c for c in after if c not in before),
        tuple(c for c in before if c not in after),
        tuple((c, before[c].value, after[c].value) for c in both if before[c] != after[c]),
        tuple(_column(c, before[c], paths) for c in same),
        _identity(paths, same, id_column if id_column in same else None),
    )


def _identity(paths: tuple[Path, Path], common: Sequence[str], id_column: str | None) -> RowsDiff:
    if not common:
        counts = [pq.read_metadata(p).num_rows for p in paths]
        return RowsDiff("", counts[1], counts[0], 0)
    a, b = (parquet_row_ids(p, [id_column] if id_column else list(common)) for p in paths)
    names_a, counts_a = np.unique(a, return_counts=True)
    names_b, counts_b = np.unique(b, return_counts=True)
    _, in_a, in_b = np.intersect1d(names_a, names_b, assume_unique=True, return_indices=True)
    shared = int(np.minimum(counts_a[in_a], counts_b[in_b]).sum())
    changed = None
    if id_column is not None:
        whole_a, whole_b = (parquet_row_ids(p, list(common)) for p in paths)
        kept_a, kept_b = np.isin(a, names_b), np.isin(b, names_a)
        changed = int(np.count_nonzero(kept_b)) - _shared(whole_a[kept_a], whole_b[kept_b])
    return RowsDiff(id_column or "", len(b) - shared, len(a) - shared, shared - (changed or 0), changed)


def _shared(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> int:
    """How many values two multisets share."""
    (x, n), (y, m) = np.unique(a, return_counts=True), np.unique(b, return_counts=True)
    _, i, j = np.intersect1d(x, y, assume_unique=True, return_indices=True)
    return int(np.minimum(n[i], m[j]).sum())


def _column(name: str, kind: Type, paths: tuple[Path, Path]) -> ColumnDiff:
    if kind in (Type.TEXT, Type.BOOL):
        return _categories(name, kind, paths)
    sides = [_numbers(p, name) for p in paths]
    missing = (sides[0][1], sides[1][1])
    a, b = sides[0][0], sides[1][0]
    if not len(a) or not len(b):
        return ColumnDiff(name, kind, missing)
    a.sort()
    b.sort()
    return ColumnDiff(
        name,
        kind,
        missing,
        _psi_numbers(a, b),
        *_smirnov(a, b),
        quantiles=(_quantiles(a), _quantiles(b)),
    )


def _numbers(path: Path, column: str) -> tuple[NDArray[np.float64], float]:
    parts = []
    with pq.ParquetFile(path) as file:
        rows = file.metadata.num_rows
        for batch in file.iter_batches(_BATCH, columns=[column]):
            values = batch.column(0)
            parts.append(fixed(values)[known(values)].astype(np.float64))
    numbers = np.concatenate(parts) if parts else np.empty(0)
    return numbers, 1 - len(numbers) / rows if rows else 0.0


def _quantiles(ordered: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(q) for q in np.quantile(ordered, QUANTILES))


def _psi_numbers(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Over the deciles of `a`; equal deciles are one bin."""
    edges = np.unique(np.quantile(a, np.linspace(0, 1, _BINS + 1)[1:-1]))
    counts = []
    for ordered in (a, b):
        below = np.searchsorted(ordered, edges, "right")
        counts.append(np.diff(np.concatenate([[0], below, [len(ordered)]])))
    return _psi(counts[0], counts[1])


def _psi(a: NDArray[Any], b: NDArray[Any]) -> float:
    """The population stability index, sum of (q - p) ln(q / p): the symmetrised Kullback-Leibler divergence
    (Jeffreys 1946; Siddiqi 2006, Credit Risk Scorecards). Empty bins count as a share of 0.0001."""
    p = np.maximum(a / a.sum(), _FLOOR)
    q = np.maximum(b / b.sum(), _FLOOR)
    return float(np.sum((q - p) * np.log(q / p)))


def _smirnov(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float, float]:
    """The two-sample Kolmogorov-Smirnov statistic and its asymptotic p-value (Smirnov 1948; Hodges 1957).
    Both sides come sorted."""
    from scipy.stats import kstwo

    every = np.concatenate([a, b])
    gaps = np.searchsorted(a, every, "right") / len(a) - np.searchsorted(b, every, "right") / len(b)
    statistic = float(np.max(np.abs(gaps)))
    size = round(len(a) * len(b) / (len(a) + len(b)))
    return statistic, float(np.clip(kstwo.sf(statistic, max(size, 1)), 0, 1))


def _categories(name: str, kind: Type, paths: tuple[Path, Path]) -> ColumnDiff:
    sides = [_counts(p, name) for p in paths]
    (a, missing_a), (b, missing_b) = sides
    gained = sorted((v for v in b if v not in a), key=lambda v: (-b[v], v))
    lost = sorted((v for v in a if v not in b), key=lambda v: (-a[v], v))
    psi = p = None
    if a and b:
        top = sorted(set(a) | set(b), key=lambda v: (-(a.get(v, 0) + b.get(v, 0)), v))
        rest = set(top[_CATEGORIES:])
        table = np.array([[side.get(v, 0) for v in top[:_CATEGORIES]] for side in (a, b)])
        if rest:
            others = [[sum(n for v, n in side.items() if v in rest)] for side in (a, b)]
            table = np.hstack([table, np.array(others)])
        psi = _psi(table[0], table[1])
        p = _chi_squared(table)
    return ColumnDiff(
        name,
        kind,
        (missing_a, missing_b),
        psi,
        None,
        p,
        gained=tuple(gained[:_LISTED]),
        lost=tuple(lost[:_LISTED]),
        gained_count=len(gained),
        lost_count=len(lost),
    )


def _chi_squared(table: NDArray[Any]) -> float | None:
    """Pearson's test of equal shares; None for a single category."""
    from scipy.stats import chi2_contingency

    if table.shape[1] < 2:
        return None
    return float(chi2_contingency(table, correction=False)[1])


def _counts(path: Path, column: str) -> tuple[dict[str, int], float]:
    """How often each value comes, counted batch by batch, and the share of null."""
    counts: dict[str, int] = {}
    nulls = rows = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH, columns=[column]):
            values: Any = batch.column(0)
            nulls += values.null_count
            rows += len(values)
            for item in values.drop_null().value_counts():
                value = item["values"].as_py()
                name = value if isinstance(value, str) else str(value).lower()
                counts[name] = counts.get(name, 0) + item["counts"].as_py()
    return counts, nulls / rows if rows else 0.0
