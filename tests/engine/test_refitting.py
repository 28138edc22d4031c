"""Encoders fitted anew on a fold's rows know nothing of the rows that the fold scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from encoders import BINARY

from headrace.core.schema import Type
from headrace.engine.refitting import Supervised
from headrace.expr import parse
from headrace.features.encode.target import TargetEncoder
from headrace.learn.folds import FoldKind, FoldPlan, folds

TYPES = {"city": Type.TEXT, "zip": Type.NUMBER}


def supervised(n: int = 200) -> Supervised:
    rng = np.random.default_rng(1)
    city = np.array([f"c{i}" for i in rng.integers(0, 30, n)], dtype=object)
    one = TargetEncoder("one", {"city": parse("city", TYPES)}, 5.0)
    two = TargetEncoder("two", {"zip": parse("zip", TYPES), "city": parse("city", TYPES)}, 0.0)
    return Supervised(
        (one, two),
        np.array([3, 4]),
        {"city": city, "zip": rng.integers(0, 3, n).astype(float)},
        rng.integers(0, 2, n).astype(float),
        np.arange(n),
        BINARY,
        0,
    )


def test_no_target_that_a_fold_scores_is_in_its_columns():
    made = supervised()
    for rows, tested in folds(FoldPlan(FoldKind.RANDOM, 4), 200, seed=2):
        y = made.y.copy()
        y[tested] = 1 - y[tested]
        others = {n: v[tested] for n, v in made.inputs.items()}
        before, after = made.renewed(rows, others), replace(made, y=y).renewed(rows, others)
        for one, two in zip(before, after, strict=True):
            np.testing.assert_array_equal(one, two)
        assert before[0].shape == (len(rows), 2)
        assert before[1].shape == (len(tested), 2)


def test_those_that_it_is_fitted_on_are():
    made = supervised()
    rows, tested = folds(FoldPlan(FoldKind.RANDOM, 4), 200, seed=2)[0]
    others = {n: v[tested] for n, v in made.inputs.items()}
    turned = replace(made, y=1 - made.y).renewed(rows, others)
    for one, two in zip(made.renewed(rows, others), turned, strict=True):
        np.testing.assert_allclose(one, 1 - two, atol=1e-6)
        assert np.ptp(one) > 0.1
