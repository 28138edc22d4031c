"""Thresholds that keep a goal's constraints, against a plain search; and what decisions are worth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.errors import UserError
from headrace.core.task import Kind, Task
from headrace.metrics.catalog import METRICS, metric
from headrace.metrics.intervals import interval
from headrace.metrics.margin import SAFE, planned_level
from headrace.metrics.measure import measure
from headrace.metrics.record import Metric, Predictions
from headrace.metrics.threshold import Aim, Need, choose_cut, choose_threshold
from headrace.metrics.worth import worth_of

BINARY = Task(Kind.BINARY, ("no", "yes"))
MONEY = {"true_positive": 40.0, "false_positive": -7.0, "true_negative": 0.5, "false_negative": -2.0}
VALUE = metric("value", BINARY, value=MONEY, unit="USD")


def predictions(y: np.ndarray, decision: np.ndarray, units: np.ndarray | None = None) -> Predictions:
    own = np.arange(len(y)) if units is None else units
    return Predictions(BINARY, y, decision.astype(float), own, decision.astype(np.int64))


def at(m: Metric, y: np.ndarray, score: np.ndarray, threshold: float) -> float:
    return measure(m, predictions(y, score >= threshold))


def world(n: int, seed: int, *, days: int = 0, signal: float = 1.5) -> tuple[np.ndarray, ...]:
    """Labels, scores and units (days that share a shift of the scores, where `days` is set)."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.3).astype(float)
    units = rng.integers(0, days, n) if days else np.arange(n)
    shift = rng.normal(0, 0.7, days)[units] if days else 0.0
    score = 1 / (1 + np.exp(-(signal * (y - 0.5) + shift + rng.normal(size=n))))
    return y, score, units


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=30),
    low=st.sampled_from([0.3, 0.7, 0.95]),
)
def test_the_cut_is_the_best_of_those_that_keep_the_constraint(
    rows: list[tuple[bool, int]], low: float
) -> None:
    y, score = np.array([r[0] for r in rows], dtype=float), np.array([r[1] for r in rows]) / 5
    aim = Aim(METRICS["fpr"], (Need(METRICS["recall"], ">=", low),))
    cut = choose_cut(aim, y, score)
    tried = {t: (at(METRICS["recall"], y, score, t), at(METRICS["fpr"], y, score, t)) for t in (*score, 2.0)}
    feasible = [fpr for recall, fpr in tried.values() if recall >= low and not np.isnan(fpr)]
    if not feasible:
        assert cut.kept == "none"
        return
    recall, fpr = at(METRICS["recall"], y, score, cut.threshold), at(METRICS["fpr"], y, score, cut.threshold)
    assert recall >= low, "by construction, on the rows that it was chosen on"
    assert cut.kept in ("planned", "safe", "here")
    if cut.kept == "here":
        assert fpr == pytest.approx(min(feasible))


@pytest.mark.parametrize("days", [0, 40])
def test_the_constraint_holds_at_the_safe_end(days: int) -> None:
    y, score, units = world(3000, 1, days=days)
    aim = Aim(METRICS["fpr"], (Need(METRICS["recall"], ">=", 0.8),))
    cut = choose_cut(aim, y, score, units=units)
    estimate = interval(METRICS["recall"], predictions(y, score >= cut.threshold, units), seed=1)
    assert cut.kept == "planned"
    assert cut.reached["recall >= 0.8"] == pytest.approx(estimate.value)
    assert estimate.interval is not None
    assert 0.795 < estimate.interval.low < 0.83, "the safe end is near the bound, not far inside"
    lax = choose_cut(Aim(METRICS["fpr"], aim.needs, level=0.5), y, score, units=units)
    assert lax.threshold == cut.threshold, "no aim asks for less than the safe end"


def test_days_that_differ_ask_for_a_wider_margin() -> None:
    y, score, units = world(3000, 1, days=40)
    aim = Aim(METRICS["fpr"], (Need(METRICS["recall"], ">=", 0.8),))
    assert choose_threshold(aim, y, score, units=units) < choose_threshold(aim, y, score)


def test_the_margin_lets_a_test_of_the_same_world_pass_nine_times_in_ten() -> None:
    """Chosen on 1,500 rows with the level planned for 600 more; then judged at the safe end on these."""
    passed = 0
    for seed in range(60):
        y, score, _ = world(2100, 100 + seed)
        aim = Aim(METRICS["fpr"], (Need(METRICS["recall"], ">=", 0.7),), level=planned_level(1500, 600))
        cut = choose_cut(aim, y[:1500], score[:1500])
        held = interval(METRICS["recall"], predictions(y[1500:], score[1500:] >= cut.threshold), seed=1)
        passed += held.interval is not None and held.interval.low >= 0.7
    assert 45 <= passed <= 60, "nine in ten, within four standard errors"


