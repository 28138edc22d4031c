"""Which rows move together, and how they are drawn again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from headrace.metrics.record import Bools, Floats, Ints

MAX_UNITS = 2000
"""More units than this are merged at random into about 1,000 blocks of nearly equally many."""
_CELLS = 4_000_000  # weights held at once: 32 MB


@dataclass(frozen=True, eq=False)
class Units:
    """The units that rows are resampled by.

    codes: int64 [n], from 0 to `count` - 1. declared: how many units there were before merging.
    """

    codes: Ints
    count: int
    declared: int

    @property
    def merged(self) -> bool:
        return self.count < self.declared

    def holding(self, rows: Bools) -> Floats:
        """How many of the marked rows each unit holds, [count]."""
        return np.bincount(self.codes, rows, minlength=self.count).astype(np.float64)


def find_units(labels: Ints, rng: np.random.Generator) -> Units:
    """Units from the labels of rows, any integers, int64 [n].

    Many units are merged at random into blocks. Units are exchangeable, so blocks of equally many of
    them are too, and a bootstrap of blocks estimates the same variance; of 1,000 blocks with a relative
    error of 2% in the standard error, which the t quantile with their number accounts for (Davison &
    Hinkley 1997, Bootstrap Methods, section 3.8; Kleiner et al. 2014 scale the bootstrap the same way).
    """
    codes, declared = _dense(labels)
    if declared <= MAX_UNITS:
        return Units(codes, declared, declared)
    blocks = declared // round(declared / 1000)
    block = np.empty(declared, np.int64)
    block[rng.permutation(declared)] = np.arange(declared) % blocks
    return Units(block[codes], blocks, declared)


def _dense(labels: Ints) -> tuple[Ints, int]:
    """Labels as codes from 0, and how many differ. A counting sort where labels are dense enough."""
    if len(labels) == 0:
        return np.zeros(0, np.int64), 0
    low, high = int(labels.min()), int(labels.max())
    if high - low < 4 * len(labels) + 1024:
        present = np.zeros(high - low + 1, np.int64)
        present[labels - low] = 1
        rank = np.cumsum(present)
        return rank[labels - low] - 1, int(rank[-1])
    values, codes = np.unique(labels, return_inverse=True)
    return codes.astype(np.int64), len(values)


def draw(count: int, resamples: int, rng: np.random.Generator) -> Iterator[Floats]:
    """How often each of `count` units is drawn, [B, count] a chunk, `resamples` rows in all.

    The cluster bootstrap: whole units, with replacement, as many as there are (Field & Welsh 2007,
    Journal of the Royal Statistical Society B 69)."""
    step = max(1, _CELLS // max(count, 1))
    for at in range(0, resamples, step):
        rows = min(step, resamples - at)
        drawn = rng.integers(0, count, size=(rows, count))
        drawn += np.arange(rows)[:, None] * count
        yield np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)


def leave_one_out(count: int) -> Iterator[Floats]:
    """Weights that leave out each unit in turn, [B, count] a chunk, `count` rows in all."""
    step = max(1, _CELLS // max(count, 1))
    for at in range(0, count, step):
        rows = min(step, count - at)
        weights = np.ones((rows, count))
        weights[np.arange(rows), at + np.arange(rows)] = 0.0
        yield weights


def effective(sizes: Floats) -> float:
    """How many equal units would carry as much as units of these sizes (Kish 1965, Survey Sampling)."""
    total = float(sizes.sum())
    return total**2 / float((sizes**2).sum()) if total > 0 else 0.0
