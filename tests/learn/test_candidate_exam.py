"""The exam of every registered candidate, on every task that it says it can learn."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto

from headrace.core.errors import UserError
from headrace.core.task import Feature, FeatureKind, Kind, Task
from headrace.graph.build import GraphBuilder
from headrace.learn.candidate import Choice, Range, resolve_params
from headrace.learn.registry import candidates, load_candidate

ESTIMATORS = (
    "sklearn.linear_model:HuberRegressor",
    "sklearn.neural_network:MLPRegressor",
    "sklearn.naive_bayes:GaussianNB",
)
TASKS = {
    Kind.BINARY: Task(Kind.BINARY, (False, True)),
    Kind.MULTICLASS: Task(Kind.MULTICLASS, ("low", "middle", "high")),
    Kind.REGRESSION: Task(Kind.REGRESSION),
}
FEATURES = (
    Feature("size", FeatureKind.NUMBER),
    Feature("rooms", FeatureKind.NUMBER),
    Feature("new", FeatureKind.BOOL),
    Feature("town", FeatureKind.CATEGORY, tuple("abcdefgh")),
    Feature("fixed", FeatureKind.NUMBER),
    Feature("only", FeatureKind.CATEGORY, ("one",)),
    Feature("empty", FeatureKind.NUMBER),
)
EXACT = [(name, kind) for name, c in candidates().items() for kind in sorted(c.tasks)]
ALL = EXACT + [(name, kind) for name in ESTIMATORS for kind in sorted(load_candidate(name).tasks)]
TOLERANCE = dict.fromkeys((name for name, _ in EXACT), 1e-9) | dict.fromkeys(ESTIMATORS, 1e-4)


def rows(n: int, seed: int = 0) -> np.ndarray:
    """A small mixed matrix: nulls, a bool, categories, a constant and an all-null column."""
    rng = np.random.default_rng(seed)
    X = np.empty((n, len(FEATURES)), np.float32)
    X[:, 0] = rng.lognormal(3, 1, n)
    X[:, 1] = rng.integers(1, 9, n)
    X[:, 2] = rng.integers(0, 2, n)
    X[:, 3] = rng.choice([0, 2, 3, 4, 5, 6, 7, 8], n)
    X[:, 4] = 1 / 3
    X[:, 5] = 3
    X[:, 6] = np.nan
    X[rng.random(n) < 0.1, 0] = np.nan
    X[rng.random(n) < 0.1, 2] = np.nan
    return X


def target(X: np.ndarray, kind: Kind, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    value = (
        np.log1p(np.nan_to_num(X[:, 0], nan=7)) + 0.3 * X[:, 1] + (X[:, 3] % 3) + rng.normal(0, 0.3, len(X))
    )
    if kind is Kind.REGRESSION:
        return value.astype(np.float64)
    cuts = [np.median(value)] if kind is Kind.BINARY else list(np.quantile(value, [0.3, 0.7]))
    return np.searchsorted(cuts, value).astype(np.float64)


def edges() -> np.ndarray:
    """All null; every code, also unseen; float32's ends and its smallest steps, a column at a time."""
    base = np.nan_to_num(rows(1, seed=9)[0], nan=1.0)
    big = float(np.finfo(np.float32).max)
    made = [np.where([f.kind is FeatureKind.CATEGORY for f in FEATURES], 0, np.nan)]
    for i, feature in enumerate(FEATURES):
        category = feature.kind is FeatureKind.CATEGORY
        size = len(feature.vocabulary) + 3
        for value in range(size) if category else (np.nan, 0.0, -0.0, 1e-45, -1e-36, -1.0, big, -big):
            row = base.copy()
            row[i] = value
            made.append(row)
    return np.asarray(made, np.float32)


