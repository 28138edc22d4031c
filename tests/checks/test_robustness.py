"""Faults put into the inputs of a known formula."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headrace.checks.robustness import Feeds, Plan, Robustness, robustness, robustness_evidence
from headrace.core.codec import from_json, to_json
from headrace.core.evidence import Outcome, Rule, judge
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.core.task import Kind, Task
from headrace.metrics.catalog import METRICS
from headrace.metrics.record import Predictions

TYPES = {"a": Type.NUMBER, "w.b": Type.NUMBER, "w.c": Type.TEXT, "idle": Type.NUMBER, "at": Type.TIME}


def world(rows: int = 2000) -> tuple[Feeds, Predictions]:
    rng = np.random.default_rng(1)
    feeds = {
        "a": rng.normal(3, 1, rows),
        "w.b": rng.normal(0, 2, rows),
        "w.c": rng.choice(np.array(["x", "y"], object), rows),
        "idle": rng.normal(size=rows),
        "at": np.full(rows, 10**15),
    }
    truth = formula(feeds) + rng.normal(size=rows)
    return feeds, Predictions(Task(Kind.REGRESSION), truth, formula(feeds), np.arange(rows))


def formula(feeds: Feeds) -> np.ndarray:
    """What the graph computes: null counts as the mean."""
    a = np.where(np.isnan(feeds["a"]), 3.0, feeds["a"])
    b = np.where(np.isnan(feeds["w.b"]), 0.0, feeds["w.b"])
    c = np.where(feeds["w.c"] == "x", 1.0, np.where(feeds["w.c"] == NULL_TEXT, 0.0, -1.0))
    return 2 * a + b + c + np.where(feeds["at"] == NULL_TIME, 100.0, 0.0)


def found(metric: str = "rmse", **given: object) -> Robustness:
    feeds, base = world()
    spreads = {"a": 1.0, "w.b": 2.0, "idle": 1.0}
    plan = Plan(TYPES, {"w": ["w.b", "w.c"]}, spreads, missing=True, scale=(1.1,), noise=(0.1, 0.5))
    made = robustness(
        METRICS[metric],
        feeds,
        lambda f: replace(base, score=formula(f)),
        replace(plan, **given),
        seed=0,
    )
    assert from_json(to_json(made), Robustness) == made
    return made


def test_each_fault_loses_what_the_formula_says() -> None:
    """RMSE is 1; without a it is sqrt(1 + 4), a tenth more of it moves the mean by 0.6."""
    made = found()
    loss = {f.what: f.loss for f in made.faults}
    assert made.base == pytest.approx(1, abs=0.05)
    assert loss["a"] == pytest.approx(np.sqrt(5) - 1, rel=0.06)
    assert loss["w (every column)"] == pytest.approx(np.sqrt(1 + 4 + 1) - 1, rel=0.06)
    assert loss["w.c"] == pytest.approx(np.sqrt(2) - 1, rel=0.1)
    assert loss["a × 1.1"] == pytest.approx(np.sqrt(1 + 0.04 * 10) - 1, rel=0.1)
    assert loss["0.5 standard deviations on every number"] == pytest.approx(np.sqrt(3) - 1, rel=0.1)
    assert loss["idle"] == 0
    for fault in made.faults:
        assert fault.interval is not None
        assert fault.interval.low <= fault.loss <= fault.interval.high


def test_the_worst_of_each_kind_is_judged_at_its_upper_end() -> None:
    made = found()
    worst = {w.kind: w for w in made.worst}
    assert (worst["missing"].what, worst["scale"].what) == ("at", "a × 1.1")
    assert worst["noise"].interval.high == max(f.interval.high for f in made.faults if f.kind == "noise")
    noise = next(e for e in robustness_evidence(made) if e.gate == "robustness: noise")
    assert judge(noise, Rule("<=", noise.value, safe_end=True))[0] == Outcome.FAIL
    assert judge(noise, Rule("<=", worst["noise"].interval.high, safe_end=True))[0] == Outcome.PASS


def test_what_is_not_asked_for_is_not_tried() -> None:
    made = found(missing=False, scale=(), noise=(0.1,))
    assert [f.kind for f in made.faults] == ["noise"]
    assert found(missing=False, scale=(), noise=()).worst == ()


def test_the_same_seed_makes_the_same_noise() -> None:
    assert found() == found()


def test_a_metric_of_zero_has_no_share_to_lose() -> None:
    feeds, base = world()
    exact = replace(base, y=base.score.copy())
    plan = Plan(TYPES, {}, {"a": 1.0, "w.b": 1.0, "idle": 1.0}, missing=True, scale=(), noise=())
    made = robustness(METRICS["rmse"], feeds, lambda f: replace(exact, score=formula(f)), plan, seed=0)
    assert made.worst[0].loss is None
    assert "0 without any fault" in made.worst[0].why_none
    assert judge(robustness_evidence(made)[0], Rule("<=", 1, safe_end=True))[0] == Outcome.UNKNOWN
