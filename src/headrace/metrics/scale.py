"""The scale on which an estimate is nearly normal, and one-sided ends on it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from headrace.metrics.record import Floats, Scale

_RANGE = {
    Scale.SHARE: (0.0, 1.0),
    Scale.CORRELATION: (-1.0, 1.0),
    Scale.POSITIVE: (0.0, math.inf),
    Scale.EXPLAINED: (-math.inf, 1.0),
    Scale.PLAIN: (-math.inf, math.inf),
}

_Map = Callable[[Floats], Floats]

# To the scale, and the slope of that map; both rise with the metric.
_TO: dict[Scale, tuple[_Map, _Map]] = {
    Scale.SHARE: (lambda v: np.log(v) - np.log1p(-v), lambda v: 1 / (v * (1 - v))),
    Scale.CORRELATION: (np.arctanh, lambda v: 1 / (1 - v * v)),
    Scale.POSITIVE: (np.log, lambda v: 1 / v),
    Scale.EXPLAINED: (lambda v: -np.log1p(-v), lambda v: 1 / (1 - v)),
    Scale.PLAIN: (lambda v: v, np.ones_like),
}
_BACK: dict[Scale, _Map] = {
    Scale.SHARE: lambda z: 1 / (1 + np.exp(-z)),
    Scale.CORRELATION: np.tanh,
    Scale.POSITIVE: np.exp,
    Scale.EXPLAINED: lambda z: -np.expm1(-z),
    Scale.PLAIN: lambda z: z,
}


@dataclass(frozen=True)
class Pivot:
    """An estimate as t sees it: `value` with standard error `se` (both as measured), on `scale`, with `df`
    degrees of freedom, its tails `low` and `high` times as long as t's, inside `limits`.

    trials: where the value lies at the end of its range and no unit differs, ends are those of so many
    trials without a single failure (Clopper & Pearson 1934, Biometrika 26); None elsewhere.
    """

    scale: Scale
    value: float
    se: float
    df: float
    limits: tuple[float, float]
    trials: int | None = None
    low: float = 1.0
    high: float = 1.0

    def end(self, side: Literal["low", "high"], alpha: float) -> float:
        """The end that the true value lies beyond with probability `alpha`, within `limits`."""
        least, most = self.limits
        if self.trials is not None:
            return self._without_failure(side, alpha)
        if alpha == 0:
            return least if side == "low" else most
        if self.se == 0:
            return self.value
        from scipy.special import stdtrit

        to, slope = _TO[self.scale]
        value = np.asarray(self.value)
        reach = float(stdtrit(self.df, alpha)) * float(slope(value)) * self.se
        at = float(to(value)) + (reach * self.low if side == "low" else -reach * self.high)
        with np.errstate(over="ignore"):
            return min(max(float(_BACK[self.scale](np.asarray(at))), least), most)

    def _without_failure(self, side: Literal["low", "high"], alpha: float) -> float:
        least, most = self.limits
        share = alpha ** (1 / (self.trials or 1)) if alpha else 0.0
        gap = (most - least) * (1 - share)
        if self.value not in self.limits:  # a difference of nothing: either might fail where neither did
            gap /= 2
        wanted = self.value - gap if side == "low" else self.value + gap
        return min(max(wanted, least), most)

    def stretched(self, values: Floats, errors: Floats, level: float, *, longest: float) -> Pivot:
        """Tails as long as those of the studentised resamples where these are longer than t's.

        values, errors: the metric and its standard error in each resample, [B].
        """
        if self.trials is not None or self.se == 0:
            return self
        from scipy.special import stdtrit

        to, slope = _TO[self.scale]
        with np.errstate(all="ignore"):
            pivots = (to(values) - float(to(np.asarray(self.value)))) / (errors * slope(values))
        pivots = pivots[np.isfinite(pivots)]
        if len(pivots) < 100:
            return self
        tail = (1 - level) / 2
        reach = -float(stdtrit(self.df, tail))
        # A long upper tail of the pivot is a long lower tail of the interval.
        up, down = np.quantile(pivots, [1 - tail, tail]) / reach
        low, high = (float(min(max(x, 1.0), longest)) for x in (up, -down))
        return replace(self, low=low, high=high)


def pivot_of(
    scale: Scale, value: float, se: float, df: float, trials: int, *, difference: bool, identical: bool
) -> Pivot | None:
    """The pivot of an estimate, or of a difference of two; None where nothing varies and the range of the
    metric says nothing either."""
    limits = _RANGE[scale]
    if difference:
        width = limits[1] - limits[0]
        limits, scale = (-width, width), Scale.PLAIN
        if se > 0 or identical:
            return Pivot(scale, value, se, df, limits)
        return Pivot(scale, value, 0.0, df, limits, trials) if math.isfinite(width) else None
    if scale is Scale.PLAIN or limits[0] < value < limits[1]:
        return Pivot(scale, value, se, df, limits) if se > 0 else None
    return Pivot(scale, value, 0.0, df, limits, trials) if all(map(math.isfinite, limits)) else None
