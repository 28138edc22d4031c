"""Any scikit-learn estimator by its import path: `sklearn.neighbors:KNeighborsRegressor`.

It is fed what the linear model is fed (imputed, standardised, one-hot), rounded to float32, and turned
into nodes: single trees and forests exactly, anything else by skl2onnx. That conversion is exact for some
estimators and not for others. Every fit compares both on rows that it was trained on and fails where they
differ; the parity gate measures the packaged graph again, on other rows.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from onnx import TensorProto

from headrace.core.errors import UserCodeError, UserError, did_you_mean
from headrace.core.task import Feature, Kind, Task
from headrace.graph.build import GraphBuilder
from headrace.learn.candidate import Fitted, Matrix, Space, Vector
from headrace.learn.candidates._sktrees import TreeMean, tree_mean
from headrace.learn.constant import only_class
from headrace.learn.dense import Dense, fit_dense
from headrace.learn.foreign import answers, convert, element, is_forest, require_equal, sample
from headrace.learn.needs import need
from headrace.learn.onnx_merge import merge

LIMIT = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class FittedEstimator:
    """A fitted estimator beside its conversion by skl2onnx."""

    name: str
    dense: Dense
    estimator: Any
    model: Any
    task: Task

    def score(self, X: Matrix) -> Vector:
        """What the estimator itself answers."""
        Z = _rounded(self.dense, X)
        if self.task.kind is Kind.REGRESSION:
            return np.asarray(_user(self.name, self.estimator.predict, Z), np.float64).reshape(len(X))
        raw = np.asarray(_user(self.name, self.estimator.predict_proba, Z), np.float64)
        out = np.zeros((len(X), max(2, len(self.task.classes))))
        out[:, self.estimator.classes_.astype(np.int64)] = raw
        return out[:, 1] if self.task.kind is Kind.BINARY else out

    def emit(self, g: GraphBuilder, x: str) -> str:
        """Preprocessing, then the converted estimator's nodes."""
        z = _emit_rounded(self.dense, g, x)
        if element(self.model) == TensorProto.DOUBLE:
            z = g.node("Cast", z, to=TensorProto.DOUBLE)
        raw = g.node("Cast", merge(g, self.model, z)[-1], to=TensorProto.DOUBLE)
        if self.task.kind is Kind.REGRESSION:
            return g.node("Reshape", raw, g.constant([-1], np.int64))
        codes = [int(c) for c in self.estimator.classes_]
        if self.task.kind is Kind.BINARY:
            return g.node("Gather", raw, g.constant(codes.index(1), np.int64), axis=1)
        # a class that training rows lack takes its zeros from a column appended behind the others
        padded = g.node("Pad", raw, g.constant([0, 0, 0, 1], np.int64))
        order = [codes.index(c) if c in codes else len(codes) for c in range(len(self.task.classes))]
        return g.node("Gather", padded, g.constant(order, np.int64), axis=1)


def _rounded(dense: Dense, X: Matrix) -> Vector:
    """The estimator sees the float32 numbers that its graph sees; out of range ones at its ends."""
    return np.clip(dense.apply(X), -LIMIT, LIMIT).astype(np.float32).astype(np.float64)


def _emit_rounded(dense: Dense, g: GraphBuilder, x: str) -> str:
    low, high = g.constant(-LIMIT, np.float64), g.constant(LIMIT, np.float64)
    return g.node("Cast", g.node("Clip", dense.emit(g, x), low, high), to=TensorProto.FLOAT)


@dataclass(frozen=True)
class FittedForest:
    """scikit-learn's own trees or forests, which turn into nodes exactly."""

    dense: Dense
    average: TreeMean

    def score(self, X: Matrix) -> Vector:
        """The trees' mean, which is what the estimator answers."""
        return self.average.apply(_rounded(self.dense, X).astype(np.float32))

    def emit(self, g: GraphBuilder, x: str) -> str:
        """Preprocessing and trees as nodes."""
        return self.average.emit(g, _emit_rounded(self.dense, g, x))


