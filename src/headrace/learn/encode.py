"""Categories as target statistics: what sklearn's trees split on instead of codes.

Each code becomes the mean of the target over its training rows, pulled towards the overall mean by
`smoothing` rows (the m-estimate of Micci-Barreca, SIGKDD Explorations 3(1), 2001). For trees the order of
the codes is what matters: for binary and squared-error targets splitting codes in the order of their
means finds the best of all subsets (Fisher 1958; Breiman et al. 1984, section 9.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from headrace.core.task import FIRST_CODE, MISSING, RARE, UNSEEN, Feature, FeatureKind, Kind, Task
from headrace.graph.build import GraphBuilder
from headrace.learn.candidate import Matrix, Vector


def category_columns(features: tuple[Feature, ...]) -> list[int]:
    """Positions of the category columns."""
    return [i for i, f in enumerate(features) if f.kind is FeatureKind.CATEGORY]


def code_names(feature: Feature) -> tuple[str, ...]:
    """What each code of a category stands for: the same value has the same name in every vocabulary."""
    special = {MISSING: "null", UNSEEN: "unseen", RARE: "rare"}
    return (*(special[c] for c in range(FIRST_CODE)), *(f"= {value}" for value in feature.vocabulary))


@dataclass(frozen=True)
class TargetCodes:
    """Statistics by code: `tables[column]` is float32 [codes, statistics]; other columns pass unchanged."""

    width: int
    tables: Mapping[int, Matrix]

    def apply(self, X: Matrix) -> Matrix:
        """Plain columns first, in their order, then the statistics of each category column."""
        if not self.tables:
            return np.ascontiguousarray(X, np.float32)
        plain = [X[:, self._plain()]] if self._plain() else []
        parts = [table[code_indices(X[:, i], len(table))] for i, table in self.tables.items()]
        return np.ascontiguousarray(np.concatenate([*plain, *parts], axis=1), np.float32)

    def emit(self, g: GraphBuilder, x: str) -> str:
        """The same, as nodes: a float32 matrix."""
        if not self.tables:
            return x
        parts = []
        if self._plain():
            parts.append(g.node("Gather", x, g.constant(self._plain(), np.int64), axis=1))
        for i, table in self.tables.items():
            codes = emit_codes(g, x, i, len(table))
            parts.append(g.node("Gather", g.constant(table, np.float32), codes, axis=0))
        return g.node("Concat", *parts, axis=1)

    def sources(self) -> list[int]:
        """For each column of the result, the position of the column that it comes from."""
        statistics = [i for i, table in self.tables.items() for _ in range(table.shape[1])]
        return [*self._plain(), *statistics] if self.tables else list(range(self.width))

    def _plain(self) -> list[int]:
        return [i for i in range(self.width) if i not in self.tables]


def code_indices(column: Matrix, size: int) -> NDArray[np.int64]:
    """Codes as indices; what is out of range (which the feature graph never makes) is clipped into it."""
    codes: NDArray[np.int64] = np.clip(np.nan_to_num(column), 0, size - 1).astype(np.int64)
    return codes


def emit_codes(g: GraphBuilder, x: str, column: int, size: int) -> str:
    """int64 [rows]: the codes of one category column of the float32 matrix `x`, clipped as `apply` does."""
    taken = g.node("Gather", x, g.constant(column, np.int64), axis=1)
    known = g.node("Where", g.node("IsNaN", taken), g.constant(0, np.float32), taken)
    clipped = g.node("Clip", known, g.constant(0, np.float32), g.constant(size - 1, np.float32))
    return g.node("Cast", clipped, to=TensorProto.INT64)


def fit_target_codes(
    X: Matrix, y: Vector, *, features: tuple[Feature, ...], task: Task, smoothing: float
) -> TargetCodes:
    """Fit on training rows alone. One statistic a code; one a class for multiclass."""
    if task.kind is Kind.MULTICLASS:
        targets = [(y == code).astype(np.float64) for code in range(len(task.classes))]
    else:
        targets = [y]
    tables: dict[int, Matrix] = {}
    for i in category_columns(features):
        size = len(features[i].vocabulary) + FIRST_CODE
        codes = code_indices(X[:, i], size)
        counts = np.bincount(codes, minlength=size)
        table = [
            (np.bincount(codes, weights=t, minlength=size) + smoothing * t.mean()) / (counts + smoothing)
            for t in targets
        ]
        tables[i] = np.stack(table, axis=1).astype(np.float32)
    return TargetCodes(len(features), tables)
