"""How much history to learn from, by rolling origin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headrace.core.errors import UserError
from headrace.core.task import Feature, FeatureKind, Kind, Task
from headrace.learn.horizon import ORIGINS, Length, best, folds_of, measured, origins
from headrace.learn.records import Member, Part, Setting
from headrace.metrics.catalog import METRICS

DAY = 86_400_000_000
MAE = METRICS["mae"]


def rows(days: int, a_day: int = 20) -> tuple[Any, Any]:
    """Units (days) and times of so many rows."""
    day = np.repeat(np.arange(days, dtype=np.int64), a_day)
    return day, day * DAY + np.tile(np.arange(a_day, dtype=np.int64), days) * 1_000_000


def test_origins_are_at_the_end_and_part_no_day() -> None:
    units, times = rows(100)
    order = np.random.default_rng(1).permutation(len(units))  # rows come in any order
    found = origins(units[order], times[order])
    assert len(found) == ORIGINS
    spans = [np.unique(units[order][tested]) for _, tested in found]
    assert np.concatenate(spans).tolist() == list(range(82, 100))
    for (origin, tested), span in zip(found, spans, strict=True):
        assert origin == span[0] * DAY
        assert len(tested) == 20 * len(span)
    folds = folds_of(times[order], found, 10 * DAY)
    for (fit, tested), (origin, _) in zip(folds, found, strict=True):
        days = units[order][fit]
        assert (days.min(), days.max()) == (origin // DAY - 10, origin // DAY - 1)
        assert not set(fit.tolist()) & set(tested.tolist())
    assert [len(fit) for fit, _ in folds_of(times, origins(units, times), None)] == [1640, 1760, 1880]


def test_too_few_days_can_t_be_compared() -> None:
    units, times = rows(3)
    with pytest.raises(UserError, match="3 units of training rows are too few"):
        origins(units, times)


def lengths(*, broken: bool) -> list[Length]:
    """A line whose slope turns round 20 days before the end, where it is broken; and noise."""
    units, times = rows(120)
    draw = np.random.default_rng(5)
    x = draw.normal(size=len(units))
    slope = np.where((units >= 80) & broken, -1.0, 1.0)
    y = slope * x + draw.normal(scale=0.5, size=len(units))
    train = Part(x[:, None].astype(np.float32), y, units)
    setting = Setting((Feature("x", FeatureKind.NUMBER),), Task(Kind.REGRESSION), 0, 1)
    behind = origins(units, times)
    found = []
    for days in (None, 60, 15):
        micros = None if days is None else days * DAY
        folds = folds_of(times, behind, micros)
        found.append(measured(setting, MAE, Member("linear", "linear", {}), train, folds, micros))
    return found


def test_a_break_is_forgotten_and_a_still_world_is_not() -> None:
    after = best(MAE, lengths(broken=True))
    assert after is not None
    assert after.micros == 15 * DAY
    still = lengths(broken=False)
    assert max(n.mean for n in still) - min(n.mean for n in still) < 0.05
    assert all(len(n.values) == ORIGINS for n in still)


def test_what_can_t_be_measured_is_never_chosen_and_equals_keep_more() -> None:
    units, times = rows(60, 4)
    train = Part(np.zeros((240, 1), np.float32), np.zeros(240), units)
    setting = Setting((Feature("x", FeatureKind.NUMBER),), Task(Kind.REGRESSION), 0, 1)
    folds = folds_of(times, origins(units, times), 2 * DAY)
    few = measured(setting, MAE, Member("linear", "linear", {}), train, folds, 2 * DAY)
    assert (few.values, few.why_none) == ((), "it holds too few rows, or not every class")
    assert best(MAE, [few]) is None
    same = (1.0, 2.0, 3.0)
    found = best(MAE, [few, Length(DAY, same, 9), Length(None, same, 99), Length(5 * DAY, same, 50)])
    assert found is not None
    assert found.micros is None
