"""When a trial is given up: worse than the median trial, beyond noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headrace.learn.candidate import Vector

FEWEST = 5
"""So many complete trials are needed to judge another by."""
NOISES = 2.0


def hopeless(values: Sequence[float], complete: Sequence[Sequence[float]]) -> bool:
    """Whether a trial with `values` on its first folds (more is better) may be given up.

    complete: the values of complete trials on all folds. The median stopping rule (Golovin et al. 2017,
    Vizier, section 3.2.2) with a margin: the trial's mean so far has to lie below the median of the others'
    means over the same folds by more than twice its own noise, which is what is left of the complete trials'
    values when each trial's and each fold's mean is taken out (a two-way layout).

    The margin is what keeps the search honest. Where trials differ by noise alone, giving up those that are
    behind on the first folds would leave ones that were lucky there, and their means over all folds would
    flatter them even when each fold's trial is chosen by the other folds.
    """
    table = np.array([list(v) for v in complete], np.float64).reshape(len(complete), -1)
    table = table[np.isfinite(table).all(axis=1)]
    here = np.asarray(values, np.float64)
    if len(table) < FEWEST or not len(here) or not np.isfinite(here).all():
        return False
    margin = NOISES * _noise(table) / np.sqrt(len(here))
    median = float(np.median(table[:, : len(here)].mean(axis=1)))
    return bool(here.mean() < median - margin)


def _noise(table: Vector) -> float:
    """Standard deviation of a trial's value on a fold around what trial and fold explain: [trials, folds]."""
    trials, folds = table.shape
    if folds < 2:
        return float(table.std(ddof=1))
    left = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0, keepdims=True) + table.mean()
    return float(np.sqrt((left**2).sum() / ((trials - 1) * (folds - 1))))
