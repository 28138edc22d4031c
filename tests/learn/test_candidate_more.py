"""What some candidates promise beside the common exam: contributions, sizes, libraries, own answers."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto

from headrace.core.errors import UserError
from headrace.core.spec.learning import ModelSpec
from headrace.core.task import Feature, FeatureKind, Kind, Task
from headrace.graph.build import GraphBuilder
from headrace.learn.candidate import Explained, check_size, resolve_params
from headrace.learn.folds import FoldKind, FoldPlan, folds
from headrace.learn.registry import check_models, load_candidate, missing_libraries
from headrace.learn.run import ModelChoice, Part, learn
from headrace.metrics.catalog import METRICS

TASKS = {
    Kind.BINARY: Task(Kind.BINARY, (False, True)),
    Kind.MULTICLASS: Task(Kind.MULTICLASS, ("a", "b", "c")),
    Kind.REGRESSION: Task(Kind.REGRESSION),
}
FEATURES = (
    Feature("x", FeatureKind.NUMBER),
    Feature("town", FeatureKind.CATEGORY, tuple("abcd")),
    Feature("noise", FeatureKind.NUMBER),
)


def world(kind: Kind, n: int = 500) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    X = np.stack([rng.normal(size=n), rng.integers(0, 7, n), rng.normal(size=n)], axis=1).astype(np.float32)
    X[::9, 0] = np.nan
    value = 2 * np.nan_to_num(X[:, 0]) + (X[:, 1] == 4) + rng.normal(0, 0.3, n)
    if kind is Kind.REGRESSION:
        return X, value
    return X, np.searchsorted([0.5] if kind is Kind.BINARY else [-0.5, 1], value).astype(float)


def fit(name: str, kind: Kind, X: np.ndarray, y: np.ndarray, **given):
    candidate, task = load_candidate(name), TASKS[kind]
    params = resolve_params(candidate, task, len(X), X.shape[1], given)
    return candidate.fit(X, y, features=FEATURES, task=task, params=params, seed=0, threads=1)


def graph_scores(fitted, X: np.ndarray, axes: int) -> np.ndarray:
    g = GraphBuilder()
    score = fitted.emit(g, g.matrix_input("x", X.shape[1]))
    g.output(score, "score", TensorProto.DOUBLE, [None] * axes)
    session = onnxruntime.InferenceSession(g.build(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": X})[0]


@pytest.mark.parametrize("kind", list(TASKS))
@pytest.mark.parametrize("name", ["boosting", "xgboost", "catboost"])
def test_contributions_add_up_to_the_raw_score(name: str, kind: Kind) -> None:
    X, y = world(kind)
    fitted = fit(name, kind, X, y)
    assert isinstance(fitted, Explained)
    parts, score = fitted.contributions(X), fitted.score(X)
    classes = (3,) if kind is Kind.MULTICLASS else ()
    assert parts.shape == (len(X), 4, *classes) and parts.dtype == np.float64
    raw = parts.sum(axis=1)
    if kind is Kind.REGRESSION:
        np.testing.assert_allclose(raw, score, atol=1e-4)
    elif kind is Kind.BINARY:
        np.testing.assert_allclose(1 / (1 + np.exp(-raw)), score, atol=1e-5)
    else:
        shares = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(shares, score, atol=1e-5)
    weight = np.abs(parts[:, :3]).reshape(len(X), 3, -1).mean(axis=(0, 2))
    assert weight[0] > 2 * weight[1:].max()


@pytest.mark.parametrize("kind", list(TASKS))
def test_boosters_answer_what_their_libraries_answer(kind: Kind) -> None:
    import catboost
    import xgboost

    X, y = world(kind)
    ours = fit("xgboost", kind, X, y)
    rows = xgboost.DMatrix(X, feature_types=["float", "c", "float"], enable_categorical=True)
    np.testing.assert_allclose(ours.score(X), ours.booster.predict(rows), rtol=2e-5, atol=2e-6)
    cat = fit("catboost", kind, X, y)
    form = "RawFormulaVal" if kind is Kind.REGRESSION else "Probability"
    theirs = cat.model.predict(catboost.Pool(cat.encoding.apply(X)), prediction_type=form)
    theirs = theirs[:, 1] if kind is Kind.BINARY else theirs
    np.testing.assert_allclose(cat.score(X), theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["xgboost", "catboost"])
def test_values_at_the_very_thresholds_go_the_same_way(name: str) -> None:
    """Few distinct values, all of them tried with their float32 neighbours: `<` and `<=` differ there."""
    rng = np.random.default_rng(2)
    X = np.zeros((600, 3), np.float32)
    X[:, 0] = rng.choice(np.array([0.1, 0.2, 0.3, 0.7, 1e-30, 1e30], np.float32), 600)
    X[:, 2] = rng.integers(0, 5, 600)
    y = (X[:, 0] > 0.2) * 2.0 + (X[:, 2] > 2) + rng.normal(0, 0.1, 600)
    fitted = fit(name, Kind.REGRESSION, X, y, columns=1.0, rows=1.0)
    values = np.unique(X[:, [0, 2]])
    middles = ((values[1:].astype(float) + values[:-1]) / 2).astype(np.float32)
    tried = np.concatenate([values, middles])
    tried = np.concatenate(
        [tried, np.nextafter(tried, np.float32(9e30)), np.nextafter(tried, np.float32(-9))]
    )
    probe = np.zeros((len(tried), 3), np.float32)
    probe[:, 0] = probe[:, 2] = tried
    np.testing.assert_allclose(graph_scores(fitted, probe, 1), fitted.score(probe), rtol=1e-12)


def test_neighbours_are_those_of_scikit_learn_and_ties_go_to_earlier_rows() -> None:
    from sklearn.neighbors import KNeighborsRegressor

    X, y = world(Kind.REGRESSION, 300)
    plain = np.ascontiguousarray(np.nan_to_num(X[:, [0, 2]]))
    candidate = load_candidate("knn")
    features, task = (FEATURES[0], FEATURES[2]), TASKS[Kind.REGRESSION]
    params = {"neighbours": 7, "weights": "uniform"}
    fitted = candidate.fit(plain, y, features=features, task=task, params=params, seed=0, threads=1)
    Z = (plain - plain.mean(axis=0)) / plain.std(axis=0)
    expected = KNeighborsRegressor(7).fit(Z, y).predict(Z)
    np.testing.assert_allclose(fitted.score(plain), expected, rtol=1e-9)
    grid = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]], np.float32)  # all equally far from the middle
    tied = candidate.fit(
        grid,
        np.arange(4.0),
        features=features,
        task=task,
        params={**params, "neighbours": 2},
        seed=0,
        threads=1,
    )
    middle = np.zeros((3, 2), np.float32)
    assert tied.score(middle).tolist() == [0.5] * 3
    assert graph_scores(tied, middle, 1).tolist() == [0.5] * 3


@pytest.mark.parametrize(("name", "given"), [("knn", {}), ("svm", {"kernel": "rbf"})])
def test_rows_are_answered_alike_in_any_number(name: str, given: dict) -> None:
    """Blocks of 256 rows: whole ones, a part, one row, none."""
    X, y = world(Kind.MULTICLASS, 700)
    fitted = fit(name, Kind.MULTICLASS, X, y, **given)
    whole = fitted.score(X)
    for n in (0, 1, 255, 256, 257, 700):
        np.testing.assert_allclose(graph_scores(fitted, X[:n], 2), whole[:n], rtol=1e-9, atol=1e-12)


def test_two_models_in_blocks_share_a_graph() -> None:
    X, y = world(Kind.BINARY, 300)
    g = GraphBuilder()
    x = g.matrix_input("x", 3)
    models = [fit("knn", Kind.BINARY, X, y), fit("svm", Kind.BINARY, X, y), fit("knn", Kind.BINARY, X, y)]
    for i, fitted in enumerate(models):
        g.output(fitted.emit(g, x), f"score_{i}", TensorProto.DOUBLE, [None])
    session = onnxruntime.InferenceSession(g.build(), providers=["CPUExecutionProvider"])
    for fitted, got in zip(models, session.run(None, {"x": X}), strict=True):
        np.testing.assert_allclose(got, fitted.score(X), rtol=1e-9)


def compared(n: int, *models: ModelChoice):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 2)).astype(np.float32)
    y = (X[:, 0] > 0).astype(float)
    features = (FEATURES[0], FEATURES[2])
    return learn(
        Part(X, y, np.arange(n)),
        models,
        features=features,
        task=TASKS[Kind.BINARY],
        metric=METRICS["roc_auc"],
        folds=folds(FoldPlan(FoldKind.RANDOM, 3), n, seed=0),
    )


def test_too_many_rows_are_a_line_that_says_so_although_each_fold_would_fit() -> None:
    """7,000 rows: two thirds of them are within the kernel's 5,000, all of them are not."""
    made = compared(7000, ModelChoice("rbf", "svm", {"kernel": "rbf"}), ModelChoice("tree", "tree"))
    line = next(r for r in made.leaderboard if r.model == "rbf")
    assert line.mean is None
    assert "at most 5,000 training rows" in line.error
    assert made.best == "tree"
    for name, most in (("knn", 10_000), ("svm", None)):
        candidate = load_candidate(name)
        params = candidate.defaults(TASKS[Kind.BINARY], 1_000_000, 5)
        if most is None:
            check_size(candidate, params, 1_000_000)  # linear
        else:
            with pytest.raises(UserError, match="not 1,000,000"):
                check_size(candidate, params, 1_000_000)


