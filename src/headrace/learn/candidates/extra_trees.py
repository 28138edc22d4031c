"""Extremely randomised trees: splits drawn at random, which smooths more than a forest does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.core.task import Feature, Kind, Task
from headrace.learn.candidate import Fitted, Matrix, Range, Space, Vector
from headrace.learn.candidates._sktrees import fit_trees

ROWS_A_TREE = 50_000
"""Beyond this many rows a tree more is worth more than a row more, and the graph stays small."""


class ExtraTrees:
    """Trees whose splits are the best of random ones (Geurts, Ernst & Wehenkel 2006), scikit-learn's."""

    name = "extra_trees"
    summary = "extremely randomised trees: many deep trees with random splits, averaged"
    tasks = frozenset(Kind)

    def defaults(self, task: Task, n_rows: int, n_features: int) -> dict[str, Any]:
        """Random splits need more columns to choose from than a forest's: two thirds for regression, a third
        for classes. Leaves grow with the rows, which keeps the graph below about 50 MB."""
        columns = 2 / 3 if task.kind is Kind.REGRESSION else max(1 / 3, 1 / n_features)
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
        """Fit; each tree on all rows, or on `rows` drawn with replacement where there are more. The same for
        any number of threads."""
        options = {
            "n_estimators": params["trees"],
            "min_samples_leaf": params["min_leaf"],
            "max_features": params["columns"],
            "bootstrap": params["rows"] < len(X),
            "max_samples": params["rows"] if params["rows"] < len(X) else None,
            "random_state": seed,
            "n_jobs": threads,
        }
        return fit_trees(
            "ensemble:ExtraTrees",
            X,
            y,
            features=features,
            task=task,
            smoothing=params["smoothing"],
            options=options,
        )


EXTRA_TREES = ExtraTrees()
