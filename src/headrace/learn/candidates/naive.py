"""The naive baseline: each class's share, or the mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from headrace.core.task import Feature, Kind, Task
from headrace.learn.candidate import Choice, Fitted, Matrix, Space, Vector
from headrace.learn.constant import Constant, shares


class Naive:
    """Answers the same for every row. What every other candidate has to beat."""

    name = "naive"
    summary = "the share of each class, or the mean (or median) of the target"
    tasks = frozenset(Kind)

    def defaults(self, task: Task, n_rows: int, n_features: int) -> dict[str, Any]:
        """`centre`: which centre of a regression target to answer, mean or median."""
        return {"centre": "mean"} if task.kind is Kind.REGRESSION else {}

    def space(self, task: Task) -> Space:
        """Both centres."""
        return {"centre": Choice(("mean", "median"))} if task.kind is Kind.REGRESSION else {}

    def fit(
        self,
        X: Matrix,
        y: Vector,
        *,
        features: tuple[Feature, ...],
        task: Task,
        params: Mapping[str, Any],
        seed: int,
        threads: int,
    ) -> Fitted:
        """Look at the target alone."""
        if task.kind is Kind.REGRESSION:
            centre = np.median(y) if params["centre"] == "median" else np.mean(y)
            return Constant((float(centre),), task)
        return shares(y, task)


NAIVE = Naive()
