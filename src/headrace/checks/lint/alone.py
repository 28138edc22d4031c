"""How well one feature predicts by itself, and how well the others do without it; across folds of units.

A feature is cut into bins, and each row is predicted by its bin's mean in the other folds: no shape is
assumed, and a useless feature scores nothing. Scores carry standard errors that add up whole units, so that
rows that move together do not make a feature look surer than it is (for the area under the ROC curve by its
placements: DeLong et al. 1988, Biometrics 44; summed by cluster: Obuchowski 1997, Biometrics 53).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from headrace.checks.lint.record import Column, Dataset, Floats, Ints
from headrace.core.schema import Type

FOLDS = 5
MOST_BINS = 64
_LEVELS = 200
_CELLS = 20_000_000  # encodings held at once


@dataclass(frozen=True)
class Score:
    """The share of error left: 1 - AUC (mean of one class against the rest), or 1 - R². 0 is perfect;
    `se` is its standard error, resampled by unit."""

    error: float
    se: float

    @property
    def value(self) -> float:
        """AUC, or R²."""
        return 1 - self.error


def binned(column: Column, most: int = MOST_BINS) -> tuple[Ints, int]:
    """Codes of bins, int64 [n], and their number. Null is bin 0; few values are a bin each, many numbers
    are cut at quantiles, rare categories share one."""
    n = len(column.values)
    codes = np.zeros(n, np.int64)
    known = ~column.null
    values = column.values[known]
    if not values.size:
        return codes, 1
    distinct, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    if column.type is Type.TEXT:
        rank = np.empty(len(distinct), np.int64)
        rank[np.argsort(-counts, kind="stable")] = np.arange(len(distinct))
        codes[known] = 1 + np.minimum(rank, _LEVELS)[place]
    elif len(distinct) <= most:
        codes[known] = 1 + place
    else:
        edges = np.unique(np.quantile(values, np.linspace(0, 1, most + 1)[1:-1]))
        codes[known] = 1 + np.searchsorted(edges, values, side="right")
    return codes, int(codes.max()) + 1


def ranks(x: NDArray[np.generic]) -> Floats:
    """Ranks from 1, ties at their mean."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    upto = np.cumsum(counts)
    return np.asarray((upto - (counts - 1) / 2)[inverse], dtype=np.float64)


def auc(score: Floats, positive: NDArray[np.bool_]) -> float:
    """The area under the ROC curve as the Mann-Whitney statistic; NaN where a class is absent."""
    hits = int(np.count_nonzero(positive))
    rest = len(positive) - hits
    if not hits or not rest:
        return float("nan")
    return (float(ranks(score)[positive].sum()) - hits * (hits + 1) / 2) / (hits * rest)


class Alone:
    """The training rows' single-feature predictions, made once and asked by several checks."""

    def __init__(self, data: Dataset) -> None:
        self.data = data
        rng = np.random.default_rng(data.seed)
        units, codes = np.unique(data.units, return_inverse=True)
        self.fold: Ints = (rng.permutation(len(units)) % FOLDS)[codes]
        self.unit: Ints = codes
        self.targets = _targets(data)

    def encode(self, column: Column) -> Floats:
        """Out-of-fold predictions from this column alone, [n, targets]."""
        most = int(np.clip(self.data.rows // 10, 4, MOST_BINS))
        codes, count = binned(column, most)
        cell = codes * FOLDS + self.fold
        sizes = np.bincount(cell, minlength=count * FOLDS).reshape(count, FOLDS)
        sizes = sizes.sum(axis=1, keepdims=True) - sizes
        result = np.empty_like(self.targets)
        for k in range(self.targets.shape[1]):
            y = self.targets[:, k]
            sums = np.bincount(cell, y, minlength=count * FOLDS).reshape(count, FOLDS)
            sums = sums.sum(axis=1, keepdims=True) - sums
            prior = sums.sum(axis=0) / np.maximum(sizes.sum(axis=0), 1)
            result[:, k] = ((sums + prior) / (sizes + 1))[codes, self.fold]
        return result

    @cached_property
    def encodings(self) -> dict[str, Floats]:
        """By feature."""
        return {c.name: self.encode(c) for c in self.data.features}

    @cached_property
    def scores(self) -> dict[str, Score]:
        """By feature."""
        return {name: self.score(e) for name, e in self.encodings.items()}

    def score(self, predicted: Floats) -> Score:
        """How good predictions [n, targets] are."""
        if not self.data.classes:
            return min((self._explained(predicted[:, k], k) for k in (0, 1)), key=lambda s: s.error)
        found = [self._area(predicted[:, k], self.targets[:, k] > 0.5) for k in range(predicted.shape[1])]
        told = [s for s in found if s is not None]
        if not told:
            return Score(0.5, 0.5)
        errors = [s.error for s in told]
        # Areas of one class against the rest are correlated: the mean of errors bounds the mean's error.
        return Score(float(np.mean(errors)), float(np.mean([s.se for s in told])))

    def _explained(self, predicted: Floats, k: int) -> Score:
        y = self.targets[:, k]
        spread = (y - y.mean()) ** 2
        total = float(spread.sum())
        if not total:
            return Score(1.0, 0.0)
        lost = (y - predicted) ** 2
        error = float(lost.sum()) / total
        return Score(min(error, 1.0), self._spread((lost - error * spread) / total))

    def _area(self, predicted: Floats, positive: NDArray[np.bool_]) -> Score | None:
        hits, rest = int(positive.sum()), int((~positive).sum())
        if hits < 3 or rest < 3:
            return None
        overall, own = ranks(predicted), np.empty(len(predicted))
        own[positive], own[~positive] = ranks(predicted[positive]), ranks(predicted[~positive])
        other = np.where(positive, rest, hits)
        placed = (overall - own) / other  # share of the other class below it, ties half
        area = float(placed[positive].mean())
        centred = np.where(positive, (placed - area) / hits, -(placed - (1 - area)) / rest)
        return Score(1 - area, self._spread(centred))

    def _spread(self, influence: Floats) -> float:
        return float(np.sqrt((np.bincount(self.unit, influence) ** 2).sum()))

    def predict_without(self, left_out: set[str]) -> Floats | None:
        """Out-of-fold predictions from the other features together: ridge regression on what each says
        alone. None where there are no others."""
        others = [e for name, e in self.encodings.items() if name not in left_out]
        if not others:
            return None
        X = np.concatenate(others, axis=1)
        step = max(1, X.size // _CELLS)
        spread = X.std(axis=0)
        X = ((X - X.mean(axis=0)) / np.where(spread > 0, spread, 1)).astype(np.float64)
        result = np.empty_like(self.targets)
        for fold in range(FOLDS):
            fitted = np.flatnonzero(self.fold != fold)[::step]
            tested = self.fold == fold
            if not fitted.size:
                continue
            mean = self.targets[fitted].mean(axis=0)
            gram = X[fitted].T @ X[fitted]
            gram[np.diag_indices_from(gram)] += 1e-3 * len(fitted) + 1.0
            weights = np.linalg.solve(gram, X[fitted].T @ (self.targets[fitted] - mean))
            result[tested] = mean + X[tested] @ weights
        return result


def _targets(data: Dataset) -> Floats:
    """One column a class, one for a binary task; for a regression values and their ranks, [n, targets]."""
    if not data.classes:
        return np.column_stack([data.y, ranks(data.y) / max(data.rows, 1)])
    wanted = [1] if data.classes == 2 else range(data.classes)
    return np.column_stack([data.y == k for k in wanted]).astype(np.float64)
