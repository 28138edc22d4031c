"""What a bar promises: the false-pass rate of bars relative to today's rule, and of a goal's constraints."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.core.task import Kind, Task
from headrace.metrics.catalog import METRICS
from headrace.metrics.intervals import bound, interval, paired
from headrace.metrics.measure import measure
from headrace.metrics.record import Predictions

BINARY = Task(Kind.BINARY, ("no", "yes"))
REGRESSION = Task(Kind.REGRESSION)
UNITS, ROWS = 40, 12


def decided(y: np.ndarray, decision: np.ndarray, units: np.ndarray) -> Predictions:
    return Predictions(BINARY, y, decision.astype(float), units, decision.astype(np.int64))


def pair(rng: np.random.Generator, ours: float, theirs: float) -> tuple[Predictions, Predictions]:
    """Decisions of two that flag negatives with these chances, on rows whose units share their luck."""
    units = np.repeat(np.arange(UNITS), ROWS)
    y = (rng.random(len(units)) < 0.4).astype(float)
    luck = rng.beta(4, 4, UNITS)[units]  # 0.5 on average

    def flags(chance: float) -> np.ndarray:
        return rng.random(len(units)) < np.where(y == 1, 0.7, 2 * chance * luck)

    return decided(y, flags(ours), units), decided(y, flags(theirs), units)


def passes(count: int, ours: float, theirs: float, factor: float, level: float) -> int:
    found = 0
    for seed in range(count):
        a, b = pair(np.random.default_rng(seed), ours, theirs)
        estimate = paired(METRICS["fpr"], a, b, seed=1, factor=factor, resamples=200)
        found += bound(estimate, side="low", alpha=level) >= 0
    return found


@pytest.mark.parametrize(
    ("count", "slack"), [(400, 12), pytest.param(4000, 30, marks=pytest.mark.deep)], ids=["quick", "deep"]
)
@pytest.mark.parametrize(("ours", "factor"), [(0.3, 1.0), (0.24, 0.8)])
def test_a_relative_bar_is_passed_falsely_no_more_often_than_its_level(
    ours: float, factor: float, count: int, slack: int
) -> None:
    """The truth lies at the bar itself: `fpr <= factor * today`, judged at 0.025."""
    assert passes(count, ours, 0.3, factor, 0.025) <= 0.025 * count + slack


def test_a_relative_bar_can_be_passed() -> None:
    assert passes(60, 0.12, 0.3, 0.8, 0.025) >= 55
    assert passes(60, 0.12, 0.3, 0.8, 0.05 / 16) >= 45, "the level of a second opening"


def test_the_estimate_is_of_the_multiple() -> None:
    a, b = pair(np.random.default_rng(1), 0.2, 0.3)
    estimate = paired(METRICS["fpr"], a, b, seed=1, factor=0.8)
    ours, theirs = measure(METRICS["fpr"], a), measure(METRICS["fpr"], b)
    assert estimate.value == pytest.approx(0.8 * theirs - ours), "above zero: below the multiple"
    same = paired(METRICS["fpr"], a, a, seed=1, factor=0.8)
    assert same.value == pytest.approx(-0.2 * ours)
    assert same.interval is not None
    assert same.interval.high < 0, "as good as today's is not a fifth better, and that is certain enough"


def test_errors_of_a_regression() -> None:
    rng = np.random.default_rng(2)
    y, units = rng.normal(size=600), np.repeat(np.arange(60), 10)
    ours, theirs = (Predictions(REGRESSION, y, y + rng.normal(0, s, 600), units) for s in (0.8, 1.0))
    lax = paired(METRICS["rmse"], ours, theirs, seed=1, factor=0.9)
    strict = paired(METRICS["rmse"], ours, theirs, seed=1, factor=0.75)
    assert lax.interval is not None
    assert strict.interval is not None
    assert lax.interval.low > 0 > strict.interval.low


@pytest.mark.parametrize(
    ("count", "slack"), [(300, 9), pytest.param(4000, 40, marks=pytest.mark.deep)], ids=["quick", "deep"]
)
def test_a_constraint_is_judged_kept_falsely_no_more_often_than_its_level(count: int, slack: int) -> None:
    """True recall is the bound itself, in days that differ: the safe end reaches it 2.5% of the time."""
    found = 0
    for seed in range(count):
        rng = np.random.default_rng(seed)
        units = np.repeat(np.arange(UNITS), ROWS)
        y = (rng.random(len(units)) < 0.5).astype(float)
        chance = rng.beta(18, 2, UNITS)[units]  # 0.9 on average
        p = decided(y, rng.random(len(units)) < np.where(y == 1, chance, 0.3), units)
        estimate = interval(METRICS["recall"], p, seed=1, resamples=200)
        found += estimate.interval is not None and estimate.interval.low >= 0.9
    assert found <= 0.025 * count + slack
