"""What trees and forests share: the mean of scikit-learn trees, and the target encoding before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace.core.task import Feature, Kind, Task
from headrace.graph.build import GraphBuilder
from headrace.learn.candidate import Fitted, Matrix, Vector
from headrace.learn.constant import only_class
from headrace.learn.encode import TargetCodes, fit_target_codes
from headrace.learn.needs import need
from headrace.learn.trees import emit_shares, from_sklearn


@dataclass(frozen=True)
class TreeMean:
    """scikit-learn `Tree` objects, averaged; `classes[i]` is the code of the estimator's class i (empty for
    regression)."""

    trees: tuple[Any, ...]
    classes: tuple[int, ...]
    task: Task

    def apply(self, Z: Matrix) -> Vector:
        """The trees' mean on float32 rows, summed in their order so that it doesn't depend on threads."""
        total: Any = 0.0
        for tree in self.trees:
            total = total + np.asarray(tree.predict(Z), np.float64).reshape(len(Z), -1)
        mean = total / len(self.trees)
        if self.task.kind is Kind.MULTICLASS:
            out = np.zeros((len(Z), len(self.task.classes)))
            out[:, list(self.classes)] = mean
            return out
        return np.asarray(mean[:, self._column()])

    def emit(self, g: GraphBuilder, z: str) -> str:
        """The same, as nodes behind the float tensor `z`."""
        if self.task.kind is Kind.MULTICLASS:
            return emit_shares(g, z, self.trees, self.classes, len(self.task.classes))
        sums = from_sklearn(self.trees, self._column()).emit(g, z)
        return g.node("Squeeze", sums, g.constant([1], np.int64))

    def _column(self) -> int:
        return self.classes.index(1) if self.task.kind is Kind.BINARY else 0


def tree_mean(estimator: Any, task: Task) -> TreeMean:
    """Of a fitted scikit-learn tree or forest."""
    parts = getattr(estimator, "estimators_", [estimator])
    codes = () if task.kind is Kind.REGRESSION else tuple(int(c) for c in estimator.classes_)
    return TreeMean(tuple(part.tree_ for part in parts), codes, task)


@dataclass(frozen=True)
class FittedTrees:
    """Trees that read target codes."""

    encoding: TargetCodes
    average: TreeMean

    def score(self, X: Matrix) -> Vector:
        """The trees' mean."""
        return self.average.apply(self.encoding.apply(X))

    def emit(self, g: GraphBuilder, x: str) -> str:
        """Encoding and trees as nodes."""
        return self.average.emit(g, self.encoding.emit(g, x))


def fit_trees(
    estimator: str,
    X: Matrix,
    y: Vector,
    *,
    features: tuple[Feature, ...],
    task: Task,
    smoothing: float,
    options: Mapping[str, Any],
) -> Fitted:
    """Fit `sklearn.<module>:<Stem>` + Classifier or Regressor with `options`; one tree or many.

    Raises:
        MissingDependency: scikit-learn is not installed.
    """
    constant = only_class(y, task)
    if constant is not None:
        return constant
    module, stem = estimator.split(":")
    suffix = "Regressor" if task.kind is Kind.REGRESSION else "Classifier"
    make = getattr(need(f"sklearn.{module}"), stem + suffix)
    encoding = fit_target_codes(X, y, features=features, task=task, smoothing=smoothing)
    # a matrix read from an artifact is read-only, and scikit-learn looks for nulls through a writable buffer
    Z = np.require(encoding.apply(X), requirements="W")
    model = make(**options).fit(Z, y)
    return FittedTrees(encoding, tree_mean(model, task))
