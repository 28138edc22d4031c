"""Several candidates together, weighed by their scores of rows that they were not fitted on.

blend: a weighted mean. Weights are found greedily with replacement (Caruana, Niculescu-Mizil, Crew & Ksikes,
ICML 2004): start with the best, then add, fifty times, whichever brings the mean nearest to the truth. The
distance is the squared error (of probabilities: Brier's score), which is proper and needs one pass over the
rows. stack: a model over the answers with weights that are never negative (Breiman 1996, Machine Learning
24): the logistic of summed log-odds, the softmax of summed log-probabilities, or a sum of values.

What either is worth is measured with weights fitted on the other parts; it is kept only where it beats the
best candidate beyond noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from headrace.core.task import Kind, Task
from headrace.graph.build import GraphBuilder
from headrace.learn.candidate import Fitted, Matrix, Vector
from headrace.learn.choose import known_rows, predictions_of
from headrace.learn.compare import rank, result_of
from headrace.learn.links import emit_sigmoid, emit_softmax, sigmoid, softmax
from headrace.learn.needs import need
from headrace.learn.records import NAIVE, Crossed, EnsembleRecord, Job, Result
from headrace.metrics.intervals import paired

Way = Literal["blend", "stack"]

ROUNDS = 50
EDGE = 1e-6
"""Probabilities are kept this far from 0 and 1 before their logarithms are taken."""
_PULL = 1.0


@dataclass(frozen=True)
class Weights:
    """How members are combined: `weights` one a member, `bias` (stack) one a class or one."""

    way: Way
    task: Task
    weights: tuple[float, ...]
    bias: tuple[float, ...] = (0.0,)

    def apply(self, scores: Sequence[Vector]) -> Vector:
        """Members' scores, each [rows] or [rows, classes], to the ensemble's. NaN stays NaN."""
        total = self._summed([self._link(s) for s in scores])
        if self.way == "blend":
            return total
        raw = total + np.array(self.bias if self.task.kind is Kind.MULTICLASS else self.bias[0])
        if self.task.kind is Kind.REGRESSION:
            return np.asarray(raw, np.float64)
        return sigmoid(raw) if self.task.kind is Kind.BINARY else softmax(raw)

    def _summed(self, parts: Sequence[Vector]) -> Vector:
        total = parts[0] * self.weights[0]
        for part, weight in zip(parts[1:], self.weights[1:], strict=True):
            total = total + part * weight
        return np.asarray(total, np.float64)

    def _link(self, score: Vector) -> Vector:
        if self.way == "blend" or self.task.kind is Kind.REGRESSION:
            return score
        kept = np.clip(score, EDGE, 1.0 - EDGE)
        if self.task.kind is Kind.BINARY:
            return np.asarray(np.log(kept / (1.0 - kept)), np.float64)
        return np.asarray(np.log(kept), np.float64)

    def emit(self, g: GraphBuilder, scores: Sequence[str]) -> str:
        """The same, as nodes over the members' double tensors."""
        total = ""
        for score, weight in zip(scores, self.weights, strict=True):
            part = g.node("Mul", self._emit_link(g, score), g.constant(weight, np.float64))
            total = g.node("Add", total, part) if total else part
        if self.way == "blend":
            return total
        several = self.task.kind is Kind.MULTICLASS
        raw = g.node("Add", total, g.constant(self.bias if several else self.bias[0], np.float64))
        if self.task.kind is Kind.REGRESSION:
            return raw
        return emit_softmax(g, raw) if several else emit_sigmoid(g, raw)

    def _emit_link(self, g: GraphBuilder, score: str) -> str:
        if self.way == "blend" or self.task.kind is Kind.REGRESSION:
            return score
        kept = g.node("Clip", score, g.constant(EDGE, np.float64), g.constant(1.0 - EDGE, np.float64))
        if self.task.kind is Kind.BINARY:
            kept = g.node("Div", kept, g.node("Sub", g.constant(1.0, np.float64), kept))
        return g.node("Log", kept)

    def used(self) -> list[int]:
        """The members that have a weight."""
        return [i for i, w in enumerate(self.weights) if w > 0.0] or [0]

    def only(self, members: Sequence[int]) -> Weights:
        """The same, of these members alone (the others' weights are zero)."""
        return Weights(self.way, self.task, tuple(self.weights[i] for i in members), self.bias)


