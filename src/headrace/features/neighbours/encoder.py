"""`neighbours:` as an encoder: fitted on training rows, asked through a tree offline, emitted with points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from headrace.core.errors import DataError
from headrace.core.spec.features import Neighbours
from headrace.core.task import Feature, Kind, Task
from headrace.expr.nodes import Expr
from headrace.features.encoder import Columns, Inputs
from headrace.features.neighbours.asked import CLUSTER_CODE, Asked, nulls_of
from headrace.features.neighbours.clusters import fit_centres
from headrace.features.neighbours.grid import Grid, Numbers
from headrace.features.neighbours.search import (
    Ids,
    Nearest,
    emit_apart,
    emit_nearest,
)
from headrace.features.neighbours.shared import Shared
from headrace.features.neighbours.statistics import Line, Near, Tables, emit_clusters, emit_statistics
from headrace.graph.blocks import emit_in_blocks
from headrace.graph.build import GraphBuilder
from headrace.graph.run import Runner

MOST_POINTS = 50_000
"""Points that a graph holds: each row is compared with every one of them."""
SHARE = 8
"""At most one in so many training rows is asked for its target. Of all but itself, a row's mean would be told
by its own target alone; of a few, next to nothing of it can be read off."""
SOFT = 3
"""The median distance to the neighbour of this rank is added to distances that become weights."""
CELLS = 200_000
"""Distances that the graph holds at a time: what stays in a processor's cache."""
AT_ONCE = 256

COORDINATES = {"latitude", "longitude", "lat", "lon", "lng", "long", "x", "y", "z", "easting", "northing"}
"""Columns of these names, or ending in them after an underscore or point, are of one unit."""


def asked_of(spec: Neighbours) -> Asked:
    """What a declaration asks, its defaults filled in."""
    bandwidth = spec.bandwidth
    widths = () if bandwidth is None else bandwidth if isinstance(bandwidth, tuple) else (bandwidth,)
    k = spec.k if isinstance(spec.k, tuple) else (spec.k,)
    scale = not all(_is_coordinate(t) for t in spec.of) if spec.scale is None else spec.scale
    return Asked(
        of=spec.of,
        columns=tuple(dict.fromkeys(spec.columns)),
        k=tuple(sorted(set(k))),
        stats=tuple(dict.fromkeys(spec.stats)),
        target=spec.target,
        bandwidths=tuple(sorted(set(widths))),
        clusters=spec.clusters or 0,
        points=spec.points,
        scale=scale,
    )


def _is_coordinate(text: str) -> bool:
    return text.lower().replace(".", "_").rpartition("_")[2] in COORDINATES


@dataclass(frozen=True)
class NeighboursEncoder:
    """`neighbours:` of a spec. shared: the searches that it has in common with others."""

    name: str
    inputs: Mapping[str, Expr]
    asked: Asked
    shared: Shared = field(default_factory=lambda: Shared(1, 0), compare=False, repr=False)

    @property
    def supervised(self) -> bool:
        """Whether the target is asked for."""
        return self.asked.target

    def fit(
        self,
        inputs: Inputs,
        y: NDArray[np.float64],
        *,
        units: NDArray[np.int64],
        task: Task,
        seed: int,
    ) -> FittedNeighbours:
        """Keep the rows that have a place.

        Raises:
            DataError: there are too many to be kept in a graph.
        """
        asked = self.asked
        features = asked.features(self.name, task)
        of = [np.asarray(inputs[t], np.float64) for t in asked.of]
        grid = Grid.fit(of, scale=asked.scale)
        places = grid.place(of)
        known = np.flatnonzero(~np.isnan(places).any(axis=1))
        kept = self._kept(known, seed)
        centres = fit_centres(places[known], asked.clusters, seed)
        rows = _stacked(inputs, (*asked.of, *asked.columns), len(places))
        most = _most(asked, units[kept])
        tables = found = None
        if asked.points_wanted and most > 0:
            found = self.shared.others(places[kept], units[kept], places[known], units[known], most)
            tables = _tables(asked, rows[kept], y[kept], found, grid, task)
        empty = np.zeros((0, len(features)), np.float32)
        fitted = FittedNeighbours(
            features, asked, grid, places[kept], tables, centres, empty, shared=self.shared
        )
        return replace(fitted, leave_own=fitted.told(rows, known, places[known], found))

    def _kept(self, known: Ids, seed: int) -> Ids:
        """The rows that become points, in training order."""
        most = self.asked.points or MOST_POINTS
        if not self.asked.points_wanted:
            return known[:0]
        if len(known) <= most:
            return known
        if self.asked.points is None:
            raise DataError(
                f"neighbours of {len(known):,} training rows don't fit in a graph; {MOST_POINTS:,} do",
                where=f"features.{self.name}",
                why="in serving a row is compared with every one of them",
                fix=f"set points: {MOST_POINTS} to keep so many of them, drawn at random",
            )
        drawn = np.random.default_rng(seed).choice(len(known), most, replace=False)
        return known[np.sort(drawn)]


