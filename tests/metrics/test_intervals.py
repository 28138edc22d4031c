"""Estimates, their safe ends, paired comparisons, and when there is no interval."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from metric_worlds import BINARY, BINARY_METRICS, REGRESSION, World
from scipy import stats
from test_metric_catalog import three_class_sample

from headrace.core.errors import DataError, UserError
from headrace.metrics.catalog import METRICS, metric, names
from headrace.metrics.intervals import MIN_UNITS, bound, interval, intervals, paired
from headrace.metrics.measure import measure
from headrace.metrics.record import Predictions, Scale
from headrace.metrics.scale import Pivot

ROWS, DAYS = World(400), World(40, 20)


def right_and_wrong(right: int, wrong: int) -> Predictions:
    y = np.r_[np.ones(right + wrong)]
    decision = np.r_[np.ones(right), np.zeros(wrong)].astype(np.int64)
    return Predictions(BINARY, y, decision * 0.8 + 0.1, np.arange(len(y)), decision)


def test_the_value_is_the_metric_and_lies_inside() -> None:
    rng = np.random.default_rng(0)
    for p in (DAYS.binary(rng), DAYS.regression(rng), ROWS.binary(rng), three_class_sample(0, 300)):
        wanted = [METRICS[n] for n in names(p.task.kind) if n not in ("value", "mape")]
        for name, e in intervals(wanted, p, seed=1, resamples=200).items():
            assert e.value == measure(METRICS[name], p)
            assert e.interval is not None, (name, e.why_none)
            assert e.interval.low < e.value < e.interval.high
            assert e.se > 0 and e.interval.level == 0.95
            assert e.n_rows == p.rows and e.n_units == len(np.unique(p.units))
            assert e.effective_units <= e.n_units


def test_the_seed_alone_decides() -> None:
    p = DAYS.binary(np.random.default_rng(0))
    one = interval(METRICS["f1"], p, seed=1)
    assert one == interval(METRICS["f1"], p, seed=1)
    assert one == intervals([METRICS["roc_auc"], METRICS["f1"]], p, seed=1)["f1"]
    assert one != interval(METRICS["f1"], p, seed=2)


def test_independent_accuracy_has_the_textbook_error() -> None:
    e = interval(METRICS["accuracy"], right_and_wrong(300, 100), seed=1)
    assert e.se == pytest.approx(np.sqrt(0.75 * 0.25 / 399), rel=1e-6)
    assert e.effective_units == pytest.approx(400)


def test_merged_units_have_the_same_error() -> None:
    p = World(30_000).binary(np.random.default_rng(0))
    e = interval(METRICS["accuracy"], p, seed=1, resamples=200)
    assert "30000 units merged into 1000" in e.method and e.n_units == 30_000
    assert e.se == pytest.approx(np.sqrt(e.value * (1 - e.value) / 30_000), rel=0.1)


def test_days_that_move_together_are_less_sure_than_rows() -> None:
    p = World(40, 100).binary(np.random.default_rng(0))
    by_rows = replace(p, units=np.arange(p.rows))
    for name in BINARY_METRICS:
        wide, narrow = (interval(METRICS[name], x, seed=1, resamples=200) for x in (p, by_rows))
        assert wide.se > 1.3 * narrow.se, name


def test_a_metric_is_only_as_sure_as_the_rows_it_rests_on() -> None:
    y = np.r_[np.ones(8), np.zeros(992)]
    decision = np.r_[np.ones(6), np.zeros(994)].astype(np.int64)
    p = Predictions(BINARY, y, decision * 0.5 + 0.2, np.arange(1000), decision)
    recall = interval(METRICS["recall"], p, seed=1)
    assert recall.effective_units == pytest.approx(8)
    assert recall.interval is not None and recall.interval.low < 0.45
    assert interval(METRICS["accuracy"], p, seed=1).effective_units == pytest.approx(1000)


def test_safe_ends_agree_with_the_interval_and_move_out_as_alpha_falls() -> None:
    rng = np.random.default_rng(0)
    for p in (DAYS.binary(rng), DAYS.regression(rng)):
        for name in names(p.task.kind):
            if name in ("value", "mape"):
                continue
            e = interval(METRICS[name], p, seed=1, resamples=300)
            assert e.interval is not None
            assert bound(e, side="low", alpha=0.025) == pytest.approx(e.interval.low, rel=1e-12)
            assert bound(e, side="high", alpha=0.025) == pytest.approx(e.interval.high, rel=1e-12)
            alphas = [2.0**-k for k in (2, 5, 10, 50, 200, 1000)] + [0.0]
            lows = [bound(e, side="low", alpha=a) for a in alphas]
            highs = [bound(e, side="high", alpha=a) for a in alphas]
            assert lows == sorted(lows, reverse=True) and highs == sorted(highs), name
            if METRICS[name].scale is Scale.SHARE:
                assert 0 <= lows[-1] < 1e-6 and 1 >= highs[-1] > 1 - 1e-6


def test_safe_ends_are_those_of_students_t() -> None:
    pivot = Pivot(Scale.PLAIN, 3.0, 0.5, 19.0, (-np.inf, np.inf))
    for alpha in (0.2, 0.025, 1e-6):
        reach = 0.5 * stats.t.isf(alpha, 19)
        assert pivot.end("low", alpha) == pytest.approx(3 - reach)
        assert pivot.end("high", alpha) == pytest.approx(3 + reach)


@pytest.mark.parametrize(
    ("scale", "value"),
    [(Scale.SHARE, 0.9), (Scale.CORRELATION, -0.5), (Scale.POSITIVE, 40.0), (Scale.EXPLAINED, -2.0)],
)
def test_scales_keep_their_slope(scale: Scale, value: float) -> None:
    """Near the value an end is as far away as on the plain scale, whatever the scale."""
    pivot = Pivot(scale, value, 1e-6, 30.0, (-np.inf, np.inf))
    reach = 1e-6 * stats.t.isf(0.025, 30)
    assert value - pivot.end("low", 0.025) == pytest.approx(reach, rel=1e-3)
    assert pivot.end("high", 0.025) - value == pytest.approx(reach, rel=1e-3)


@pytest.mark.parametrize("alpha", [-0.1, 1.0, float("nan")])
def test_an_alpha_that_is_no_probability_is_refused(alpha: float) -> None:
    e = interval(METRICS["accuracy"], right_and_wrong(30, 10), seed=1)
    with pytest.raises(ValueError, match="a probability below 1 was expected"):
        bound(e, side="low", alpha=alpha)


def test_without_a_failure_the_end_is_that_of_exact_binomial_trials() -> None:
    e = interval(METRICS["accuracy"], right_and_wrong(40, 0), seed=1)
    assert e.value == 1.0 and e.interval is not None
    assert e.interval.high == 1.0
    assert e.interval.low == pytest.approx(stats.beta.ppf(0.025, 40, 1))
    none = interval(METRICS["accuracy"], right_and_wrong(0, 40), seed=1)
    assert none.interval is not None
    assert none.interval.low == 0.0
    assert none.interval.high == pytest.approx(stats.beta.ppf(0.975, 1, 40))


def test_no_interval_says_why() -> None:
    few = interval(METRICS["accuracy"], right_and_wrong(2, 2), seed=1)
    assert few.interval is None and few.value == 0.5
    assert few.why_none == f"4 independent units; an interval needs {MIN_UNITS}"
    assert np.isnan(few.se) and np.isnan(bound(few, side="low", alpha=0.05))

    undefined = interval(METRICS["fpr"], right_and_wrong(20, 20), seed=1)
    assert np.isnan(undefined.value)
    assert undefined.why_none == "fpr is undefined on these 40 rows"

    y = np.r_[np.ones(3), np.zeros(40)]
    p = Predictions(BINARY, y, np.linspace(1, 0, 43), np.arange(43), y.astype(np.int64))
    rare = interval(METRICS["recall"], p, seed=1)
    assert rare.why_none == (
        f"3 independent units hold rows that recall rests on; an interval needs {MIN_UNITS}"
    )

    exact = Predictions(REGRESSION, np.arange(9.0), np.arange(9.0) + 1, np.arange(9))
    assert interval(METRICS["mae"], exact, seed=1).why_none == (
        "every unit gives the same mae, so its error can't be judged"
    )
    nothing = Predictions(REGRESSION, np.zeros(0), np.zeros(0), np.zeros(0, np.int64))
    assert interval(METRICS["rmse"], nothing, seed=1).why_none == "rmse is undefined on these 0 rows"


def test_one_undefined_metric_leaves_the_others_alone() -> None:
    p = right_and_wrong(30, 10)
    found = intervals([METRICS["fpr"], METRICS["recall"]], p, seed=1)
    assert found["fpr"].interval is None
    assert found["recall"] == interval(METRICS["recall"], p, seed=1)


def test_a_metric_of_another_task_is_refused() -> None:
    with pytest.raises(UserError, match="metric 'rmse' does not fit a binary task"):
        interval(METRICS["rmse"], right_and_wrong(5, 5), seed=1)


def worse(p: Predictions, by: float, rng: np.random.Generator) -> Predictions:
    """A model that answers at random for a share `by` of the rows."""
    shuffled = np.where(rng.random(p.rows) < by, rng.permutation(p.score), p.score)
    return replace(p, score=shuffled, decision=(shuffled >= 0.35).astype(np.int64))


@pytest.mark.parametrize("name", ["f1", "roc_auc", "log_loss", "brier", "mcc", "fpr"])
def test_above_zero_the_first_is_better_whichever_way_the_metric_runs(name: str) -> None:
    rng = np.random.default_rng(0)
    good = World(60, 40).binary(rng)
    bad = worse(good, 0.4, rng)
    m = METRICS[name]
    ahead, behind = paired(m, good, bad, seed=1), paired(m, bad, good, seed=1)
    assert ahead.value == pytest.approx(float(m.goodness(measure(m, good)) - m.goodness(measure(m, bad))))
    assert ahead.value == -behind.value
    assert ahead.interval is not None and behind.interval is not None
    assert ahead.interval.low > 0 > behind.interval.high


def test_bias_is_compared_by_its_size() -> None:
    p = World(60).regression(np.random.default_rng(0))
    low, high = replace(p, score=p.score - 1), replace(p, score=p.score + 2)
    assert paired(METRICS["bias"], low, high, seed=1).value > 0.5


def test_pairing_cancels_what_days_share() -> None:
    rng = np.random.default_rng(0)
    p = DAYS.binary(rng)
    other = worse(p, 0.05, rng)
    assert (
        paired(METRICS["accuracy"], p, other, seed=1).se < 0.5 * interval(METRICS["accuracy"], p, seed=1).se
    )


def test_identical_predictions_differ_by_nothing() -> None:
    p = DAYS.binary(np.random.default_rng(0))
    for name in ("f1", "roc_auc", "log_loss"):
        e = paired(METRICS[name], p, p, seed=1)
        assert e.interval is not None
        assert (e.value, e.interval.low, e.interval.high) == (0, 0, 0)


def test_two_models_that_never_failed_are_not_known_to_be_equal() -> None:
    p = right_and_wrong(20, 0)
    other = replace(p, decision=np.r_[np.zeros(1), np.ones(19)].astype(np.int64))
    swapped = replace(p, decision=np.r_[np.ones(1), np.zeros(1), np.ones(18)].astype(np.int64))
    e = paired(METRICS["accuracy"], other, swapped, seed=1)
    assert e.value == 0 and e.interval is not None
    assert e.interval.low < -0.04 and e.interval.high > 0.04


def test_a_handful_of_changed_rows_proves_nothing() -> None:
    p = right_and_wrong(300, 100)
    assert p.decision is not None
    changed = p.decision.copy()
    changed[300:304] = 1
    e = paired(METRICS["accuracy"], replace(p, decision=changed), p, seed=1)
    assert e.value == pytest.approx(0.01) and e.interval is not None
    assert e.interval.low < 0  # 4 of 4 in favour has a chance of 1 in 16


def test_a_pair_has_to_be_of_the_same_rows() -> None:
    p = right_and_wrong(20, 10)
    with pytest.raises(DataError, match="not of the same rows"):
        paired(METRICS["f1"], p, replace(p, units=p.units[::-1].copy()), seed=1)


def test_value_has_an_interval_too() -> None:
    p = DAYS.binary(np.random.default_rng(0))
    e = interval(metric("value", BINARY, value={"true_positive": 4, "false_positive": -1}), p, seed=1)
    assert e.interval is not None and e.interval.low < e.value < e.interval.high
