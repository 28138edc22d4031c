"""Metrics of predicted numbers. The error of a row is prediction minus truth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from headrace.core.task import Kind
from headrace.metrics.binary import mean_of, ratio
from headrace.metrics.record import Floats, Metric, Middle, Predictions, Scale, Statistic, Sums, every_row

_TARGET = "unit of the target"


def _with_ones(each: Callable[[Predictions], Floats]) -> Callable[[Predictions], Floats]:
    def columns(p: Predictions) -> Floats:
        return np.stack([each(p), np.ones(p.rows)], axis=-1)

    return columns


def _error(p: Predictions) -> Floats:
    return p.score - p.y


def _absolute(p: Predictions) -> Floats:
    return np.abs(p.score - p.y)


def _squared(p: Predictions) -> Floats:
    return (p.score - p.y) ** 2


def _relative(p: Predictions) -> Floats:
    return ratio(np.abs(p.score - p.y), np.abs(p.y))


def _root_mean(s: Floats) -> Floats:
    return np.sqrt(mean_of(s))


def _spread(p: Predictions) -> Floats:
    """One, the truth and its square, and the squared error; the truth from its mean, so that squares
    of large values don't cancel."""
    centred = p.y - (p.y.mean() if p.rows else 0.0)
    return np.stack([np.ones(p.rows), centred, centred**2, (p.score - p.y) ** 2], axis=-1)


def _explained(s: Floats) -> Floats:
    around_mean = s[..., 2] - ratio(s[..., 1] ** 2, s[..., 0])
    nothing = around_mean <= 1e-12 * np.maximum(s[..., 2], 1e-300)
    return 1 - ratio(s[..., 3], np.where(nothing, 0.0, around_mean))


def _make(
    name: str,
    meaning: str,
    how: Statistic,
    reference: str,
    *,
    higher: bool = False,
    scale: Scale = Scale.POSITIVE,
    unit: str = _TARGET,
    best_at_zero: bool = False,
) -> Metric:
    by_kind = {Kind.REGRESSION: how}
    return Metric(name, meaning, higher, "value", scale, reference, by_kind, every_row, unit, best_at_zero)


_HYNDMAN = "Hyndman & Koehler 2006, International Journal of Forecasting 22"

METRICS = (
    _make("rmse", "root of the mean squared error", Sums(_with_ones(_squared), _root_mean), _HYNDMAN),
    _make("mae", "mean absolute error", Sums(_with_ones(_absolute), mean_of), _HYNDMAN),
    _make(
        "r2",
        "share of the truth's variance that is explained",
        Sums(_spread, _explained),
        "Kvålseth 1985, The American Statistician 39, R²₁",
        higher=True,
        scale=Scale.EXPLAINED,
        unit="",
    ),
    _make(
        "mape",
        "mean absolute error as a share of the truth; undefined where a true value is 0",
        Sums(_with_ones(_relative), mean_of),
        _HYNDMAN,
        unit="",
    ),
    _make("median_error", "median absolute error", Middle(_absolute), _HYNDMAN),
    _make(
        "bias",
        "mean of prediction minus truth; 0 is best",
        Sums(_with_ones(_error), mean_of),
        _HYNDMAN,
        scale=Scale.PLAIN,
        best_at_zero=True,
    ),
)
