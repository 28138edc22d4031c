"""Probabilities that mean what they say: maps from score to probability, fitted out of fold, exact as nodes.

Sigmoid: a logistic curve over the score's log-odds (Platt 1999, with his smoothed targets; fitted by the
Newton steps of Lin, Lin & Weng 2007, Machine Learning 68). Isotonic: the best monotone steps (pool adjacent
violators, Ayer et al. 1955; Zadrozny & Elkan 2002), joined by straight lines between the steps' centres
(Oron & Flournoy 2017), so that two rows which the model could tell apart stay apart.

Several classes: one map a class against the rest, then divided by their sum (Zadrozny & Elkan 2002).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import UserError
from headrace.core.task import Kind, Task
from headrace.graph.build import GraphBuilder
from headrace.learn.candidate import Vector
from headrace.learn.links import emit_sigmoid, sigmoid
from headrace.learn.trees import emit_positions

Method = Literal["sigmoid", "isotonic"]

EDGE = 1e-12
"""Scores are kept this far from 0 and 1 before their log-odds are taken."""


class Calibrator(Protocol):
    """A map from scores to calibrated ones. Immutable, plain data."""

    @property
    def name(self) -> str:
        """`sigmoid` or `isotonic`."""
        ...

    def apply(self, scores: Vector) -> Vector:
        """Calibrated probabilities of the same shape: [rows], or [rows, classes] whose rows add up to 1.
        NaN stays NaN."""
        ...

    def emit(self, g: GraphBuilder, score: str) -> str:
        """Add nodes that compute `apply` from the double tensor `score`; the double tensor's name."""
        ...


@dataclass(frozen=True)
class SigmoidCurve:
    """1 / (1 + exp(-(slope · log-odds + intercept))). The slope is never negative: calibration keeps the
    order of rows."""

    slope: float
    intercept: float

    def apply(self, p: Vector) -> Vector:
        """Probabilities [rows] to probabilities [rows]."""
        return sigmoid(self.slope * _log_odds(p) + self.intercept)

    def emit(self, g: GraphBuilder, p: str) -> str:
        """The same, as nodes."""
        low, high = g.constant(EDGE, np.float64), g.constant(1.0 - EDGE, np.float64)
        kept = g.node("Clip", p, low, high)
        odds = g.node("Div", kept, g.node("Sub", g.constant(1.0, np.float64), kept))
        scaled = g.node("Mul", g.node("Log", odds), g.constant(self.slope, np.float64))
        return emit_sigmoid(g, g.node("Add", scaled, g.constant(self.intercept, np.float64)))


@dataclass(frozen=True)
class MonotoneLine:
    """Straight lines through the points (`x` increasing, `y` not decreasing), flat outside of them."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def apply(self, p: Vector) -> Vector:
        """Probabilities [rows] to probabilities [rows]."""
        at = np.searchsorted(np.asarray(self.x), p, side="left")
        start, slope, offset = (column[at] for column in self._pieces())
        return np.asarray(offset + slope * (p - start), np.float64)

    def emit(self, g: GraphBuilder, p: str) -> str:
        """The same, as nodes: one tree finds the piece, three tables hold the lines."""
        at = emit_positions(g, p, self.x)
        start, slope, offset = (
            g.node("Gather", g.constant(column, np.float64), at, axis=0) for column in self._pieces()
        )
        return g.node("Add", offset, g.node("Mul", slope, g.node("Sub", p, start)))

    def _pieces(self) -> tuple[Vector, Vector, Vector]:
        """Where each piece starts, its slope and its value there: below the first point, between points,
        above the last."""
        x, y = np.asarray(self.x), np.asarray(self.y)
        slopes = np.r_[0.0, np.diff(y) / np.diff(x), 0.0]
        return np.r_[x[0], x], slopes, np.r_[y[0], y]


@dataclass(frozen=True)
class Calibrated:
    """One curve for the positive class, or one a class."""

    name: str
    curves: tuple[SigmoidCurve | MonotoneLine, ...]

    def apply(self, scores: Vector) -> Vector:
        """See `Calibrator.apply`."""
        if scores.ndim == 1:
            return self.curves[0].apply(scores)
        parts = np.stack([c.apply(p) for c, p in zip(self.curves, scores.T, strict=True)], axis=1)
        return np.asarray(parts / parts.sum(axis=1, keepdims=True), np.float64)

    def emit(self, g: GraphBuilder, score: str) -> str:
        """See `Calibrator.emit`."""
        if len(self.curves) == 1:
            return self.curves[0].emit(g, score)
        columns = []
        for i, curve in enumerate(self.curves):
            column = curve.emit(g, g.node("Gather", score, g.constant(i, np.int64), axis=1))
            columns.append(g.node("Unsqueeze", column, g.constant([1], np.int64)))
        parts = g.node("Concat", *columns, axis=1)
        return g.node("Div", parts, g.node("ReduceSum", parts, g.constant([1], np.int64), keepdims=1))


def fit_calibrator(method: str, task: Task, y: Vector, scores: Vector) -> Calibrator:
    """Fit on out-of-fold scores ([rows], or [rows, classes]) and class codes y [rows]; rows whose score is
    NaN (in no test fold) are left out.

    Raises:
        UserError: the task is a regression, or no row has a score.
        ValueError: the method is unknown.
    """
    if method not in ("sigmoid", "isotonic"):
        raise ValueError(f"no method of calibration is called {method!r}")
    if task.kind is Kind.REGRESSION:
        raise UserError(
            "a regression has no probabilities to calibrate",
            where="calibrate",
            fix="leave `calibrate` out; `uncertainty` gives intervals",
        )
    finite = np.isfinite(scores)
    known = finite.all(axis=1) if scores.ndim == 2 else finite
    if not known.any():
        raise UserError("no row has an out-of-fold score to calibrate on", where="calibrate")
    fit = fit_sigmoid if method == "sigmoid" else fit_monotone
    y, scores = y[known], scores[known]
    if task.kind is Kind.BINARY:
        return Calibrated(method, (fit(y == 1, scores),))
    return Calibrated(method, tuple(fit(y == code, scores[:, code]) for code in range(scores.shape[1])))


def fit_sigmoid(positive: NDArray[np.bool_], p: Vector) -> SigmoidCurve:
    """Platt's curve over the log-odds."""
    return SigmoidCurve(*fit_curve(positive, _log_odds(p)))


