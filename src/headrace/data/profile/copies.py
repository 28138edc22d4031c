"""Rows that repeat an earlier one, by the names of their values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

KEPT = 4_194_304


class Copies:
    """Counts rows whose 64-bit name occurred before.

    Up to 4,194,304 rows the count is exact but for collisions (one pair among 5,000,000 rows with
    probability 7e-7). Beyond, half of all names are given up, again and again: those above a threshold, so
    that copies stay or go together. `share` says what share of the names is left; the count is then an
    estimate.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._names = np.empty(0, np.uint64)
        self._counts = np.empty(0, np.int64)
        self._waiting: list[NDArray[np.uint64]] = []
        self._size = 0
        self._halved = 0

    def add(self, names: NDArray[np.uint64]) -> None:
        """Add the names of rows (uint64 [rows], evenly spread)."""
        if self._halved:
            names = names[names < self._limit]
        self._waiting.append(names)
        self._size += names.size
        if self._size > self._kept:
            self._merge()

    @property
    def _limit(self) -> np.uint64:
        return np.uint64(2 ** (64 - self._halved))

    def _merge(self) -> None:
        names = np.concatenate([self._names, *self._waiting])
        counts = np.ones(names.size, np.int64)
        counts[: self._counts.size] = self._counts
        order = np.argsort(names, kind="stable")
        names = names[order]
        starts = np.flatnonzero(np.concatenate([names[:1] == names[:1], names[1:] != names[:-1]]))
        self._names = names[starts]
        self._counts = np.add.reduceat(counts[order], starts) if starts.size else counts
        while self._names.size > self._kept // 2:
            self._halved += 1
            stay = int(np.searchsorted(self._names, self._limit))
            self._names, self._counts = self._names[:stay].copy(), self._counts[:stay].copy()
        self._waiting, self._size = [], self._names.size

    @property
    def share(self) -> float:
        """The share of different rows that was looked at; 1 is all."""
        return 0.5**self._halved

    def count(self) -> int:
        """How many rows repeat an earlier one."""
        again = int((self._counts - 1).sum())
        if self._waiting:
            names = np.sort(np.concatenate([self._names, *self._waiting]))
            again += int((names[1:] == names[:-1]).sum())
        return round(again / self.share)
