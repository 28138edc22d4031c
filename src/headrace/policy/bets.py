"""Bets against a canary: tests that hold however often one looks, and that notice a change at any moment.

In each window of answers a bet is a factor whose mean, given all that went before, is at most one while the
guardrail holds. Products of such factors are test martingales (Waudby-Smith & Ramdas 2024, Estimating means
of bounded random variables by betting, JRSS B 86). As a release may turn bad at any moment, a product begins
at every window, each with a small weight, the weights adding up to one over the whole ramp: the sum is an
e-detector of Shiryaev and Roberts (Shin, Ramdas & Rinaldo 2024, E-detectors, New England Journal of
Statistics in Data Science 2) with a capital of one that is spent. By Ville's inequality (1939) it reaches 1/α
with a chance of at most α in the whole ramp, and not with that chance at every look.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FRACTIONS = np.array([0.05, 0.25, 0.6, 0.95])
"""What is staked of the most that may be, on a mean: little for small excesses, much for large ones."""
ODDS = np.array([1.5, 3.0, 10.0, 50.0, 500.0])
"""How many times the odds are bet to be, on a share."""
_LEAST_BOUND = 1e-6
_NOTHING = np.ones(len(ODDS))


class Capital:
    """Bets that begin at every window: the sum over beginnings of weight times all factors since."""

    def __init__(self, bets: int) -> None:
        self._held = np.zeros(bets)

    def play(self, factors: Floats, weight: float) -> None:
        """A window: `weight` is what begins now, divided among the bets."""
        self._held = (self._held + weight / len(self._held)) * factors

    @property
    def sum(self) -> float:
        """All of it; 1/α and more is shown at level α."""
        return float(self._held.sum())


def spent(window: int, planned: int) -> float:
    """The weight of the bets that begin at a window, counted from 0 at the start of the ramp: nine tenths
    of all evenly over the windows that are planned, the rest over those after them, for ever.

    >>> round(sum(spent(w, 100) for w in range(100_000)), 2)
    1.0
    """
    return 0.9 / planned if window < planned else 0.1 * planned / ((window + 1.0) * window)


def mean_factors(mean: float, bound: float) -> Floats:
    """Bets that a mean in [0, 1] is above a bound: `1 + f (mean - bound) / bound`, whose own mean is at most
    1 while the window's is at most the bound, however its rows depend on each other. Shape [4]."""
    held = min(max(bound, _LEAST_BOUND), 1.0)
    return 1.0 + (mean - held) / held * FRACTIONS


def means_factors(means: Floats, bounds: Floats) -> Floats:
    """`mean_factors` of several means [n], their bounds [n] within (0, 1]. Shape [n * 4]."""
    return np.asarray(1.0 + np.multiply.outer((means - bounds) / bounds, FRACTIONS)).ravel()


def share_factors(ours: int, theirs: int, chance: float) -> Floats:
    """Bets that each of `ours + theirs` marked units is ours with more than `chance`: likelihood ratios of
    the binomial, given the total (as in the conditional test of two rates: Przyborowski & Wilenski 1940,
    Biometrika 31). Shape [5]."""
    if not ours and not theirs:
        return _NOTHING
    odds = ODDS * (chance / (1.0 - chance))
    more = odds / (1.0 + odds)
    log = ours * np.log(more / chance) + theirs * np.log((1.0 - more) / (1.0 - chance))
    return np.asarray(np.exp(np.clip(log, -300.0, 300.0)))
