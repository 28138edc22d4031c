"""Estimators of other libraries as graphs: converted by skl2onnx, and compared with what came out."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from onnx import TensorProto

from headrace.core.errors import UserError
from headrace.core.task import Kind, Task
from headrace.graph.build import ML_OPSET, OPSET, GraphBuilder
from headrace.learn.candidate import Fitted, Matrix, Vector
from headrace.learn.needs import need

TOLERANCE = 1e-5
"""The largest relative difference between an estimator and its graph: what the parity gate allows."""
ROWS, BATCH = 2000, 500


def is_forest(make: type) -> bool:
    """Whether the class is one of scikit-learn's whose answer is the mean of its trees. Subclasses may answer
    otherwise."""
    names = ("DecisionTree", "ExtraTree"), ("RandomForest", "ExtraTrees")
    modules = need("sklearn.tree"), need("sklearn.ensemble")
    return any(
        make is getattr(module, stem + suffix)
        for module, stems in zip(modules, names, strict=True)
        for stem in stems
        for suffix in ("Classifier", "Regressor")
    )


def convert(name: str, estimator: Any, Z: Matrix | Vector, *, where: str = "") -> Any:
    """skl2onnx's model, in double where onnxruntime can run that, else in float32 (see `element`).

    Z: rows [rows, features] as the estimator reads them; two are run.

    Raises:
        UserError: there is no conversion that runs.
        MissingDependency: skl2onnx is not installed.
    """
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
            return model
    raise refused(name, failure, where=where) from failure


def element(model: Any) -> int:
    """The element type that a model's input has (`onnx.TensorProto`)."""
    return int(model.graph.input[0].type.tensor_type.elem_type)


def sample(X: Matrix) -> Matrix:
    """At most 2,000 of these rows, evenly spaced: what estimator and graph are compared on."""
    return X[:: max(1, -(-len(X) // ROWS))]


def answers(name: str, fitted: Fitted, task: Task, X: Matrix, *, where: str = "") -> Vector:
    """What the graph of a fitted model says of rows, a few hundred at a time: estimators that keep their
    training rows compare each row with all of them.

    Raises:
        UserError: the graph can't be made, or does not run.
    """
    import onnxruntime

    try:
        g = GraphBuilder()
        score = fitted.emit(g, g.matrix_input("x", X.shape[1]))
        g.output(score, "score", TensorProto.DOUBLE, [None] * (1 + (task.kind is Kind.MULTICLASS)))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 4
        session = onnxruntime.InferenceSession(g.build(), options, providers=["CPUExecutionProvider"])
        parts = [X[i : i + BATCH] for i in range(0, max(1, len(X)), BATCH)]
        return np.concatenate([session.run(None, {"x": part})[0] for part in parts])
    except Exception as error:  # user-code boundary: graphs of foreign converters
        raise refused(name, error, where=where) from error


def require_equal(name: str, got: Vector, expected: Vector, *, where: str = "") -> None:
    """Fail unless a graph answers what its estimator does.

    Raises:
        UserError: they differ by more than `TOLERANCE`.
    """
    apart = np.abs(got - expected) / np.maximum(1.0, np.abs(expected))
    if not (apart <= TOLERANCE).all():  # false for NaN too
        raise UserError(
            f"{name} is not equal to its graph: they differ by up to {float(np.max(apart)):.2g}",
            where=where,
            why=f"what is served is the graph; {TOLERANCE:g} (relative, on real rows) is allowed",
            fix="take an estimator that converts exactly, such as linear, forest, boosting",
        )


def refused(name: str, error: Exception, *, where: str = "") -> UserError:
    """The error of an estimator that has no graph."""
    reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return UserError(
        f"{name} can't be turned into a graph: {reason[:300]}",
        where=where,
        why="what is served is an ONNX graph; skl2onnx has no conversion for this estimator that runs",
        fix="take an estimator of skl2onnx.supported_converters(), or linear, forest, boosting",
    )