def fit_curve(positive: NDArray[np.bool_], score: Vector) -> tuple[float, float]:
    """Slope (not negative) and intercept of a logistic curve over any score [rows], with Platt's targets:
    (N+ + 1)/(N+ + 2) for positive rows and 1/(N- + 2) for the others."""
    n_yes = int(positive.sum())
    n_no = len(positive) - n_yes
    target = np.where(positive, (n_yes + 1) / (n_yes + 2), 1 / (n_no + 2))
    share = float(target.mean())
    flat = 0.0, float(np.log(share / (1 - share)))
    # centred and scaled, so that the Newton steps are well conditioned
    centre, scale = float(score.mean()), float(score.std())
    if not scale > 1e-12 * max(1e-300, abs(centre)):
        return flat
    slope, level = _newton((score - centre) / scale, target)
    return (slope / scale, level - slope * centre / scale) if slope > 0.0 else flat


def _newton(z: Vector, target: Vector, steps: int = 100) -> tuple[float, float]:
    """Slope and intercept that maximise the (concave) likelihood, by Newton steps with halving."""
    share = float(target.mean())
    slope, level = 0.0, float(np.log(share / (1 - share)))
    loss = _loss(z, target, slope, level)
    for _ in range(steps):
        p = sigmoid(slope * z + level)
        weight, gap = np.maximum(p * (1 - p), 1e-12), p - target
        hess = np.array([[weight @ (z * z), weight @ z], [weight @ z, weight.sum()]])
        grad = np.array([gap @ z, gap.sum()])
        if np.abs(grad).max() < 1e-9 * len(z):
            break
        step = np.linalg.solve(hess + 1e-12 * len(z) * np.eye(2), grad)
        size = 1.0
        while size > 1e-10:
            tried = slope - size * float(step[0]), level - size * float(step[1])
            better = _loss(z, target, *tried)
            if better <= loss - 1e-4 * size * float(grad @ step):
                break
            size /= 2
        else:
            break
        (slope, level), loss = tried, better
    return slope, level


def _loss(z: Vector, target: Vector, slope: float, level: float) -> float:
    """Cross entropy of log-odds f: log(1 + exp(-|f|)) + max(f, 0) - target · f."""
    f = slope * z + level
    return float(np.sum(np.logaddexp(0.0, f) - target * f))


def fit_monotone(positive: NDArray[np.bool_], p: Vector) -> MonotoneLine:
    """Isotonic regression, its blocks' centres joined by straight lines.

    Values are kept 1/(n + 2) away from 0 and 1: a block without a single positive row doesn't prove that
    there is none, and a probability of 0 would cost the log loss infinitely much.
    """
    scores, inverse = np.unique(p, return_inverse=True)
    weights = np.bincount(inverse).astype(np.float64)
    values = np.bincount(inverse, weights=positive.astype(np.float64)) / weights
    x, y = _pool(scores, values, weights)
    margin = 1 / (len(p) + 2)
    x, y = _apart(x, np.clip(y, margin, 1 - margin))
    return MonotoneLine(tuple(x.tolist()), tuple(y.tolist()))


def _pool(x: Vector, y: Vector, weights: Vector) -> tuple[Vector, Vector]:
    """Pool adjacent violators; each block's centre (weighted mean of x) and mean."""
    blocks: list[tuple[float, float, float]] = []  # sums of weight, x and y
    for w, a, b in zip(weights.tolist(), (x * weights).tolist(), (y * weights).tolist(), strict=True):
        while blocks and blocks[-1][2] * w >= b * blocks[-1][0]:  # equal means are one block too
            w0, a0, b0 = blocks.pop()
            w, a, b = w + w0, a + a0, b + b0
        blocks.append((w, a, b))
    total = np.array(blocks)
    return total[:, 1] / total[:, 0], total[:, 2] / total[:, 0]


def _apart(x: Vector, y: Vector) -> tuple[Vector, Vector]:
    """Leave out points so near to the one before that a line's slope would overflow."""
    kept = [0]
    for i in range(1, len(x)):
        if x[i] - x[kept[-1]] > 1e-12:
            kept.append(i)
    return x[kept], y[kept]


def _log_odds(p: Vector) -> Vector:
    kept = np.clip(p, EDGE, 1.0 - EDGE)
    return np.asarray(np.log(kept / (1.0 - kept)), np.float64)
