"""Pairs of columns that shallow trees split by one after the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.task import Feature, Task
from headrace.learn.candidate import Matrix
from headrace.learn.candidates.boosting import BOOSTING

TREES = 60
FEWEST = 100
"""Rows below which nothing is said."""


def pairs_together(
    X: Matrix,
    y: NDArray[np.float64],
    features: tuple[Feature, ...],
    task: Task,
    *,
    seed: int,
    threads: int,
    most: int,
) -> list[tuple[str, str]]:
    """The names of pairs, those first whose later split lessened the loss most in all.

    The rows should be others than those on which what is made of the pairs is tried: a pair that is found in
    noise holds in the very rows where it was found.
    """
    if len(y) < FEWEST or len(features) < 2 or y.min() == y.max():
        return []
    defaults = BOOSTING.defaults(task, len(y), len(features))
    params = {**defaults, "trees": TREES, "leaves": 6, "learning_rate": 0.1}
    fitted = BOOSTING.fit(X, y, features=features, task=task, params=params, seed=seed, threads=threads)
    gains: dict[tuple[int, int], float] = defaultdict(float)
    booster = fitted.booster  # type: ignore[attr-defined]  # LightGBM's own: what its trees split by
    for tree in booster.dump_model()["tree_info"]:
        for a, b, gain in _steps(tree["tree_structure"]):
            gains[min(a, b), max(a, b)] += gain
    ranked = sorted(gains, key=lambda pair: (-gains[pair], pair))
    return [(features[a].name, features[b].name) for a, b in ranked[:most]]


def _steps(node: Mapping[str, Any]) -> Iterator[tuple[int, int, float]]:
    """(a split's column, the column of a split below it, that one's gain)."""
    if "split_feature" not in node:
        return
    for side in ("left_child", "right_child"):
        child = node[side]
        if "split_feature" in child and child["split_feature"] != node["split_feature"]:
            yield int(node["split_feature"]), int(child["split_feature"]), float(child["split_gain"])
        yield from _steps(child)
