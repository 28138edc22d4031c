"""Which days have rows: coverage of a time column, and the gaps in it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.expr.zones import offsets

DAY = 86_400_000_000
KEPT = 40_000
_NARROW = 1


class Days:
    """Rows by day of the zone's wall clock. Where there are more than 40,000 days (109 years), two
    days are counted together, then four, and so on: `width` says how many."""

    def __init__(self, zone: str) -> None:
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
        local = micros // 1_000_000 * 1_000_000
        local = local + self._offsets[np.searchsorted(self._moments, local, side="right")]
        days = np.floor_divide(local, DAY * self.width)
        self._days, self._counts = _summed(
            np.concatenate([self._days, days]), np.concatenate([self._counts, counts])
        )
        while self._days.size > KEPT:
            self.width *= 2
            self._days, self._counts = _summed(self._days // 2, self._counts)

    def items(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Days since 1970-01-01 in units of `width`, ascending, with the numbers of their rows."""
        return self._days, self._counts


def _summed(keys: NDArray[Any], counts: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[starts], np.add.reduceat(counts[order], starts)
