"""How rows of the reference hang together in time, column by column, and what that leaves unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.checks.drift.blocks import inflations, levels, merged, serial
from headrace.checks.drift.resample import GROUPS, Draws
from headrace.summary.bins import Bins

_WANDERS, _DRIFTS = 0.6, 0.65
"""Correlation of neighbouring twentieths of the reference's time, of bins and of mean ranks; its standard
error is at most 0.22."""
_TOUCHES = 0.4


@dataclass(frozen=True)
class Dependence:
    """inflation: `[columns]`, the variance of a block's counts over that of independent rows (the design
    effect of Kish, 1965). stretch: what an amplitude
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
    each, error = inflations(bins, blocks, drawn.period)
    inflation = each.mean(0)
    more = np.where(inflation - 1 > 2 * error, inflation - 1, 0.0)
    stretch = np.sqrt((1 + drawn.thick * more) / (1 + more))
    joints = np.ones(len(inflation))
    blind: dict[int, str] = {}
    grouped = merged(blocks, GROUPS)
    wander = np.maximum(serial(bins, grouped, 1) / _WANDERS, levels(bins, grouped) / _DRIFTS)
    for j in np.flatnonzero(wander > 1):
        blind[int(j)] = "it moves on through the whole reference, which is too short to tell how far it may"
    if drawn.pieces > 1:
        touch = serial(bins, blocks, drawn.period)
        pairs, pair_error = inflations(
            bins, blocks[: len(blocks) // 2 * 2].reshape(-1, 2, bins.width).sum(1), max(1, drawn.period // 2)
        )
        grown = pairs.mean(0) - inflation
        real = grown > 2 * np.hypot(error, pair_error)
        joints = np.sqrt(
            1 + np.where(real, 2 * grown * (1 - 1 / drawn.pieces), 0.0) / np.maximum(inflation, 0.1)
        )
        for j in np.flatnonzero(touch > _TOUCHES):
            blind.setdefault(
                int(j), "the reference holds too few stretches that are independent of each other"
            )
    return Dependence(inflation, stretch, joints, blind)
