"""How sure a prediction is, by conformal prediction: intervals for values, sets of classes, abstention.

Vovk, Gammerman & Shafer (2005), Algorithmic Learning in a Random World; Lei et al. (2018), JASA 113, for
split conformal regression. A new row's error is as likely to have any rank among the errors of rows that the
model was not fitted on; the interval therefore reaches as far as their ceil((n + 1) · level)-th smallest.

- Regression: prediction ± a quantile of the absolute out-of-fold errors.
- Classes: the set of those whose probability is no lower than all but 1 - level of the rows of that class
  got for it (least ambiguous sets, Sadinle, Lei & Wasserman 2019, JASA 114; each class by a quantile of its
  own, Vovk 2013, Machine Learning 92, so that a rare class is held as often as a common one).

What holds: with a holdout, a share of at least `level` of new rows, whatever the model, where rows are
exchangeable. With cross-validation the errors are those of the folds' models, and the answer is given by a
model fitted on all rows; then it holds where leaving a fold out hardly moves the model (Barber, Candès,
Ramdas & Tibshirani 2021, Annals of Statistics 49, section 4: the jackknife and stability), as it mostly does;
the larger error of models fitted on fewer rows errs on the safe side.

Rows that depend on each other (days, customers) count by their unit: each unit weighs the same and is shared
among its rows, and one unit's weight is kept for the unseen one (Dunn, Wasserman & Ramdas 2023, JASA 118;
Lee, Barber & Willett 2023). It holds then for a row drawn from a new unit, where units are exchangeable.
Nothing holds under drift: a share seen live is the only proof.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from headrace.core.task import Kind, Task
from headrace.graph.build import GraphBuilder
from headrace.learn.candidate import Vector

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Conformal:
    """Plain data, fitted on rows that the model was not fitted on.

    level: the share of new rows to be held. quantiles: regression, one half-width; classes, one a class in
    the order of codes, the highest 1 - probability at which a class is in the set. None: too few units to
    say (the interval is unbounded, the class always in the set). units: independent units behind each.
    """

    task: Task
    level: float
    quantiles: tuple[float | None, ...]
    units: tuple[int, ...]
    abstain: bool = False

    @property
    def why_none(self) -> str:
        """What is not known, and why; empty where all is."""
        short = [i for i, q in enumerate(self.quantiles) if q is None]
        if not short:
            return ""
        needed = units_needed(self.level)
        names = [f"class {self.task.classes[i]}" if self.task.classes else "errors" for i in short]
        counts = ", ".join(f"{n}: {self.units[i]}" for n, i in zip(names, short, strict=True))
        return f"a level of {self.level:g} needs {needed} independent units ({counts})"

    def interval(self, scores: Vector) -> tuple[Vector, Vector]:
        """Regression: lower and upper ends [rows]; infinite where nothing is known."""
        half = self._reach()[0]
        return scores - half, scores + half

    def sets(self, scores: Vector) -> Bools:
        """Classes: which of them are in each row's set, [rows, classes]."""
        shares = np.stack([1.0 - scores, scores], axis=1) if scores.ndim == 1 else scores
        return np.asarray(1.0 - shares <= self._reach())

    def margin(self, scores: Vector) -> Vector:
        """Classes: how far each is from the edge of the set, [rows, classes]."""
        shares = np.stack([1.0 - scores, scores], axis=1) if scores.ndim == 1 else scores
        return np.asarray(np.abs(1.0 - shares - self._reach()), np.float64)

    def abstains(self, scores: Vector, decision: Ints) -> Bools:
        """Classes: where the set is not just the decided class, [rows]."""
        held = self.sets(scores)
        sure = held[np.arange(len(held)), decision] & (held.sum(axis=1) == 1)
        return np.asarray(~sure)

    def emit(self, g: GraphBuilder, score: str, decision: str = "") -> None:
        """Add outputs behind the (calibrated) score: `lower`, `upper` (double [rows]); or `set` (bool
        [rows, classes]), and with `abstain` also `abstain` (bool [rows]) behind the int64 `decision`."""
        if self.task.kind is Kind.REGRESSION:
            half = g.constant(self._reach()[0], np.float64)
            g.output(g.node("Sub", score, half), "lower", TensorProto.DOUBLE, [None])
            g.output(g.node("Add", score, half), "upper", TensorProto.DOUBLE, [None])
            return
        one, axis = g.constant(1.0, np.float64), g.constant([1], np.int64)
        missing = g.node("Sub", one, score)
        if self.task.kind is Kind.BINARY:
            # 1 - (1 - p), not p: the same rounding as `sets`
            other = g.node("Sub", one, missing)
            columns = [g.node("Unsqueeze", t, axis) for t in (other, missing)]
            missing = g.node("Concat", *columns, axis=1)
        held = g.node("LessOrEqual", missing, g.constant(self._reach(), np.float64))
        g.output(held, "set", TensorProto.BOOL, [None, len(self.quantiles)])
        if self.abstain:
            counts = g.node("ReduceSum", g.node("Cast", held, to=TensorProto.INT64), axis, keepdims=0)
            alone = g.node("Equal", counts, g.constant(1, np.int64))
            place = g.node("Unsqueeze", decision, axis)
            own = g.node("GatherElements", g.node("Cast", held, to=TensorProto.INT64), place, axis=1)
            own = g.node("Cast", g.node("Squeeze", own, axis), to=TensorProto.BOOL)
            g.output(g.node("Not", g.node("And", alone, own)), "abstain", TensorProto.BOOL, [None])

    def _reach(self) -> Vector:
        return np.array([math.inf if q is None else q for q in self.quantiles])


