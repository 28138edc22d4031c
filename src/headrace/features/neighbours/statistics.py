"""Statistics of the nearest points as nodes: the one definition, which both the offline fit and the packaged
graph run.

Only operations that are rounded in one way are used (sums go from neighbour to neighbour, by `CumSum`), so
that a row alone and a row of many get the same bits. That rules out `Exp`, hence the kernel's form: the bell
(1 - d^2/16h^2)^8, zero from 4h on, near to the Gaussian exp(-d^2/2h^2).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headrace.features.neighbours.asked import Asked, Stat
from headrace.features.neighbours.grid import Numbers
from headrace.graph.build import GraphBuilder

PULL = 0.1
"""The ridge on a line's slopes: what they would lose if each of its columns varied among the neighbours by a
third of its standard deviation among all rows."""
CUT = 5.0
"""Standard deviations at which a column of the line is cut."""


@dataclass(frozen=True, eq=False)
class Line:
    """What the line runs over: of each column of the row its mean and standard deviation among the points;
    the points' own values, standardised [points, columns]."""

    means: Numbers
    spreads: Numbers
    table: Numbers

    @classmethod
    def fit(cls, columns: Numbers) -> Line:
        """Of the points' columns [points, columns], NaN for null."""
        count = np.maximum((~np.isnan(columns)).sum(axis=0), 1)
        with np.errstate(over="ignore", invalid="ignore"):
            means = np.nansum(columns, axis=0) / count
            spreads = np.sqrt(np.nansum((columns - means) ** 2, axis=0) / count)
        usable = np.isfinite(means) & np.isfinite(spreads) & (spreads > 1e-290)
        means, spreads = np.where(usable, means, 0.0), np.where(usable, spreads, np.inf)
        return cls(means, spreads, standard(columns, means, spreads))

    def emit(self, g: GraphBuilder, columns: str) -> str:
        """Standardised columns of rows, double [rows, columns]."""
        off = g.node("Sub", columns, g.constant(self.means[None, :]))
        apart = g.node("Div", off, g.constant(self.spreads[None, :]))
        cut = g.node("Clip", apart, g.constant(-CUT), g.constant(CUT))
        return g.node("Where", g.node("IsNaN", cut), g.constant(0.0), cut)


def standard(columns: Numbers, means: Numbers, spreads: Numbers) -> Numbers:
    """As `Line.emit` has it; null is 0, the mean."""
    with np.errstate(over="ignore", invalid="ignore"):
        cut = np.clip((columns - means) / spreads, -CUT, CUT)
    return np.where(np.isnan(cut), 0.0, cut)


@dataclass(frozen=True, eq=False)
class Tables:
    """What is known of each point, in training order: `truth` [points, targets], `columns`
    [points, inputs] with NaN for null, the line where one is asked for.

    k: as `asked.k`, but no more than there are points to be asked. soft: the distance, in steps, that is
    added before distances are turned into weights.
    """

    asked: Asked
    k: tuple[int, ...]
    truth: Numbers
    columns: Numbers
    line: Line | None
    soft: float
    unit: float
    stats: tuple[Stat, ...]
    """What is asked of the target."""


@dataclass(frozen=True)
class Near:
    """Names of the tensors that are known of the rows: neighbours `index` and `apart` [rows, most], the rows'
    own `of` and `columns` [rows, ...], NaN for null."""

    index: str
    apart: str
    of: str
    columns: str


@dataclass
class _Room:
    g: GraphBuilder
    t: Tables
    near: Near
    known: dict[str, str] = field(default_factory=dict)

    def op(self, name: str, *tensors: str, **attributes: Any) -> str:
        return self.g.node(name, *tensors, **attributes)

    def whole(self, *values: int) -> str:
        return self.g.constant(list(values), np.int64)

    def ends(self, summed: str) -> str:
        """Of running sums [rows, most, ...] those at each k."""
        return self.op("Gather", summed, self.whole(*(k - 1 for k in self.t.k)), axis=1)

    def running(self, tensor: str) -> str:
        return self.op("CumSum", tensor, self.g.constant(1, np.int64))

    def first(self, tensor: str, k: int) -> str:
        return self.op("Slice", tensor, self.whole(0), self.whole(k), self.whole(1))

    def last(self, summed: str, k: int) -> str:
        """The running sum over the first k, without its axis."""
        return self.op("Gather", summed, self.g.constant(k - 1, np.int64), axis=1)

    def wide(self, tensor: str) -> str:
        """[rows, k] as [rows, k, 1]."""
        return self.op("Unsqueeze", tensor, self.whole(2))

    def flat(self, tensor: str, width: int) -> str:
        return self.op("Reshape", tensor, self.whole(-1, width))

    def counts(self) -> str:
        return self.g.constant(np.array(self.t.k, np.float64)[None, :, None])

    @property
    def distance(self) -> str:
        """[rows, most], in steps."""
        if "distance" not in self.known:
            self.known["distance"] = self.op("Sqrt", self.near.apart)
        return self.known["distance"]

    @property
    def weight(self) -> str:
        """[rows, most]."""
        if "weight" not in self.known:
            near = self.op("Add", self.distance, self.g.constant(self.t.soft))
            self.known["weight"] = self.op("Div", self.g.constant(1.0), near)
        return self.known["weight"]


