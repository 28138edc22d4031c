"""The curves of a report: ROC, precision and recall, thresholds; predicted against actual, residuals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from headrace.core.task import Kind
from headrace.metrics.binary import ratio
from headrace.metrics.record import Bools, Floats, Metric, Predictions, Sums

MOST_POINTS = 200
SAMPLE = 1_000
_QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class Operating:
    """What follows from flagging every row that scores at least `threshold`. None: undefined there."""

    threshold: float
    flagged: float
    tpr: float | None
    fpr: float | None
    precision: float | None


@dataclass(frozen=True)
class ClassCurve:
    """The operating points of one class against the rest, from flagging none to flagging all; `of` is the
    class. Straight lines between its points are the ROC curve; precision over tpr is the other one."""

    of: str
    positives: int
    rows: int
    points: tuple[Operating, ...]


@dataclass(frozen=True)
class ThresholdPoint:
    """The declared metric (and the worth of 1,000 decisions, where declared) at a threshold."""

    threshold: float
    flagged: float
    metric: float | None
    value: float | None


@dataclass(frozen=True)
class Reached:
    """A row's true value and the predicted one."""

    actual: float
    predicted: float


@dataclass(frozen=True)
class ResidualBand:
    """Quantiles of prediction minus truth among the rows of one tenth of the predictions. The levels are
    `Curves.levels`."""

    low: float
    high: float
    rows: int
    quantiles: tuple[float, ...]


@dataclass(frozen=True)
class Curves:
    """What the task has: `classes` and `thresholds` (binary alone) or `sample` and `residuals`."""

    kind: str
    metric: str
    chosen: float | None
    classes: tuple[ClassCurve, ...] = ()
    thresholds: tuple[ThresholdPoint, ...] = ()
    levels: tuple[float, ...] = ()
    sample: tuple[Reached, ...] = ()
    residuals: tuple[ResidualBand, ...] = ()


def curves(
    predictions: Predictions,
    metric: Metric,
    *,
    value: Metric | None = None,
    chosen: float | None = None,
    seed: int = 0,
) -> Curves:
    """The curves of these predictions, at most 200 points each.

    value: the metric of worth, measured beside the declared one at each threshold. chosen: the packaged
    threshold. seed: draws the rows of the sample of a regression, at most 1,000.
    """
    kind = predictions.task.kind
    if kind is Kind.REGRESSION:
        return Curves(
            kind.value,
            metric.name,
            None,
            levels=_QUANTILES,
            sample=_sample(predictions, seed),
            residuals=_bands(predictions),
        )
    names = predictions.task.classes
    if kind is Kind.MULTICLASS:
        made = [_class(str(c), predictions.score[:, k], predictions.y == k) for k, c in enumerate(names)]
        return Curves(kind.value, metric.name, None, classes=tuple(made))
    one = _class(str(names[1]), predictions.score, predictions.y == 1)
    return Curves(
        kind.value,
        metric.name,
        chosen,
        classes=(one,),
        thresholds=_thresholds(predictions, metric, value),
    )


def _counts(score: Floats, positive: Bools) -> tuple[Floats, Floats, Floats]:
    """At each distinct score, highest first, thinned: threshold, true positives and flagged rows."""
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    last = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True]) if len(ranked) else np.zeros(0, np.int64)
    if len(last) > MOST_POINTS:
        # even steps in flagged rows and in positives, so that the steep beginning keeps its points
        hits = np.cumsum(positive[order])[last]
        steps = np.linspace(0, 1, MOST_POINTS // 2)
        keep = np.searchsorted(last, steps * last[-1])
        keep = np.union1d(keep, np.searchsorted(hits, steps * max(int(hits[-1]), 1)))
        last = last[np.minimum(keep, len(last) - 1)]
        last = np.unique(last)
    tp = np.cumsum(positive[order]).astype(np.float64)[last]
    return ranked[last], tp, (last + 1).astype(np.float64)


def _class(of: str, score: Floats, positive: Bools) -> ClassCurve:
    rows, hits = len(score), int(positive.sum())
    thresholds, tp, flagged = _counts(score, positive)
    none = Operating(_above(thresholds), 0.0, 0.0 if hits else None, 0.0 if rows > hits else None, None)
    tprs = ratio(tp, np.full(len(tp), float(hits)))
    fprs = ratio(flagged - tp, np.full(len(tp), float(rows - hits)))
    points = tuple(
        Operating(float(t), float(f / rows), _known(a), _known(b), _known(c))
        for t, f, a, b, c in zip(thresholds, flagged, tprs, fprs, ratio(tp, flagged), strict=True)
    )
    return ClassCurve(of, hits, rows, (none, *points))


def _above(thresholds: Floats) -> float:
    return float(np.nextafter(thresholds[0], np.inf)) if len(thresholds) else 1.0


def _thresholds(p: Predictions, metric: Metric, value: Metric | None) -> tuple[ThresholdPoint, ...]:
    positive: Bools = p.y == 1
    thresholds, tp, flagged = _counts(p.score, positive)
    if not len(thresholds):
        return ()
    hits, rows = float(positive.sum()), float(p.rows)
    fp = flagged - tp
    outcomes = np.stack([tp, fp, rows - hits - fp, hits - tp], axis=-1)
    nothing = np.full(len(tp), np.nan)
    at = _of_outcomes(metric, outcomes, nothing)
    worth = _of_outcomes(value, outcomes, nothing) if value else nothing
    return tuple(
        ThresholdPoint(float(t), float(f / rows), _known(m), _known(v))
        for t, f, m, v in zip(thresholds, flagged, at, worth, strict=True)
    )


def _of_outcomes(metric: Metric, outcomes: Floats, nothing: Floats) -> Floats:
    """A metric of decisions from the four outcomes; one of scores has no threshold."""
    statistic = metric.how.get(Kind.BINARY)
    if metric.needs != "decision" or not isinstance(statistic, Sums):
        return nothing
    return statistic.finish(outcomes)


def _sample(p: Predictions, seed: int) -> tuple[Reached, ...]:
    rows = np.arange(p.rows)
    if p.rows > SAMPLE:
        rows = np.sort(np.random.default_rng(seed).choice(p.rows, SAMPLE, replace=False))
    return tuple(Reached(float(p.y[i]), float(p.score[i])) for i in rows)


def _bands(p: Predictions) -> tuple[ResidualBand, ...]:
    if not p.rows:
        return ()
    order = np.argsort(p.score, kind="stable")
    error = p.score - p.y
    return tuple(
        ResidualBand(
            float(p.score[part[0]]),
            float(p.score[part[-1]]),
            len(part),
            tuple(float(q) for q in np.quantile(error[part], _QUANTILES)),
        )
        for part in np.array_split(order, 10)
        if len(part)
    )


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
