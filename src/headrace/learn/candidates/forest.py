"""A random forest: strong without tuning, large to serve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.core.task import Feature, Kind, Task
from headrace.learn.candidate import Fitted, Matrix, Range, Space, Vector
from headrace.learn.candidates._sktrees import fit_trees

ROWS_A_TREE = 50_000
"""Beyond this many rows a tree more is worth more than a row more, and the graph stays small."""


class Forest:
    """Bagged trees over random columns (Breiman 2001), scikit-learn's."""

    name = "forest"
    summary = "a random forest: many deep trees on resampled rows, averaged"
    tasks = frozenset(Kind)

    def defaults(self, task: Task, n_rows: int, n_features: int) -> dict[str, Any]:
        """A third of the columns a split for regression, their root for classes; leaves grow with the rows,
        which keeps the graph below about 50 MB."""
        columns = 1 / 3 if task.kind is Kind.REGRESSION else n_features**-0.5
        return {
            "trees": 100,
            "min_leaf": max(1, min(n_rows // 8_000, 100)),
            "columns": round(float(columns), 4),
            "rows": min(n_rows, ROWS_A_TREE),
            "smoothing": 20.0,
        }

    def space(self, task: Task) -> Space:
        """Leaf size and columns a split; more trees never hurt, so they are not searched."""
        return {
            "min_leaf": Range(1, 300, log=True, integer=True),
            "columns": Range(0.1, 1.0),
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
        """Fit; each tree on `rows` rows drawn with replacement. The same for any number of threads."""
        options = {
            "n_estimators": params["trees"],
            "min_samples_leaf": params["min_leaf"],
            "max_features": params["columns"],
            "max_samples": min(params["rows"], len(X)),
            "random_state": seed,
            "n_jobs": threads,
        }
        return fit_trees(
            "ensemble:RandomForest",
            X,
            y,
            features=features,
            task=task,
            smoothing=params["smoothing"],
            options=options,
        )


FOREST = Forest()
