"""The most frequent values in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.data.profile.hashing import take_rows
from headrace.graph.buffers import Array, texts

KEPT = 4_096
_MANY = 65_536


class Frequent:
    """Mergeable summaries of heavy hitters (Misra and Gries 1982; Agarwal et al. 2012).

    Up to 4,096 different values every count is exact. Beyond, counts are too small by at most `error` rows,
    which is known (it adds up what was subtracted) and never above rows / 4,096 a merge; a value that
    occurs more often than that is not missed. Keys are numbers, or names of texts with the texts beside.
    """

    def __init__(self, dtype: type[np.generic], kept: int = KEPT) -> None:
        self._kept = kept
        self._keys: NDArray[Any] = np.empty(0, dtype)
        self._counts = np.empty(0, np.int64)
        self._texts: Array = None
        self.error = 0

    def add(
        self,
        keys: NDArray[Any],
        counts: NDArray[np.int64],
        spelled: Callable[[NDArray[np.int64]], Array] | None = None,
    ) -> None:
        """Add different values with the number of their rows; `spelled` gives the texts behind the names at
        some places: only those of values that stay are looked up."""
        stay, counts = self._reduced(counts)
        if stay is not None:
            keys = keys[stay]
        if keys.size:
            words = None
            if spelled is not None:
                words = spelled(np.arange(keys.size) if stay is None else stay)
            self._merge(keys, counts, words)

    def _merge(self, keys: NDArray[Any], counts: NDArray[np.int64], spelled: Array) -> None:
        if not self._keys.size:
            order = np.argsort(keys, kind="stable")
            self._keep(keys[order], counts[order], order, spelled)
            return
        both = np.concatenate([self._keys, keys])
        order = np.argsort(both, kind="stable")
        both = both[order]
        starts = np.flatnonzero(np.concatenate([[True], both[1:] != both[:-1]]))
        total = np.add.reduceat(np.concatenate([self._counts, counts])[order], starts)
        stay, total = self._reduced(total)
        if stay is not None:
            starts = starts[stay]
        if spelled is not None and self._texts is not None:
            spelled = pa.concat_arrays([self._texts, spelled])
        self._keep(both[starts], total, order[starts], spelled)

    def _keep(
        self, keys: NDArray[Any], counts: NDArray[np.int64], rows: NDArray[np.int64], spelled: Array
    ) -> None:
        self._keys, self._counts = keys, counts
        self._texts = None if spelled is None else take_rows(spelled, rows)

    def _reduced(self, counts: NDArray[np.int64]) -> tuple[NDArray[np.int64] | None, NDArray[np.int64]]:
        """Which of the counters stay (None: all of them), and what is left of those."""
        if counts.size <= self._kept:
            return None, counts
        less = 1
        if counts.max() > 1:
            # That of the largest ones for which there is no place, by how many there are of each.
            ranks = np.cumsum(np.bincount(np.minimum(counts, _MANY)))
            less = int(np.searchsorted(ranks, counts.size - self._kept))
            if less == _MANY:
                place = counts.size - self._kept - 1
                less = int(np.partition(counts, place)[place])
        self.error += less
        stay = np.flatnonzero(counts > less)
        return stay, counts[stay] - less

    def __len__(self) -> int:
        return self._keys.size

    def items(self) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Keys ascending, with their counts."""
        return self._keys, self._counts

    def most(self, number: int) -> list[tuple[Any, int]]:
        """The most frequent values with their counts: the more frequent first, then in their order."""
        counts = self._counts.tolist()
        values: list[Any] = self._keys.tolist() if self._texts is None else texts(self._texts)
        return sorted(zip(values, counts, strict=True), key=lambda v: (-v[1], v[0]))[:number]