def run_graph(fitted, X: np.ndarray, kind: Kind) -> np.ndarray:
    g = GraphBuilder()
    x = g.matrix_input("features", X.shape[1])
    g.output(
        fitted.emit(g, x), "score", TensorProto.DOUBLE, [None, None] if kind is Kind.MULTICLASS else [None]
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(g.build(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"features": X})[0]


QUICK = {"boosting": 60, "catboost": 60, "forest": 30, "extra_trees": 30, "xgboost": 60}
"""Trees where their number doesn't matter to the question."""


def fit(name: str, kind: Kind, X: np.ndarray, y: np.ndarray, seed: int = 3, threads: int = 1, **given):
    """Fit with the defaults but for the number of trees; `trees=0`: with the defaults alone."""
    candidate = load_candidate(name)
    if name in QUICK:
        given.setdefault("trees", QUICK[name])
    if given.get("trees") == 0 or name not in QUICK:
        given.pop("trees", None)
    params = resolve_params(candidate, TASKS[kind], len(X), X.shape[1], given)
    return candidate.fit(X, y, features=FEATURES, task=TASKS[kind], params=params, seed=seed, threads=threads)


def check_scores(score: np.ndarray, n: int, kind: Kind) -> None:
    assert score.dtype == np.float64
    assert np.isfinite(score).all()
    if kind is Kind.MULTICLASS:
        assert score.shape == (n, 3)
        np.testing.assert_allclose(score.sum(axis=1), 1.0, rtol=1e-6)
    else:
        assert score.shape == (n,)
    if kind is not Kind.REGRESSION:
        assert score.min() >= 0.0 and score.max() <= 1.0 + 1e-12


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_graph_answers_what_the_fitted_model_answers(name: str, kind: Kind) -> None:
    X = rows(400)
    fitted = fit(name, kind, X, target(X, kind))
    tolerance = TOLERANCE[name]
    everything = np.vstack([X, edges()]) if name not in ESTIMATORS else X
    expected = fitted.score(everything)
    check_scores(expected, len(everything), kind)
    np.testing.assert_allclose(run_graph(fitted, everything, kind), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "kind"), EXACT)
def test_one_row_and_no_row(name: str, kind: Kind) -> None:
    X = rows(200)
    fitted = fit(name, kind, X, target(X, kind))
    np.testing.assert_allclose(run_graph(fitted, X[:1], kind), fitted.score(X[:1]), rtol=1e-9)
    assert run_graph(fitted, X[:0], kind).shape[0] == 0


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_the_same_inputs_give_the_same_graph(name: str, kind: Kind) -> None:
    X = rows(150)
    y = target(X, kind)
    graphs = []
    for threads in (1, 1, 2):
        g = GraphBuilder()
        fit(name, kind, X, y, threads=threads).emit(g, g.matrix_input("features", X.shape[1]))
        graphs.append(g.build())
    assert graphs[0] == graphs[1]
    assert graphs[0] == graphs[2]


@pytest.mark.parametrize(("name", "kind"), EXACT)
@pytest.mark.parametrize("n", [2, 3])
def test_tiny_training_sets(name: str, kind: Kind, n: int) -> None:
    X = rows(n)
    y = np.arange(n, dtype=np.float64) % 2
    fitted = fit(name, kind, X, y)
    probe = np.vstack([rows(20, seed=5), edges()])
    expected = fitted.score(probe)
    check_scores(expected, len(probe), kind)
    np.testing.assert_allclose(run_graph(fitted, probe, kind), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "kind"), [(n, k) for n, k in ALL if k is not Kind.REGRESSION])
def test_absent_classes_have_probability_zero(name: str, kind: Kind) -> None:
    X = rows(60)
    for classes in ([0.0], [0.0, 1.0]):
        y = np.resize(np.asarray(classes), len(X))
        fitted = fit(name, kind, X, y)
        score = fitted.score(X)
        check_scores(score, len(X), kind)
        np.testing.assert_allclose(run_graph(fitted, X, kind), score, rtol=1e-4, atol=1e-6)
        if kind is Kind.MULTICLASS:
            assert score[:, 2].max() < 1e-6
        elif len(classes) == 1:
            assert score.max() == 0.0


@pytest.mark.parametrize(("name", "kind"), EXACT)
def test_constant_target(name: str, kind: Kind) -> None:
    X = rows(80)
    fitted = fit(name, kind, X, np.ones(len(X)))
    score = fitted.score(X)
    np.testing.assert_allclose(score[:, 1] if kind is Kind.MULTICLASS else score, 1.0, rtol=1e-6)