@dataclass(frozen=True)
class EstimatorCandidate:
    """A class of scikit-learn's, or one that behaves like it. `name` is its `module:Class`."""

    name: str
    make: Any
    classifier: bool

    @property
    def summary(self) -> str:
        """The first line of the class's docstring."""
        return (inspect.getdoc(self.make) or self.name).splitlines()[0]

    @property
    def tasks(self) -> frozenset[Kind]:
        """Classifiers learn classes, regressors values."""
        return frozenset({Kind.BINARY, Kind.MULTICLASS} if self.classifier else {Kind.REGRESSION})

    def defaults(self, task: Task, n_rows: int, n_features: int) -> dict[str, Any]:
        """The estimator's own."""
        parameters: dict[str, Any] = _user(self.name, lambda: self.make().get_params(deep=False))
        return parameters

    def space(self, task: Task) -> Space:
        """Unknown: nothing is searched."""
        return {}

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
        """Fit and convert at once, so that what can't be served is known before the last fold.

        Raises:
            UserCodeError: the estimator raised.
            UserError: it can't be turned into a graph, or the graph answers otherwise than it does.
        """
        constant = only_class(y, task)
        if constant is not None:
            return constant
        settings = dict(params)
        if settings.get("random_state", seed) is None:
            settings["random_state"] = seed
        if settings.get("n_jobs", threads) is None:
            settings["n_jobs"] = threads
        dense = fit_dense(X, features)
        Z = _rounded(dense, X)
        target = y if task.kind is Kind.REGRESSION else y.astype(np.int64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # convergence and deprecations are the estimator's affair
            estimator = _user(self.name, lambda: self.make(**settings).fit(Z, target))
        if is_forest(self.make):
            return FittedForest(dense, tree_mean(estimator, task))
        where = f"models: {self.name}"
        fitted = FittedEstimator(
            self.name, dense, estimator, convert(self.name, estimator, Z, where=where), task
        )
        probe = sample(X)
        got = answers(self.name, fitted, task, probe, where=where)
        require_equal(self.name, got, fitted.score(probe), where=where)
        return fitted


def _user(name: str, function: Any, *arguments: Any) -> Any:
    """Call the estimator: the boundary to code that isn't ours."""
    try:
        return function(*arguments)
    except Exception as error:  # user-code boundary: estimators may be anybody's
        raise UserCodeError(
            f"{name} failed: {type(error).__name__}: {error}", where=f"models: {name}"
        ) from error


def estimator_candidate(path: str) -> EstimatorCandidate:
    """The candidate behind `module:Class`.

    Raises:
        UserError: no such module or class, or the class is no classifier or regressor.
        UserCodeError: the module raised when imported.
        MissingDependency: scikit-learn is not installed.
    """
    need("sklearn")
    where = f"models: {path}"
    module_name, _, class_name = path.partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        fix = "write module:Class, such as sklearn.neighbors:KNeighborsRegressor, and install its package"
        raise UserError(f"no module {error.name!r}", where=where, fix=fix) from error
    except Exception as error:  # user-code boundary: estimators may be anybody's
        raise UserCodeError(f"module {module_name!r} failed to import: {error}", where=where) from error
    found = getattr(module, class_name, None)
    if found is None:
        hint = did_you_mean(class_name, [n for n, v in vars(module).items() if inspect.isclass(v)])
        raise UserError(f"{module_name} has no class {class_name!r}", where=where, fix=hint)
    kind = _estimator_kind(found)
    if kind is None:
        raise UserError(
            f"{path} is no estimator",
            where=where,
            why="a model needs fit, and predict (regressors) or predict_proba (classifiers)",
            fix="take a scikit-learn classifier or regressor",
        )
    if kind and not hasattr(found, "predict_proba"):
        raise UserError(
            f"{path} gives no probabilities",
            where=where,
            why="thresholds, calibration and ranking metrics need them",
            fix="take a classifier with predict_proba",
        )
    return EstimatorCandidate(path, found, kind)


def _estimator_kind(found: Any) -> bool | None:
    """True: classifier; False: regressor; None: neither."""
    if not inspect.isclass(found) or not hasattr(found, "fit") or not hasattr(found, "get_params"):
        return None
    base = need("sklearn.base")
    if issubclass(found, base.ClassifierMixin):
        return True
    return False if issubclass(found, base.RegressorMixin) else None
