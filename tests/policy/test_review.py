"""A threshold that holds a stated risk: against simulations, and where it can't be."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest

from headrace.core.review import RiskControl
from headrace.core.task import Kind, Task
from headrace.metrics.record import Bools, Floats, Ints, Predictions
from headrace.policy.review import LEAST_UNITS, confidence, control, control_predictions, needed

BINARY = Task(Kind.BINARY, (False, True))
THREE = Task(Kind.MULTICLASS, ("a", "b", "c"))


class Answers(NamedTuple):
    sure: Floats
    wrong: Bools
    units: Ints


class World(NamedTuple):
    """Two classes by a logistic curve. sharp: how much of what the model says is true. days: rows of a day
    belong together, and a share `bad` of the days follows a flatter curve."""

    sharp: float = 1.0
    days: int = 0
    bad: float = 0.0
    flat: float = 0.0

    def draw(self, rng: np.random.Generator, rows: int) -> Answers:
        x = rng.normal(size=rows) * 2.0
        units = rng.integers(0, self.days, rows) if self.days else np.arange(rows)
        odd = (rng.random(self.days) < self.bad)[units] if self.days else np.zeros(rows, np.bool_)
        said = 1 / (1 + np.exp(-x))
        y = rng.random(rows) < 1 / (1 + np.exp(-x * np.where(odd, self.flat, self.sharp)))
        return Answers(np.maximum(said, 1 - said), (said >= 0.5) != y, units)


def held(world: World, *, rows: int, risk: float, row_by_row: bool = False) -> tuple[float, float]:
    """Of 200 releases, the share whose answers without a person are wrong no more often than stated, on
    100,000 new rows; and the mean share of these that are answered without a person. row_by_row: as if no
    row depended on another."""
    fresh = world._replace(days=5000 if world.days else 0).draw(np.random.default_rng(7), 100_000)
    kept, auto = 0, 0.0
    for seed in range(200):
        seen = world.draw(np.random.default_rng([1, seed]), rows)
        units = np.arange(rows) if row_by_row else seen.units
        found = control(seen.sure, seen.wrong, units, risk=risk, level=0.95, seed=seed)
        above = fresh.sure >= (math.inf if found.threshold is None else found.threshold)
        kept += not above.any() or float(fresh.wrong[above].mean()) <= risk
        auto += float(above.mean()) / 200
    return kept / 200, auto


@pytest.mark.parametrize(
    ("rows", "risk", "least"), [(4000, 0.05, 0.12), (1000, 0.1, 0.25), (4000, 0.1, 0.4), (1000, 0.15, 0.55)]
)
def test_no_more_is_wrong_than_is_stated(rows: int, risk: float, least: float) -> None:
    """In 95% of 200 simulations, and not by sending everything to people. With all there is to know 28%, 52%
    and 87% could go without one at a risk of 5, 10 and 15%."""
    share, auto = held(World(), rows=rows, risk=risk)
    assert share >= 0.95
    assert auto >= least


def test_a_model_that_is_too_sure_of_itself_is_held_too() -> None:
    share, auto = held(World(sharp=0.7), rows=3000, risk=0.15)
    assert share >= 0.95
    assert auto >= 0.25


def test_rows_of_a_day_are_one_draw() -> None:
    """Of 120 days with 50 rows each every tenth is bad: the risk is held, and 27% go without a person."""
    share, auto = held(World(days=120, bad=0.1, flat=0.3), rows=6000, risk=0.1)
    assert share >= 0.95
    assert auto >= 0.2


def test_few_days_of_which_some_are_bad() -> None:
    """Of 40 days every fifth is chance alone. Counted row by row, the risk is broken in one case of seven."""
    world = World(days=40, bad=0.2, flat=0.0)
    share, auto = held(world, rows=3000, risk=0.15)
    assert share >= 0.95
    assert auto > 0.0
    naive, _ = held(world, rows=3000, risk=0.15, row_by_row=True)
    assert naive < 0.9


def test_a_model_that_knows_nothing_decides_nothing() -> None:
    """Whatever it says of itself: at a level of 95% in at most one of twenty cases (and some)."""
    rng = np.random.default_rng(3)
    passed = 0
    for seed in range(200):
        sure, wrong = rng.random(1000), rng.random(1000) < 0.3
        found = control(sure, wrong, np.arange(1000), risk=0.2, level=0.95, seed=seed)
        passed += found.threshold is not None
    assert passed <= 10 + 2 * math.sqrt(10)


def test_a_model_that_is_never_wrong_decides_everything() -> None:
    sure = np.linspace(0.5, 1, 500)
    found = control(sure, np.zeros(500, np.bool_), np.arange(500), risk=0.05, level=0.95, seed=0)
    assert found.threshold is not None
    assert found.auto > 0.99
    assert found.wrong == 0.0


@pytest.mark.parametrize(("risk", "level", "rows"), [(0.05, 0.95, 59), (0.01, 0.95, 299), (0.1, 0.9, 22)])
def test_so_many_rows_are_needed(risk: float, level: float, rows: int) -> None:
    assert needed(risk, level) == rows
    few = math.ceil(rows / 0.8) - 1
    sure = np.full(few, 0.9)
    none = control(sure, np.zeros(few, np.bool_), np.arange(few), risk=risk, level=level, seed=0)
    assert none.threshold is None
    assert none.auto == 0.0
    assert str(few) in none.why_none
    enough = few + 3
    sure = np.full(enough, 0.9)
    found = control(sure, np.zeros(enough, np.bool_), np.arange(enough), risk=risk, level=level, seed=0)
    assert found.threshold == 0.9


def test_few_units_say_nothing() -> None:
    units = np.repeat(np.arange(LEAST_UNITS), 100)
    none = control(np.full(2000, 0.9), np.zeros(2000, np.bool_), units, risk=0.1, level=0.95, seed=0)
    assert none.threshold is None
    assert "20 independent units" in none.why_none


def test_nothing_is_found_in_no_rows() -> None:
    empty = control(np.zeros(0), np.zeros(0, np.bool_), np.zeros(0, np.int64), risk=0.1, level=0.9, seed=0)
    assert empty.threshold is None
    assert empty.rows == empty.units == 0


def test_the_same_rows_give_the_same_threshold() -> None:
    seen = World().draw(np.random.default_rng(1), 800)
    told = {control(*seen, risk=0.1, level=0.95, seed=5) for _ in range(3)}
    assert len(told) == 1
    assert isinstance(told.pop(), RiskControl)


def test_confidence_is_of_what_is_decided() -> None:
    p = np.array([0.9, 0.3, 0.3])
    assert confidence(BINARY, p, np.array([1, 0, 1])).tolist() == [0.9, 0.7, 0.3]
    shares = np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])
    assert confidence(THREE, shares, np.array([1, 0])).tolist() == [0.5, 0.1]
    with pytest.raises(ValueError, match="no confidence"):
        confidence(Task(Kind.REGRESSION), p, np.zeros(3, np.int64))


def test_three_classes() -> None:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet([0.3, 0.3, 0.3], 3000)
    y = np.array([rng.choice(3, p=s) for s in shares], np.float64)
    seen = Predictions(THREE, y, shares, np.arange(3000), shares.argmax(axis=1))
    found = control_predictions(seen, risk=0.05, level=0.95, seed=0)
    assert found.threshold is not None
    assert found.auto > 0.2
    assert found.wrong is not None
    assert found.wrong <= 0.05
    values = Predictions(Task(Kind.REGRESSION), y, y, np.arange(3000))
    with pytest.raises(ValueError, match="not right or wrong"):
        control_predictions(values, risk=0.05, level=0.95, seed=0)
