"""Thresholds against a plain search over every cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.errors import UserError
from headrace.core.task import Kind, Task
from headrace.metrics.catalog import METRICS, metric
from headrace.metrics.measure import measure
from headrace.metrics.record import Metric, Predictions
from headrace.metrics.threshold import choose_threshold

BINARY = Task(Kind.BINARY, ("no", "yes"))
WORTH = metric("value", BINARY, value={"true_positive": 3.0, "false_positive": -1.0, "false_negative": -0.5})
FREE = [METRICS[n] for n in ("f1", "accuracy", "balanced_accuracy", "mcc", "recall", "fpr", "specificity")]


def reached(m: Metric, y: np.ndarray, score: np.ndarray, threshold: float) -> float:
    """How good the metric is at a threshold; minus infinity where it is undefined."""
    decision = (score >= threshold).astype(np.int64)
    value = measure(m, Predictions(BINARY, y, score, np.arange(len(y)), decision))
    return -np.inf if np.isnan(value) else float(m.goodness(value))


@pytest.mark.parametrize("m", [*FREE, WORTH], ids=lambda m: m.name)
@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=25))
def test_no_cut_is_better(m: Metric, rows: list[tuple[bool, int]]) -> None:
    y = np.array([r[0] for r in rows], dtype=float)
    score = np.array([r[1] for r in rows]) / 6
    best = max(reached(m, y, score, t) for t in (*np.unique(score), 2.0))
    got = reached(m, y, score, choose_threshold(m, y, score))
    assert got == pytest.approx(best, abs=1e-12) or np.isneginf(best)


def test_the_cut_lies_midway_between_two_scores() -> None:
    y, score = np.array([0.0, 0, 1, 1]), np.array([0.1, 0.3, 0.5, 0.9])
    assert choose_threshold(METRICS["f1"], y, score) == pytest.approx(0.4)


def test_neighbouring_floats_are_told_apart() -> None:
    low = 0.5
    high = np.nextafter(low, 1)
    threshold = choose_threshold(METRICS["f1"], np.array([0.0, 1.0]), np.array([low, high]))
    assert low < threshold <= high


def test_equally_good_cuts_flag_the_fewest_rows() -> None:
    y, score = np.array([1.0, 0, 0]), np.array([0.9, 0.5, 0.5])
    free = metric("value", BINARY, value={"true_positive": 1.0})
    assert choose_threshold(free, y, score) == pytest.approx(0.7)
    assert choose_threshold(METRICS["recall"], y, score) == pytest.approx(0.7)


def test_a_losing_decision_is_never_made() -> None:
    losing = metric("value", BINARY, value={"true_positive": -1.0, "false_positive": -1.0})
    y, score = np.array([1.0, 0]), np.array([1.0, 0.2])
    assert choose_threshold(losing, y, score) == 2.0
    assert choose_threshold(losing, y, score + 5) == 7.0
    assert choose_threshold(METRICS["fpr"], y, score) == 2.0


def test_flagging_everything_is_zero_or_the_lowest_score() -> None:
    gift = metric("value", BINARY, value={"true_positive": 1.0, "false_positive": 1.0})
    y, score = np.array([1.0, 0]), np.array([0.7, 0.2])
    assert choose_threshold(gift, y, score) == 0.0
    assert choose_threshold(gift, y, score - 1) == pytest.approx(-0.8)


def test_precision_has_to_flag_ten_rows_or_one_percent() -> None:
    rng = np.random.default_rng(3)
    score = rng.random(5000)
    y = (rng.random(5000) < score).astype(float)
    for rows, least in ((5000, 50), (200, 10), (6, 6)):
        threshold = choose_threshold(METRICS["precision"], y[:rows], score[:rows])
        assert np.count_nonzero(score[:rows] >= threshold) >= least


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "log_loss", "brier"])
def test_metrics_of_scores_take_a_half(name: str) -> None:
    assert choose_threshold(METRICS[name], np.array([0.0, 1]), np.array([0.1, 0.2])) == 0.5


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("m", [*FREE, WORTH, METRICS["precision"]], ids=lambda m: m.name)
def test_one_class_alone_gives_a_finite_threshold(m: Metric, value: float) -> None:
    assert np.isfinite(choose_threshold(m, np.full(4, value), np.array([0.1, 0.2, 0.3, 0.3])))


def test_nothing_to_learn_from_gives_a_half() -> None:
    assert choose_threshold(METRICS["f1"], np.zeros(0), np.zeros(0)) == 0.5
    assert choose_threshold(METRICS["mcc"], np.zeros(3), np.array([0.1, 0.2, 0.3])) == 0.5


def test_mistakes_are_told() -> None:
    with pytest.raises(UserError, match="metric 'rmse' has no threshold to choose"):
        choose_threshold(METRICS["rmse"], np.zeros(1), np.zeros(1))
    with pytest.raises(UserError, match="1 true values and 2 scores"):
        choose_threshold(METRICS["f1"], np.zeros(1), np.zeros(2))