@pytest.mark.parametrize(("name", "kind"), EXACT)
def test_matrix_of_one_kind_of_column(name: str, kind: Kind) -> None:
    X = rows(200)
    y = target(X, kind)
    candidate = load_candidate(name)
    for columns in ([0, 1], [3, 5]):
        part, features = np.ascontiguousarray(X[:, columns]), tuple(FEATURES[i] for i in columns)
        part.setflags(write=False)  # as a matrix read from an artifact is
        params = resolve_params(candidate, TASKS[kind], len(X), len(columns), {})
        fitted = candidate.fit(part, y, features=features, task=TASKS[kind], params=params, seed=0, threads=1)
        np.testing.assert_allclose(run_graph(fitted, part, kind), fitted.score(part), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "kind"), EXACT)
def test_parameters_drawn_from_the_space_fit(name: str, kind: Kind) -> None:
    X = rows(300)
    y = target(X, kind)
    candidate = load_candidate(name)
    space = candidate.space(TASKS[kind])
    assert set(space) <= set(candidate.defaults(TASKS[kind], len(X), X.shape[1]))
    rng = np.random.default_rng(2)
    for _ in range(3):
        drawn = {key: draw(part, rng) for key, part in space.items()}
        check_scores(fit(name, kind, X, y, **drawn).score(X), len(X), kind)


def draw(part: Range | Choice, rng: np.random.Generator):
    if isinstance(part, Choice):
        return part.options[rng.integers(len(part.options))]
    low, high = (np.log(part.low), np.log(part.high)) if part.log else (part.low, part.high)
    value = float(rng.uniform(low, high))
    value = float(np.clip(np.exp(value), part.low, part.high)) if part.log else value
    return round(value) if part.integer else value


@pytest.mark.parametrize(("name", "kind"), EXACT)
def test_learns_more_than_the_naive_baseline(name: str, kind: Kind) -> None:
    if name == "naive":
        pytest.skip("it is the baseline")
    X, fresh = rows(1500), rows(1500, seed=11)
    y, truth = target(X, kind), target(fresh, kind, seed=12)
    errors = {}
    for model in (name, "naive"):
        score = fit(model, kind, X, y, trees=0).score(fresh)
        if kind is Kind.REGRESSION:
            errors[model] = np.mean((score - truth) ** 2)
        else:
            known = score if kind is Kind.MULTICLASS else np.stack([1 - score, score], axis=1)
            errors[model] = -np.mean(
                np.log(np.maximum(known[np.arange(len(truth)), truth.astype(int)], 1e-6))
            )
    assert errors[name] < 0.8 * errors["naive"]


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_unknown_parameters_are_all_named_with_a_hint(name: str, kind: Kind) -> None:
    candidate = load_candidate(name)
    known = sorted(candidate.defaults(TASKS[kind], 100, 5))
    with pytest.raises(UserError) as caught:
        resolve_params(candidate, TASKS[kind], 100, 5, {"treez": 3, "zzz": 1})
    assert len(caught.value.problems) == 2
    assert f"{name} has no parameter 'treez'" in str(caught.value)
    if "trees" in known:
        assert "did you mean 'trees'?" in str(caught.value)


@pytest.mark.parametrize(("name", "kind"), EXACT)
def test_values_of_the_wrong_type_are_refused(name: str, kind: Kind) -> None:
    candidate = load_candidate(name)
    for parameter, default in candidate.defaults(TASKS[kind], 100, 5).items():
        wrong = 3 if isinstance(default, str) else "many"
        with pytest.raises(UserError, match="wrong type"):
            resolve_params(candidate, TASKS[kind], 100, 5, {parameter: wrong})


@pytest.mark.parametrize(("name", "kind"), EXACT)
def test_a_hundred_rows_are_enough_to_tell_rows_apart(name: str, kind: Kind) -> None:
    if name == "naive":
        pytest.skip("it is the baseline")
    X = rows(100)
    assert np.ptp(fit(name, kind, X, target(X, kind), trees=0).score(X), axis=0).min() > 0.1