def fit_conformal(
    task: Task,
    y: Vector,
    scores: Vector,
    level: float,
    *,
    abstain: bool = False,
    units: Ints | None = None,
) -> Conformal:
    """Fit on rows that the models of `scores` were not fitted on; rows whose score is NaN are left out.

    y: codes or values [rows]. scores: predictions [rows], probabilities of code 1 [rows], or [rows, classes];
    calibrated where the model is. units: which rows depend on each other [rows] (default: none do).
    """
    finite = np.isfinite(scores)
    known = (finite.all(axis=1) if scores.ndim == 2 else finite) & np.isfinite(y)
    units = np.arange(len(y)) if units is None else units
    y, scores, units = y[known], scores[known], units[known]
    if task.kind is Kind.REGRESSION:
        groups = [(np.abs(y - scores), units)]
        abstain = False
    else:
        shares = np.stack([1.0 - scores, scores], axis=1) if task.kind is Kind.BINARY else scores
        rows = [y == code for code in range(shares.shape[1])]
        groups = [(1.0 - shares[mine, code], units[mine]) for code, mine in enumerate(rows)]
    quantiles = tuple(upper_quantile(errors, mine, level) for errors, mine in groups)
    counts = tuple(len(np.unique(mine)) for _, mine in groups)
    return Conformal(task, level, quantiles, counts, abstain)


def upper_quantile(errors: Vector, units: Ints, level: float) -> float | None:
    """The smallest error that a share `level` of weight lies at or below, where each unit's weight is one
    part in (units + 1), shared among its rows, and the last part lies beyond all. With one row a unit: the
    ceil((n + 1) · level)-th smallest. None where that is beyond all: too few units."""
    _, codes, sizes = np.unique(units, return_inverse=True, return_counts=True)
    if not len(sizes) or len(sizes) < units_needed(level):
        return None
    order = np.argsort(errors, kind="stable")
    reached = np.cumsum(1.0 / sizes[codes[order]])
    wanted = level * (len(sizes) + 1)
    at = int(np.searchsorted(reached, wanted - 1e-9 * wanted))  # sums of shares miss whole numbers by bits
    return float(errors[order[min(at, len(errors) - 1)]])


def units_needed(level: float) -> int:
    """The fewest units for which ceil((n + 1) · level) ≤ n."""
    return math.ceil(level / (1.0 - level) - 1e-9)


@dataclass(frozen=True)
class Coverage:
    """What a conformal answer was worth on rows with known truth.

    held: share of rows whose truth is in the interval or set. by_class: the same for each class's rows (NaN
    without rows). size: mean width of the interval, or mean number of classes in the set. abstained: share
    of rows without an answer; right: share of the answered rows that were decided rightly (NaN if none).
    """

    rows: int
    held: float
    by_class: tuple[float, ...]
    size: float
    abstained: float
    right: float


def coverage(conformal: Conformal, y: Vector, scores: Vector, decision: Ints | None = None) -> Coverage:
    """Measure on rows [rows] that took no part in fitting; `decision` is needed for classes."""
    nan = float("nan")
    if conformal.task.kind is Kind.REGRESSION:
        low, high = conformal.interval(scores)
        held = (low <= y) & (y <= high)
        return Coverage(len(y), _mean(held), (), _mean(high - low), 0.0, nan)
    if decision is None:
        raise ValueError("sets of classes are measured beside decisions")
    sets, codes = conformal.sets(scores), y.astype(np.int64)
    held = sets[np.arange(len(y)), codes]
    away = conformal.abstains(scores, decision) if conformal.abstain else np.zeros(len(y), np.bool_)
    by_class = tuple(_mean(held[codes == c]) for c in range(sets.shape[1]))
    right = _mean((decision == codes)[~away])
    return Coverage(len(y), _mean(held), by_class, _mean(sets.sum(axis=1)), _mean(away), right)


def _mean(values: Vector | Bools | Ints) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
