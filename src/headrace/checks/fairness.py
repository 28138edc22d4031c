"""How differently the model treats the groups of a sensitive column.

Selection rate, true and false positive rate of each group, and over all groups the largest difference
(highest less lowest) and the smallest ratio (lowest by highest): demographic parity and the two halves of
equalised odds (Hardt, Price & Srebro 2016, NeurIPS), as fairlearn defines them. For a regression the mean
prediction, error and absolute error take the rates' place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from headrace.checks.groups import Grouping, codes_of_units
from headrace.core.evidence import Evidence, Interval
from headrace.core.task import Kind
from headrace.metrics.record import Bools, Floats, Ints, Predictions, Scale
from headrace.metrics.resample import effective
from headrace.metrics.scale import pivot_of

FEWEST_UNITS = 5
LEVEL = 0.95
MOST_GROUPS = 50
"""A column with more values is no grouping of people."""

RATES: Mapping[Kind, tuple[str, ...]] = {
    Kind.BINARY: ("selection_rate", "tpr", "fpr"),
    Kind.MULTICLASS: ("selection_rate", "tpr", "fpr"),
    Kind.REGRESSION: ("prediction", "error", "absolute_error"),
}
_NO_RATIO = ("prediction", "error")  # of either sign: a ratio says nothing


def measures(kind: Kind) -> tuple[str, ...]:
    """The measures that a rule may name for a kind of task.

    >>> measures(Kind.BINARY)[:2]
    ('selection_rate_difference', 'selection_rate_ratio')
    """
    return tuple(
        f"{rate}_{how}"
        for rate in RATES[kind]
        for how in ("difference", "ratio")
        if how == "difference" or rate not in _NO_RATIO
    )


@dataclass(frozen=True)
class GroupRate:
    """A rate of one group. `rests_on` counts the rows it is a share of (tpr: the positive ones); `of` is the
    class that counts as positive where there are several. value None: no such row."""

    column: str
    group: str
    rate: str
    of: str
    rows: int
    rests_on: int
    units: int
    value: float | None
    interval: Interval | None


@dataclass(frozen=True)
class Disparity:
    """A measure over the groups of a column, and the two groups that are furthest apart."""

    column: str
    measure: str
    of: str
    value: float | None
    interval: Interval | None
    lowest: str
    highest: str
    rows: int
    units: int
    why_none: str = ""

    @property
    def gate(self) -> str:
        """The judged name."""
        return f"fairness: {self.column} {self.measure}" + (f" of {self.of}" if self.of else "")


@dataclass(frozen=True)
class Fairness:
    """Every rate of every group, and every measure over them."""

    rates: tuple[GroupRate, ...]
    disparities: tuple[Disparity, ...]


def fairness(predictions: Predictions, groupings: Sequence[Grouping], *, min_rows: int) -> Fairness:
    """Rates by group and the measures over groups, for each sensitive column.

    Intervals vary whole units. That of the difference holds the largest difference of any two groups: its
    upper end is the largest upper end of any pair (the pair that is truly worst lies below its own), its
    lower end the largest lower end of any pair, corrected for their number; ratios the other way around.
    A group with fewer than `min_rows` rows that a rate rests on, or fewer than 5 units, makes the measure
    unknown: it can't be shown that this group is treated alike.
    """
    rates: list[GroupRate] = []
    disparities: list[Disparity] = []
    units = codes_of_units(predictions.units)
    for grouping in groupings:
        for of, values in _views(predictions):
            for rate, (x, base) in values.items():
                cells = [
                    _cell(label, x, base & grouping.rows(code), units, rate, int(grouping.rows(code).sum()))
                    for code, label in enumerate(grouping.labels)
                ]
                rates += [_rate(grouping.name, of, rate, c) for c in cells]
                disparities += _disparities(grouping.name, of, rate, cells, min_rows, predictions)
    return Fairness(tuple(rates), tuple(disparities))


def _views(p: Predictions) -> list[tuple[str, dict[str, tuple[Floats, Bools]]]]:
    """What is averaged over which rows, by rate; one class against the rest where there are several."""
    every = np.ones(p.rows, bool)
    if p.task.kind is Kind.REGRESSION:
        error = p.score - p.y
        means = {"prediction": p.score, "error": error, "absolute_error": np.abs(error)}
        return [("", {n: (x, every) for n, x in means.items()})]
    codes = [1] if p.task.kind is Kind.BINARY else range(len(p.task.classes))
    views = []
    for code in codes:
        chosen = np.equal(np.asarray(p.decision), code).astype(np.float64)
        true: Bools = p.y == code
        of = "" if p.task.kind is Kind.BINARY else str(p.task.classes[code])
        views.append((of, {"selection_rate": (chosen, every), "tpr": (chosen, true), "fpr": (chosen, ~true)}))
    return views


@dataclass(frozen=True, eq=False)
class _Cell:
    """A rate of one group with what its error comes from. totals: what each unit adds to it, [units].
    alone: its variance if rows were independent; shares with no or only hits get half a row of each."""

    label: str
    rate: str
    rows: int
    rests_on: int
    units: int
    df: float
    value: float
    held: float  # the value, kept off 0 and 1 where it is a share
    totals: Floats
    alone: float


def _cell(label: str, x: Floats, rows: Bools, units: Ints, rate: str, size: int) -> _Cell:
    count, m = int(units.max()) + 1 if len(units) else 0, int(np.count_nonzero(rows))
    if m == 0:
        nothing = np.zeros(count)
        return _Cell(label, rate, size, 0, 0, 1.0, math.nan, math.nan, nothing, math.nan)
    mine, owner = x[rows], units[rows]
    value = float(mine.mean())
    holding = np.bincount(owner, minlength=count).astype(np.float64)
    held = int(np.count_nonzero(holding))
    totals = np.bincount(owner, mine - value, minlength=count) / m * math.sqrt(held / max(held - 1, 1))
    share = rate in ("selection_rate", "tpr", "fpr")
    kept = (float(mine.sum()) + 0.5) / (m + 1) if share else value
    alone = kept * (1 - kept) / m if share else float(mine.var()) / m
    return _Cell(label, rate, size, m, held, max(effective(holding) - 1, 1.0), value, kept, totals, alone)


def _rate(column: str, of: str, rate: str, c: _Cell) -> GroupRate:
    interval = None
    if c.units >= FEWEST_UNITS:
        scale = Scale.SHARE if rate in ("selection_rate", "tpr", "fpr") else Scale.PLAIN
        se = math.sqrt(max(float(np.sum(c.totals**2)), c.alone))
        pivot = pivot_of(scale, c.value, se, c.df, c.units, difference=False, identical=False)
        tail = (1 - LEVEL) / 2
        interval = Interval(pivot.end("low", tail), pivot.end("high", tail), LEVEL) if pivot else None
    value = None if math.isnan(c.value) else c.value
    return GroupRate(column, c.label, rate, of, c.rows, c.rests_on, c.units, value, interval)


def _disparities(
    column: str, of: str, rate: str, cells: Sequence[_Cell], min_rows: int, p: Predictions
) -> list[Disparity]:
    names = [m for m in measures(p.task.kind) if m.rpartition("_")[0] == rate]
    total, units = sum(c.rests_on for c in cells), len(np.unique(p.units))
    empty = Disparity(column, "", of, None, None, "", "", total, units)
    why = _too_small(cells, min_rows)
    if why:
        return [replace(empty, measure=name, why_none=why) for name in names]
    low, high = min(cells, key=lambda c: c.value), max(cells, key=lambda c: c.value)
    empty = replace(empty, lowest=low.label, highest=high.label, units=min(c.units for c in cells))
    found = []
    for name in names:
        if name.endswith("difference"):
            value, interval = high.value - low.value, _difference(cells)
        elif high.value == 0:
            found.append(replace(empty, measure=name, why_none=f"{rate} is 0 in every group"))
            continue
        else:
            value, interval = low.value / high.value, _ratio(cells)
        found.append(replace(empty, measure=name, value=value, interval=interval))
    return found


def _too_small(cells: Sequence[_Cell], min_rows: int) -> str:
    if len(cells) < 2:
        return "there is one group only"
    if len(cells) > MOST_GROUPS:
        return f"{len(cells)} groups; at most {MOST_GROUPS} are compared"
    small = [c for c in cells if c.rests_on < min_rows or c.units < FEWEST_UNITS]
    if not small:
        return ""
    told = ", ".join(f"{c.label} ({c.rests_on} rows, {c.units} units)" for c in small[:3])
    more = ", …" if len(small) > 3 else ""
    needs = f"needs {min_rows} rows, {FEWEST_UNITS} units"
    return f"too few rows that {cells[0].rate} rests on: {told}{more}; {needs}"


def _difference(cells: Sequence[_Cell]) -> Interval:
    def of_pair(a: _Cell, b: _Cell) -> tuple[float, float]:
        spread = max(float(np.sum((a.totals - b.totals) ** 2)), a.alone + b.alone)
        return a.value - b.value, math.sqrt(spread)

    low, high = _ends(cells, of_pair, largest=True)
    return Interval(max(low, 0.0), max(high, 0.0), LEVEL)


def _ratio(cells: Sequence[_Cell]) -> Interval:
    def of_pair(a: _Cell, b: _Cell) -> tuple[float, float]:
        apart = a.totals / a.held - b.totals / b.held
        spread = max(float(np.sum(apart**2)), a.alone / a.held**2 + b.alone / b.held**2)
        return math.log(a.held / b.held), math.sqrt(spread)

    low, high = _ends([c for c in cells if c.held > 0], of_pair, largest=False)
    least = 0.0 if any(c.value == 0 for c in cells) else math.exp(low)
    return Interval(min(least, 1.0), min(math.exp(high), 1.0), LEVEL)


def _ends(
    cells: Sequence[_Cell], of_pair: Callable[[_Cell, _Cell], tuple[float, float]], *, largest: bool
) -> tuple[float, float]:
    """Both ends for the largest (or smallest) of all pairs; see `fairness` for why these hold."""
    from scipy.special import stdtrit

    pairs = list(permutations(cells, 2))
    tail = (1 - LEVEL) / 2
    lows, highs = [], []
    for a, b in pairs:
        value, se = of_pair(a, b)
        df = min(a.df, b.df)
        near, far = (-float(stdtrit(df, alpha)) * se for alpha in (tail / len(pairs), tail))
        lows.append(value - (near if largest else far))
        highs.append(value + (far if largest else near))
    return (max(lows), max(highs)) if largest else (min(lows), min(highs))


def fairness_evidence(found: Fairness) -> tuple[Evidence, ...]:
    """One piece of evidence a measure, for the gate `fairness`."""
    return tuple(
        Evidence(
            d.gate,
            d.value,
            unit=d.measure.replace("_", " "),
            n=d.units,
            interval=d.interval,
            where=f"lowest {d.lowest}, highest {d.highest}" if d.lowest else "",
            why_none=d.why_none,
            details={"measure": d.measure},
        )
        for d in found.disparities
    )
