"""The mean of the target by value, drawn towards the overall mean.

A value's mean is (sum + smooth * overall mean) / (rows + smooth): Micci-Barreca, "A preprocessing scheme for
high-cardinality categorical attributes", ACM SIGKDD Explorations 3 (2001), with the shrinkage of a count
(m-estimate; Cestnik, ECAI 1990).

The rows that it is fitted on get the means of the other folds' rows. Left out one by one, a row's own target
could be read off its mean, as all rows of a value share the rest of the sum; of whole folds, whose rows share
one mean, next to nothing can. The overall mean is one number for all rows, and so tells them nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.core.task import Feature, FeatureKind, Kind, Task
from headrace.expr.nodes import Expr
from headrace.features.encode.keys import MOST_CELLS, NONE, Ids, Keys, looked_up
from headrace.features.encoder import Columns, Inputs
from headrace.features.fitted import KEPT
from headrace.graph.build import GraphBuilder

FOLDS = 5
"""Parts of the rows, whole units each, of which one gets the means of the others."""


@dataclass(frozen=True)
class TargetEncoder:
    """`encode: target`. One column; with three classes and more one for each."""

    name: str
    inputs: Mapping[str, Expr]
    smooth: float
    supervised: bool = True

    def fit(
        self,
        inputs: Inputs,
        y: NDArray[np.float64],
        *,
        units: NDArray[np.int64],
        task: Task,
        seed: int,
    ) -> FittedTarget:
        """Learn the means. At most 100,000 values (or 2,000,000 means) are kept, the most frequent."""
        names = _names(self.name, task)
        targets = _targets(y, task)
        keys, ids = Keys.fit(inputs, tuple(self.inputs), min(KEPT, MOST_CELLS // len(names)))
        prior = targets.mean(axis=0)
        fold = _folds(units, seed)
        counts, sums = _totals(ids, fold, targets, len(keys))
        table = _means(counts.sum(axis=0), sums.sum(axis=0), prior, self.smooth)
        own = np.empty(targets.shape, np.float32)
        for k in range(FOLDS):
            # Summed anew, not taken away from all: a difference would keep what rounding left of the row.
            rest = [i for i in range(FOLDS) if i != k]
            means = _means(counts[rest].sum(axis=0), sums[rest].sum(axis=0), prior, self.smooth)
            own[fold == k] = looked_up(ids[fold == k], means, prior)
        features = tuple(Feature(n, FeatureKind.NUMBER, expression=_told(self.inputs)) for n in names)
        return FittedTarget(features, keys, table, prior, own)


@dataclass(frozen=True, eq=False)
class FittedTarget:
    """Means of the values: `table` [keys, columns], `prior` [columns] where there is none."""

    features: tuple[Feature, ...]
    keys: Keys
    table: NDArray[np.float64]
    prior: NDArray[np.float64]
    out_of_fold: Columns

    def own(self) -> Columns:
        """By the rows of the other folds."""
        return self.out_of_fold

    def values(self, inputs: Inputs) -> Columns:
        """By all rows."""
        return looked_up(self.keys.find(inputs), self.table, self.prior).astype(np.float32)

    def emit(self, builder: GraphBuilder, inputs: Mapping[str, str]) -> str:
        """A look-up of the value."""
        return self.keys.emit(builder, inputs, self.table, self.prior)


def _names(name: str, task: Task) -> tuple[str, ...]:
    if task.kind is not Kind.MULTICLASS:
        return (name,)
    return tuple(f"{name}_{_class(c)}" for c in task.classes)


def _class(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _told(inputs: Mapping[str, Expr]) -> str:
    return f"mean target by {', '.join(inputs)}"


def _targets(y: NDArray[np.float64], task: Task) -> NDArray[np.float64]:
    """[rows, columns]: values, the positive class, or one column a class."""
    if task.kind is not Kind.MULTICLASS:
        return y.reshape(-1, 1)
    return np.asarray(y[:, None] == np.arange(len(task.classes)), np.float64)


def _folds(units: NDArray[np.int64], seed: int) -> Ids:
    """Whole units, dealt at random; rows, where there are fewer than two units."""
    names, codes = np.unique(units, return_inverse=True)
    if len(names) < 2:
        names, codes = units, np.arange(len(units))
    fold: Ids = np.empty(len(names), np.int64)
    fold[np.random.default_rng(seed).permutation(len(names))] = np.arange(len(names)) % FOLDS
    return np.asarray(fold[codes], np.int64)


def _totals(
    ids: Ids, fold: Ids, targets: NDArray[np.float64], keys: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows [folds, keys], and sums of the targets [folds, keys, columns]."""
    known = ids != NONE
    cell, cells = fold[known] * keys + ids[known], FOLDS * keys
    counts = np.bincount(cell, minlength=cells).reshape(FOLDS, keys).astype(np.float64)
    sums = np.empty((FOLDS, keys, targets.shape[1]))
    for i in range(targets.shape[1]):
        sums[:, :, i] = np.bincount(cell, targets[known, i], minlength=cells).reshape(FOLDS, keys)
    return counts, sums


def _means(
    counts: NDArray[np.float64],
    sums: NDArray[np.float64],
    prior: NDArray[np.float64],
    smooth: float,
) -> NDArray[np.float64]:
    """[keys, columns]; the prior where nothing is known."""
    weight = (counts + smooth)[:, None]
    means = (sums + smooth * prior) / np.where(weight > 0, weight, 1.0)
    return np.where(weight > 0, means, prior)
