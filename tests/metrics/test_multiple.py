"""Holm's correction against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest

from headrace.core.errors import UserError
from headrace.metrics.multiple import holm


def by_definition(p: list[float], level: float) -> set[int]:
    """Which hypotheses Holm's procedure rejects: smallest first, each at level / (how many are left)."""
    rejected: set[int] = set()
    for step, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        if p[i] > level / (len(p) - step):
            break
        rejected.add(i)
    return rejected


def test_it_rejects_what_the_procedure_rejects() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        p = list(rng.beta(0.3, 2, size=rng.integers(1, 12)))
        adjusted = holm(p)
        for level in (0.01, 0.05, 0.2):
            assert {i for i, a in enumerate(adjusted) if a <= level} == by_definition(p, level)


def test_false_alarms_among_dependent_tests_stay_below_the_level() -> None:
    rng = np.random.default_rng(2)
    alarms = 0
    for _ in range(2000):
        z = rng.normal() * 0.6 + rng.normal(size=20) * 0.8
        p = [0.5 * math.erfc(v / math.sqrt(2)) for v in z]
        alarms += min(holm(p)) <= 0.05
    assert alarms / 2000 <= 0.06


def test_unknown_ones_stay_unknown_and_are_not_counted() -> None:
    adjusted = holm([0.02, float("nan"), 0.03])
    assert adjusted[0] == pytest.approx(0.04)
    assert math.isnan(adjusted[1])
    assert holm([]) == ()


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(UserError, match="0 to 1"):
        holm([0.5, 1.2])
