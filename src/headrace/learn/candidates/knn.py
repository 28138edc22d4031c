"""The nearest training rows (Fix & Hodges 1951; Cover & Hart 1967), kept in the graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.task import FIRST_CODE, Feature, Kind, Task
from headrace.graph.blocks import BLOCK, emit_in_blocks
from headrace.graph.build import GraphBuilder
from headrace.learn.candidate import Choice, Fitted, Matrix, Range, Space, Vector, check_size
from headrace.learn.constant import only_class
from headrace.learn.dense import Dense, fit_dense
from headrace.learn.encode import category_columns, code_indices, emit_codes

MOST_ROWS = 10_000
"""Every answer looks at every kept row: beyond this it takes too long to serve."""
FAR = 10.0
"""Numbers beyond so many standard deviations are read as so many."""
NEAR = 1e-6
"""Added to distances before they are turned into weights."""


@dataclass(frozen=True)
class FittedNeighbours:
    """Kept rows: `numbers` [kept, numbers and flags], `codes` [kept, categories], `answers` [kept, outputs].

    Squared distances are summed column by column, in the same order in numpy and in the graph, so that both
    find the same neighbours to the last bit; of rows equally near those earlier in training come first.
    """

    plain: tuple[int, ...]
    dense: Dense
    categories: tuple[tuple[int, int], ...]
    numbers: Vector
    codes: NDArray[np.int64]
    answers: Vector
    k: int
    weighted: bool
    task: Task

    def score(self, X: Matrix) -> Vector:
        """[rows], or [rows, classes] for multiclass."""
        parts = [self._block(X[at : at + BLOCK]) for at in range(0, len(X), BLOCK)]
        found = np.concatenate([np.zeros((0, self.answers.shape[1])), *parts])
        return found if self.task.kind is Kind.MULTICLASS else found[:, 0]

    def emit(self, g: GraphBuilder, x: str) -> str:
        """The same, as nodes, in blocks of rows."""
        width, outputs = len(self.plain) + len(self.categories), self.answers.shape[1]
        found = emit_in_blocks(g, x, width, outputs, self._emit_block)
        return (
            found
            if self.task.kind is Kind.MULTICLASS
            else g.node("Squeeze", found, g.constant([1], np.int64))
        )

    def _block(self, X: Matrix) -> Vector:
        far = np.zeros((len(X), len(self.answers)))
        if self.plain:
            mine = np.clip(self.dense.apply(X[:, list(self.plain)]), -FAR, FAR)
            for own, kept in zip(mine.T, self.numbers.T, strict=True):
                apart = own[:, None] - kept
                far += apart * apart
        for (column, size), kept in zip(self.categories, self.codes.T, strict=True):
            far += np.where(code_indices(X[:, column], size)[:, None] == kept, 0.0, 2.0)
        nearest = np.argsort(far, axis=1, kind="stable")[:, : self.k]
        found = self.answers[nearest]
        if not self.weighted:
            return np.asarray(found.sum(axis=1) / self.k, np.float64)
        weights = 1.0 / (np.sqrt(np.take_along_axis(far, nearest, axis=1)) + NEAR)
        total = (found * weights[:, :, None]).sum(axis=1)
        return np.asarray(total / weights.sum(axis=1)[:, None], np.float64)

    def _emit_block(self, g: GraphBuilder, x: str) -> str:
        axis, last = g.constant([1], np.int64), g.constant([2], np.int64)
        shape = g.node("Concat", g.node("Shape", x, start=0, end=1), axis, axis=0)
        far = g.node("Expand", g.constant([[0.0]]), shape)
        if self.plain:
            taken = g.node("Gather", x, g.constant(list(self.plain), np.int64), axis=1)
            mine = g.node("Clip", self.dense.emit(g, taken), g.constant(-FAR), g.constant(FAR))
            for i, kept in enumerate(self.numbers.T):
                own = g.node("Gather", mine, g.constant([i], np.int64), axis=1)
                apart = g.node("Sub", own, g.constant(kept[None, :]))
                far = g.node("Add", far, g.node("Mul", apart, apart))
        for (column, size), kept in zip(self.categories, self.codes.T, strict=True):
            own = g.node("Unsqueeze", emit_codes(g, x, column, size), axis)
            same = g.node("Equal", own, g.constant(kept[None, :], np.int64))
            far = g.node("Add", far, g.node("Where", same, g.constant(0.0), g.constant(2.0)))
        count = g.constant([self.k], np.int64)
        distances, nearest = g.nodes("TopK", far, count, outputs=2, largest=0, sorted=1, axis=1)
        found = g.node("Gather", g.constant(self.answers), nearest, axis=0)
        if not self.weighted:
            return g.node("Div", g.node("ReduceSum", found, axis, keepdims=0), g.constant(float(self.k)))
        apart = g.node("Add", g.node("Sqrt", distances), g.constant(NEAR))
        weights = g.node("Div", g.constant(1.0), apart)
        total = g.node(
            "ReduceSum", g.node("Mul", found, g.node("Unsqueeze", weights, last)), axis, keepdims=0
        )
        return g.node("Div", total, g.node("ReduceSum", weights, axis, keepdims=1))


class Neighbours:
    """k nearest rows by Euclidean distance, standardised numbers and categories as one-hot."""

    name = "knn"
    summary = f"the nearest training rows, for at most {MOST_ROWS:,} of them"
    tasks = frozenset(Kind)

    def most_rows(self, params: Mapping[str, Any]) -> int | None:
        """The graph keeps every row."""
        return MOST_ROWS

    def refuse(self, params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """See `Strict`."""
        if params["weights"] not in ("uniform", "distance"):
            yield "weights", "uniform or distance"
        if params["neighbours"] < 1:
            yield "neighbours", "at least 1"

    def defaults(self, task: Task, n_rows: int, n_features: int) -> dict[str, Any]:
        """About the root of the rows' number over two, between 5 and 50."""
        return {"neighbours": int(np.clip(round(n_rows**0.5 / 2), 5, 50)), "weights": "distance"}

    def space(self, task: Task) -> Space:
        """How many, and whether nearer ones weigh more."""
        return {
            "neighbours": Range(3, 100, log=True, integer=True),
            "weights": Choice(("uniform", "distance")),
        }

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
        """Keep the rows.

        Raises:
            UserError: there are too many rows.
        """
        check_size(self, params, len(X))
        constant = only_class(y, task)
        if constant is not None:
            return constant
        columns = category_columns(features)
        categories = tuple((i, len(features[i].vocabulary) + FIRST_CODE) for i in columns)
        plain = tuple(i for i in range(len(features)) if i not in columns)
        dense = fit_dense(X[:, list(plain)], tuple(features[i] for i in plain))
        codes = [code_indices(X[:, column], size) for column, size in categories]
        return FittedNeighbours(
            plain,
            dense,
            categories,
            np.clip(dense.apply(X[:, list(plain)]), -FAR, FAR),
            np.stack(codes, axis=1) if codes else np.zeros((len(X), 0), np.int64),
            _answers(y, task),
            min(params["neighbours"], len(X)),
            params["weights"] == "distance",
            task,
        )


def _answers(y: Vector, task: Task) -> Vector:
    """What each kept row says: its value, whether it is of code 1, or its class as one of many."""
    if task.kind is Kind.MULTICLASS:
        return np.eye(len(task.classes))[y.astype(np.int64)]
    return (y if task.kind is Kind.REGRESSION else (y == 1).astype(np.float64))[:, None]


KNN = Neighbours()
