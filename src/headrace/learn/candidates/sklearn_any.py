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
from headrace.graph.build import ML_OPSET, OPSET, GraphBuilder
from headrace.learn.candidate import Fitted, Matrix, Space, Vector
from headrace.learn.candidates._sktrees import TreeMean, tree_mean
from headrace.learn.constant import only_class
from headrace.learn.dense import Dense, fit_dense
from headrace.learn.needs import need
from headrace.learn.onnx_merge import merge

LIMIT = float(np.finfo(np.float32).max)
TOLERANCE = 1e-5
"""The largest relative difference between an estimator and its graph: what the parity gate allows."""
ROWS, BATCH = 2000, 500


@dataclass(frozen=True)
class FittedEstimator:
    """A fitted estimator beside its conversion by skl2onnx; `double` is the element type that it reads."""

    name: str
    dense: Dense
    estimator: Any
    model: Any
    double: bool
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
        if self.double:
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
        if _is_forest(self.make):
            return FittedForest(dense, tree_mean(estimator, task))
        model, double = _convert(self.name, estimator, Z)
        fitted = FittedEstimator(self.name, dense, estimator, model, double, task)
        _compare(fitted, X)
        return fitted


def _is_forest(make: Any) -> bool:
    """Whether the class is one of those whose answer is the mean of its trees. Subclasses may answer
    otherwise."""
    names = ("DecisionTree", "ExtraTree"), ("RandomForest", "ExtraTrees")
    modules = need("sklearn.tree"), need("sklearn.ensemble")
    return any(
        make is getattr(module, stem + suffix)
        for module, stems in zip(modules, names, strict=True)
        for stem in stems
        for suffix in ("Classifier", "Regressor")
    )


def _compare(fitted: FittedEstimator, X: Matrix) -> None:
    """Fail unless the graph answers what the estimator does on rows that it was trained on.

    At most 2,000 rows, evenly spaced and a few hundred at a time: estimators that keep their training rows
    compare each row with all of them.
    """
    import onnxruntime

    probe = X[:: max(1, -(-len(X) // ROWS))]
    try:
        g = GraphBuilder()
        score = fitted.emit(g, g.matrix_input("x", X.shape[1]))
        g.output(score, "score", TensorProto.DOUBLE, [None] * (1 + (fitted.task.kind is Kind.MULTICLASS)))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 4
        session = onnxruntime.InferenceSession(g.build(), options, providers=["CPUExecutionProvider"])
        parts = [probe[i : i + BATCH] for i in range(0, len(probe), BATCH)]
        got = np.concatenate([session.run(None, {"x": part})[0] for part in parts])
    except Exception as error:  # user-code boundary: graphs of foreign converters
        raise _refused(fitted.name, error) from error
    expected = fitted.score(probe)
    apart = np.abs(got - expected) / np.maximum(1.0, np.abs(expected))
    if not (apart <= TOLERANCE).all():  # false for NaN too
        raise UserError(
            f"{fitted.name} is not equal to its graph: they differ by up to {float(np.max(apart)):.2g}",
            where=f"models: {fitted.name}",
            why=f"what is served is the graph; {TOLERANCE:g} (relative, on training rows) is allowed",
            fix="take an estimator that converts exactly, such as linear, forest, boosting",
        )


def _refused(name: str, error: Exception) -> UserError:
    reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return UserError(
        f"{name} can't be turned into a graph: {reason[:300]}",
        where=f"models: {name}",
        why="what is served is an ONNX graph; skl2onnx has no conversion for this estimator that runs",
        fix="take an estimator of skl2onnx.supported_converters(), or linear, forest, boosting",
    )


def _user(name: str, function: Any, *arguments: Any) -> Any:
    """Call the estimator: the boundary to code that isn't ours."""
    try:
        return function(*arguments)
    except Exception as error:
        raise UserCodeError(
            f"{name} failed: {type(error).__name__}: {error}", where=f"models: {name}"
        ) from error


def _convert(name: str, estimator: Any, Z: Vector) -> tuple[Any, bool]:
    """skl2onnx's model in double where onnxruntime can run that, else in float32; and which it is."""
    skl2onnx, types = need("skl2onnx"), need("skl2onnx.common.data_types")
    import onnxruntime

    failure: Exception = ValueError("no conversion was tried")
    for double, tensor in ((True, types.DoubleTensorType), (False, types.FloatTensorType)):
        options = {id(estimator): {"zipmap": False}} if hasattr(estimator, "classes_") else None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # deprecations are the converter's affair
                model = skl2onnx.convert_sklearn(
                    estimator,
                    initial_types=[("z", tensor([None, Z.shape[1]]))],
                    options=options,
                    target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
                )
            session = onnxruntime.InferenceSession(
                model.SerializeToString(), providers=["CPUExecutionProvider"]
            )
            session.run(None, {"z": Z[:2].astype(np.float64 if double else np.float32)})
        except Exception as error:  # noqa: BLE001 - user-code boundary: converters of foreign estimators
            failure = error
        else:
            return model, double
    raise _refused(name, failure) from failure


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
    except Exception as error:
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
