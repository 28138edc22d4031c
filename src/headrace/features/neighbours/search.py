"""The nearest places, exactly: a tree offline, every point in the graph. Of rows equally near those earlier
in training come first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.features.neighbours.grid import Numbers
from headrace.graph.build import GraphBuilder

Ids = NDArray[np.int64]

BLOCK = 4096


@dataclass(frozen=True)
class Nearest:
    """Of each row the nearest points, nearest first: `index` into the points [rows, k], `apart` the squared
    distance in steps [rows, k]."""

    index: Ids
    apart: Numbers


def nearest(points: Numbers, places: Numbers, k: int) -> Nearest:
    """The k nearest of `points` [n, axes] to each of `places` [rows, axes]: whole numbers, k <= n."""
    index, apart = np.empty((len(places), k), np.int64), np.empty((len(places), k))
    tree = _Tree(points)
    for at in range(0, len(places), BLOCK):
        block = slice(at, at + BLOCK)
        index[block], apart[block] = tree.ask(places[block], k)
    return Nearest(index, apart)


def nearest_others(points: Numbers, units: Ids, places: Numbers, own: Ids, k: int) -> Nearest:
    """The k nearest of `points` to each of `places`, none of its own unit.

    `units` [points] and `own` [rows] say which rows depend on each other; a row that is a point itself is so
    left out by what it is, not by where it lies: many points may lie there. As many as the largest unit has
    are found beyond k; there have to be k points outside of every unit.
    """
    names, codes = np.unique(np.concatenate([units, own]), return_inverse=True)
    theirs, mine = codes[: len(units)], codes[len(units) :]
    most = min(k + int(np.bincount(theirs, minlength=len(names)).max(initial=0)), len(points))
    index, apart = np.empty((len(places), k), np.int64), np.empty((len(places), k))
    tree, size = _Tree(points), max(1, min(BLOCK, 2_000_000 // max(most, 1)))
    for at in range(0, len(places), size):
        block = slice(at, at + size)
        found, far = tree.ask(places[block], most)
        other = theirs[found] != mine[block, None]
        kept = other & (np.cumsum(other, axis=1) <= k)
        index[block], apart[block] = found[kept].reshape(-1, k), far[kept].reshape(-1, k)
    return Nearest(index, apart)


class _Tree:
    """A k-d tree over the distinct places, each with its points in training order."""

    def __init__(self, points: Numbers) -> None:
        from scipy.spatial import cKDTree

        self._places, codes, self._counts = np.unique(points, axis=0, return_inverse=True, return_counts=True)
        self._points = np.argsort(codes.reshape(-1), kind="stable")
        self._starts = np.concatenate([[0], np.cumsum(self._counts)[:-1]])
        self._tree: Any = cKDTree(self._places)

    def ask(self, rows: Numbers, k: int) -> tuple[Ids, Numbers]:
        """Index and squared distance of the k nearest points to each row, [rows, k]."""
        index, apart = np.empty((len(rows), k), np.int64), np.empty((len(rows), k))
        left, wanted = np.arange(len(rows)), min(k + 4, len(self._places))
        while len(left):
            done, index_of, apart_of = self._ask(rows[left], k, wanted)
            index[left[done]], apart[left[done]] = index_of, apart_of
            left, wanted = left[~done], min(2 * wanted, len(self._places))
        return index, apart

    def _ask(self, rows: Numbers, k: int, wanted: int) -> tuple[NDArray[np.bool_], Ids, Numbers]:
        """Which rows are settled by so many places, and the answers of those."""
        _, found = self._tree.query(rows, k=[*range(1, wanted + 1)] if wanted < 2 else wanted)
        far = self._apart(rows, found)
        # scipy's own order of equal distances is any; and it took roots
        order = np.argsort(far, axis=1, kind="stable")
        found, far = np.take_along_axis(found, order, 1), np.take_along_axis(far, order, 1)
        counts = np.minimum(self._counts[found], k)
        reached = np.argmax(np.cumsum(counts, axis=1) >= k, axis=1)
        edge = far[np.arange(len(rows)), reached]
        # a place as far as the last one needed may be among those that were not asked for
        settled = (edge < far[:, -1]) | (wanted == len(self._places))
        index, apart = self._points_of(found[settled], far[settled], counts[settled], edge[settled], k)
        return settled, index, apart

    def _apart(self, rows: Numbers, found: Ids) -> Numbers:
        far = np.zeros(found.shape)
        for axis in range(rows.shape[1]):
            off = self._places[found, axis] - rows[:, axis, None]
            far += off * off
        return far

    def _points_of(self, found: Ids, far: Numbers, counts: Ids, edge: Numbers, k: int) -> tuple[Ids, Numbers]:
        """The first k points by distance, then training order, of the places up to the edge."""
        counts = np.where(far <= edge[:, None], counts, 0)
        flat = counts.reshape(-1)
        row = np.repeat(np.repeat(np.arange(len(found)), found.shape[1]), flat)
        ends = np.cumsum(flat)
        nth = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - flat, flat)
        index = self._points[np.repeat(self._starts[found.reshape(-1)], flat) + nth]
        apart = np.repeat(far.reshape(-1), flat)
        # they come by row and distance: to be sorted are points equally far from a row, by their number
        new = np.empty(len(apart), np.int64)
        new[:1] = 0
        new[1:] = (row[1:] != row[:-1]) | (apart[1:] != apart[:-1])
        equals = np.cumsum(new) * len(self._points)
        index = np.sort(equals + index) - equals
        begins = np.concatenate([[0], np.cumsum(counts.sum(axis=1))[:-1]])
        take = begins[:, None] + np.arange(k) if len(found) else np.empty((0, k), np.int64)
        return index[take], apart[take]


def emit_apart(g: GraphBuilder, points: Numbers, places: str) -> str:
    """Squared distances of every row to every point, double [rows, points]; `places` are double
    [rows, axes] on the grid, without nulls.

    |q|^2 + |p|^2 - 2qp as one product of matrices: all of it whole numbers of at most 2^53 in sum, so that
    nothing is rounded, in whatever order it is added up.
    """
    axis = g.constant([1], np.int64)
    size = g.node("ReduceSum", g.node("Mul", places, places), axis, keepdims=1)
    ones = g.node("Add", g.node("Mul", size, g.constant(0.0)), g.constant(1.0))
    left = g.node("Concat", g.node("Mul", places, g.constant(-2.0)), ones, size, axis=1)
    sizes = (points**2).sum(axis=1)
    right = np.concatenate([points.T, sizes[None], np.ones((1, len(points)))])
    return g.node("MatMul", left, g.constant(right))


def emit_nearest(g: GraphBuilder, points: Numbers, places: str, k: int) -> tuple[str, str]:
    """(index int64 [rows, k], squared distance [rows, k]). onnxruntime's TopK takes the lower index of
    equals, as ONNX has it."""
    count = g.constant([k], np.int64)
    apart, index = g.nodes(
        "TopK", emit_apart(g, points, places), count, outputs=2, largest=0, sorted=1, axis=1
    )
    return index, apart
