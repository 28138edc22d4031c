"""Paired comparisons: two equally good models are seldom told apart, a better one is found."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from metric_worlds import World

from headrace.metrics.catalog import METRICS
from headrace.metrics.intervals import paired
from headrace.metrics.record import Predictions

DAYS = World(40, 20)


def noisy(p: Predictions, noise: float, rng: np.random.Generator) -> Predictions:
    """A model that sees the score through noise of its own (in log-odds, or in the target's unit)."""
    if p.decision is None:
        return replace(p, score=p.score + rng.normal(0, noise, p.rows))
    odds = np.log(p.score / (1 - p.score)) + rng.normal(0, noise, p.rows)
    score = 1 / (1 + np.exp(-odds))
    return replace(p, score=score, decision=(score >= 0.35).astype(np.int64))


def called_better(repetitions: int, noise: tuple[float, float]) -> dict[str, float]:
    """How often the first of two models is called better, by metric."""
    found: Counter[str] = Counter()
    for seed in range(repetitions):
        rng = np.random.default_rng([3, seed])
        for p, names in ((DAYS.binary(rng), ("f1", "accuracy", "roc_auc")), (DAYS.regression(rng), ("mae",))):
            first, second = (noisy(p, x, rng) for x in noise)
            for name in names:
                estimate = paired(METRICS[name], first, second, seed=seed, resamples=100)
                assert estimate.interval is not None
                found[name] += estimate.interval.low > 0
    return {name: found[name] / repetitions for name in ("f1", "accuracy", "roc_auc", "mae")}


def test_equal_models_are_seldom_told_apart_and_a_better_one_is_found() -> None:
    alike = called_better(80, (0.6, 0.6))
    assert max(alike.values()) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 80), alike
    assert np.mean([*alike.values()]) <= 0.05, alike
    apart = called_better(30, (0.1, 2.5))
    assert min(apart.values()) >= 0.8, apart


@pytest.mark.deep
@pytest.mark.timeout(1800)
def test_a_thousand_pairs_of_equal_models_give_no_more_than_5_percent_better() -> None:
    alike = called_better(1000, (0.6, 0.6))
    assert max(alike.values()) <= 0.05, alike
    apart = called_better(300, (0.1, 2.5))
    assert min(apart.values()) >= 0.8, apart
