"""How columns move together: correlations over the rows where both are known, and with the target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.data.profile.hashing import mix

WIDE = 64
_FLOPS = 200_000
_DIGITS = 4

Grid = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Together:
    """Sums of products of columns, over batches in their order.

    Every pair is summed over the rows where both are known (pairwise complete). Values are taken relative to
    the mean and deviation of the first batch, so that large means cost no digits, and multiplied in single
    precision by blocks of a few hundred rows, which are added up in double precision. Blocks are so small
    that the linear algebra library takes one thread for each: the same bits on any number of threads. Of
    tables with more than 64 number columns a share of the rows, drawn by a hash of their place, is looked
    at: `every` says one in how many.
    """

    def __init__(self, columns: int, classes: int = 0) -> None:
        n = columns
        self._shift, self._scale = np.zeros(n), np.zeros(n)
        self._n, self._s, self._q, self._p = (np.zeros((n, n)) for _ in range(4))
        self._by_class = np.zeros((3, n, classes))
        self._classes = classes
        self._room, self._line = np.empty(0, np.float32), np.empty(0)
        self._done = 0
        self.every = max(1, -(-(n * n) // (WIDE * WIDE)))

    def add(self, columns: Sequence[tuple[Any, Mask | None]], target: Grid | None = None) -> None:
        """Add the columns' next rows, each as its numbers [rows] and, where it has any, a mask of its nulls.
        With classes, `target` holds class numbers as float64 [rows]."""
        size = len(columns)
        chosen = self._chosen(columns[0][0].size if columns else 0)
        gaps = [i for i, (_, null) in enumerate(columns) if null is not None]
        # Numbers, their squares, and where they are known: of columns with nulls, and last of those without.
        look = self._place(2 * size + len(gaps) + 1, columns[0][0].size if chosen is None else chosen.size)
        X, M = look[:size], look[2 * size :]
        M[-1] = 1
        for i, (numbers, null) in enumerate(columns):
            if chosen is not None:
                numbers, null = numbers[chosen], None if null is None else null[chosen]
            self._scaled(i, numbers, null, X[i])
            if null is not None:
                np.subtract(1, null, out=M[gaps.index(i)], dtype=np.float32)
        np.multiply(X, X, out=look[size : 2 * size])
        self._pairs(look, size, np.array(gaps, np.int64))
        if self._classes and target is not None:
            truth = target if chosen is None else target[chosen]
            one_hot = (truth[None, :] == np.arange(self._classes)[:, None]).astype(np.float32)
            known = np.ones_like(X)
            known[gaps] = M[:-1]
            for i, left in enumerate((known, X, look[size : 2 * size])):
                self._by_class[i] += _product(left, one_hot)

    def _place(self, lines: int, rows: int) -> Any:
        """Room for a batch, float32 [lines, rows]: the same memory every time."""
        if self._room.size < lines * rows:
            self._room = np.empty(lines * rows, np.float32)
        if self._line.size < rows:
            self._line = np.empty(rows)
        return self._room[: lines * rows].reshape(lines, rows)

    def _chosen(self, rows: int) -> NDArray[np.int64] | None:
        """Places of the rows that are looked at; None for all."""
        place = np.arange(self._done, self._done + rows, dtype=np.uint64)
        self._done += rows
        return None if self.every == 1 else np.flatnonzero(mix(place) % np.uint64(self.every) == 0)

    def _scaled(self, i: int, numbers: Any, null: Mask | None, out: Any) -> None:
        if self._scale[i] == 0:
            first = (numbers if null is None else numbers[~null]).astype(np.float64)
            if first.size:
                self._shift[i] = first.mean()
                self._scale[i] = first.std() or 1.0
        apart = np.subtract(numbers, self._shift[i], out=self._line[: out.size])
        # Under nulls lies whatever lies there.
        if null is not None:
            np.copyto(apart, 0.0, where=null)
        np.multiply(apart, 1 / (self._scale[i] or 1.0), out=out, casting="same_kind")

    def _pairs(self, look: Any, size: int, gaps: NDArray[np.int64]) -> None:
        self._p += _product(look[:size], look[:size])
        sums = _product(look, look[2 * size :])
        # Without nulls in column j, a sum over the rows where j is known is that of all rows.
        where = np.full(size, gaps.size)
        where[gaps] = np.arange(gaps.size)
        self._s += sums[:size][:, where]
        self._q += sums[size : 2 * size][:, where]
        self._n += sums[2 * size :][where][:, where]

    def correlations(self) -> list[list[float | None]]:
        """Pearson's r of every pair, rounded to 4 digits; None where fewer than three rows know both, or one
        of them is constant there."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self._s / self._n
            spread = self._q / self._n - mean * mean
            # What is left of a constant after cancellation is no spread.
            spread = np.where(spread > 1e-6 * (self._q / self._n), spread, np.nan)
            r = (self._p / self._n - mean * mean.T) / np.sqrt(spread * spread.T)
        r = np.where(self._n >= 3, np.clip(r, -1, 1), np.nan)
        return [[_shown(v) for v in row] for row in r.tolist()]

    def rows(self) -> list[list[int]]:
        """How many rows know both, of every pair."""
        return [[int(v) for v in row] for row in self._n.tolist()]

    def ratios(self) -> list[float | None]:
        """The correlation ratio of every column with the classes: the root of the share of its variance that
        lies between them (Pearson 1905), from 0 to 1, rounded to 4 digits."""
        n, s, q = self._by_class
        found: list[float | None] = []
        for i in range(n.shape[0]):
            have = n[i] > 0
            total = n[i].sum()
            if total < 3:
                found.append(None)
                continue
            whole = float(q[i].sum() - s[i].sum() ** 2 / total)
            between = float((s[i][have] ** 2 / n[i][have]).sum() - s[i].sum() ** 2 / total)
            constant = whole <= 1e-6 * float(q[i].sum())
            found.append(None if constant else _shown(min(1.0, max(0.0, between / whole)) ** 0.5))
        return found


def _shown(value: float) -> float | None:
    # Adding 0 makes -0.0 a plain 0.
    return None if value != value else round(value, _DIGITS) + 0.0


def _product(a: Any, b: Any) -> Grid:
    """a @ b.T of [columns, rows] in blocks of rows, added up in their order."""
    rows = a.shape[1]
    size = max(16, _FLOPS // max(1, a.shape[0] * b.shape[0]))
    whole = rows // size * size
    total = np.zeros((a.shape[0], b.shape[0]))
    if whole:
        left = a[:, :whole].reshape(a.shape[0], -1, size).transpose(1, 0, 2)
        right = left if b is a else b[:, :whole].reshape(b.shape[0], -1, size).transpose(1, 0, 2)
        total += np.matmul(left, right.transpose(0, 2, 1)).sum(axis=0, dtype=np.float64)
    if whole < rows:
        total += a[:, whole:] @ b[:, whole:].T
    return total
