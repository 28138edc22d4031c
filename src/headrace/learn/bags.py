"""Several fits of one candidate that differ in what they draw, averaged before the link.

Boosted trees that draw rows and columns for each tree vary with their seed. The mean of several has that
variance divided by their number, and the same bias (Breiman, Bagging Predictors, Machine Learning 24, 1996;
here over the draws of the learner, with all rows).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np

from headrace.core.task import Task
from headrace.graph.build import GraphBuilder
from headrace.learn.candidate import Fitted, Matrix, Vector
from headrace.learn.links import emit_link, link

_APART = 7919
"""Between the seeds of two bags: seeds of two projects are rarely so far apart."""


class Raw(Protocol):
    """A fitted model with raw scores: values, log-odds, or a score for each class."""

    def raw(self, X: Matrix) -> Vector:
        """float64 [rows, outputs]."""
        ...

    def emit_raw(self, g: GraphBuilder, x: str) -> str:
        """The same, as nodes: a double tensor [rows, outputs]."""
        ...

    def contributions(self, X: Matrix) -> Vector:
        """See `Explained`: they add up to the raw score."""
        ...


@dataclass(frozen=True)
class Bag:
    """The mean of raw scores, behind it the link."""

    members: tuple[Raw, ...]
    task: Task

    def score(self, X: Matrix) -> Vector:
        """See `Fitted.score`."""
        total = self.members[0].raw(X)
        for member in self.members[1:]:
            total = total + member.raw(X)
        return link(self.task, total / len(self.members))

    def emit(self, g: GraphBuilder, x: str) -> str:
        """Every member's nodes, their mean, the link."""
        total = self.members[0].emit_raw(g, x)
        for member in self.members[1:]:
            total = g.node("Add", total, member.emit_raw(g, x))
        mean = g.node("Div", total, g.constant(float(len(self.members)), np.float64))
        return emit_link(g, self.task, mean)

    def contributions(self, X: Matrix) -> Vector:
        """See `Explained`: the mean of the members', since the raw score is the mean of theirs."""
        return np.asarray(np.mean([m.contributions(X) for m in self.members], axis=0), np.float64)


def fit_bags(fit: Callable[[int], Fitted], task: Task, bags: int, seed: int) -> Fitted:
    """`fit(seed)` by as many seeds as there are bags. Where the first has no raw score (a constant: nothing
    is drawn there), it stands alone."""
    first = fit(seed)
    if bags == 1 or not hasattr(first, "emit_raw"):
        return first
    others = (fit((seed + _APART * i) & 0x7FFFFFFF) for i in range(1, bags))
    return Bag(tuple(cast(Raw, m) for m in (first, *others)), task)


def refuse_bags(params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """See `Strict`: there is one bag at least, and no more than anyone would wait for."""
    if not 1 <= params["bags"] <= 100:
        yield "bags", "a whole number from 1 to 100"
