"""How counts of blocks of rows vary, and whether neighbouring blocks vary together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.summary.bins import LOW, Bins

_MASS = 0.01
"""Bins with less of the rows are left out: their few rows say little and vary much."""
_ONE, _ALL = 3.5, 2.5
"""Standard errors that one column, and the mean of all, may lie off before rows are taken for dependent."""


def independent(bins: Bins, pieces: NDArray[Any], n: int) -> bool:
    """Whether rows vary as if they had nothing to do with each other: counts of one, two, four and more
    pieces `[m, codes]`, up to the n that a window has, vary neither more nor less than those of independent
    rows, no column by itself nor all of them on average."""
    for size in [2**i for i in range(12) if 2**i < n] + [n]:
        each, error = inflations(bins, merged(pieces, len(pieces) // size), 1)
        if len(each) < 8:
            return False
        apart = np.abs(each.mean(0) - 1) / np.maximum(error, 1e-9)
        both = each.mean(1)
        together = abs(both.mean() - 1) / max(float(both.std() / np.sqrt(len(both))), 1e-9)
        if apart[error > 0].max(initial=0.0) > _ONE or together > _ALL:
            return False
    return True


def inflations(
    bins: Bins, blocks: NDArray[np.float64], period: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each block `[blocks, columns]`, about the shares of blocks at the same place of the period; and the
    standard error of their means."""
    found = np.ones((len(blocks), len(bins.columns)))
    phase = np.arange(len(blocks)) % period
    for j, at in _columns(bins):
        part = blocks[:, at].astype(np.float64)
        rows = part.sum(1, keepdims=True)
        means = by_phase(part, phase, period)
        heavy = part.sum(0) >= _MASS * max(part.sum(), 1.0)
        base = (means / np.maximum(means.sum(1, keepdims=True), 1.0))[phase][:, heavy]
        usual = (part.sum(0) / max(part.sum(), 1.0))[heavy]
        if len(usual) < 2:
            continue
        squares = ((part[:, heavy] / np.maximum(rows, 1.0) - base) ** 2 / usual).sum(1) * rows[:, 0]
        freedom = (1 - usual).sum() * (1 - period / len(blocks))
        found[:, j] = np.where(rows[:, 0] > 0, squares / freedom, 1.0)
    return found, found.std(0) / np.sqrt(len(found))


def by_phase(part: NDArray[np.float64], phase: NDArray[np.int64], period: int) -> NDArray[np.float64]:
    """Sums of rows by phase: `[period, ...]`."""
    if period == 1:
        return np.asarray(part.sum(0, keepdims=True))
    return np.asarray((phase == np.arange(period)[:, None]).astype(np.float64) @ part)


def levels(bins: Bins, blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """The correlation of neighbouring blocks' mean ranks, by column; 0 where bins have no order."""
    found = np.zeros(len(bins.columns))
    for j, at in _columns(bins):
        part = blocks[:, at][:, LOW:]
        rows = part.sum(1)
        if not bins.columns[j].ordered or not (rows > 0).all():
            continue
        usual = part.sum(0)
        mean = part @ (np.cumsum(usual) - usual / 2) / rows
        off = mean - mean.mean()
        total = (off**2).sum()
        found[j] = (off[1:] * off[:-1]).sum() / total if total > 0 else 0.0
    return found


def serial(bins: Bins, blocks: NDArray[np.float64], period: int, lag: int = 1) -> NDArray[np.float64]:
    """The correlation of deviations of blocks and those `lag` behind them, by column."""
    found = np.zeros(len(bins.columns))
    phase = np.arange(len(blocks)) % period
    for j, at in _columns(bins):
        part = blocks[:, at]
        usual = part.sum(0) / max(part.sum(), 1.0)
        heavy = usual >= _MASS
        means = by_phase(part, phase, period)
        base = (means / np.maximum(means.sum(1, keepdims=True), 1.0))[phase]
        rows = part.sum(1, keepdims=True)
        off = (part / np.maximum(rows, 1.0) - base)[:, heavy] / np.sqrt(usual[heavy]) * (rows > 0)
        total = (off**2).sum()
        found[j] = (off[lag:] * off[:-lag]).sum() / total if total > 0 else 0.0
    return found


def merged(blocks: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    starts = np.arange(n) * len(blocks) // n
    return np.asarray(np.add.reduceat(blocks, np.unique(starts), axis=0))


def _columns(bins: Bins) -> list[tuple[int, slice]]:
    return [(j, slice(bins.offsets[j], bins.offsets[j + 1])) for j in range(len(bins.columns))]
