"""Exact statistics of one column in bounded memory: its values go to a file, which is then sorted in place.

The file is mapped, not loaded: the machine may drop its pages at any time. Quantiles, median and mode are of
every value, not estimates, and don't depend on the order of rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CHUNK = 1_000_000


class Values:
    """The values of a column that are not null, float64 or int64. Add all, then ask."""

    def __init__(self, file: Path, dtype: Any) -> None:
        self._file, self._dtype = file, np.dtype(dtype)
        self._count = 0
        self._sorted: NDArray[Any] | None = None
        file.touch(exist_ok=False)

    def __len__(self) -> int:
        return self._count

    def add(self, values: NDArray[Any]) -> None:
        """A batch of values, none of them null."""
        with self._file.open("ab") as out:  # written, not mapped: a full disk is an error here
            out.write(np.ascontiguousarray(values, self._dtype).data.cast("B"))
        self._count += len(values)

    @property
    def ascending(self) -> NDArray[Any]:
        """All values in order; at least one has to be there."""
        if self._sorted is None:
            mapped = np.memmap(self._file, self._dtype, mode="r+")
            mapped.sort()
            self._sorted = mapped
        return self._sorted

    def quantile(self, q: float, low: float | None = None, high: float | None = None) -> float:
        """Of the values within bounds, linear between order statistics: type 7 of Hyndman & Fan, "Sample
        quantiles in statistical packages", The American Statistician 50 (1996), as numpy and pandas do."""
        place = q * (self._count - 1)
        below = min(math.floor(place), self._count - 1)
        pair = self.ascending[below : below + 2]
        a, b = (float(v) for v in bounded(pair[[0, -1]], low, high))
        t = place - below
        if not math.isfinite(b - a):
            return a * (1 - t) + b * t
        return b - (b - a) * (1 - t) if t >= 0.5 else a + (b - a) * t

    def middle(self) -> Any:
        """The lower of the two middle values: a value that occurs."""
        return self.ascending[(self._count - 1) // 2].item()

    def mean(self, low: float | None, high: float | None) -> float:
        """The mean of the values within bounds, its sum rounded once: in any order of rows the same."""
        try:
            return math.fsum(self._within(low, high, 1)) / self._count
        except OverflowError:
            return math.fsum(self._within(low, high, self._count))

    def _within(self, low: float | None, high: float | None, by: int) -> Iterator[float]:
        for part in self._parts():
            yield from (bounded(part, low, high) / by).tolist()

    def mode(self, low: float | None = None, high: float | None = None) -> Any:
        """The most frequent of the values within bounds; of equals the least."""
        best, most, last, run = None, 0, None, 0
        for part in self._parts():
            values, counts = np.unique(bounded(part, low, high), return_counts=True)
            for value, count in zip(values.tolist(), counts.tolist(), strict=True):
                run = run + count if value == last else count
                last = value
                if run > most:
                    best, most = value, run
        return best

    def _parts(self) -> Iterator[NDArray[Any]]:
        for start in range(0, self._count, _CHUNK):
            yield self.ascending[start : start + _CHUNK]


def bounded(values: NDArray[Any], low: float | None, high: float | None) -> NDArray[Any]:
    """The values raised to `low` and lowered to `high`, where there are such."""
    return values if low is None and high is None else np.clip(values, low, high)
