"""How likely the largest of many measures is beyond what the resamples reach."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ERFCX = (
    -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806,
    0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277,
)  # fmt: skip
_LEVELS = 24


def surprise(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """-log of the chance that a standard normal is above z, in natural units; to 1e-6 of itself, however far.

    Chebyshev's fit of the complementary error function (Press et al., Numerical Recipes, 6.2): SciPy is not
    there where a server watches.
    """
    x = np.abs(z) / math.sqrt(2)
    t = 1 / (1 + 0.5 * x)
    inner = np.zeros_like(t)
    for c in reversed(_ERFCX):
        inner = inner * t + c
    log_half = np.log(t / 2) - x * x + inner  # log of half erfc(x)
    return np.asarray(np.where(z >= 0, -log_half, -np.log1p(-np.exp(np.minimum(log_half, -1e-9)))))


def quantile(surprised: float) -> float:
    """The z of a surprise: the other way round, by bisection."""
    low, high = -40.0, 400.0
    for _ in range(70):
        middle = (low + high) / 2
        low, high = (middle, high) if float(surprise(np.array([middle]))[0]) < surprised else (low, middle)
    return (low + high) / 2


@dataclass(frozen=True)
class Tail:
    """The upper tail of the largest surprise of a window while nothing changes.

    start: from where on the tail is fitted; share: of windows beyond it; scale: mean excess; clusters: on how
    many independent excesses that rests. levels: quantiles below the start, at equal steps.

    A generalised Pareto tail (Pickands, 1975). Surprise makes its shape 0: it is the logarithm of a chance,
    and a measure whose spread is wrong by some factor only stretches it. That the scale is an estimate from
    so many excesses is in the shape 1 / clusters: the predictive distribution of an exponential of unknown
    scale is exactly this Pareto (Aitchison & Dunsmore, 1975). Few excesses widen the threshold.
    """

    start: float
    share: float
    scale: float
    clusters: float
    shape: float
    levels: tuple[float, ...]

    def beyond(self, surprised: float) -> float:
        """The chance of a window whose largest surprise is above this."""
        if surprised <= self.start:
            below = float(np.interp(surprised, self.levels, np.linspace(0, 1, len(self.levels))))
            return 1 - (1 - self.share) * below
        over = (surprised - self.start) / self.scale
        return self.share * float(math.exp(-math.log1p(self.shape * over) / self.shape))

    def threshold(self, chance: float) -> float:
        """The surprise that so many windows exceed."""
        if chance >= self.share:
            at = (1 - chance) / (1 - self.share)
            return float(np.interp(at, np.linspace(0, 1, len(self.levels)), self.levels))
        return self.start + self.scale * math.expm1(math.log(self.share / chance) * self.shape) / self.shape


def fit_tail(
    largest: NDArray[np.float64], *, share: float, gap: int, independent: float, windows: float = math.inf
) -> Tail:
    """The tail of the largest surprises `[resamples]`, in their order in time.

    share: of resamples that are tail. gap: resamples no further apart than this share rows, and excesses come
    in clusters; 0: their order says nothing. independent: no more excesses than this share of them can be
    independent. windows: on how many independent ones the spreads rest.
    """
    ordered = np.sort(largest)
    n = len(ordered)
    k = max(4, round(share * n))
    start = float((ordered[-k - 1] + ordered[-k]) / 2)
    over = np.flatnonzero(largest > start)
    clusters = len(over) * extremal_index(over) if gap else len(over)
    scale = float((largest[over] - start).mean()) if len(over) else 1.0
    clusters = max(2.0, min(clusters, independent * k))
    return Tail(
        start=start,
        share=max(len(over), 1) / n,
        scale=max(scale, 1e-3),
        clusters=float(clusters),
        shape=1 / float(clusters) + 1 / windows,
        levels=tuple(float(v) for v in np.quantile(ordered[: n - k], np.linspace(0, 1, _LEVELS))),
    )


def extremal_index(over: NDArray[np.int64]) -> float:
    """How many clusters there are for each excess, from the places of excesses: 0 to 1 (Ferro & Segers,
    2003).

    >>> extremal_index(np.array([10, 11, 12, 13, 90, 91, 92, 93])) < 0.5
    True
    """
    waits = np.diff(over).astype(np.float64)
    if len(waits) < 2 or waits.max() <= 2:
        return 1.0 / max(len(over), 1)
    top, low = 2 * (waits - 1).sum() ** 2, len(waits) * ((waits - 1) * (waits - 2)).sum()
    return float(min(1.0, top / low))
