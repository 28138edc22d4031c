"""Bags: fits that differ in their draws alone, averaged before the link."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto

from headrace.core.errors import UserError
from headrace.core.task import Feature, FeatureKind, Kind, Task
from headrace.graph.build import GraphBuilder
from headrace.learn.bags import Bag
from headrace.learn.candidate import Explained, resolve_params
from headrace.learn.links import link
from headrace.learn.registry import load_candidate

TASKS = {
    Kind.BINARY: Task(Kind.BINARY, (False, True)),
    Kind.MULTICLASS: Task(Kind.MULTICLASS, ("a", "b", "c")),
    Kind.REGRESSION: Task(Kind.REGRESSION),
}
FEATURES = (
    Feature("x", FeatureKind.NUMBER),
    Feature("town", FeatureKind.CATEGORY, tuple("abcd")),
    *(Feature(f"noise_{i}", FeatureKind.NUMBER) for i in range(6)),
)
NAMES = ("boosting", "xgboost", "catboost")


def world(kind: Kind, n: int = 400, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(n, 6))
    X = np.column_stack([rng.normal(size=n), rng.integers(0, 7, n), noise]).astype(np.float32)
    value = 2 * X[:, 0] + (X[:, 1] == 4) + rng.normal(0, 1.0, n)
    if kind is Kind.REGRESSION:
        return X, value
    return X, np.searchsorted([0.5] if kind is Kind.BINARY else [-0.5, 1], value).astype(float)


def fit(name: str, kind: Kind, X: np.ndarray, y: np.ndarray, seed: int = 0, **given):
    candidate, task = load_candidate(name), TASKS[kind]
    given = {"trees": 60, "learning_rate": 0.1, "rows": 0.5, "columns": 0.5, **given}
    params = resolve_params(candidate, task, len(X), X.shape[1], given)
    return candidate.fit(X, y, features=FEATURES, task=task, params=params, seed=seed, threads=1)


@pytest.mark.parametrize("kind", list(TASKS))
@pytest.mark.parametrize("name", NAMES)
def test_a_bag_is_the_mean_of_its_members_in_the_graph_too(name: str, kind: Kind) -> None:
    X, y = world(kind)
    bag = fit(name, kind, X, y, bags=3)
    assert isinstance(bag, Bag)
    assert isinstance(bag, Explained)
    raw = np.mean([m.raw(X) for m in bag.members], axis=0)
    assert np.std([m.raw(X) for m in bag.members], axis=0).max() > 0.05  # they differ
    np.testing.assert_allclose(bag.score(X), link(TASKS[kind], raw), rtol=1e-12)
    g = GraphBuilder()
    score = bag.emit(g, g.matrix_input("x", X.shape[1]))
    g.output(score, "score", TensorProto.DOUBLE, [None] * bag.score(X).ndim)
    session = onnxruntime.InferenceSession(g.build(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"x": X})[0], bag.score(X), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(bag.contributions(X).sum(axis=1).reshape(raw.shape), raw, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_member_is_the_candidate_without_bags(name: str) -> None:
    X, y = world(Kind.REGRESSION)
    alone, bag = fit(name, Kind.REGRESSION, X, y), fit(name, Kind.REGRESSION, X, y, bags=2)
    assert not isinstance(alone, Bag)
    np.testing.assert_array_equal(bag.members[0].raw(X), alone.raw(X))


@pytest.mark.parametrize("name", ["boosting", "xgboost"])
def test_bags_lessen_the_error_of_what_is_drawn(name: str) -> None:
    X, y = world(Kind.REGRESSION)
    new, truth = world(Kind.REGRESSION, 4_000, seed=2)
    alone = [np.mean((fit(name, Kind.REGRESSION, X, y, s).score(new) - truth) ** 2) for s in range(6)]
    bag = np.mean((fit(name, Kind.REGRESSION, X, y, bags=6).score(new) - truth) ** 2)
    assert bag < 0.95 * np.mean(alone)


def test_random_cuts_give_other_trees_that_learn_as_well() -> None:
    X, y = world(Kind.REGRESSION)
    new, truth = world(Kind.REGRESSION, 4_000, seed=2)
    plain = fit("boosting", Kind.REGRESSION, X, y, bags=4)
    drawn = fit("boosting", Kind.REGRESSION, X, y, bags=4, random_cuts=True)
    assert not np.array_equal(plain.score(X), drawn.score(X))
    errors = [np.mean((m.score(new) - truth) ** 2) for m in (plain, drawn)]
    assert errors[1] < 1.2 * errors[0] < 0.5 * np.var(truth)
    again = fit("boosting", Kind.REGRESSION, X, y, bags=4, random_cuts=True)
    np.testing.assert_array_equal(drawn.score(X), again.score(X))


def test_a_constant_target_needs_no_bags() -> None:
    X, _ = world(Kind.BINARY)
    fitted = fit("boosting", Kind.BINARY, X, np.ones(len(X)), bags=3)
    np.testing.assert_allclose(fitted.score(X), 1.0)


@pytest.mark.parametrize("bags", [0, -1, 101])
def test_impossible_numbers_of_bags_are_refused(bags: int) -> None:
    with pytest.raises(UserError, match="1 to 100"):
        resolve_params(load_candidate("boosting"), TASKS[Kind.BINARY], 100, 3, {"bags": bags})
