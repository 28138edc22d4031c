"""Do training and validation rows look as if drawn from one source? One two-sample test a feature.

The statistic is the largest distance of the two distributions: of their cumulative shares for numbers
(Kolmogorov and Smirnov, on quantile bins), total variation for categories, and always the difference in
missing values. Its distribution under no skew comes from dealing whole units anew (a permutation test; Good
2005, Permutation, Parametric and Bootstrap Tests of Hypotheses), so that rows of one day count as one. Its
tail is continued by a Gumbel distribution with the permutations' mean and spread. P-values are corrected by
Holm (1979, Scandinavian Journal of Statistics 6), and a distance below `EFFECT` is no finding however sure.

Along a split by time the world moves. There a distance is told only where it exceeds what successive parts
of the training rows show between themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.lint.alone import Alone, binned
from headrace.checks.lint.record import Bools, Column, Dataset, Finding, Floats, Ints, Severity
from headrace.metrics.resample import find_units

KIND = "skew"
EFFECT = 0.1
"""The smallest distance of two distributions that is told."""

LEVEL = 0.01
"""Chance of a false finding in a table, over all of its features."""

DRIFT, DRIFT_LEFT = 1.5, 0.7
"""Along time: how many times the largest distance within training, or how much of what it leaves to 1."""

BINS = 24
SHUFFLES = 499
_PIECES = 4
_FEWEST_UNITS = 8
_PER_LEVEL = 30


@dataclass(frozen=True)
class _Block:
    """A feature's histogram a unit: bin 0 is null, the others in order (numbers) or not."""

    column: Column
    codes: Ints
    bins: int


def find(data: Dataset, alone: Alone) -> Iterator[Finding]:
    """Features whose validation values differ from training's."""
    del alone
    if data.train.all() or not data.train.any():
        return
    rng = np.random.default_rng(data.seed)
    inside, outside = find_units(data.units[data.train], rng), find_units(data.units[~data.train], rng)
    if min(inside.count, outside.count) < 2 or inside.count + outside.count < _FEWEST_UNITS:
        return
    units = np.empty(data.rows, np.int64)
    units[data.train], units[~data.train] = inside.codes, outside.codes + inside.count
    count = inside.count + outside.count
    marks = _deals(count, outside.count, rng)
    tested = []
    for feature in (f for f in data.features if f.name not in data.learned):
        block = _Block(feature, *_bins(feature))
        found, p = _test(block, units, count, marks)
        tested.append((p, block, found))
    for (_, block, found), corrected in zip(tested, holm([t[0] for t in tested]), strict=True):
        if found < EFFECT or corrected > LEVEL:
            continue
        usual = _usual(data, block) if data.split == "time" and data.times is not None else 0.0
        if found > min(DRIFT * usual, usual + DRIFT_LEFT * (1 - usual)):
            yield _finding(data, block, found, corrected, usual)


def _bins(column: Column) -> tuple[Ints, int]:
    if column.numeric or not column.levels:
        return binned(column, BINS)
    codes, count = binned(column)
    return np.minimum(codes, _PER_LEVEL), min(count, _PER_LEVEL + 1)


