"""From raw scores to probabilities, in numpy and as nodes: one formula each, so that both agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from headrace.core.task import Kind, Task
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


def link(task: Task, raw: Vector) -> Vector:
    """Answers from raw scores [rows, outputs]: values, probabilities of code 1, or of every class."""
    if task.kind is Kind.MULTICLASS:
        return softmax(raw)
    return sigmoid(raw[:, 0]) if task.kind is Kind.BINARY else np.asarray(raw[:, 0], np.float64)


def emit_link(g: GraphBuilder, task: Task, raw: str) -> str:
    """`link` as nodes."""
    if task.kind is Kind.MULTICLASS:
        return emit_softmax(g, raw)
    column = g.node("Squeeze", raw, g.constant([1], np.int64))
    return emit_sigmoid(g, column) if task.kind is Kind.BINARY else column


NEVER = -1e300
"""The raw score of a class that training rows lack: its softmax is exactly 0."""


def spread(task: Task, classes: Sequence[int], raw: Vector) -> Vector:
    """Raw scores of the classes that a learner knows, [rows, len(classes)], as [rows, all classes]."""
    out = np.full((len(raw), len(task.classes)), NEVER)
    out[:, list(classes)] = raw
    return out


def emit_spread(g: GraphBuilder, task: Task, classes: Sequence[int], raw: str) -> str:
    """`spread` as nodes."""
    if list(classes) == list(range(len(task.classes))):
        return raw
    rows = g.node("Shape", raw, start=0, end=1)
    shape = g.node("Concat", rows, g.constant([1], np.int64), axis=0)
    never = g.node("Expand", g.constant([[NEVER]], np.float64), shape)
    order = [list(classes).index(c) if c in classes else len(classes) for c in range(len(task.classes))]
    return g.node("Gather", g.node("Concat", raw, never, axis=1), g.constant(order, np.int64), axis=1)
