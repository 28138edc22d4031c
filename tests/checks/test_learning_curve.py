"""What the curve says in worlds whose truth is known, by fits that are really made."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from headrace.checks.learning_curve import (
    MORE_DATA,
    NEITHER,
    RICHER,
    UNKNOWN,
    Fit,
    LearningCurve,
    learning_curve,
)
from headrace.core.codec import from_json, to_json
from headrace.core.task import Feature, FeatureKind, Kind, Task
from headrace.learn.curve import FEWEST_ROWS, Refits, refit
from headrace.learn.records import Member, Part, Setting
from headrace.metrics.catalog import METRICS
from headrace.metrics.measure import measure
from headrace.metrics.record import Predictions

TASKS = {
    "rmse": Task(Kind.REGRESSION),
    "f1": Task(Kind.BINARY, ("no", "yes")),
    "accuracy": Task(Kind.MULTICLASS, ("a", "b", "c")),
}


def draw(truth: str, task: Task, rng: np.random.Generator, rows: int) -> Part:
    """MORE_DATA: forty numbers, all of which count a little. RICHER: a product, which no straight line has.
    NEITHER: a straight line of two numbers."""
    X = rng.normal(size=(rows, 40 if truth == MORE_DATA else 4)).astype(np.float32)
    wide = np.asarray(X, np.float64)
    if truth == MORE_DATA:
        f, g = wide @ np.linspace(0.5, -0.5, 40), wide @ np.linspace(-0.4, 0.5, 40)
    elif truth == RICHER:
        f, g = 2 * np.sign(wide[:, 0] * wide[:, 1]) + wide[:, 2], 2 * np.sign(wide[:, 2] * wide[:, 1])
    else:
        f, g = 1.5 * wide[:, 0] - wide[:, 1], 1.5 * wide[:, 1]
    if task.kind is Kind.REGRESSION:
        y = f + rng.normal(size=rows) * 1.5
    elif task.kind is Kind.BINARY:
        y = (rng.random(rows) < 1 / (1 + np.exp(-1.5 * f))).astype(np.float64)
    else:
        raw = np.stack([f, g, -f - g], axis=1) + rng.gumbel(size=(rows, 3))
        y = np.argmax(raw, axis=1).astype(np.float64)
    return Part(X, y, np.arange(rows))


def refits(truth: str, metric: str, seed: int, use: str = "linear") -> Refits:
    task, rng = TASKS[metric], np.random.default_rng([4, seed])
    train = draw(truth, task, rng, 500 if truth == MORE_DATA else 2000)
    scored = draw(truth, task, rng, 3000)
    features = tuple(Feature(f"x{i}", FeatureKind.NUMBER) for i in range(train.X.shape[1]))
    setting = Setting(features, task, seed, 1)
    return refit(train, scored, Member(use, use, {}), setting=setting, metric=METRICS[metric])


def curve(made: Refits, metric: str) -> LearningCurve:
    m = METRICS[metric]
    fits = [Fit(f.share, f.rows, f.units, measure(m, f.seen), f.scored) for f in made.fits]
    found = learning_curve(made.model, m, fits, reference=made.reference, richer=made.richer, seed=0)
    assert from_json(to_json(found), LearningCurve) == found
    return found


@pytest.mark.parametrize("metric", list(TASKS))
@pytest.mark.parametrize("truth", [MORE_DATA, RICHER, NEITHER])
def test_it_says_what_is_true(truth: str, metric: str) -> None:
    assert curve(refits(truth, metric, 0), metric).statement == truth


@pytest.mark.deep
@pytest.mark.parametrize("metric", list(TASKS))
@pytest.mark.parametrize(("truth", "share"), [(MORE_DATA, 0.8), (RICHER, 0.95), (NEITHER, 0.9)])
def test_it_says_what_is_true_nine_times_in_ten(truth: str, share: float, metric: str) -> None:
    said = Counter(curve(refits(truth, metric, seed), metric).statement for seed in range(60))
    assert said[truth] >= (share - 0.1) * 60, said


def test_shares_are_of_whole_units_and_lie_inside_each_other() -> None:
    task, rng = TASKS["rmse"], np.random.default_rng(1)
    train = replace(draw(NEITHER, task, rng, 600), units=np.arange(600) // 3)
    setting = Setting(tuple(Feature(f"x{i}", FeatureKind.NUMBER) for i in range(4)), task, 0, 1)
    made = refit(train, train, Member("linear", "linear", {}), setting=setting, metric=METRICS["rmse"])
    assert [f.share for f in made.fits] == [1 / 16] * 3 + [1 / 8] * 3 + [1 / 4] * 3 + [1 / 2] * 3 + [1.0]
    for repeat in range(3):
        inside: set[int] = set()
        for f in [f for f in made.fits if f.repeat == repeat and f.share < 1]:
            assert f.rows == 3 * f.units  # no unit is parted
            assert inside <= set(f.seen.units.tolist())
            inside = set(f.seen.units.tolist())
    assert made.fits[-1].rows == 600


def test_shares_that_are_too_small_are_left_out_and_too_few_points_say_nothing() -> None:
    task, rng = TASKS["rmse"], np.random.default_rng(2)
    train = draw(NEITHER, task, rng, 2 * FEWEST_ROWS)
    setting = Setting(tuple(Feature(f"x{i}", FeatureKind.NUMBER) for i in range(4)), task, 0, 1)
    made = refit(train, train, Member("linear", "linear", {}), setting=setting, metric=METRICS["rmse"])
    assert {f.share for f in made.fits} == {0.5, 1.0}
    assert curve(made, "rmse").statement == UNKNOWN


def test_the_law_goes_through_points_that_follow_it() -> None:
    """RMSE 1 + 20 / rows: the limit, the exponent and the next doubling are known."""
    rng = np.random.default_rng(3)
    y, noise = rng.normal(size=4000), rng.normal(size=4000)
    noise /= np.sqrt(np.mean(noise**2))
    task = TASKS["rmse"]
    fits = []
    for rows in (50, 100, 200, 400, 800):
        p = Predictions(task, y, y + noise * (1 + 20 / rows), np.arange(4000))
        fits.append(Fit(rows / 800, rows, rows, 1.0, p))
    found = learning_curve("m", METRICS["rmse"], fits, reference="", richer=None, seed=0)
    assert found.limit == pytest.approx(-1, abs=0.01)
    assert found.exponent == pytest.approx(1, abs=0.05)
    assert found.doubling.value == pytest.approx(20 / 800 - 20 / 1600, rel=0.1)
    assert [p.law for p in found.points] == pytest.approx([p.validation for p in found.points], rel=0.01)
    assert found.statement == MORE_DATA
    assert found.gap == pytest.approx(0.025)