@dataclass(frozen=True)
class FittedEnsemble:
    """Members fitted on the same rows, combined."""

    members: tuple[Fitted, ...]
    weights: Weights

    def score(self, X: Matrix) -> Vector:
        """See `Fitted.score`."""
        return self.weights.apply([m.score(X) for m in self.members])

    def emit(self, g: GraphBuilder, x: str) -> str:
        """Every member's nodes in one graph, and the combination."""
        return self.weights.emit(g, [m.emit(g, x) for m in self.members])


def fit_weights(way: Way, task: Task, y: Vector, scores: Sequence[Vector]) -> Weights:
    """Fit on members' scores of rows that they were not fitted on; all finite.

    y: codes or values [rows]; scores: one [rows] or [rows, classes] a member.
    """
    # one thread of linear algebra: more would change the last bits with their number
    with need("threadpoolctl").threadpool_limits(1):
        if way == "blend":
            return Weights(way, task, tuple(_greedy(*_products(task, y, scores)).tolist()))
        if task.kind is Kind.REGRESSION:
            return _stack_values(task, y, scores)
        return _stack_classes(task, y, scores)


def _products(task: Task, y: Vector, scores: Sequence[Vector]) -> tuple[Vector, Vector]:
    """Mean products of members with each other [members, members] and with the truth [members]."""
    truth = np.eye(len(task.classes))[y.astype(np.int64)] if task.kind is Kind.MULTICLASS else y
    flat = np.stack([s.reshape(-1) for s in scores])
    centre = float(truth.mean()) if task.kind is Kind.REGRESSION else 0.0  # large values would lose digits
    flat, target = flat - centre, truth.reshape(-1) - centre
    return flat @ flat.T / len(target), flat @ target / len(target)


def _greedy(products: Vector, truth: Vector) -> Vector:
    """Weights that add up to 1, of the best of all rounds."""
    counts = np.zeros(len(truth))
    best, best_loss = counts, np.inf
    for size in range(1, ROUNDS + 1):
        tried = counts + np.eye(len(truth))
        loss = np.einsum("ij,jk,ik->i", tried, products, tried) / size**2 - 2 * tried @ truth / size
        pick = int(np.argmin(loss))
        counts = tried[pick]
        if loss[pick] < best_loss:
            best, best_loss = counts / size, float(loss[pick])
    return best


def _stack_values(task: Task, y: Vector, scores: Sequence[Vector]) -> Weights:
    """Least squares with weights of at least 0 and an intercept, pulled a little towards equal weights."""
    optimize = need("scipy.optimize")
    table = np.stack(scores, axis=1)
    means, mean = table.mean(axis=0), float(y.mean())
    count = len(scores)
    # QR, not the products: they would square what near-equal members lose in digits
    reduced = np.asarray(np.linalg.qr(np.column_stack([table - means, y - mean]), mode="r"), np.float64)
    pull = np.sqrt(_PULL / len(y)) * float(np.sqrt((reduced[:, :count] ** 2).sum() / count))
    rows = np.vstack([reduced[:, :count], pull * np.eye(count)])
    weights, _ = optimize.nnls(rows, np.r_[reduced[:, count], np.full(count, pull / count)])
    return Weights("stack", task, tuple(weights.tolist()), (mean - float(means @ weights),))


def _stack_classes(task: Task, y: Vector, scores: Sequence[Vector]) -> Weights:
    """The log loss's minimum over weights of at least 0 and one constant a class, pulled a little towards
    equal weights."""
    optimize = need("scipy.optimize")
    count, several = len(scores), task.kind is Kind.MULTICLASS
    link = Weights("stack", task, (1.0,) * count)
    table = np.stack([link._link(s) for s in scores])  # [members, rows] or [members, rows, classes]
    codes = y.astype(np.int64)
    truth = np.eye(len(task.classes))[codes] if several else y
    outputs = len(task.classes) if several else 1
    equal = np.full(count, 1.0 / count)

    def loss(at: Vector) -> tuple[float, Vector]:
        weights, bias = at[:count], at[count:]
        raw = np.tensordot(weights, table, axes=1) + (bias if several else bias[0])
        if several:
            shares = softmax(raw)
            value = -float(np.log(np.maximum(shares[np.arange(len(codes)), codes], 1e-300)).sum())
        else:
            shares = sigmoid(raw)
            value = float(np.sum(np.logaddexp(0.0, raw) - y * raw))
        gap = shares - truth
        slope = np.array([float(np.sum(part * gap)) for part in table]) + 2 * _PULL * (weights - equal)
        level = gap.sum(axis=0) if several else np.array([gap.sum()])
        level = level + 2e-6 * bias  # a softmax's constants may all move together: hold them
        value += _PULL * float(((weights - equal) ** 2).sum()) + 1e-6 * float((bias**2).sum())
        return value / len(y), np.r_[slope, level] / len(y)

    limits = [(0.0, None)] * count + [(None, None)] * outputs
    found = optimize.minimize(
        loss, np.r_[equal, np.zeros(outputs)], jac=True, bounds=limits, method="L-BFGS-B"
    )
    at = found.x.tolist()
    return Weights("stack", task, tuple(at[:count]), tuple(at[count:]))


