"""Which bin a number lies in: by a table of cells instead of a search.

A map that never falls gives every number a cell: its distance from the first edge in equal steps, or, where
edges lie too close together for that, the leading bits of the double, which rise with it (IEEE 754). The
edges below a number's cell lie below it, those above lie above it, and up to three edges inside are compared.
Only numbers in cells with more are searched for. The result is that of `np.searchsorted`, for every finite
double.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CELLS = 4096
"""Cells of a table, which stays in the processor's first cache."""

DEEPEST = 3
"""Edges inside a cell that are compared one after the other."""

_MANY = 255
"""In a table: the cell has more edges inside."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Edges, ready for many numbers.

    edges: ascending, finite, float64 [m], 1 to 254. below: how many edges lie below each cell, uint8
    [CELLS + 2]; the first and last cells are what lies before and behind all edges. bounds: the first edge
    inside each cell, the second, the third, as far as there are any; infinite where there is none. searched:
    how many edges lie in cells with more. low: the first edge, scale: cells a unit; or
    shift: bits that are cut (None: cells are equal steps), first: the number of the first edge's cell.
    """

    edges: NDArray[np.float64]
    below: NDArray[np.uint8]
    bounds: tuple[NDArray[np.float64], ...]
    searched: int
    low: float
    scale: float
    shift: int | None = None
    first: int = 0

    def place(self, values: NDArray[np.float64]) -> NDArray[np.uint8]:
        """How many edges are at most each value, uint8 [n]; of what is not finite any number."""
        if self.shift is None:
            cells = _steps(values, self.low, self.scale)
        else:
            cells = _leading(values, self.first, self.shift)
        found = self.below.take(cells, mode="clip")
        asked = np.flatnonzero(found == _MANY) if self.searched else None
        for bound in self.bounds:
            found += values >= bound.take(cells, mode="clip")
        if asked is not None:
            found[asked] = np.searchsorted(self.edges, values[asked], "right")
        return found


def make_grid(edges: NDArray[np.float64]) -> Grid:
    """A grid for these edges."""
    with np.errstate(over="ignore", divide="ignore"):
        scale = float((CELLS - 1) / (edges[-1] - edges[0]))
    even = None
    if 0 < scale < np.inf:
        even = _made(edges, _steps(edges, float(edges[0]), scale), float(edges[0]), scale)
        if len(even.bounds) == 1:
            return even
    bits = _rising(edges)
    shift = 0
    while (int(bits[-1]) >> shift) - (int(bits[0]) >> shift) >= CELLS:
        shift += 1
    first = int(bits[0]) >> shift
    led = _made(edges, _leading(edges, first, shift), float(edges[0]), 0.0, shift, first)
    return led if even is None or _cost(led) < _cost(even) else even


def _cost(grid: Grid) -> tuple[int, int]:
    """How many edges are searched for, and how many are compared with every number."""
    return grid.searched, len(grid.bounds)


def _made(
    edges: NDArray[np.float64],
    cells: NDArray[np.int64],
    low: float,
    scale: float,
    shift: int | None = None,
    first: int = 0,
) -> Grid:
    inside = np.bincount(cells, minlength=CELLS + 2)
    below = np.cumsum(inside) - inside
    nth = np.arange(len(edges)) - below[cells]  # an edge's place among those of its cell
    bounds = []
    for depth in range(min(int(inside.max()), DEEPEST)):
        bound = np.full(CELLS + 2, np.inf)
        bound[cells[nth == depth]] = edges[nth == depth]
        bounds.append(bound)
    many = inside > DEEPEST
    table = np.where(many, _MANY, below).astype(np.uint8)
    return Grid(edges, table, tuple(bounds), int(inside[many].sum()), low, scale, shift, first)


def _steps(values: NDArray[np.float64], low: float, scale: float) -> NDArray[np.int64]:
    with np.errstate(over="ignore", invalid="ignore"):
        steps = values - low
        steps *= scale
        steps += 1.0
        np.minimum(steps, CELLS + 1.0, out=steps)
        # What lies before the first cell, or is no number, is below 0: whoever takes from a table clips.
        return steps.astype(np.int64)


def _leading(values: NDArray[np.float64], first: int, shift: int) -> NDArray[np.int64]:
    cells = _rising(values)
    cells >>= shift
    np.clip(cells, first - 1, first + CELLS, out=cells)  # before: a difference may be beyond 64 bits
    cells -= first - 1
    return cells


def _rising(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Bits of doubles as whole numbers that rise with them. Both zeros are one."""
    bits = (values + 0.0).view(np.int64)
    # Below zero all bits but the sign turn round.
    bits ^= (bits >> 63) & np.int64(0x7FFFFFFFFFFFFFFF)
    return bits
