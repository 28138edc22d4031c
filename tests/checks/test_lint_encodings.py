"""Target encoding before the linter: the honest one is no leak, the one that has seen its rows is told."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from encoders import BINARY, REGRESSION, THREE

from headrace.checks.lint import LEAKAGE, Column, Dataset, lint
from headrace.core.schema import Type
from headrace.core.task import Kind, Task
from headrace.expr import parse
from headrace.features.encode.target import TargetEncoder


def encoded(seed: int, task: Task, values: int, *, effect: float, honest: bool = True) -> Dataset:
    """1,200 rows of a category that means something (`effect`), and of a number that does."""
    rng, n = np.random.default_rng(seed), 1200
    category, x = rng.integers(0, values, n), rng.normal(size=n)
    outcome = rng.normal(size=values)[category] * effect + 0.3 * x + rng.normal(size=n)
    cuts = {Kind.BINARY: [0.0], Kind.MULTICLASS: [-0.5, 0.5]}
    y = outcome if task.kind is Kind.REGRESSION else np.digitize(outcome, cuts[task.kind]).astype(float)
    city = np.array([f"c{i}" for i in category], dtype=object)
    train, units = rng.random(n) < 0.7, np.arange(n)
    encoder = TargetEncoder("e", {"city": parse("city", {"city": Type.TEXT})}, 20.0)
    fitted = encoder.fit({"city": city[train]}, y[train], units=units[train], task=task, seed=seed)
    names = [f.name for f in fitted.features]
    X = fitted.values({"city": city})
    if honest:
        X[train] = fitted.own()
    columns = [Column(m, Type.NUMBER, X[:, i].astype(np.float64)) for i, m in enumerate(names)]
    number = Column("x", Type.NUMBER, x)
    return Dataset(
        task,
        y,
        train,
        units,
        (number, *columns),
        (number, Column.of_text("city", city)),
        {"x": ("x",), **dict.fromkeys(names, ("city",))},
        learned=frozenset(names),
    )


@pytest.mark.parametrize("task", [BINARY, THREE, REGRESSION], ids=lambda t: t.kind.value)
@pytest.mark.parametrize("values", [8, 50, 400])
def test_an_honest_encoding_is_no_finding(task: Task, values: int):
    for seed in range(3):
        for effect in (0.0, 1.0):
            assert list(lint(encoded(seed, task, values, effect=effect))) == []


@pytest.mark.parametrize("task", [BINARY, THREE, REGRESSION], ids=lambda t: t.kind.value)
def test_one_that_has_seen_its_rows_is_told(task: Task):
    told = Counter(
        any(f.kind in LEAKAGE for f in lint(encoded(seed, task, 400, effect=0.0, honest=False)))
        for seed in range(5)
    )
    assert told[True] == 5


def test_out_of_fold_values_are_not_compared_with_those_of_other_rows():
    data = encoded(0, REGRESSION, 8, effect=1.0)
    compared = replace(data, learned=frozenset())
    assert "skew" in {f.kind for f in lint(compared)}


def test_twins_across_the_split_are_found_beside_an_encoding():
    data = encoded(0, REGRESSION, 8, effect=1.0)
    train, validation = np.flatnonzero(data.train), np.flatnonzero(~data.train)
    twins = np.arange(data.rows)
    twins[validation[:40]] = train[:40]
    number = data.features[0].at(twins)
    copied = replace(data, y=data.y[twins], features=(number, *data.features[1:]))
    assert any("training rows too" in f.what for f in lint(copied))