@dataclass(frozen=True)
class Combined:
    """What came of combining: the line (kept or not), its weights, the lines that they weigh, and what is
    said of it. result is None where fewer than two candidates could be combined."""

    record: EnsembleRecord
    result: Result | None = None
    weights: Weights | None = None
    members: tuple[Result, ...] = ()


def combine(job: Job, way: Way, results: Sequence[Result]) -> Combined:
    """Combine each candidate's better line (default or tuned) and compare with the best of all of them."""
    members = _members(job, results)
    if len(members) < 2:
        why = f"{way}: {len(members)} candidate could be scored, two are needed"
        return Combined(EnsembleRecord(way, {}, (), "", None, None, False, why))
    crossed, weights = _crossed(job, way, members)
    shown = {m.line.model: round(w, 4) for m, w in zip(members, weights.weights, strict=True)}
    note = ", ".join(f"{n} {w:.2f}" for n, w in shown.items() if w > 0)
    result = result_of(job, way, {"weights": shown}, crossed, 0.0, note=note)
    against = members[0]
    record = _judged(job, way, result, against, weights, shown)
    return Combined(record, result, weights, tuple(members))


def _members(job: Job, results: Sequence[Result]) -> list[Result]:
    """The better line of every candidate, best first."""
    able = [r for r in results if r.line.mean is not None and r.entry is not None and r.crossed is not None]
    best: dict[str, Result] = {}
    for result in sorted(able, key=lambda r: rank(job, r.line)):
        if result.entry is not None and result.entry.name != NAIVE:
            best.setdefault(result.entry.name, result)
    return list(best.values())


def _crossed(job: Job, way: Way, members: Sequence[Result]) -> tuple[Crossed, Weights]:
    """Scores with weights of the other parts, and the weights of all."""
    y, parts = job.scored.y, job.parts
    scores = [m.crossed for m in members if m.crossed is not None]
    rows = known_rows(np.stack([s.own.reshape(len(y), -1).sum(axis=1) for s in scores], axis=1))
    weights = fit_weights(way, job.task, y[rows], [s.own[rows] for s in scores])
    by_part = []
    for part in range(len(parts)):
        mine, others = [s.by_part[part] for s in scores], job.others(part)
        fitted = fit_weights(way, job.task, y[others], [s[others] for s in mine])
        by_part.append(fitted.apply(mine))
    return Crossed(weights.apply([s.own for s in scores]), tuple(by_part)), weights


def _judged(
    job: Job, way: Way, result: Result, against: Result, weights: Weights, shown: dict[str, float]
) -> EnsembleRecord:
    ours, theirs = predictions_of(job, result), predictions_of(job, against)
    name, bias = against.line.model, weights.bias if way == "stack" else ()
    if ours is None or theirs is None:
        raise ValueError("lines without scores can't be compared")
    estimate = paired(job.metric, ours, theirs, seed=job.setting.seed)
    if estimate.interval is None:
        why = f"{way} against {name}: not kept, {estimate.why_none}"
        return EnsembleRecord(way, shown, bias, name, estimate.value, None, False, why)
    low, high = estimate.interval.low, estimate.interval.high
    kept = low > 0
    why = f"{way} against {name}: {estimate.value:+.3g} [{low:.3g}, {high:.3g}] of {job.metric.name}, " + (
        "kept" if kept else "not kept: not better beyond noise"
    )
    return EnsembleRecord(way, shown, bias, name, estimate.value, estimate.interval, kept, why)
