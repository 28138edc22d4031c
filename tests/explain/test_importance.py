"""Permutation importance: ranks what matters, and its intervals cover what they are of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from headrace.core.task import Kind, Task
from headrace.explain.importance import Columns, donors, importances
from headrace.explain.record import Importance
from headrace.metrics.catalog import METRICS
from headrace.metrics.record import Predictions

REGRESSION, BINARY = Task(Kind.REGRESSION), Task(Kind.BINARY, (False, True))


def predicted(task: Task, y: np.ndarray, score: np.ndarray, units: np.ndarray) -> Predictions:
    decision = None if task.kind is Kind.REGRESSION else (score >= 0.5).astype(np.int64)
    return Predictions(task, y.astype(np.float64), score.astype(np.float64), units, decision)


def lines(
    task: Task,
    metric: str,
    columns: dict[str, np.ndarray],
    y: np.ndarray,
    score: Callable[[Columns], np.ndarray],
    units: np.ndarray,
    *,
    seed: int = 0,
) -> list[Importance]:
    def answer(feeds: Columns) -> Predictions:
        return predicted(task, y, score(feeds), units)

    return importances(METRICS[metric], answer(columns), columns, answer, list(columns), seed=seed)


def test_planted_columns_are_ranked_by_what_they_do() -> None:
    rng = np.random.default_rng(1)
    columns = {n: rng.normal(size=2000) for n in ("much", "some", "pair", "none")}
    y = 3 * columns["much"] + columns["some"] + columns["some"] * columns["pair"] + rng.normal(size=2000)

    def score(c: Columns) -> np.ndarray:
        return 3 * c["much"] + c["some"] + c["some"] * c["pair"]

    found = lines(REGRESSION, "rmse", columns, y, score, np.arange(2000))
    assert [i.name for i in found] == ["much", "some", "pair", "none"]
    # Permuting x in a·x doubles its part of the variance: 2a²; of the product, of variance 1, 2.
    assert found[-1].drop == 0
    squared = {i.name: (1 + (i.drop or 0.0)) ** 2 - 1 for i in found}
    assert squared["much"] == pytest.approx(18, rel=0.15)
    assert squared["some"] == pytest.approx(4, rel=0.2) and squared["pair"] == pytest.approx(2, rel=0.2)
    for i in found[:3]:
        assert i.interval is not None and i.interval.low > 0 and i.spread is not None and i.spread > 0


def test_an_interaction_alone_is_seen() -> None:
    rng = np.random.default_rng(2)
    columns = {n: rng.integers(0, 2, 3000).astype(np.float64) for n in ("a", "b", "noise")}
    y = (columns["a"] != columns["b"]).astype(np.float64)
    found = lines(BINARY, "accuracy", columns, y, lambda c: 1.0 * (c["a"] != c["b"]), np.arange(3000))
    drops = {i.name: i.drop for i in found}
    assert drops["noise"] == 0
    assert drops["a"] == pytest.approx(0.5, abs=0.04) and drops["b"] == pytest.approx(0.5, abs=0.04)


def test_values_come_from_other_units_and_each_is_used_once() -> None:
    rng = np.random.default_rng(3)
    units = np.repeat(np.arange(30), rng.integers(1, 40, 30))
    rng.shuffle(units)
    for _ in range(20):
        rows = donors(units, rng)
        assert sorted(rows) == list(range(len(units)))
        assert (units[rows] != units).all()
    most = np.array([0] * 80 + [1] * 20)
    assert sorted(donors(most, rng)) == list(range(100))
    assert donors(np.array([4]), rng).tolist() == [0]


@pytest.mark.parametrize("clustered", [False, True])
def test_intervals_of_noise_columns_cover_zero(clustered: bool) -> None:
    """A model that leans on noise: its true importance is 0 where noise neither helps nor harms beyond what
    the model does with any other draw of it."""
    covered, tried = 0, 150
    for seed in range(tried):
        rng = np.random.default_rng(seed)
        days, size = (40, 10) if clustered else (400, 1)
        units = np.repeat(np.arange(days), size)
        noise = np.repeat(rng.normal(size=days), size) if clustered else rng.normal(size=400)
        shared = np.repeat(rng.normal(size=days), size) * (0.7 if clustered else 0)
        columns = {"x": rng.normal(size=400), "noise": noise}
        y = columns["x"] + shared + rng.normal(0, 0.5, 400)
        found = lines(REGRESSION, "rmse", columns, y, lambda c: c["x"] + 0.3 * c["noise"], units, seed=seed)
        interval = next(i.interval for i in found if i.name == "noise")
        assert interval is not None
        covered += interval.low <= 0 <= interval.high
    # nominal 95%: 150 tries are below 90% with a chance of 0.4%
    assert covered / tried >= 0.90


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_classes_and_rank_metrics(task: str) -> None:
    rng = np.random.default_rng(4)
    x, noise, units = rng.normal(size=900), rng.normal(size=900), np.arange(900)
    if task == "binary":
        found = lines(
            BINARY, "roc_auc", {"x": x, "noise": noise}, x > 0, lambda c: 1 / (1 + np.exp(-c["x"])), units
        )
        assert found[0].drop == pytest.approx(0.5, abs=0.06)
    else:
        three = Task(Kind.MULTICLASS, ("a", "b", "c"))
        y = np.digitize(x, [-0.5, 0.5]).astype(np.float64)

        def answer(c: Columns) -> Predictions:
            code = np.digitize(c["x"].astype(np.float64), [-0.5, 0.5])
            return Predictions(three, y, np.eye(3)[code], units, code.astype(np.int64))

        columns = {"x": x, "noise": noise}
        found = importances(METRICS["f1_macro"], answer(columns), columns, answer, ["x", "noise"], seed=0)
        assert found[0].drop == pytest.approx(2 / 3, abs=0.06)
    assert found[0].name == "x" and found[1].drop == 0


def test_an_undefined_metric_says_so() -> None:
    columns = {"x": np.arange(30.0)}
    (line,) = lines(BINARY, "roc_auc", columns, np.zeros(30), lambda c: c["x"] / 30, np.arange(30))
    assert line.drop is None and line.interval is None and "undefined" in line.why_none