def emit_statistics(g: GraphBuilder, t: Tables, near: Near) -> list[str]:
    """Tensors [rows, some], in the order of `Asked.features`."""
    room, made = _Room(g, t, near), []
    if t.truth.shape[1]:
        truth = g.node("Gather", g.constant(t.truth), near.index, axis=0)
        made += [_stat(room, stat, truth, t.truth.shape[1], "") for stat in t.stats]
        made += [_kernel(room, truth, width) for width in t.asked.bandwidths]
    if t.columns.shape[1]:
        values = g.node("Gather", g.constant(t.columns), near.index, axis=0)
        made += _of_columns(room, values)
    if "distance" in t.asked.stats:
        far = g.node("Mul", room.distance, g.constant(t.unit))
        made.append(room.ends(far))
    return made


def _of_columns(room: _Room, values: str) -> list[str]:
    g, t = room.g, room.t
    there = ""
    if np.isnan(t.columns).any():
        missing = g.node("IsNaN", values)
        there = g.node("Where", missing, g.constant(0.0), g.constant(1.0))
        values = g.node("Where", missing, g.constant(0.0), values)
    return [_stat(room, stat, values, t.columns.shape[1], there) for stat in t.asked.of_columns]


def _stat(room: _Room, stat: Stat, values: str, width: int, there: str) -> str:
    """[rows, ks * width] of values [rows, most, width]; `there` is 1 where a value is known and 0 where not
    (the value then is 0), or empty where all are."""
    many = len(room.t.k) * width
    match stat:
        case "mean":
            return room.flat(_mean(room, values, there), many)
        case "weighted":
            return room.flat(_weighted(room, values, there), many)
        case "min" | "max":
            parts = [_extreme(room, stat, values, there, k) for k in room.t.k]
        case "std":
            mean = _mean(room, values, there)
            parts = [_std(room, values, there, mean, i) for i in range(len(room.t.k))]
        case "linear":
            parts = [_linear(room, values, width, k) for k in room.t.k]
        case _:
            own = room.op("Unsqueeze", room.near.columns, room.whole(1))
            return room.flat(room.op("Sub", own, _mean(room, values, there)), many)
    return parts[0] if len(parts) == 1 else room.op("Concat", *parts, axis=1)


def _mean(room: _Room, values: str, there: str) -> str:
    """[rows, ks, width]; 0/0 is NaN where none is known."""
    sums = room.ends(room.running(values))
    return room.op("Div", sums, room.ends(room.running(there)) if there else room.counts())


def _weighted(room: _Room, values: str, there: str) -> str:
    weight = room.wide(room.weight)
    sums = room.ends(room.running(room.op("Mul", weight, values)))
    whole = room.op("Mul", weight, there) if there else weight
    return room.op("Div", sums, room.ends(room.running(whole)))


def _extreme(room: _Room, stat: str, values: str, there: str, k: int) -> str:
    """[rows, width]."""
    values = room.first(values, k)
    if not there:
        return room.op("ReduceMin" if stat == "min" else "ReduceMax", values, room.whole(1), keepdims=0)
    none = np.inf if stat == "min" else -np.inf
    known = room.op("Greater", room.first(there, k), room.g.constant(0.0))
    filled = room.op("Where", known, values, room.g.constant(none))
    found = room.op("ReduceMin" if stat == "min" else "ReduceMax", filled, room.whole(1), keepdims=0)
    return room.op("Where", room.op("Equal", found, room.g.constant(none)), room.g.constant(np.nan), found)


def _std(room: _Room, values: str, there: str, means: str, i: int) -> str:
    """[rows, width]: around the mean of the first k, divided by their number."""
    k = room.t.k[i]
    mean = room.op("Slice", means, room.whole(i), room.whole(i + 1), room.whole(1))
    off = room.op("Sub", room.first(values, k), mean)
    square = room.op("Mul", off, off)
    if there:
        square = room.op("Mul", square, room.first(there, k))
    total = room.last(room.running(square), k)
    count = room.last(room.running(there), k) if there else room.g.constant(float(k))
    return room.op("Sqrt", room.op("Div", total, count))


