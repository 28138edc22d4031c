"""The model's half of the packaged graph: from the feature matrix to score, decision and prediction."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from headrace.core.task import Kind, Task
from headrace.graph.build import GraphBuilder
from headrace.learn.calibrate import Calibrator
from headrace.learn.candidate import Fitted
from headrace.learn.conformal import Conformal

FEATURES = "features"
"""The graph's input: float32 [rows, features]."""


def model_graph(
    fitted: Fitted,
    task: Task,
    width: int,
    threshold: float | None,
    *,
    calibrator: Calibrator | None = None,
    conformal: Conformal | None = None,
) -> bytes:
    """The serialised graph. Inputs: `features`. Outputs, each [rows] unless said otherwise:

    - regression: `prediction` (double)
    - binary: `probability` of the positive class (double), `decision` (int64: 1 where the probability is
      at least `threshold`), `prediction` (the decided class's value)
    - multiclass: `probability` [rows, classes], `decision` (int64: the first class of the highest
      probability), `prediction`

    Probabilities are calibrated where a calibrator is given; threshold and conformal were chosen on
    calibrated ones. With `conformal`, regression also has `lower` and `upper` (double, infinite where nothing
    is known), classification `set` (bool [rows, classes]) and, where it may abstain, `abstain` (bool).

    A class's value is text where classes are text, else double (false is 0, true is 1).
    """
    g = GraphBuilder("m_")
    score = fitted.emit(g, g.matrix_input(FEATURES, width))
    if task.kind is Kind.REGRESSION:
        g.output(score, "prediction", TensorProto.DOUBLE, [None])
        if conformal is not None:
            conformal.emit(g, score)
        return g.build()
    if calibrator is not None:
        score = calibrator.emit(g, score)
    if task.kind is Kind.BINARY:
        if threshold is None:
            raise ValueError("a binary model decides by a threshold")
        g.output(score, "probability", TensorProto.DOUBLE, [None])
        acts = g.node("GreaterOrEqual", score, g.constant(threshold, np.float64))
        decision = g.node("Cast", acts, to=TensorProto.INT64)
    else:
        g.output(score, "probability", TensorProto.DOUBLE, [None, len(task.classes)])
        decision = g.node("ArgMax", score, axis=1, keepdims=0)
    g.output(decision, "decision", TensorProto.INT64, [None])
    text = isinstance(task.classes[0], str)
    values = [str(c) for c in task.classes] if text else np.array([float(c) for c in task.classes])
    prediction = g.node("Gather", g.constant(values), decision, axis=0)
    g.output(prediction, "prediction", TensorProto.STRING if text else TensorProto.DOUBLE, [None])
    if conformal is not None:
        conformal.emit(g, score, decision)
    return g.build()
