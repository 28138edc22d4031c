"""Looking every day costs nothing: false alarms over whole tests, power at the plan, faults in the split."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.metrics.sequential import Arm, difference, uneven, units_needed, width


def looks(
    rng: np.random.Generator, tests: int, days: int, a_day: int, shares: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Successes of two arms by the end of each day: [arms, tests, days]; and the units of an arm by then."""
    came = np.stack([rng.binomial(a_day, s, size=(tests, days)).cumsum(axis=1) for s in shares])
    return came, a_day * np.arange(1, days + 1)


def ever_excludes_zero(came: np.ndarray, units: np.ndarray, level: float, planned: int) -> float:
    """The share of tests whose interval excluded zero on any day."""
    means = came / units
    spread = means * (1 - means)
    one = np.sqrt(2 * units * (spread / units).sum(axis=0))
    half = np.array([width(2 * int(n), level, planned) for n in units]) * one
    return float((np.abs(means[1] - means[0]) > half).any(axis=1).mean())


@pytest.mark.parametrize(("share", "a_day", "days"), [(0.1, 100, 60), (0.5, 40, 90), (0.03, 500, 30)])
def test_peeking_every_day_finds_no_more_than_was_said(share: float, a_day: int, days: int) -> None:
    rng = np.random.default_rng(7)
    came, units = looks(rng, 10_000, days, a_day, (share, share))
    found = ever_excludes_zero(came, units, 0.05, int(2 * units[-1]))
    assert found <= 0.05
    # A fixed-sample interval, looked at as often, is wrong several times as often: the test can fail.
    means = came / units
    half = 1.96 * np.sqrt((means * (1 - means) / units).sum(axis=0))
    assert (np.abs(means[1] - means[0]) > half).any(axis=1).mean() > 0.15


@pytest.mark.parametrize(("baseline", "effect"), [(0.1, 0.02), (0.4, -0.05)])
def test_the_planned_effect_is_found_with_the_planned_power(baseline: float, effect: float) -> None:
    rng = np.random.default_rng(8)
    spread = float(np.sqrt(np.mean([s * (1 - s) for s in (baseline, baseline + effect)])))
    needed = units_needed(spread, effect, share=0.5, level=0.05, power=0.8)
    days = 30
    came, units = looks(rng, 4_000, days, -(-needed // (2 * days)), (baseline, baseline + effect))
    power = ever_excludes_zero(came, units, 0.05, needed)
    assert 0.8 <= power <= 0.9


def test_the_interval_is_that_of_the_arms() -> None:
    few = difference(Arm(1, 0.0, 0.0), Arm(500, 1.0, 1.0), level=0.05, planned=1_000)
    assert (few.low, few.high) == (-np.inf, np.inf)
    told = difference(Arm(400, 1.0, 4.0), Arm(600, 1.5, 9.0), level=0.05, planned=1_000)
    assert told.low + told.high == pytest.approx(1.0)
    one = np.sqrt(1_000 * (4.0 / 400 + 9.0 / 600))
    assert told.high - 0.5 == pytest.approx(one * width(1_000, 0.05, 1_000))
    # Narrowest where it was planned, and wider than the interval of a single look.
    assert width(1_000, 0.05, 1_000) < min(width(1_000, 0.05, p) for p in (200, 5_000))
    assert 1.96 / np.sqrt(1_000) < width(1_000, 0.05, 1_000) < 3.1 / np.sqrt(1_000)


def test_a_fault_in_the_split_is_found_and_chance_is_not() -> None:
    rng = np.random.default_rng(9)
    days, a_day = 30, 400

    def lowest(share: float, tests: int) -> np.ndarray:
        to_treatment = rng.binomial(a_day, share, size=(tests, days)).cumsum(axis=1)
        units = a_day * np.arange(1, days + 1)
        seen = [
            [uneven((int(n - t), int(t)), (0.5, 0.5)) for n, t in zip(units, row, strict=True)]
            for row in to_treatment
        ]
        return np.min(seen, axis=1)

    assert (lowest(0.5, 1_000) <= 0.01).mean() <= 0.01
    assert (lowest(0.53, 200) <= 0.01).mean() >= 0.95


@pytest.mark.parametrize("given", [{"effect": 0.0}, {"spread": 0.0}, {"share": 1.0}, {"power": 0.0}])
def test_what_can_not_be_planned_is_refused(given: dict[str, float]) -> None:
    asked = {"spread": 0.3, "effect": 0.02, "share": 0.5, "level": 0.05, "power": 0.8, **given}
    with pytest.raises(ValueError, match=r"no number of units|between 0 and 1"):
        units_needed(asked.pop("spread"), asked.pop("effect"), **asked)
