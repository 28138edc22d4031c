"""Linear models: ridge for values, logistic regression for classes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace.core.task import Feature, Kind, Task
from headrace.graph.build import GraphBuilder
from headrace.learn.candidate import Fitted, Matrix, Range, Space, Vector
from headrace.learn.constant import only_class
from headrace.learn.dense import Dense, fit_dense
from headrace.learn.links import NEVER, emit_sigmoid, emit_softmax, sigmoid, softmax
from headrace.learn.needs import need


@dataclass(frozen=True)
class FittedLinear:
    """weights [columns of `dense`, outputs] and intercept [outputs]; one output unless multiclass. far: what
    is further from zero in `dense` is read as so far (None: as it is)."""

    dense: Dense
    weights: Vector
    intercept: Vector
    task: Task
    far: float | None = None

    def score(self, X: Matrix) -> Vector:
        """[rows], or [rows, classes] for multiclass."""
        z = self.dense.apply(X)
        z = z if self.far is None else np.clip(z, -self.far, self.far)
        raw = z @ self.weights + self.intercept
        if self.task.kind is Kind.MULTICLASS:
            return softmax(raw)
        return sigmoid(raw[:, 0]) if self.task.kind is Kind.BINARY else np.asarray(raw[:, 0])

    def emit(self, g: GraphBuilder, x: str) -> str:
        """Preprocessing, one matrix product, the link."""
        z = self.dense.emit(g, x)
        z = z if self.far is None else g.node("Clip", z, g.constant(-self.far), g.constant(self.far))
        product = g.node("MatMul", z, g.constant(self.weights, np.float64))
        raw = g.node("Add", product, g.constant(self.intercept, np.float64))
        if self.task.kind is Kind.MULTICLASS:
            return emit_softmax(g, raw)
        raw = g.node("Squeeze", raw, g.constant([1], np.int64))
        return emit_sigmoid(g, raw) if self.task.kind is Kind.BINARY else raw


class Linear:
    """Ridge (Hoerl and Kennard 1970) or L2-penalised logistic regression, scikit-learn's."""

    name = "linear"
    summary = "ridge or logistic regression on imputed, standardised, one-hot columns"
    tasks = frozenset(Kind)

    def defaults(self, task: Task, n_rows: int, n_features: int) -> dict[str, Any]:
        """`penalty`: weight of the squared coefficients against the summed loss of the rows."""
        return {"penalty": 1.0}

    def space(self, task: Task) -> Space:
        """From next to none to strong."""
        return {"penalty": Range(1e-3, 1e4, log=True)}

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
        """Fit on one thread of linear algebra: more would change the last bits with their number."""
        constant = only_class(y, task)
        if constant is not None:
            return constant
        linear_model, pools = need("sklearn.linear_model"), need("threadpoolctl")
        dense = fit_dense(X, features)
        with pools.threadpool_limits(1), warnings.catch_warnings():
            # a fit that stopped early is a worse candidate, not an error: cross-validation says how much
            warnings.simplefilter("ignore")
            if task.kind is Kind.REGRESSION:
                ridge = linear_model.Ridge(alpha=params["penalty"], solver="cholesky")
                ridge.fit(dense.apply(X), y)
                weights, intercept = ridge.coef_.reshape(-1, 1), np.atleast_1d(ridge.intercept_)
            else:
                solver = "newton-cholesky" if task.kind is Kind.BINARY else "lbfgs"
                logistic = linear_model.LogisticRegression(
                    C=1.0 / params["penalty"], solver=solver, max_iter=300, random_state=seed
                )
                logistic.fit(dense.apply(X), y)
                weights, intercept = _by_class(logistic, task)
        return FittedLinear(dense, weights, intercept, task)


def _by_class(model: Any, task: Task) -> tuple[Vector, Vector]:
    """Coefficients as [columns, outputs], one output a class for multiclass, absent classes at NEVER."""
    coef, intercept = model.coef_.T, model.intercept_
    if task.kind is Kind.BINARY:
        return coef, intercept
    if coef.shape[1] == 1:  # two classes are left: scikit-learn fits one contrast
        coef, intercept = np.hstack([np.zeros_like(coef), coef]), np.array([0.0, intercept[0]])
    weights = np.zeros((len(coef), len(task.classes)))
    offsets = np.full(len(task.classes), NEVER)
    codes = model.classes_.astype(np.int64)
    weights[:, codes], offsets[codes] = coef, intercept
    return weights, offsets


LINEAR = Linear()
