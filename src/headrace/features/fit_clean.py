"""Fit what cleaning needs on the training rows: one pass, and nothing but training rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headrace.core.errors import DataError, Problem
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.core.spec.tables import Clean, ColumnCleaning
from headrace.expr import compile_exprs
from headrace.expr.nodes import MAX_TIME, MIN_TIME, Expr
from headrace.features.clean import (
    STEPS,
    CleanedCells,
    CleanedColumn,
    counted_steps,
    declared_fill,
    entering,
    is_statistic,
    prepares_of,
)
from headrace.features.fit import Counts
from headrace.features.statistics import Values
from headrace.graph.encode import Batch, Feeds
from headrace.graph.run import Runner
from headrace.graph.texts import Prepare

_OUT = "="
"""What outputs begin with: no column is called so."""

ORDER = {step: i for i, (step, _) in enumerate(STEPS)}

FENCE = 1.5
"""Tukey's fences: this many interquartile ranges beyond the quartiles (Exploratory Data Analysis, 1977)."""


def columns_to_fit(clean: Clean) -> list[str]:
    """The columns that have to be read for fitting."""
    return [n for n, c in sorted(clean.columns.items()) if c.clip is not None or is_statistic(c.fill)]


def fit_clean(
    clean: Clean,
    types: Mapping[str, Type],
    batches: Iterable[Batch],
    *,
    zone: str,
    folder: Path,
    threads: int = 1,
) -> tuple[CleanedColumn, ...]:
    """The constants of every cleaned column, by name.

    `types` are those that features see (`cleaned_types`); `batches` hold every training row once, with
    `columns_to_fit` in their raw types. Statistics are of the values after trim, case, parse and clip.
    Numbers and times are exact, spilled to `folder`; the mode of a text is exact up to 200,000 different
    texts, beyond which the rarest are let go on the way.

    Raises:
        DataError: a statistic or bound of a column that is null in every training row; all of them at once.
    """
    wanted = columns_to_fit(clean)
    prepares = {n: p for n, p in prepares_of(clean, zone).items() if n in wanted}
    seen: dict[str, Values | Counts] = {
        n: Counts() if types[n] is Type.TEXT else _values(folder, i, types[n]) for i, n in enumerate(wanted)
    }
    if wanted:
        entered = {n: _entered(n, clean.columns[n], types[n], zone) for n in wanted}
        runner = Runner(compile_exprs({_OUT + n: e for n, e in entered.items()}, prepares), threads=threads)
        for outputs in runner.run_batches(batches):
            for name, store in seen.items():
                _take(store, types[name], outputs[_OUT + name])
    problems: list[Problem] = []
    fitted = []
    for name, c in sorted(clean.columns.items()):
        column = _column(name, c, types[name], seen.get(name), zone)
        if isinstance(column, Problem):
            problems.append(column)
        else:
            fitted.append(column)
    if problems:
        raise DataError.of(problems)
    return tuple(fitted)


def _values(folder: Path, i: int, kind: Type) -> Values:
    return Values(folder / f"clean-{i}", np.int64 if kind is Type.TIME else np.float64)


def _entered(name: str, cleaning: ColumnCleaning, kind: Type, zone: str) -> Expr:
    return Expr(name, entering(name, cleaning, kind), kind, (name,), zone)


def _take(store: Values | Counts, kind: Type, values: np.ndarray) -> None:
    if isinstance(store, Counts):
        store.add(values)
    elif kind is Type.TIME:
        store.add(values[(values >= MIN_TIME) & (values <= MAX_TIME)])
    else:
        store.add(values[~np.isnan(values)] + 0.0)  # minus zero is zero


def _column(
    name: str, c: ColumnCleaning, kind: Type, seen: Values | Counts | None, zone: str
) -> CleanedColumn | Problem:
    asked = [f"clip: {c.clip}"] if c.clip is not None else []
    asked += [f"fill: {c.fill}"] if is_statistic(c.fill) else []
    empty = len(seen) == 0 if isinstance(seen, Values) else seen is not None and not seen.values
    if asked and empty:
        return Problem(
            f"{name!r} is null in every training row: there is nothing to fit {' and '.join(asked)} on",
            where=f"clean.columns.{name}",
            fix="fill it with a constant, or leave the column out",
        )
    low, high, note = _bounds(c, seen)
    fill = declared_fill(c, kind, zone)
    if is_statistic(c.fill):
        fill = _statistic(str(c.fill), kind, seen, low, high)
    return CleanedColumn(name, kind, low, high, fill, note)


