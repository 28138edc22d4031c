"""What a statistic of drift is: how far the counts of a window lie from those of the reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[Any]
"""Counts in bins `[..., columns, bins]`; bins that a column does not have are 0 on both sides."""
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Statistic:
    """A distance between two vectors of counts.

    value: (window, reference, gaps) -> values `[..., columns]`; `gaps` `[columns, bins]` is how far it is
    from each bin to the next, where bins have an order. ordered: whether it needs the order. power: what
    makes of the value an amplitude, one that shrinks with the square root of the rows. counted: the value
    does not shrink with the rows, as chi-square does not. least: the least spread of an amplitude that is
    believed. unit: of the value. paper: where it is from.
    """

    name: str
    value: Callable[[Counts, Counts, NDArray[np.float64]], Values]
    ordered: bool
    power: float
    least: float
    paper: str
    counted: bool = False
    unit: str = ""

    def amplitude(self, values: NDArray[Any], scale: NDArray[Any]) -> Values:
        """Values in units that do not depend on the rows, were they independent. scale: `noise`."""
        found = np.maximum(values, 0.0) ** self.power
        return np.asarray(found if self.counted else found / scale)

    def undo(self, amplitude: NDArray[Any], scale: NDArray[Any]) -> Values:
        """The value of an amplitude."""
        found = amplitude if self.counted else amplitude * scale
        return np.asarray(np.maximum(found, 0.0) ** (1 / self.power))


def noise(window: NDArray[Any], reference: NDArray[Any]) -> Values:
    """The scale of a difference of two means of so many rows."""
    return np.asarray(np.sqrt(1 / np.maximum(window, 1.0) + 1 / np.maximum(reference, 1.0)))


def shares(counts: Counts) -> tuple[NDArray[Any], NDArray[Any]]:
    """Shares of bins, and the rows `[..., columns, 1]`; all 0 where there is no row."""
    rows = counts.sum(-1, keepdims=True)
    return counts / np.maximum(rows, 1.0), rows


def cumulated(window: Counts, reference: Counts) -> NDArray[Any]:
    """The difference of the two distribution functions behind each bin."""
    return np.asarray(np.cumsum(shares(window)[0] - shares(reference)[0], axis=-1))
