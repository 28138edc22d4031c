"""From raw scores to probabilities, in numpy and as nodes: one formula each, so that both agree."""

from __future__ import annotations

from typing import Any

import numpy as np

from headrace.graph.build import GraphBuilder
from headrace.learn.candidate import Vector


def sigmoid(raw: Any) -> Vector:
    """1 / (1 + exp(-raw)); beyond ±700 exp would overflow, and the answer is 0 or 1 long before."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(raw, -700.0, 700.0))), np.float64)


def emit_sigmoid(g: GraphBuilder, raw: str) -> str:
    """`sigmoid` as nodes (onnxruntime's own Sigmoid node is an approximation)."""
    clipped = g.node("Clip", raw, g.constant(-700.0, np.float64), g.constant(700.0, np.float64))
    one = g.constant(1.0, np.float64)
    return g.node("Div", one, g.node("Add", one, g.node("Exp", g.node("Neg", clipped))))


def softmax(raw: Any) -> Vector:
    """Along the last axis; the largest score is subtracted first, so that exp can't overflow."""
    exps = np.exp(raw - raw.max(axis=-1, keepdims=True))
    return np.asarray(exps / exps.sum(axis=-1, keepdims=True), np.float64)


def emit_softmax(g: GraphBuilder, raw: str) -> str:
    """`softmax` as nodes."""
    axis = g.constant([-1], np.int64)
    exps = g.node("Exp", g.node("Sub", raw, g.node("ReduceMax", raw, axis, keepdims=1)))
    return g.node("Div", exps, g.node("ReduceSum", exps, axis, keepdims=1))
