"""Nominal 95% intervals cover the true value in 95 of 100 samples, rows of a day moving together or not.

The full form draws 2,000 samples of each world, which tells a coverage to within 0.95 points (two standard
errors); it is held to 95 ± 1.5 for each metric (plain percentiles cover 91 to 93 with 20 days). The reduced
form draws fewer and is held to what they can tell; it still fails at once when rows of a day are resampled
as if they were independent.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from metric_worlds import BINARY_METRICS, REGRESSION_METRICS, World

from headrace.metrics.catalog import METRICS
from headrace.metrics.intervals import intervals
from headrace.metrics.record import Predictions

ROWS, DAYS, FEW_DAYS, LONG_DAYS = World(500), World(60, 20), World(20, 30), World(20, 80)


def coverage(
    world: World,
    repetitions: int,
    *,
    names: tuple[str, ...] = BINARY_METRICS + REGRESSION_METRICS,
    by_rows: bool = False,
    population: int = 1_500_000,
    resamples: int = 1000,
) -> dict[str, tuple[float, float]]:
    """For each metric the shares of samples whose interval lies wholly above and below the true value."""
    truth = {n: v for n, v in world.truth(population).items() if n in names}
    above: Counter[str] = Counter()
    below: Counter[str] = Counter()
    for seed in range(repetitions):
        rng = np.random.default_rng([7, seed])
        for some, predictions in (
            (BINARY_METRICS, world.binary(rng)),
            (REGRESSION_METRICS, world.regression(rng)),
        ):
            sample = _rows_as_units(predictions) if by_rows else predictions
            found = intervals(
                [METRICS[n] for n in some if n in names], sample, seed=seed, resamples=resamples
            )
            for name, estimate in found.items():
                assert estimate.interval is not None
                above[name] += truth[name] < estimate.interval.low
                below[name] += truth[name] > estimate.interval.high
    return {n: (above[n] / repetitions, below[n] / repetitions) for n in truth}


def _rows_as_units(predictions: Predictions) -> Predictions:
    return replace(predictions, units=np.arange(predictions.rows))


def covered(missed: dict[str, tuple[float, float]]) -> dict[str, float]:
    return {name: 1 - above - below for name, (above, below) in missed.items()}


@pytest.mark.deep
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("world", [ROWS, DAYS, FEW_DAYS])
def test_95_percent_intervals_cover_95_percent(world: World) -> None:
    missed = coverage(world, 2000)
    for name, share in covered(missed).items():
        assert 0.935 <= share <= 0.965, (world, name, missed)


def test_reduced_samples_cover_too() -> None:
    """100 samples tell the coverage of one metric to about 4 points, the mean over metrics to about 2."""
    for world in (ROWS, DAYS, FEW_DAYS):
        shares = covered(coverage(world, 100, population=300_000, resamples=200))
        assert 0.92 <= np.mean([*shares.values()]) <= 0.985, (world, shares)
        assert min(shares.values()) >= 0.88, (world, shares)


def test_rows_in_place_of_days_are_falsely_sure() -> None:
    names = ("f1", "accuracy", "rmse", "mae")
    torn = coverage(LONG_DAYS, 100, names=names, by_rows=True, population=300_000, resamples=100)
    assert max(covered(torn).values()) < 0.85, torn
    whole = coverage(LONG_DAYS, 100, names=names, population=300_000, resamples=100)
    assert min(covered(whole).values()) > 0.88, whole
