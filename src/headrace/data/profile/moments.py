"""Mean and deviation over batches, and the values at the ends."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

ENDS = 6


class Moments:
    """Mean and standard deviation, batch by batch (Chan, Golub and LeVeque 1983): no sum of squares, so that
    a large mean costs no digits. Batches are added in their order: the same bits on any number of threads."""

    def __init__(self) -> None:
        self.count = 0
        self._mean = 0.0
        self._squares = 0.0

    def add(self, values: NDArray[Any]) -> None:
        """Add numbers, none of them NaN."""
        if not values.size:
            return
        numbers = values.astype(np.float64, copy=False)
        mean = float(numbers.sum()) / numbers.size
        apart = numbers - mean
        apart *= apart
        shift, total = mean - self._mean, self.count + numbers.size
        self._squares += float(apart.sum()) + shift * shift * self.count * numbers.size / total
        self._mean += shift * numbers.size / total
        self.count = total

    @property
    def mean(self) -> float | None:
        """The mean; None of no values, or beyond what a double holds."""
        return self._mean if self.count and math.isfinite(self._mean) else None

    @property
    def std(self) -> float | None:
        """The standard deviation with n - 1; None of fewer than two values."""
        if self.count < 2 or not math.isfinite(self._squares):
            return None
        return math.sqrt(self._squares / (self.count - 1))


class Ends:
    """The few smallest and largest different values, with the exact numbers of their rows.

    A value that is among the smallest of all was among the smallest at every moment since it first came.
    """

    def __init__(self, kept: int = ENDS) -> None:
        self._kept = kept
        self._low: list[tuple[Any, int]] = []
        self._high: list[tuple[Any, int]] = []

    def add(self, values: NDArray[Any], counts: NDArray[np.int64]) -> None:
        """Add different values, ascending, with the numbers of their rows."""
        k = self._kept
        self._low = _merged(self._low, values[:k], counts[:k])[:k]
        self._high = _merged(self._high, values[-k:], counts[-k:])[-k:]

    @property
    def low(self) -> list[tuple[Any, int]]:
        """The smallest values with their counts, the smallest first."""
        return self._low

    @property
    def high(self) -> list[tuple[Any, int]]:
        """The largest values with their counts, the largest first."""
        return self._high[::-1]


def _merged(
    held: list[tuple[Any, int]], values: NDArray[Any], counts: NDArray[np.int64]
) -> list[tuple[Any, int]]:
    total = dict(held)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        total[value] = total.get(value, 0) + count
    return sorted(total.items())