def _kernel(room: _Room, truth: str, width: float) -> str:
    """[rows, targets] over the most neighbours; 0/0 is NaN where none is within four widths."""
    shrink = (room.t.unit / (4.0 * width)) ** 2
    near = room.op("Sub", room.g.constant(1.0), room.op("Mul", room.near.apart, room.g.constant(shrink)))
    bell = room.op("Max", near, room.g.constant(0.0))
    for _ in range(3):
        bell = room.op("Mul", bell, bell)
    bell, most = room.wide(bell), room.t.k[-1]
    sums = room.last(room.running(room.op("Mul", bell, truth)), most)
    return room.op("Div", sums, room.last(room.running(bell), most))


def _linear(room: _Room, truth: str, width: int, k: int) -> str:
    """[rows, targets]: the value at the row of the weighted least-squares line over the k neighbours, its
    slopes shrunk (Cleveland & Devlin 1988; Hoerl & Kennard 1970).

    The moments stand in one matrix, bordered by the row's own place; eliminating the columns one by one
    (symmetric and positive, so no pivoting is needed) leaves in its corner minus what the line adds to the
    mean.
    """
    g, line = room.g, room.t.line
    if line is None:
        raise ValueError("no line was fitted")
    columns = line.table.shape[1]
    if "line" not in room.known:
        table = g.node("Gather", g.constant(line.table), room.near.index, axis=0)
        room.known["line"] = g.node("Concat", table, truth, axis=2)
        both = g.node("Concat", room.near.of, room.near.columns, axis=1)
        room.known["own"] = line.emit(g, both)
        room.known["weights"] = room.running(room.weight)
    total = room.op("Unsqueeze", room.last(room.known["weights"], k), room.whole(1))
    weight = room.wide(room.op("Div", room.first(room.weight, k), total))
    points = room.first(room.known["line"], k)
    mean = room.last(room.running(room.op("Mul", points, weight)), k)  # [rows, columns + targets]
    off = room.op("Sub", points, room.op("Unsqueeze", mean, room.whole(1)))
    placed = room.op("Slice", off, room.whole(0), room.whole(columns), room.whole(2))
    pairs = room.op(
        "Mul",
        room.op("Unsqueeze", room.op("Mul", placed, weight), room.whole(3)),
        room.op("Unsqueeze", off, room.whole(2)),
    )
    moments = room.last(room.running(pairs), k)  # [rows, columns, columns + targets]
    ridge = np.concatenate([PULL * np.eye(columns), np.zeros((columns, width))], axis=1)
    moments = room.op("Add", moments, g.constant(ridge[None]))
    at = room.op("Slice", mean, room.whole(0), room.whole(columns), room.whole(1))
    border = room.op("Pad", room.op("Sub", room.known["own"], at), room.whole(0, 0, 0, width))
    system = room.op("Concat", moments, room.op("Unsqueeze", border, room.whole(1)), axis=1)
    for _ in range(columns):
        system = _eliminated(room, system)
    corner = room.op("Squeeze", system, room.whole(1))  # [rows, targets]
    base = room.op("Slice", mean, room.whole(columns), room.whole(columns + width), room.whole(1))
    return room.op("Sub", base, corner)


def _eliminated(room: _Room, system: str) -> str:
    """The matrix [rows, n + 1, n + m] without its first row and column, their part taken off."""
    far = np.iinfo(np.int64).max
    row = room.op("Slice", system, room.whole(0), room.whole(1), room.whole(1))
    rest = room.op("Slice", system, room.whole(1), room.whole(far), room.whole(1))
    column = room.op("Slice", rest, room.whole(0), room.whole(1), room.whole(2))
    below = room.op("Slice", rest, room.whole(1), room.whole(far), room.whole(2))
    pivot = room.op("Slice", row, room.whole(0), room.whole(1), room.whole(2))
    beside = room.op("Slice", row, room.whole(1), room.whole(far), room.whole(2))
    return room.op("Sub", below, room.op("Mul", column, room.op("Div", beside, pivot)))


def emit_clusters(g: GraphBuilder, apart: str, unit: float, first_code: float) -> list[str]:
    """Distances to the centres [rows, centres] of squared ones, and the code of the nearest [rows, 1]."""
    far = g.node("Mul", g.node("Sqrt", apart), g.constant(unit))
    nearest = g.node("ArgMin", apart, axis=1, keepdims=1)
    code = g.node("Add", g.node("Cast", nearest, to=11), g.constant(first_code))
    return [far, code]