def _deals(count: int, validation: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Which units are called validation: as it is, then dealt anew, [1 + SHUFFLES, units]."""
    marks = np.zeros((SHUFFLES + 1, count))
    marks[0, count - validation :] = 1
    for i in range(1, SHUFFLES + 1):
        marks[i, rng.permutation(count)[:validation]] = 1
    return marks


def _test(block: _Block, units: Ints, count: int, marks: Floats) -> tuple[float, float]:
    """The distance, and its p-value."""
    cell = units * block.bins + block.codes
    table = np.bincount(cell, minlength=count * block.bins).reshape(count, block.bins).astype(np.float64)
    other = marks @ table
    distance = distances(table.sum(axis=0) - other, other, ordered=block.column.numeric)
    found, null = float(distance[0]), distance[1:]
    return found, tail(found, null)


def distances(a: Floats, b: Floats, *, ordered: bool) -> Floats:
    """The distance of two histograms [..., bins] whose bin 0 counts nulls."""
    a = a / np.maximum(a.sum(axis=-1, keepdims=True), 1)
    b = b / np.maximum(b.sum(axis=-1, keepdims=True), 1)
    missing: Floats = np.abs(a[..., 0] - b[..., 0])
    if not ordered:
        return np.asarray(np.abs(a - b).sum(axis=-1) / 2)
    known = [x[..., 1:] / np.maximum(x[..., 1:].sum(axis=-1, keepdims=True), 1e-12) for x in (a, b)]
    if not known[0].shape[-1]:
        return np.asarray(missing)
    gap = np.abs(np.cumsum(known[0] - known[1], axis=-1)).max(axis=-1)
    # few known values make a wide gap: it counts for the rows that have one
    result: Floats = np.maximum(missing, gap * np.minimum(1 - a[..., 0], 1 - b[..., 0]))
    return result


def tail(value: float, null: Floats) -> float:
    """The chance of a statistic at least so large, from draws under the null hypothesis."""
    above = int((null >= value - 1e-12).sum())
    if above >= 10:
        return (above + 1) / (len(null) + 1)
    spread = float(null.std())
    if spread <= 0:
        return 1.0 if value <= float(null.max()) + 1e-12 else 1e-12
    scale = spread * math.sqrt(6) / math.pi
    z = (value - (float(null.mean()) - 0.5772 * scale)) / scale
    return float(-np.expm1(-np.exp(-z)))


def holm(values: list[float]) -> list[float]:
    """P-values corrected for their number."""
    order = np.argsort(values, kind="stable")
    result, worst = [1.0] * len(values), 0.0
    for rank, i in enumerate(order.tolist()):
        worst = max(worst, min(1.0, values[i] * (len(values) - rank)))
        result[i] = worst
    return result


def _usual(data: Dataset, block: _Block) -> float:
    """The largest distance of a part of the training rows, as long as validation, from the part before it or
    from all before it."""
    times: Any = data.times
    rows = np.flatnonzero(data.train)
    rows = rows[np.argsort(times[rows], kind="stable")]
    size = int((~data.train).sum())
    pieces = max(_PIECES, len(rows) // max(size, 1))
    parts = np.array_split(rows, min(pieces, len(rows)))
    tables = np.array([np.bincount(block.codes[p], minlength=block.bins) for p in parts], dtype=np.float64)
    ordered = block.column.numeric
    before = distances(np.cumsum(tables, axis=0)[:-1], tables[1:], ordered=ordered)
    return float(
        max(before.max(initial=0.0), distances(tables[:-1], tables[1:], ordered=ordered).max(initial=0.0))
    )


def _finding(data: Dataset, block: _Block, found: float, p: float, usual: float) -> Finding:
    column, train = block.column, data.train
    said = f"its distributions in train and validation are {found:.2f} apart (p {p:.1g} after Holm)"
    if usual:
        said += f", parts of train at most {usual:.2f}"
    return Finding(
        KIND,
        column.name,
        Severity.WARNS,
        said,
        "find out what changed: units, a source, missing values; a model is blind to what it has not seen",
        {"distance": found, "p": p, **({"within train": usual} if usual else {})},
        (f"train: {_summary(column, train)}", f"validation: {_summary(column, ~train)}"),
    )


def _summary(column: Column, rows: Bools) -> str:
    part = column.at(rows)
    known = part.values[~part.null]
    missing = f", {part.null.mean():.1%} null" if part.null.any() else ""
    if not known.size:
        return "all null"
    if column.numeric:
        low, middle, high = np.quantile(known, [0.1, 0.5, 0.9])
        return f"median {middle:.6g}, 80% within {low:.6g} and {high:.6g}{missing}"
    counts = np.bincount(known, minlength=len(column.levels))
    top = np.argsort(-counts, kind="stable")[:3]
    return ", ".join(f"{column.levels[int(t)]!r} {counts[t] / known.size:.1%}" for t in top) + missing
