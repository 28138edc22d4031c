"""Support vector machines: linear for any number of rows, with a Gaussian kernel for few."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace.core.task import Feature, Kind, Task
from headrace.graph.blocks import BLOCK, emit_in_blocks
from headrace.graph.build import GraphBuilder
from headrace.learn.calibrate import fit_curve
from headrace.learn.candidate import Choice, Fitted, Matrix, Range, Space, Vector, check_size
from headrace.learn.constant import only_class
from headrace.learn.dense import Dense, fit_dense
from headrace.learn.links import emit_sigmoid, sigmoid
from headrace.learn.needs import need

MOST_ROWS = 5_000
"""With a kernel, fitting takes the square of the rows, and every answer looks at the support vectors."""
FAR = 10.0
"""Inputs beyond so many standard deviations are read as so many."""
PARTS = 3
"""Parts of the training rows whose margins come from a machine fitted on the other parts."""


@dataclass(frozen=True)
class Machine:
    """Margins [rows, outputs] of dense rows: linear weights [columns, outputs], or support `vectors`
    [kept, columns] with a weight each [kept, outputs] and the kernel exp(-gamma · distance²)."""

    weights: Vector
    intercept: Vector
    vectors: Vector | None = None
    gamma: float = 0.0

    def apply(self, Z: Vector) -> Vector:
        """double [rows, outputs]."""
        if self.vectors is None:
            return np.asarray(Z @ self.weights + self.intercept, np.float64)
        norms = (self.vectors**2).sum(axis=1)
        far = (Z * Z).sum(axis=1)[:, None] + norms - 2.0 * (Z @ self.vectors.T)
        return np.asarray(np.exp(-self.gamma * np.maximum(far, 0.0)) @ self.weights + self.intercept)

    def emit(self, g: GraphBuilder, z: str) -> str:
        """The same, as nodes."""
        if self.vectors is not None:
            norms, axis = (self.vectors**2).sum(axis=1), g.constant([1], np.int64)
            own = g.node("ReduceSum", g.node("Mul", z, z), axis, keepdims=1)
            products = g.node("MatMul", z, g.constant(np.ascontiguousarray(self.vectors.T)))
            far = g.node("Add", own, g.constant(norms[None, :]))
            far = g.node("Sub", far, g.node("Mul", g.constant(2.0), products))
            kept = g.node("Max", far, g.constant(0.0))
            z = g.node("Exp", g.node("Mul", kept, g.constant(-self.gamma)))
        return g.node("Add", g.node("MatMul", z, g.constant(self.weights)), g.constant(self.intercept))


@dataclass(frozen=True)
class FittedSVM:
    """A machine and what its margins mean: values, or a logistic curve (slope, intercept) an output."""

    dense: Dense
    machine: Machine
    curves: tuple[tuple[float, float], ...]
    width: int
    task: Task

    def score(self, X: Matrix) -> Vector:
        """[rows], or [rows, classes] for multiclass."""
        parts = [np.zeros((0, self.machine.weights.shape[1]))]
        step = BLOCK if self.machine.vectors is not None else max(1, len(X))
        for at in range(0, len(X), step):
            Z = np.clip(self.dense.apply(X[at : at + step]), -FAR, FAR)
            parts.append(self.machine.apply(Z))
        slopes, levels = np.array(self.curves).T
        raw = np.concatenate(parts) * slopes + levels
        if self.task.kind is Kind.REGRESSION:
            return np.asarray(raw[:, 0])
        p = sigmoid(raw)
        return p[:, 0] if self.task.kind is Kind.BINARY else np.asarray(p / p.sum(axis=1, keepdims=True))

    def emit(self, g: GraphBuilder, x: str) -> str:
        """The same, as nodes; with a kernel in blocks of rows."""
        outputs = self.machine.weights.shape[1]
        if self.machine.vectors is None:
            margins = self._margins(g, x)
        else:
            margins = emit_in_blocks(g, x, self.width, outputs, self._margins)
        slopes, levels = np.array(self.curves).T
        raw = g.node("Add", g.node("Mul", margins, g.constant(slopes)), g.constant(levels))
        axis = g.constant([1], np.int64)
        if self.task.kind is Kind.REGRESSION:
            return g.node("Squeeze", raw, axis)
        p = emit_sigmoid(g, raw)
        if self.task.kind is Kind.BINARY:
            return g.node("Squeeze", p, axis)
        return g.node("Div", p, g.node("ReduceSum", p, axis, keepdims=1))

    def _margins(self, g: GraphBuilder, x: str) -> str:
        z = g.node("Clip", self.dense.emit(g, x), g.constant(-FAR), g.constant(FAR))
        return self.machine.emit(g, z)


class SupportVectors:
    """Squared hinge (linear) or hinge with a Gaussian kernel (Cortes & Vapnik 1995), one class against the
    rest; probabilities by Platt's curve over margins of rows that the machine was not fitted on."""

    name = "svm"
    summary = f"a support vector machine, linear; kernel: rbf for at most {MOST_ROWS:,} rows"
    tasks = frozenset(Kind)

    def most_rows(self, params: Mapping[str, Any]) -> int | None:
        """Linear machines take any number."""
        return MOST_ROWS if params["kernel"] == "rbf" else None

    def refuse(self, params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """See `Strict`."""
        if params["kernel"] not in ("linear", "rbf"):
            yield "kernel", "linear or rbf"
        for name in ("cost", "reach"):
            if not params[name] > 0:
                yield name, "a number above 0"
        if params.get("tube", 0.0) < 0:
            yield "tube", "0 or more"

    def defaults(self, task: Task, n_rows: int, n_features: int) -> dict[str, Any]:
        """The kernel where rows are few enough for it. `reach`: the kernel's gamma times the columns.
        `tube`: errors that cost nothing (regression), in standard deviations of the target."""
        rbf = n_rows <= MOST_ROWS
        shared = {"kernel": "rbf" if rbf else "linear", "cost": 1.0 if rbf else 0.1, "reach": 1.0}
        return {**shared, "tube": 0.1} if task.kind is Kind.REGRESSION else shared

    def space(self, task: Task) -> Space:
        """Cost and reach over their usual decades; the kernel stays as the number of rows allows."""
        shared: dict[str, Range | Choice] = {
            "cost": Range(0.01, 100, log=True),
            "reach": Range(0.05, 10, log=True),
        }
        return {**shared, "tube": Range(0.01, 0.5, log=True)} if task.kind is Kind.REGRESSION else shared

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
        """Fit on one thread. For classes, three more times on two thirds of the rows drawn at random.

        Raises:
            UserError: there are too many rows for the kernel.
        """
        check_size(self, params, len(X))
        constant = only_class(y, task)
        if constant is not None:
            return constant
        dense = fit_dense(X, features)
        Z = np.clip(dense.apply(X), -FAR, FAR)
        with need("threadpoolctl").threadpool_limits(1), warnings.catch_warnings():
            # a fit that stopped early is a worse candidate, not an error: cross-validation says how much
            warnings.simplefilter("ignore")
            if task.kind is Kind.REGRESSION:
                centre, scale = float(y.mean()), float(y.std()) or 1.0
                machine = _values(Z, (y - centre) / scale, params, seed)
                return FittedSVM(dense, machine, ((scale, centre),), X.shape[1], task)
            codes = [1] if task.kind is Kind.BINARY else list(range(len(task.classes)))
            sides = np.stack([y == code for code in codes], axis=1)
            machine = _sides(Z, sides, params, seed)
            margins = _margins_out_of_fold(Z, sides, params, seed, machine)
        curves = [_curve(side, margin) for side, margin in zip(sides.T, margins.T, strict=True)]
        return FittedSVM(dense, machine, tuple(curves), X.shape[1], task)


def _curve(side: Any, margin: Vector) -> tuple[float, float]:
    """Platt's curve; a class without any row has probability 0."""
    return fit_curve(side, margin) if side.any() else (0.0, -700.0)


def _gamma(Z: Vector, params: Mapping[str, Any]) -> float:
    return float(params["reach"] / max(1, Z.shape[1]))


def _values(Z: Vector, y: Vector, params: Mapping[str, Any], seed: int) -> Machine:
    svm = need("sklearn.svm")
    if params["kernel"] == "linear":
        linear = svm.LinearSVR(
            C=params["cost"],
            epsilon=params["tube"],
            loss="squared_epsilon_insensitive",
            dual=False,
            random_state=seed,
        ).fit(Z, y)
        return Machine(linear.coef_.reshape(-1, 1), np.atleast_1d(linear.intercept_))
    gamma = _gamma(Z, params)
    kernel = svm.SVR(C=params["cost"], epsilon=params["tube"], gamma=gamma).fit(Z, y)
    return _kept(Z, [(kernel.support_, kernel.dual_coef_[0], float(kernel.intercept_[0]))], gamma)


def _sides(Z: Vector, sides: Any, params: Mapping[str, Any], seed: int) -> Machine:
    """A machine with an output for each column of `sides`; 0 where it holds a single value."""
    svm, gamma = need("sklearn.svm"), _gamma(Z, params)
    if params["kernel"] == "linear":
        weights, intercept = np.zeros((Z.shape[1], sides.shape[1])), np.zeros(sides.shape[1])
        for i, side in enumerate(sides.T):
            if side.any() and not side.all():
                linear = svm.LinearSVC(C=params["cost"], dual=False, random_state=seed).fit(Z, side)
                weights[:, i], intercept[i] = linear.coef_[0], linear.intercept_[0]
        return Machine(weights, intercept)
    parts = []
    for side in sides.T:
        if side.any() and not side.all():
            kernel = svm.SVC(C=params["cost"], gamma=gamma, cache_size=200).fit(Z, side)
            parts.append((kernel.support_, kernel.dual_coef_[0], float(kernel.intercept_[0])))
        else:
            parts.append((np.zeros(0, np.int64), np.zeros(0), 0.0))
    return _kept(Z, parts, gamma)


def _kept(Z: Vector, parts: list[tuple[Any, Vector, float]], gamma: float) -> Machine:
    """The support vectors of every output, each kept once."""
    rows = np.unique(np.concatenate([[0], *[support for support, _, _ in parts]]).astype(np.int64))
    weights = np.zeros((len(rows), len(parts)))
    for i, (support, weight, _) in enumerate(parts):
        weights[np.searchsorted(rows, support), i] = weight
    return Machine(weights, np.array([level for _, _, level in parts]), Z[rows], gamma)


def _margins_out_of_fold(
    Z: Vector, sides: Any, params: Mapping[str, Any], seed: int, whole: Machine
) -> Vector:
    """Margins by machines that were not fitted on the row; by the whole one where rows are too few."""
    if len(Z) < 10 * PARTS:
        return whole.apply(Z)
    part = np.random.default_rng(seed).permutation(len(Z)) % PARTS
    margins = np.zeros(sides.shape)
    for number in range(PARTS):
        machine = _sides(Z[part != number], sides[part != number], params, seed)
        margins[part == number] = machine.apply(Z[part == number])
    return margins


SVM = SupportVectors()
