"""An adaptive attacker brings 200 candidates to one sealed set.

All of them have exactly the accuracy that the bar asks for, so each pass is a false one. The attacker sees
the first estimate and then only verdicts, and uses both: a first candidate that looked good on the sealed
rows is varied again and again, one that did not is mixed with fresh ones. Levels that fall with every
opening keep the chance of any false pass within alpha; judging each candidate at alpha does not.
"""

from __future__ import annotations

import numpy as np
import pytest
from metric_worlds import BINARY
from scipy.stats import norm

from headrace.metrics.catalog import METRICS
from headrace.metrics.intervals import bound, interval
from headrace.metrics.record import Predictions
from headrace.metrics.seal import opening_level

ALPHA, BAR, CANDIDATES = 0.05, 0.8, 200
DAYS, ROWS = 30, 20


def test_levels_halve_and_never_add_up_to_more_than_alpha() -> None:
    assert [opening_level(0.05, k) for k in (1, 2, 3)] == [0.025, 0.003125, 0.0015625]
    assert sum(opening_level(0.05, k) for k in range(1, 200)) <= 0.05
    assert opening_level(0.05, 5000) == 0.0


@pytest.mark.parametrize(
    ("alpha", "k", "message"),
    [(0.0, 1, "alpha is 0.0"), (1.0, 1, "alpha is 1.0"), (0.05, 0, "they count from 1")],
)
def test_senseless_levels_are_refused(alpha: float, k: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        opening_level(alpha, k)


class Attacker:
    """Candidates as the rows that they get right. Each is right with chance `BAR` on any row, whatever
    the attacker does: on rows of one day together, and on the same days partly together with the others."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.day = np.repeat(np.arange(DAYS), ROWS)
        self.luck = self.rng.normal(size=DAYS)
        self.favourite = self.fresh()

    def fresh(self) -> np.ndarray:
        shared = self.luck[self.day]
        own = self.rng.normal(size=DAYS)[self.day]
        noise = self.rng.normal(size=len(self.day))
        return norm.cdf(np.sqrt(0.05) * shared + np.sqrt(0.15) * own + np.sqrt(0.8) * noise) < BAR

    def mix(self, one: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
        """`one` with a share of its rows answered as `other` does: still right with chance `BAR`."""
        return np.where(self.rng.random(len(one)) < share, other, one)

    def next(self, looked_good: bool) -> np.ndarray:
        return self.mix(self.favourite, self.fresh(), 0.3 if looked_good else 0.9)

    def measured(self, right: np.ndarray) -> Predictions:
        true = np.ones(len(right))
        return Predictions(BINARY, true, np.where(right, 0.9, 0.1), self.day, right.astype(np.int64))


def ever_passes(seed: int, *, halving: bool) -> bool:
    attacker = Attacker(seed)
    candidate, looked_good = attacker.favourite, False
    for k in range(1, CANDIDATES + 1):
        estimate = interval(METRICS["accuracy"], attacker.measured(candidate), seed=k, resamples=100)
        level = opening_level(ALPHA, k) if halving else ALPHA
        if bound(estimate, side="low", alpha=level) >= BAR:
            return True
        if k == 1:
            looked_good = estimate.value > BAR
        candidate = attacker.next(looked_good)
    return False


def test_an_adaptive_attacker_rarely_gets_through() -> None:
    attacks = 30
    passed = sum(ever_passes(seed, halving=True) for seed in range(attacks))
    assert passed <= attacks * ALPHA + 3 * np.sqrt(attacks * ALPHA * (1 - ALPHA))
    naive = sum(ever_passes(seed, halving=False) for seed in range(15))
    assert naive >= 8


@pytest.mark.deep
@pytest.mark.timeout(3000)
def test_false_passes_stay_within_the_level_over_many_attacks() -> None:
    attacks = 1000
    passed = sum(ever_passes(seed, halving=True) for seed in range(attacks))
    assert passed <= attacks * ALPHA + 2 * np.sqrt(attacks * ALPHA * (1 - ALPHA))
    naive = sum(ever_passes(seed, halving=False) for seed in range(100))
    assert naive >= 60
