"""One decision tree: weak, but a person can read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.core.task import Feature, Kind, Task
from headrace.learn.candidate import Fitted, Matrix, Range, Space, Vector
from headrace.learn.candidates._sktrees import fit_trees


class Tree:
    """A CART tree (Breiman et al. 1984) of scikit-learn, nulls handled by the splits themselves."""

    name = "tree"
    summary = "one decision tree, small enough to read"
    tasks = frozenset(Kind)

    def defaults(self, task: Task, n_rows: int, n_features: int) -> dict[str, Any]:
        """A leaf holds at least a 200th of the rows, ten where there are few."""
        return {
            "max_depth": 8,
            "min_leaf": max(1, min(n_rows // 20, max(10, n_rows // 200))),
            "smoothing": 20.0,
        }

    def space(self, task: Task) -> Space:
        """Depth and leaf size."""
        return {
            "max_depth": Range(3, 16, integer=True),
            "min_leaf": Range(5, 500, log=True, integer=True),
            "smoothing": Range(1, 200, log=True),
        }

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
        """Fit one tree; one thread."""
        options = {
            "max_depth": params["max_depth"],
            "min_samples_leaf": params["min_leaf"],
            "random_state": seed,
        }
        return fit_trees(
            "tree:DecisionTree",
            X,
            y,
            features=features,
            task=task,
            smoothing=params["smoothing"],
            options=options,
        )


TREE = Tree()
