"""Which days have rows: coverage of a time column, and the gaps in it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

DAY = 86_400_000_000
KEPT = 40_000
_NARROW = 1
_FAR = 2**62


class Days:
    """Rows by day of the zone's wall clock. Where there are more than 40,000 days (109 years), two
    days are counted together, then four, and so on: `width` says how many."""

    def __init__(self, zone: str) -> None:
        self._moments, self._offsets = np.empty(0, np.int64), np.zeros(1, np.int64)
        if zone != "UTC":
            from headrace.expr.zones import offsets  # brings the expression language with it

            known = offsets(zone)
            self._moments = np.array(known.moments, np.int64) * 1_000_000
            self._offsets = np.array(known.offsets, np.int64) * 1_000_000
        self.width = _NARROW
        self._days = np.empty(0, np.int64)
        self._counts = np.empty(0, np.int64)

    def add(self, micros: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        """Add different moments (UTC microseconds, ascending) with the numbers of their rows."""
        if not micros.size:
            return
        days, counts = _by_day(self._local(micros), counts, DAY * self.width)
        self._days, self._counts = _summed(
            np.concatenate([self._days, days]), np.concatenate([self._counts, counts])
        )
        while self._days.size > KEPT:
            self.width *= 2
            self._days, self._counts = _summed(self._days // 2, self._counts)

    def _local(self, micros: NDArray[np.int64]) -> NDArray[np.int64]:
        if not self._moments.size:
            return micros + self._offsets[0] if self._offsets[0] else micros
        seconds = micros // 1_000_000 * 1_000_000
        return micros + self._offsets[np.searchsorted(self._moments, seconds, side="right")]

    def items(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Days since 1970-01-01 in units of `width`, ascending, with the numbers of their rows."""
        return self._days, self._counts


def _by_day(
    local: NDArray[np.int64], counts: NDArray[np.int64], width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Days of moments, and their rows. Where few days hold many moments, only where each day begins is looked
    for: a wall clock that is set back puts a few out of order, and then each is divided."""
    first, last = int(local[0]) // width, int(local[-1]) // width
    near = int(local[0]) > -_FAR and int(local[-1]) < _FAR
    if near and 0 <= last - first < local.size // 8 and bool((local[1:] >= local[:-1]).all()):
        cuts = np.searchsorted(local, np.arange(first, last + 2) * width)
        days = np.arange(first, last + 1)
        ranks = np.concatenate([[0], np.cumsum(counts)])
        rows = np.diff(ranks[cuts])
        return days[rows > 0], rows[rows > 0]
    return np.floor_divide(local, width), counts


def _summed(keys: NDArray[Any], counts: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[starts], np.add.reduceat(counts[order], starts)
