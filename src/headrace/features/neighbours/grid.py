"""Places as whole numbers: distances between them are exact, so that every search finds the same neighbours.

A coordinate becomes the number of its grid's steps, at most 2^24. Squares and products of two are at most
2^48, |q|^2 + |p|^2 - 2qp of eight axes at most 2^53: a double holds it exactly, in any order of the sum.
What is equally far stays equally far, and the order of the training rows decides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.graph.build import GraphBuilder

Numbers = NDArray[np.float64]

MOST_AXES = 8
REACH = float(2**24)
"""Steps from the middle beyond which a coordinate is read as so many."""
SPAN = float(2**22)
"""Steps that the training rows may lie from the middle, where one step holds for all axes."""
FINE = float(2**-16)
"""A step in standard deviations, where axes are scaled."""


@dataclass(frozen=True)
class Grid:
    """Steps of each axis, the middle of each axis in steps, and what a step's length is in the unit of
    distance (the axes' own unit, or a standard deviation)."""

    steps: tuple[float, ...]
    middles: tuple[float, ...]
    unit: float

    @classmethod
    def fit(cls, of: Sequence[Numbers], *, scale: bool) -> Grid:
        """For the axes `of`, [rows] each, NaN for null."""
        known = [a[~np.isnan(a)] for a in of]
        if scale:
            steps = [_spread(a) * FINE for a in known]
        else:
            widest = max((_width(a) for a in known), default=0.0)
            steps = [_decimal(widest / (2 * SPAN))] * len(known)
        middles = [_middle(a, s) for a, s in zip(known, steps, strict=True)]
        return cls(tuple(steps), tuple(middles), FINE if scale else steps[0])

    def place(self, of: Sequence[Numbers]) -> Numbers:
        """Whole numbers [rows, axes]; NaN where null."""
        axes = []
        with np.errstate(over="ignore"):
            for values, step, middle in zip(of, self.steps, self.middles, strict=True):
                axes.append(np.clip(np.rint(values / step) - middle, -REACH, REACH))
        return np.stack(axes, axis=1)

    def emit(self, g: GraphBuilder, of: str) -> str:
        """The same, as nodes: double [rows, axes] of a double [rows, axes]."""
        steps = g.node("Round", g.node("Div", of, g.constant([self.steps], np.float64)))
        middled = g.node("Sub", steps, g.constant([self.middles], np.float64))
        return g.node("Clip", middled, g.constant(-REACH, np.float64), g.constant(REACH, np.float64))


def _spread(values: Numbers) -> float:
    """The standard deviation; 1 where all values are one (or there is none)."""
    largest = float(np.max(np.abs(values), initial=0.0))
    if largest == 0.0 or float(values.min()) == float(values.max()):
        return 1.0
    spread = float(np.std(values / largest)) * largest
    return spread if math.isfinite(spread) and spread > 1e-290 else 1.0


def _width(values: Numbers) -> float:
    width = float(values.max()) - float(values.min()) if len(values) else 0.0
    return width if math.isfinite(width) else 1e300


def _middle(values: Numbers, step: float) -> float:
    if not len(values):
        return 0.0
    middle = float(np.rint((float(values.min()) / 2 + float(values.max()) / 2) / step))
    return middle if math.isfinite(middle) else 0.0


def _decimal(least: float) -> float:
    """The power of ten that is no less: decimal coordinates lie on its grid, or near."""
    if least <= 1e-300:
        return 1e-6
    step = float(f"1e{math.ceil(math.log10(least))}")
    return step if step >= least else step * 10