def _bounds(c: ColumnCleaning, seen: Values | Counts | None) -> tuple[float | None, float | None, str]:
    if c.clip is None or not isinstance(seen, Values):
        return None, None, ""
    if c.clip == "iqr":
        first, third = seen.quantile(0.25), seen.quantile(0.75)
        low, high = fences(first, third, FENCE)
    else:
        low, high = seen.quantile(c.clip[0]), seen.quantile(c.clip[1])
    if low == high:
        return None, None, f"not clipped: both bounds are {low:g}, and every value would become it"
    return _finite(low), _finite(high), ""


def fences(first: float, third: float, width: float) -> tuple[float, float]:
    """Bounds that lie `width` interquartile ranges beyond the quartiles."""
    return first - width * (third - first), third + width * (third - first)


def _finite(value: float) -> float | None:
    return value + 0.0 if math.isfinite(value) else None


def _statistic(
    what: str, kind: Type, seen: Values | Counts | None, low: float | None, high: float | None
) -> str | float | bool | int | None:
    if isinstance(seen, Counts):
        ranked = sorted(seen.values.items(), key=lambda item: (-item[1], item[0]))
        return ranked[0][0]
    if seen is None:
        return None
    if kind is Type.TIME:
        return int(seen.middle() if what == "median" else seen.mode())
    if kind is Type.BOOL:
        return bool(seen.mode())
    if what == "mean":
        return seen.mean(low, high)
    if what == "mode":
        return float(seen.mode(low, high)) + 0.0
    return seen.quantile(0.5, low, high) + 0.0


@dataclass(frozen=True)
class _Door:
    """What a text column meets before the graph."""

    trim: Prepare | None
    parse: Prepare | None


class CellCounter:
    """Counts what cleaning does to the cells of parts, batch by batch."""

    def __init__(
        self,
        clean: Clean,
        fitted: tuple[CleanedColumn, ...],
        types: Mapping[str, Type],
        *,
        zone: str,
        threads: int = 1,
    ) -> None:
        self._steps = counted_steps(clean, fitted, types, zone)
        prepares = prepares_of(clean, zone)
        self._doors = {
            n: _Door(Prepare(trim=True) if p.trim else None, p if p.parse else None)
            for n, p in prepares.items()
            if n in {c.column for c in fitted}
        }
        names = {f"{_OUT}{i}": e for i, e in enumerate(self._steps.values())}
        used = {c for e in names.values() for c in e.columns}
        doors = {n: p for n, p in prepares.items() if n in used}
        self._runner = Runner(compile_exprs(names, doors), threads=threads) if names else None
        self._counts: dict[tuple[str, str, str], int] = {}
        self._order = {c.column: i for i, c in enumerate(fitted)}

    def add(self, part: str, feeds: Feeds, rows: int) -> None:
        """A batch of a part in raw-column convention."""
        for name, door in self._doors.items():
            self._add_door(part, name, door, feeds[name])
        if self._runner is None:
            return
        outputs = self._runner.run(feeds, rows)
        for i, (name, step) in enumerate(self._steps):
            self._add(part, name, step, int(np.count_nonzero(outputs[f"{_OUT}{i}"] == 1)))

    def _add_door(self, part: str, name: str, door: _Door, raw: np.ndarray) -> None:
        texts = raw
        if door.trim is not None:
            texts = door.trim.apply(raw)
            self._add(part, name, "trim", int(np.count_nonzero(texts != raw)))
        if door.parse is not None:
            read = int(np.count_nonzero(door.parse.apply(raw) != NULL_TIME))
            known = sum(t != NULL_TEXT for t in texts.tolist())
            self._add(part, name, "parse", read)
            self._add(part, name, "unparseable", known - read)

    def _add(self, part: str, name: str, step: str, cells: int) -> None:
        key = (name, step, part)
        self._counts[key] = self._counts.get(key, 0) + cells

    def cells(self) -> tuple[CleanedCells, ...]:
        """The counts of train and validation by column, then by step as they are taken."""
        pairs = dict.fromkeys((name, step) for name, step, _ in self._counts)
        return tuple(
            CleanedCells(
                name,
                step,
                self._counts.get((name, step, "train"), 0),
                self._counts.get((name, step, "validation"), 0),
            )
            for name, step in sorted(pairs, key=lambda p: (self._order[p[0]], ORDER[p[1]]))
        )
