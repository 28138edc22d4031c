"""How rows of the reference hang together in time, column by column, and what that leaves unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.checks.drift.resample import GROUPS, Draws
from headrace.summary.bins import Bins

_WANDERS = 0.6
_TOUCHES = 0.4
_MASS = 0.01


@dataclass(frozen=True)
class Dependence:
    """inflation: `[columns]`, the variance of a block's counts over that of independent rows (the design
    effect of Kish, 1965). each: `[blocks, columns]`, the same of every block. stretch: what an amplitude
    grows by where the windows to be judged have more rows in the same time than the reference. joints: what
    it grows by because pieces that were put together lost their dependence. blind: column -> why its
    thresholds can't be known."""

    inflation: NDArray[np.float64]
    stretch: NDArray[np.float64]
    joints: NDArray[np.float64]
    blind: Mapping[int, str]


def dependence(bins: Bins, drawn: Draws) -> Dependence:
    """Of the blocks that windows were drawn from."""
    blocks = drawn.blocks.astype(np.float64)
    each, error = _inflations(bins, blocks, drawn.period)
    inflation = each.mean(0)
    more = np.where(inflation - 1 > 2 * error, inflation - 1, 0.0)
    stretch = np.sqrt((1 + drawn.thick * more) / (1 + more))
    joints = np.ones(len(inflation))
    blind: dict[int, str] = {}
    wander = _serial(bins, _merged(blocks, GROUPS), 1)
    for j in np.flatnonzero(wander > _WANDERS):
        blind[int(j)] = "it moves on through the whole reference, which is too short to tell how far it may"
    if drawn.pieces > 1:
        touch = _serial(bins, blocks, drawn.period)
        pairs, pair_error = _inflations(
            bins, blocks[: len(blocks) // 2 * 2].reshape(-1, 2, bins.width).sum(1), max(1, drawn.period // 2)
        )
        grown = pairs.mean(0) - inflation
        real = grown > 2 * np.hypot(error, pair_error)
        joints = np.sqrt(
            1 + np.where(real, 2 * grown * (1 - 1 / drawn.pieces), 0.0) / np.maximum(inflation, 0.1)
        )
        for j in np.flatnonzero(touch > _TOUCHES):
            blind[int(j)] = "the reference holds too few stretches that are independent of each other"
    return Dependence(inflation, stretch, joints, blind)


def _inflations(
    bins: Bins, blocks: NDArray[np.float64], period: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each block `[blocks, columns]`, about the shares of blocks at the same place of the period; and the
    standard error of their means."""
    found = np.ones((len(blocks), len(bins.columns)))
    phase = np.arange(len(blocks)) % period
    for j, at in _columns(bins):
        part = blocks[:, at]
        rows = part.sum(1, keepdims=True)
        means = np.zeros((period, part.shape[1]))
        np.add.at(means, phase, part)
        heavy = part.sum(0) >= _MASS * max(part.sum(), 1.0)
        base = (means / np.maximum(means.sum(1, keepdims=True), 1.0))[phase][:, heavy]
        usual = (part.sum(0) / max(part.sum(), 1.0))[heavy]
        if len(usual) < 2:
            continue
        squares = ((part[:, heavy] / np.maximum(rows, 1.0) - base) ** 2 / usual).sum(1) * rows[:, 0]
        freedom = (1 - usual).sum() * (1 - period / len(blocks))
        found[:, j] = np.where(rows[:, 0] > 0, squares / freedom, 1.0)
    return found, found.std(0) / np.sqrt(len(found))


def _serial(bins: Bins, blocks: NDArray[np.float64], period: int) -> NDArray[np.float64]:
    """The correlation of neighbouring blocks' deviations, by column."""
    found = np.zeros(len(bins.columns))
    phase = np.arange(len(blocks)) % period
    for j, at in _columns(bins):
        part = blocks[:, at]
        usual = part.sum(0) / max(part.sum(), 1.0)
        heavy = usual >= _MASS
        means = np.zeros((period, part.shape[1]))
        np.add.at(means, phase, part)
        base = (means / np.maximum(means.sum(1, keepdims=True), 1.0))[phase]
        off = (part / np.maximum(part.sum(1, keepdims=True), 1.0) - base)[:, heavy] / np.sqrt(usual[heavy])
        total = (off**2).sum()
        found[j] = (off[1:] * off[:-1]).sum() / total if total > 0 else 0.0
    return found


def _merged(blocks: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    starts = np.arange(n) * len(blocks) // n
    return np.asarray(np.add.reduceat(blocks, np.unique(starts), axis=0))


def _columns(bins: Bins) -> list[tuple[int, slice]]:
    return [(j, slice(bins.offsets[j], bins.offsets[j + 1])) for j in range(len(bins.columns))]