def test_planned_levels() -> None:
    assert planned_level(1000, 10**9) > planned_level(1000, 1000) > planned_level(1000, 10) > 0
    assert planned_level(1, 10**12) == SAFE


def test_where_no_cut_keeps_the_goal_the_nearest_is_told() -> None:
    y, score, units = world(500, 3, signal=0.5)
    needs = (Need(METRICS["recall"], ">=", 0.95), Need(METRICS["precision"], ">=", 0.9))
    cut = choose_cut(Aim(METRICS["f1"], needs), y, score, units=units)
    assert cut.kept == "none"
    short = {
        t: max(
            (0.95 - at(METRICS["recall"], y, score, t)) / 0.95,
            (0.9 - at(METRICS["precision"], y, score, t)) / 0.9,
        )
        for t in score
    }
    mine = max((0.95 - cut.reached["recall >= 0.95"]) / 0.95, (0.9 - cut.reached["precision >= 0.9"]) / 0.9)
    assert mine == pytest.approx(min(short.values()))


def test_a_bound_relative_to_todays_rule() -> None:
    y, score, units = world(4000, 4)
    today = (np.random.default_rng(5).random(len(y)) < np.where(y == 1, 0.7, 0.25)).astype(float)
    rule_fpr = measure(METRICS["fpr"], predictions(y, today))
    aim = Aim(METRICS["recall"], (Need(METRICS["fpr"], "<=", 0.8, relative=True),))
    cut = choose_cut(aim, y, score, units=units, today=today)
    assert cut.bounds["fpr <= 0.8 * today"] == pytest.approx(0.8 * rule_fpr)
    assert cut.reached["fpr <= 0.8 * today"] < 0.8 * rule_fpr
    assert cut.kept == "planned"
    with pytest.raises(UserError, match="needs what today's rule answers"):
        choose_cut(aim, y, score)


def test_what_has_no_answer_is_told() -> None:
    need = (Need(METRICS["recall"], ">=", 0.9),)
    assert choose_cut(Aim(METRICS["fpr"], need), np.zeros(0), np.zeros(0)).kept == "none"
    one = choose_cut(Aim(METRICS["fpr"], need), np.zeros(5), np.linspace(0, 1, 5))
    assert (one.kept, np.isfinite(one.threshold)) == ("none", True), "recall of no positives is undefined"
    with pytest.raises(UserError, match="the same at every threshold"):
        choose_cut(Aim(METRICS["fpr"], (Need(METRICS["roc_auc"], ">=", 0.9),)), np.eye(3)[0], np.ones(3))
    few = choose_cut(Aim(METRICS["fpr"], need), np.array([0.0, 1, 1]), np.array([0.1, 0.6, 0.7]))
    assert (few.kept, few.threshold) == ("here", pytest.approx(0.35)), "three rows say nothing beyond noise"


def test_value_by_brute_force() -> None:
    y, score, units = world(400, 6, days=25)
    today = (score > 0.9).astype(np.int64)
    ours = predictions(y, score >= 0.4, units)
    rule = predictions(y, today, units)
    nothing = predictions(y, np.zeros(len(y)), units)

    def money(decision: np.ndarray) -> float:
        total = 0.0
        for truth, act in zip(y, decision, strict=True):
            if act:
                total += MONEY["true_positive"] if truth else MONEY["false_positive"]
            else:
                total += MONEY["false_negative"] if truth else MONEY["true_negative"]
        return 1000 * total / len(y)

    worth = worth_of(VALUE, ours, {"today": (ours, rule), "nothing": (ours, nothing)}, seed=1)
    mine = money(score >= 0.4)
    assert worth.value == pytest.approx(mine)
    assert worth.unit == "USD per 1,000 decisions"
    assert worth.gains["today"].gain == pytest.approx(mine - money(today))
    assert worth.gains["nothing"].gain == pytest.approx(mine - money(np.zeros(len(y))))
    assert worth.interval is not None
    assert worth.gains["nothing"].interval is not None
    assert worth.interval.low < mine < worth.interval.high
    assert (worth.rows, worth.units) == (400, 25), "days, not rows, are resampled"


def test_the_threshold_that_is_worth_most() -> None:
    y, score, _ = world(2000, 7)
    best = max(at(VALUE, y, score, t) for t in (*score, 2.0))
    assert at(VALUE, y, score, choose_threshold(Aim(VALUE), y, score)) == pytest.approx(best)
