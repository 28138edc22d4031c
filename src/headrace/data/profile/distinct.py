"""How many different values there are: exactly up to a bound, then from the smallest of their names."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

KEPT = 16_384


class Distinct:
    """The k minimum values of a hash (Bar-Yossef et al., 2002).

    Up to k = 16,384 different values the count is exact (but for 64-bit collisions: one in 10^11 at that
    size). Beyond, it is (k - 1) / u with u the k-th smallest name as a share of the names' range, which is
    unbiased with a relative standard error of 1 / sqrt(k - 2) = 0.8% (Beyer et al., 2007). It depends neither
    on the order of the rows nor on how they are cut.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._names = np.empty(0, np.uint64)
        self._over = False

    def add(self, names: NDArray[np.uint64]) -> None:
        """Add values by their 64-bit names, in any order and any number of times."""
        if self._over:
            names = names[names < self._names[-1]]
        if not names.size:
            return
        merged = np.sort(np.concatenate([self._names, names]))
        merged = merged[np.concatenate([[True], merged[1:] != merged[:-1]])]
        if merged.size > self._kept:
            self._over = True
            merged = merged[: self._kept].copy()
        self._names = merged

    @property
    def exact(self) -> bool:
        """Whether `count` is a count and no estimate."""
        return not self._over

    @property
    def error(self) -> float:
        """The relative standard error of `count`."""
        return 1 / math.sqrt(self._kept - 2) if self._over else 0.0

    @property
    def count(self) -> int:
        """The number of different values."""
        if not self._over:
            return int(self._names.size)
        return round((self._kept - 1) / ((float(self._names[-1]) + 1) / 2.0**64))
