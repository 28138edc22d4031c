"""The model that ignores its input: the naive baseline, and what is left where there is one class only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headrace.core.task import Kind, Task
from headrace.graph.build import GraphBuilder
from headrace.learn.candidate import Fitted, Matrix, Vector


@dataclass(frozen=True)
class Constant:
    """The same answer for every row: one number, or one number a class."""

    values: tuple[float, ...]
    task: Task

    def score(self, X: Matrix) -> Vector:
        """[rows], or [rows, classes] for multiclass."""
        if self.task.kind is Kind.MULTICLASS:
            return np.tile(np.asarray(self.values, np.float64), (len(X), 1))
        return np.full(len(X), self.values[0], np.float64)

    def emit(self, g: GraphBuilder, x: str) -> str:
        """The constant, expanded to the number of rows."""
        rows = g.node("Shape", x, start=0, end=1)
        if self.task.kind is Kind.MULTICLASS:
            shape = g.node("Concat", rows, g.constant([len(self.values)], np.int64), axis=0)
            return g.node("Expand", g.constant(self.values, np.float64), shape)
        return g.node("Expand", g.constant([self.values[0]], np.float64), rows)


def shares(y: Vector, task: Task) -> Constant:
    """Each class's share of the rows; for binary the share of code 1."""
    if task.kind is Kind.BINARY:
        return Constant((float(np.mean(y == 1)),), task)
    counts = np.bincount(y.astype(np.int64), minlength=len(task.classes))
    return Constant(tuple(float(v) for v in counts / counts.sum()), task)


def only_class(y: Vector, task: Task) -> Fitted | None:
    """The constant model where `y` holds a single class or value, else None: estimators refuse such rows."""
    if np.any(y != y[0]):
        return None
    return Constant((float(y[0]),), task) if task.kind is Kind.REGRESSION else shares(y, task)
