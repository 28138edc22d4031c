"""What a learning curve says: more data, a richer model, or neither.

The law is v(n) = limit - b n^-c of how good the model is after n rows (inverse power: Cortes et al. 1994,
NeurIPS 6; Viering & Loog 2023, IEEE TPAMI 45). Its error comes from resampling the validation units, and the
draws of each share, and fitting the law again.

The rules, with "worth having" as 1% of the metric's size:

- more data: the step from half of the rows to all of them gained beyond noise, and by the law doubling the
  rows would gain something worth having;
- a richer model: a more flexible candidate, fitted on the same rows, is better beyond noise, and by
  something worth having: the chosen model is too stiff for what the rows already show;
- both: the one that gains more is said, and the other told; neither: neither was shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headrace.core.evidence import Interval
from headrace.metrics.contrast import blocked
from headrace.metrics.intervals import paired
from headrace.metrics.measure import measure, prepare
from headrace.metrics.record import Floats, Metric, Predictions
from headrace.metrics.resample import draw, find_units

WORTH = 0.01
"""What is worth having, as a share of the metric's size."""
FEWEST_POINTS = 3
MORE_DATA, RICHER, NEITHER, UNKNOWN = "more data", "a richer model", "neither", "unknown"
_RESAMPLES = 400
_EXPONENTS = np.linspace(0.05, 2.0, 40)


@dataclass(frozen=True)
class Fit:
    """One fit: how many rows and units it learned from, the metric on them, and what it answered for the
    validation rows."""

    share: float
    rows: int
    units: int
    train: float
    scored: Predictions


@dataclass(frozen=True)
class CurvePoint:
    """The metric after learning from a share of the rows, mean over `repeats` draws of it; `lowest` and
    `highest` of these on validation; `law` is what the fitted law says."""

    share: float
    rows: int
    units: int
    repeats: int
    train: float | None
    validation: float | None
    lowest: float | None
    highest: float | None
    law: float | None


@dataclass(frozen=True)
class Gain:
    """A gain of the metric, above zero where it gets better, with its interval by units."""

    value: float
    interval: Interval | None


@dataclass(frozen=True)
class LearningCurve:
    """The points, the law (v = limit - scale * rows^-exponent of the metric's goodness), and what it allows.

    last: from half of the rows to all. doubling: by the law, from all rows to twice as many. gap: how much
    better the metric is on the rows that were learned from. richer: how much better `reference` is.
    statement: more data, a richer model, neither, or unknown; because: why, in words.
    """

    model: str
    metric: str
    points: tuple[CurvePoint, ...]
    limit: float | None
    scale: float | None
    exponent: float | None
    last: Gain | None
    doubling: Gain | None
    gap: float | None
    reference: str
    richer: Gain | None
    statement: str
    because: str


def learning_curve(
    model: str,
    metric: Metric,
    fits: Sequence[Fit],
    *,
    reference: str,
    richer: Predictions | None,
    seed: int,
    why_none: str = "",
) -> LearningCurve:
    """The curve through these fits, whose validation rows are the same. `richer` are the answers of the more
    flexible candidate `reference` for them.

    Raises:
        UserError: the metric does not fit the kind of task.
    """
    shares = sorted({f.share for f in fits})
    by_share = [[f for f in fits if f.share == s] for s in shares]
    values = [np.array([measure(metric, f.scored) for f in group]) for group in by_share]
    full = by_share[-1][0] if shares and shares[-1] == 1 else None
    known = all(np.isfinite(v).all() for v in values)
    other = None
    if richer is not None and full is not None:
        estimate = paired(metric, blocked(richer, seed=seed), blocked(full.scored, seed=seed), seed=seed)
        other = None if math.isnan(estimate.value) else Gain(estimate.value, estimate.interval)
    trains = [np.array([f.train for f in group]) for group in by_share]
    gap = None
    if full is not None and known and math.isfinite(full.train):
        gap = float(metric.goodness(full.train)) - float(metric.goodness(values[-1][0]))
    if full is None or not known or len(shares) < FEWEST_POINTS:
        why = f"{len(shares)} shares of the rows could be fitted and measured; a curve needs {FEWEST_POINTS}"
        points = _points(by_share, trains, values, None)
        return LearningCurve(
            model, metric.name, points, None, None, None, None, None, gap, reference, other, UNKNOWN, why
        )
    rows = np.array([np.mean([f.rows for f in group]) for group in by_share])
    good = np.array([float(np.mean(metric.goodness(v))) for v in values])
    limit, scale, exponent = (float(v[0]) for v in _law(rows, good[None]))
    last, doubling = _gains(metric, by_share, rows, good, seed)
    law = limit - scale * rows**-exponent
    points = _points(by_share, trains, values, [_raw(metric, float(v)) for v in law])
    size = abs(float(values[-1][0]))
    statement, because = _statement(metric, last, doubling, other, size, reference, why_none)
    return LearningCurve(
        model, metric.name, points, limit, scale, exponent, last, doubling, gap, reference, other,
        statement, because,
    )  # fmt: skip