def _most(asked: Asked, units: Ids) -> int:
    """How many neighbours can be asked, of points of these units."""
    sizes = np.unique(units, return_counts=True)[1]
    most = min(len(units) - int(sizes.max(initial=0)), max(asked.k))
    return min(most, max(1, len(units) // SHARE)) if asked.target else most


def _tables(asked: Asked, rows: Numbers, y: Numbers, found: Nearest, grid: Grid, task: Task) -> Tables:
    """What is known of the points; rows: their `of` and columns."""
    most = found.index.shape[1]
    soft = float(np.median(np.sqrt(found.apart[:, min(SOFT, most) - 1])))
    truth = _truth(y, task, asked)
    return Tables(
        asked,
        tuple(min(k, most) for k in asked.k),
        truth,
        rows[:, len(asked.of) :],
        Line.fit(rows) if "linear" in asked.stats and truth.shape[1] else None,
        soft if soft > 0 else 1.0,
        grid.unit,
        asked.of_target(task.kind),
    )


def _stacked(inputs: Inputs, texts: tuple[str, ...], rows: int) -> Numbers:
    """[rows, texts]."""
    if not texts:
        return np.zeros((rows, 0))
    return np.stack([np.asarray(inputs[t], np.float64) for t in texts], axis=1)


def _truth(y: NDArray[np.float64], task: Task, asked: Asked) -> Numbers:
    """[rows, targets]: values, whether it is the positive class, or a column a class."""
    if not asked.of_target(task.kind) and not (asked.target and asked.bandwidths):
        return np.zeros((len(y), 0))
    if task.kind is not Kind.MULTICLASS:
        return y.reshape(-1, 1)
    return np.asarray(y[:, None] == np.arange(len(task.classes)), np.float64)


@dataclass(frozen=True, eq=False)
class FittedNeighbours:
    """Points on the grid [points, axes], what is known of them (None: nothing can be asked), and the columns
    of the rows that they are."""

    features: tuple[Feature, ...]
    asked: Asked
    grid: Grid
    points: Numbers
    tables: Tables | None
    centres: Numbers
    leave_own: Columns
    shared: Shared

    def own(self) -> Columns:
        """By the other rows: those of its own unit left out."""
        return self.leave_own

    def values(self, inputs: Inputs) -> Columns:
        """By all rows that were kept."""
        rows = _stacked(inputs, (*self.asked.of, *self.asked.columns), 0)
        places = self.grid.place(list(rows[:, : len(self.asked.of)].T))
        known = np.flatnonzero(~np.isnan(places).any(axis=1))
        found = None
        if self.tables is not None:
            found = self.shared.of(self.points, places[known], self.tables.k[-1])
        return self.told(rows, known, places[known], found)

    def told(self, rows: Numbers, known: Ids, places: Numbers, found: Nearest | None) -> Columns:
        """The columns of rows (their `of` and columns), of which those that have a place are `known`, with
        their places and neighbours."""
        made = np.tile(np.array(nulls_of(self.features), np.float32), (len(rows), 1))
        of, columns = rows[:, : len(self.asked.of)], rows[:, len(self.asked.of) :]
        runner = Runner(self._offline())
        for at in range(0, len(known), AT_ONCE):
            block = slice(at, at + AT_ONCE)
            feeds: dict[str, NDArray[Any]] = {
                "places": places[block],
                "of": of[known[block]],
                "columns": columns[known[block]],
            }
            if found is not None:
                feeds |= {"index": found.index[block], "apart": found.apart[block]}
            answer = runner.run(feeds, len(places[block]))["told"]
            with np.errstate(over="ignore"):
                single = answer.astype(np.float32)
            made[known[block]] = np.where(np.isinf(single), np.float32(np.nan), single)
        return made

    def emit(self, builder: GraphBuilder, inputs: Mapping[str, str]) -> str:
        """Every point in the graph, and each row compared with all of them."""
        g, axis = builder, builder.constant([1], np.int64)
        texts = (*self.asked.of, *self.asked.columns)
        rows = g.node("Concat", *(g.node("Unsqueeze", inputs[t], axis) for t in texts), axis=1)
        size = max(1, min(AT_ONCE, CELLS // max(1, len(self.points))))
        return emit_in_blocks(
            g, rows, len(texts), len(self.features), self._emit_block, size=size, dtype=TensorProto.DOUBLE
        )

    def _emit_block(self, g: GraphBuilder, rows: str) -> str:
        axes, width = len(self.asked.of), len(self.asked.columns)
        axis = g.constant([1], np.int64)
        cuts = [g.constant([v], np.int64) for v in (0, axes, axes + width)]
        of = g.node("Slice", rows, cuts[0], cuts[1], axis)
        columns = g.node("Slice", rows, cuts[1], cuts[2], axis)
        raw = self.grid.emit(g, of)
        missing = g.node("IsNaN", raw)
        places = g.node("Where", missing, g.constant(0.0), raw)
        index = apart = ""
        if self.tables is not None:
            index, apart = emit_nearest(g, self.points, places, self.tables.k[-1])
        told = self._emit_told(g, places, Near(index, apart, of, columns))
        counts = g.node("Cast", missing, to=TensorProto.DOUBLE)
        placeless = g.node("Greater", g.node("ReduceSum", counts, axis, keepdims=1), g.constant(0.0))
        return g.node("Where", placeless, g.constant([nulls_of(self.features)], np.float64), told)

    def _emit_told(self, g: GraphBuilder, places: str, near: Near) -> str:
        made = []
        if self.tables is not None:
            made += emit_statistics(g, self.tables, near)
        elif len(self.features) > self._clusters:
            nothing = np.full((1, len(self.features) - self._clusters), np.nan)
            shape = g.node(
                "Concat", g.node("Shape", places, start=0, end=1), g.constant([1], np.int64), axis=0
            )
            made.append(g.node("Tile", g.constant(nothing), shape))
        if len(self.centres):
            made += emit_clusters(g, emit_apart(g, self.centres, places), self.grid.unit, CLUSTER_CODE)
        return made[0] if len(made) == 1 else g.node("Concat", *made, axis=1)

    @property
    def _clusters(self) -> int:
        return len(self.centres) + 1 if len(self.centres) else 0

    def _offline(self) -> bytes:
        """A graph of what is told of rows whose neighbours are known already."""
        g = GraphBuilder()
        near = Near("", "", "", "")
        places = g.matrix_input("places", len(self.asked.of), TensorProto.DOUBLE)
        of = g.matrix_input("of", len(self.asked.of), TensorProto.DOUBLE)
        columns = g.matrix_input("columns", len(self.asked.columns), TensorProto.DOUBLE)
        if self.tables is not None:
            most = self.tables.k[-1]
            index = g.matrix_input("index", most, TensorProto.INT64)
            near = Near(index, g.matrix_input("apart", most, TensorProto.DOUBLE), of, columns)
        g.output(self._emit_told(g, places, near), "told", TensorProto.DOUBLE, [None, len(self.features)])
        return g.build()
