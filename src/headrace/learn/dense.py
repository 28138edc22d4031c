"""Features for models that need plain numbers: imputed, flagged, standardised, one-hot.

Each step is there twice, in numpy and as nodes, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from headrace.core.task import FIRST_CODE, Feature
from headrace.graph.build import GraphBuilder
from headrace.learn.candidate import Matrix, Vector
from headrace.learn.encode import category_columns, code_indices, emit_codes

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Dense:
    """Fitted on training rows. Output columns: standardised numbers, missing flags, one-hot categories.

    numbers: positions of the number and bool columns, with the `medians` that stand for NaN, `means` and
    `scales`. flagged: which of them (as positions in `numbers`) had nulls in training.
    seen: for each category column the codes of training rows; any other code is a row of zeros.
    """

    numbers: Ints
    medians: Vector
    means: Vector
    scales: Vector
    flagged: Ints
    seen: tuple[tuple[int, tuple[int, ...], int], ...]

    @property
    def width(self) -> int:
        """Number of output columns."""
        return len(self.numbers) + len(self.flagged) + sum(len(codes) for _, codes, _ in self.seen)

    def apply(self, X: Matrix) -> Vector:
        """float64 [rows, width]."""
        out = np.empty((len(X), self.width))
        raw = X[:, self.numbers].astype(np.float64)
        missing = np.isnan(raw)
        k, m = len(self.numbers), len(self.flagged)
        out[:, :k] = (np.where(missing, self.medians, raw) - self.means) / self.scales
        out[:, k : k + m] = missing[:, self.flagged]
        at = k + m
        for column, codes, size in self.seen:
            out[:, at : at + len(codes)] = _one_hot(codes, size)[code_indices(X[:, column], size)]
            at += len(codes)
        return out

    def emit(self, g: GraphBuilder, x: str) -> str:
        """The same, as nodes: double [rows, width]."""
        parts = []
        if len(self.numbers):
            raw = g.node("Gather", x, g.constant(self.numbers, np.int64), axis=1)
            missing, raw = g.node("IsNaN", raw), g.node("Cast", raw, to=TensorProto.DOUBLE)
            filled = g.node("Where", missing, g.constant(self.medians, np.float64), raw)
            centred = g.node("Sub", filled, g.constant(self.means, np.float64))
            parts.append(g.node("Div", centred, g.constant(self.scales, np.float64)))
            if len(self.flagged):
                flags = g.node("Gather", missing, g.constant(self.flagged, np.int64), axis=1)
                parts.append(g.node("Cast", flags, to=TensorProto.DOUBLE))
        for column, codes, size in self.seen:
            indices = emit_codes(g, x, column, size)
            parts.append(g.node("Gather", g.constant(_one_hot(codes, size)), indices, axis=0))
        return g.node("Concat", *parts, axis=1)


def _one_hot(codes: tuple[int, ...], size: int) -> Vector:
    """A row for each of `size` codes, a column for each seen one."""
    table = np.zeros((size, len(codes)))
    table[list(codes), np.arange(len(codes))] = 1.0
    return table


def fit_dense(X: Matrix, features: tuple[Feature, ...]) -> Dense:
    """Learn medians, means, scales and the codes in use from training rows [rows, features]."""
    categories = category_columns(features)
    numbers = np.array([i for i in range(len(features)) if i not in categories], np.int64)
    raw = X[:, numbers].astype(np.float64)
    missing = np.isnan(raw)
    # a column without any value has no median; 0 stands in, and its scale below is 1
    medians = np.array(
        [np.median(c[~m]) if not m.all() else 0.0 for c, m in zip(raw.T, missing.T, strict=True)]
    )
    filled = np.where(missing, medians, raw) if len(numbers) else raw
    means, spread = filled.mean(axis=0), filled.std(axis=0)
    # a constant column's spread is rounding noise; dividing by it would blow serving values up
    scales = np.where(spread > 1e-12 * np.maximum(1e-300, np.abs(means)), spread, 1.0)
    seen = []
    for column in categories:
        size = len(features[column].vocabulary) + FIRST_CODE
        codes = np.unique(code_indices(X[:, column], size))
        seen.append((column, tuple(int(c) for c in codes), size))
    flagged = np.flatnonzero(missing.any(axis=0)).astype(np.int64)
    return Dense(numbers, medians, means, scales, flagged, tuple(seen))