def _law(rows: Floats, good: Floats) -> tuple[Floats, Floats, Floats]:
    """The inverse power law through points [shares] for each line of `good` [B, shares]: limit, scale,
    exponent [B]. By least squares, with scale never below 0: more rows never make it worse."""
    best = np.full(len(good), np.inf)
    limit, scale, exponent = good.mean(axis=1), np.zeros(len(good)), np.ones(len(good))
    flat = ((good - limit[:, None]) ** 2).sum(axis=1)
    for c in _EXPONENTS:
        x = -(rows**-c)
        centred = x - x.mean()
        slope = (good @ centred) / float(centred @ centred)
        level = good.mean(axis=1) - slope * x.mean()
        off = ((good - level[:, None] - slope[:, None] * x) ** 2).sum(axis=1)
        better = (slope > 0) & (off < best) & (off < flat)
        best = np.where(better, off, best)
        limit, scale = np.where(better, level, limit), np.where(better, slope, scale)
        exponent = np.where(better, c, exponent)
    return limit, scale, exponent


def _gains(
    metric: Metric, by_share: Sequence[Sequence[Fit]], rows: Floats, good: Floats, seed: int
) -> tuple[Gain, Gain]:
    """The last step's gain and the next doubling's, each with the interval of resampled units and draws."""
    rng = np.random.default_rng(seed)
    units = find_units(blocked(by_share[-1][0].scored, seed=seed).units, rng)
    prepared = [[prepare(metric, f.scored, units.codes, units.count) for f in group] for group in by_share]
    weights = np.concatenate(list(draw(units.count, _RESAMPLES, rng)))
    drawn = []
    for group in prepared:
        each = np.stack([metric.goodness(m.evaluate(weights)) for m in group], axis=1)
        picks = rng.integers(0, len(group), size=each.shape)
        drawn.append(np.take_along_axis(each, picks, axis=1).mean(axis=1))
    lines = np.stack(drawn, axis=1)
    lines = lines[np.isfinite(lines).all(axis=1)]
    steps = lines[:, -1] - lines[:, -2]
    n = float(rows[-1])

    def doubled(scale: Floats, exponent: Floats) -> Floats:
        return np.asarray(scale * (n**-exponent - (2 * n) ** -exponent), np.float64)

    _, scale, exponent = _law(rows, good[None])
    _, scales, exponents = _law(rows, lines)
    enough = units.count >= 5 and len(lines) >= _RESAMPLES / 2
    return (
        Gain(float(good[-1] - good[-2]), _interval(steps) if enough else None),
        Gain(float(doubled(scale, exponent)[0]), _interval(doubled(scales, exponents)) if enough else None),
    )


def _interval(values: Floats) -> Interval:
    low, high = np.quantile(values, [0.025, 0.975])
    return Interval(float(low), float(high))


def _statement(
    metric: Metric,
    last: Gain,
    doubling: Gain,
    richer: Gain | None,
    size: float,
    reference: str,
    why_none: str,
) -> tuple[str, str]:
    worth = WORTH * size
    data = _beyond(last) and doubling.value >= worth
    model = richer is not None and _beyond(richer) and richer.value >= worth
    told = [
        f"from half of the rows to all {metric.name} got better by {_shown(last)}; "
        f"twice as many rows would gain {_shown(doubling)} by the law",
        f"{reference} on the same rows is better by {_shown(richer)}"
        if richer is not None
        else why_none or "no richer model was measured",
        f"worth having is {worth:.3g}",
    ]
    because = "; ".join(told)
    if last.interval is None:
        return UNKNOWN, because
    if data and model and richer is not None:
        return (RICHER if richer.value > doubling.value else MORE_DATA), f"both would help: {because}"
    return (MORE_DATA if data else RICHER if model else NEITHER), because


def _beyond(gain: Gain) -> bool:
    return gain.interval is not None and gain.interval.low > 0


def _shown(gain: Gain) -> str:
    if gain.interval is None:
        return f"{gain.value:.3g}"
    return f"{gain.value:.3g} [{gain.interval.low:.3g}, {gain.interval.high:.3g}]"


def _raw(metric: Metric, good: float) -> float:
    """Goodness back to the metric (the law of a metric that is best at zero is of its distance)."""
    return good if metric.higher_is_better and not metric.best_at_zero else -good


def _points(
    by_share: Sequence[Sequence[Fit]],
    trains: Sequence[Floats],
    values: Sequence[Floats],
    law: Sequence[float] | None,
) -> tuple[CurvePoint, ...]:
    return tuple(
        CurvePoint(
            group[0].share,
            round(float(np.mean([f.rows for f in group]))),
            round(float(np.mean([f.units for f in group]))),
            len(group),
            _known(float(trains[i].mean())),
            _known(float(values[i].mean())),
            _known(float(values[i].min())),
            _known(float(values[i].max())),
            None if law is None else law[i],
        )
        for i, group in enumerate(by_share)
    )


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
