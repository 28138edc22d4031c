"""What every encoder has to keep: asked of each by the tests of its room."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import TensorProto

from headrace.core.task import Kind, Task
from headrace.expr import emit
from headrace.features.encoder import Columns, Encoder, FittedEncoder, Inputs
from headrace.graph.build import GraphBuilder
from headrace.graph.run import Runner

BINARY = Task(Kind.BINARY, (False, True))
THREE = Task(Kind.MULTICLASS, ("a", "b", "c"))
REGRESSION = Task(Kind.REGRESSION)


def through_graph(encoder: Encoder, fitted: FittedEncoder, raw: Inputs) -> Columns:
    """The columns of rows as the packaged graph computes them, from raw columns."""
    g = GraphBuilder()
    tensors = {text: emit(expr, g).tensor for text, expr in encoder.inputs.items()}
    single = g.node("Cast", fitted.emit(g, tensors), to=TensorProto.FLOAT)
    finite = g.node("Add", single, g.node("Sub", single, single))
    g.output(finite, "made", TensorProto.FLOAT, [None, len(fitted.features)])
    made: Columns = Runner(g.build()).run(raw, len(next(iter(raw.values()))))["made"]
    return made


def evaluated(encoder: Encoder, raw: Inputs) -> Mapping[str, np.ndarray]:
    """What the encoder reads of raw columns."""
    from headrace.expr import compile_exprs

    runner = Runner(compile_exprs({f"={t}": e for t, e in encoder.inputs.items()}))
    told = runner.run(raw, len(next(iter(raw.values()))))
    return {t: told[f"={t}"] for t in encoder.inputs}


def fit(encoder: Encoder, raw: Inputs, y: np.ndarray, task: Task, *, seed: int = 0) -> FittedEncoder:
    """Fitted on raw columns, every row a unit of its own."""
    units = np.arange(len(y), dtype=np.int64)
    return encoder.fit(evaluated(encoder, raw), y.astype(np.float64), units=units, task=task, seed=seed)


def check_agreement(encoder: Encoder, raw: Inputs, y: np.ndarray, task: Task, edges: Inputs) -> None:
    """Fits alike twice, names its columns alike in every fit, and `values` is what the graph answers, also of
    rows on the edge."""
    fitted, again = fit(encoder, raw, y, task), fit(encoder, raw, y, task)
    assert fitted.features == again.features
    if encoder.supervised:  # and so fitted anew in every fold
        half = {n: v[: len(y) // 2] for n, v in raw.items()}
        other = fit(encoder, half, y[: len(y) // 2], task)
        assert [f.name for f in fitted.features] == [f.name for f in other.features]
    own = fitted.own()
    assert own.shape == (len(y), len(fitted.features))
    assert own.dtype == np.float32
    assert not np.isinf(own).any()
    np.testing.assert_array_equal(own, again.own())
    for rows in (raw, edges):
        told = fitted.values(evaluated(encoder, rows))
        assert told.dtype == np.float32
        np.testing.assert_array_equal(told, through_graph(encoder, fitted, rows))