def test_a_library_that_is_missing_is_a_line_and_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)
    made = compared(200, ModelChoice("xgboost", "xgboost"), ModelChoice("tree", "tree"))
    line = next(r for r in made.leaderboard if r.model == "xgboost")
    assert "xgboost is not installed" in line.error
    assert "pip install 'headrace[models]'" in line.error
    assert made.best == "tree"
    monkeypatch.setattr("headrace.learn.registry.find_spec", lambda name: None)
    found = list(missing_libraries(["tree", ModelSpec(use="catboost", name="c")]))
    assert [i for i, _ in found] == [1]
    assert "catboost will not be fitted" in found[0][1].what


def test_impossible_values_are_told_before_any_work() -> None:
    models = [
        ModelSpec(use="svm", params={"kernel": "poly", "cost": -1.0}),
        ModelSpec(use="knn", params={"neighbours": 0, "weights": "far"}),
        ModelSpec(use="mlp", params={"layers": 0}),
        ModelSpec(use="river", params={"learning_rate": 0.0, "decay": 2.0, "penalty": -1.0}),
    ]
    found = [(i, p.what) for i, p in check_models(models, Path())]
    assert [i for i, _ in found] == [0, 0, 1, 1, 2, 3, 3, 3]
    assert found[0][1] == "kernel = 'poly' is impossible"
