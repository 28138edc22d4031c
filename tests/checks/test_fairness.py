"""Fairness measures against their definitions, and their intervals against a known truth."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.checks.fairness import fairness, fairness_evidence, measures
from headrace.checks.groups import Grouping
from headrace.core.codec import from_json, to_json
from headrace.core.evidence import Outcome, Rule, judge
from headrace.core.task import Kind, Task
from headrace.metrics.record import Predictions

BINARY = Task(Kind.BINARY, ("no", "yes"))
THREE = Task(Kind.MULTICLASS, ("a", "b", "c"))


def by_definition(y: np.ndarray, decided: np.ndarray, groups: np.ndarray) -> dict[str, float]:
    """fairlearn's MetricFrame with selection_rate, true_positive_rate and false_positive_rate:
    difference and ratio between groups (`between_groups`)."""
    rates = {"selection_rate": [], "tpr": [], "fpr": []}
    for g in np.unique(groups):
        mine, true = decided[groups == g], y[groups == g]
        rates["selection_rate"].append(sum(mine == 1) / len(mine))
        rates["tpr"].append(sum((mine == 1) & (true == 1)) / sum(true == 1))
        rates["fpr"].append(sum((mine == 1) & (true == 0)) / sum(true == 0))
    found = {}
    for name, values in rates.items():
        found[f"{name}_difference"] = max(values) - min(values)
        found[f"{name}_ratio"] = min(values) / max(values)
    return found


def grouping(codes: np.ndarray, name: str = "sex") -> Grouping:
    count = int(codes.max()) + 1
    labels = tuple(f"{name} = {chr(97 + i)}" for i in range(count))
    return Grouping(name, labels, codes.astype(np.int32), (True,) * count)


def binary(y: np.ndarray, decided: np.ndarray, units: np.ndarray | None = None) -> Predictions:
    own = np.arange(len(y)) if units is None else units
    return Predictions(
        BINARY, y.astype(np.float64), decided.astype(np.float64), own, decided.astype(np.int64)
    )


@pytest.mark.parametrize("groups", [2, 3, 5])
def test_measures_are_those_of_the_definitions(groups: int) -> None:
    rng = np.random.default_rng(groups)
    y, decided, codes = (rng.integers(0, n, 900) for n in (2, 2, groups))
    decided |= (codes == 0) & (rng.random(900) < 0.3)
    found = fairness(binary(y, decided), [grouping(codes)], min_rows=10)
    expected = by_definition(y, decided, codes)
    assert {d.measure: d.value for d in found.disparities} == pytest.approx(expected)
    assert set(expected) == set(measures(Kind.BINARY))
    for d in found.disparities:
        assert d.interval is not None
        assert d.interval.low <= d.value <= d.interval.high
    assert len(found.rates) == 3 * groups


def test_each_class_against_the_rest() -> None:
    rng = np.random.default_rng(1)
    y, decided, codes = (rng.integers(0, n, 600) for n in (3, 3, 2))
    score = np.eye(3)[decided]
    p = Predictions(THREE, y.astype(np.float64), score, np.arange(600), decided)
    found = fairness(p, [grouping(codes)], min_rows=10)
    for code, name in enumerate(THREE.classes):
        expected = by_definition((y == code).astype(int), (decided == code).astype(int), codes)
        assert {d.measure: d.value for d in found.disparities if d.of == name} == pytest.approx(expected)
    assert found.disparities[0].gate == "fairness: sex selection_rate_difference of a"


def test_a_regression_compares_means() -> None:
    rng = np.random.default_rng(2)
    y, codes = rng.normal(size=400), rng.integers(0, 2, 400)
    score = y + codes * 0.5 + rng.normal(size=400) * 0.1
    found = fairness(
        Predictions(Task(Kind.REGRESSION), y, score, np.arange(400)), [grouping(codes)], min_rows=10
    )
    values = {d.measure: d.value for d in found.disparities}
    errors = [score[codes == g] - y[codes == g] for g in (0, 1)]
    assert values["error_difference"] == pytest.approx(errors[1].mean() - errors[0].mean())
    absolute = sorted(np.abs(e).mean() for e in errors)
    assert values["absolute_error_ratio"] == pytest.approx(absolute[0] / absolute[1])
    assert set(values) == set(measures(Kind.REGRESSION))


def test_a_small_group_makes_its_measures_unknown_with_the_reason() -> None:
    rng = np.random.default_rng(3)
    codes = np.r_[np.zeros(300, int), np.ones(300, int), np.full(12, 2)]
    y, decided = rng.integers(0, 2, 612), rng.integers(0, 2, 612)
    found = fairness(binary(y, decided), [grouping(codes)], min_rows=50)
    assert all(d.value is None and "sex = c (" in d.why_none for d in found.disparities)
    assert judge(fairness_evidence(found)[0], Rule("<=", 1.0, safe_end=True))[0] == Outcome.UNKNOWN
    assert found.rates[2].rows == 12  # its rates are shown nevertheless


def test_few_units_are_too_few_however_many_rows() -> None:
    rng = np.random.default_rng(4)
    units = np.arange(800) // 200
    found = fairness(
        binary(rng.integers(0, 2, 800), rng.integers(0, 2, 800), units),
        [grouping(np.arange(800) % 2)],
        min_rows=50,
    )
    assert "4 units" in found.disparities[0].why_none


def test_one_group_many_groups_and_nobody_selected() -> None:
    rng = np.random.default_rng(5)
    y, nothing = rng.integers(0, 2, 600), np.zeros(600, int)
    alone = fairness(binary(y, nothing), [grouping(np.zeros(600, int))], min_rows=50)
    assert alone.disparities[0].why_none == "there is one group only"
    many = Grouping("id", tuple(map(str, range(60))), (np.arange(600) % 60).astype(np.int32), (True,) * 60)
    assert "60 groups" in fairness(binary(y, nothing), [many], min_rows=5).disparities[0].why_none
    none = fairness(binary(y, nothing), [grouping(np.arange(600) % 2)], min_rows=50)
    by_name = {d.measure: d for d in none.disparities}
    assert by_name["selection_rate_ratio"].why_none == "selection_rate is 0 in every group"
    assert by_name["selection_rate_difference"].value == 0
    assert by_name["selection_rate_difference"].interval.high > 0  # none of 300 is no proof of none
    assert from_json(to_json(none), dict)["disparities"]


def test_one_group_never_selected_gives_a_ratio_of_zero_with_an_upper_end() -> None:
    rng = np.random.default_rng(6)
    codes = np.arange(600) % 2
    decided = np.where(codes == 0, 0, rng.random(600) < 0.4).astype(int)
    found = fairness(binary(rng.integers(0, 2, 600), decided), [grouping(codes)], min_rows=50)
    ratio = next(d for d in found.disparities if d.measure == "selection_rate_ratio")
    assert ratio.value == 0
    assert ratio.interval.low == 0 < ratio.interval.high < 0.2


def covered(shares: tuple[float, ...], *, by_day: bool, runs: int) -> tuple[int, int]:
    """How often the intervals of difference and ratio hold the truth. Rows of a day share its level."""
    difference, ratio = max(shares) - min(shares), min(shares) / max(shares)
    hits = [0, 0]
    for seed in range(runs):
        rng = np.random.default_rng([9, seed])
        units = np.repeat(np.arange(60), 20) if by_day else np.arange(1200)
        codes = rng.integers(0, len(shares), 1200)
        level = np.array(shares)[codes]
        if by_day:
            level = level * (1 + 0.5 * np.sign(rng.normal(size=60))[units])
        decided = (rng.random(1200) < level).astype(int)
        found = fairness(binary(rng.integers(0, 2, 1200), decided, units), [grouping(codes)], min_rows=50)
        for i, truth in enumerate((difference, ratio)):
            d = found.disparities[i]
            hits[i] += d.interval.low <= truth <= d.interval.high
    return hits[0], hits[1]


@pytest.mark.parametrize("by_day", [False, True])
@pytest.mark.parametrize("shares", [(0.2, 0.3), (0.1, 0.1, 0.1, 0.15), (0.25, 0.25, 0.25)])
def test_intervals_hold_the_truth(shares: tuple[float, ...], by_day: bool) -> None:
    runs = 150
    for hits in covered(shares, by_day=by_day, runs=runs):
        assert hits >= 0.95 * runs - 2.33 * np.sqrt(runs * 0.05 * 0.95)


@pytest.mark.deep
@pytest.mark.parametrize("by_day", [False, True])
@pytest.mark.parametrize("shares", [(0.2, 0.3), (0.05, 0.08), (0.1, 0.1, 0.1, 0.15), (0.25, 0.25, 0.25)])
def test_intervals_hold_the_truth_in_three_thousand_runs(shares: tuple[float, ...], by_day: bool) -> None:
    for hits in covered(shares, by_day=by_day, runs=3000):
        assert hits >= 0.94 * 3000
