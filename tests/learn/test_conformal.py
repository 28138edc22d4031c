"""Conformal answers: coverage by simulation, the finite-sample rank, dependence, and the graph."""

from __future__ import annotations

import math

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto
from scipy.stats import norm

from headrace.core.task import Kind, Task
from headrace.graph.build import GraphBuilder
from headrace.learn.conformal import Conformal, coverage, fit_conformal, units_needed, upper_quantile
from headrace.learn.folds import FoldKind, FoldPlan, folds
from headrace.learn.links import sigmoid, softmax

TASKS = {
    "regression": Task(Kind.REGRESSION),
    "binary": Task(Kind.BINARY, (False, True)),
    "three": Task(Kind.MULTICLASS, ("a", "b", "c")),
}
RARE = np.array([0.5, 0.0, -1.5])


def draw(kind: str, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    X = rng.normal(0, 1, (n, 4))
    if kind == "regression":
        return X, X @ np.array([1.0, -1.0, 0.5, 0.0]) + rng.standard_t(4, n)
    if kind == "binary":
        return X, (rng.random(n) < sigmoid(X[:, 0] * 1.5 + X[:, 1] - 1)).astype(float)
    p = softmax(X[:, :3] * 1.5 + RARE)
    return X, (p.cumsum(axis=1) < rng.random(n)[:, None]).sum(axis=1).astype(float)


def fit(kind: str, X: np.ndarray, y: np.ndarray):
    """A quick real learner: least squares on values, codes or one-hot classes, squashed to probabilities."""
    A = np.c_[np.ones(len(X)), X]
    targets = y if kind != "three" else np.eye(3)[y.astype(int)]
    w = np.linalg.lstsq(A, targets, rcond=None)[0]

    def score(Z: np.ndarray) -> np.ndarray:
        raw = np.c_[np.ones(len(Z)), Z] @ w
        if kind == "regression":
            return raw
        return np.clip(raw, 0.01, 0.99) if kind == "binary" else softmax(3 * raw)

    return score


def out_of_fold(kind: str, X: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    scores = np.full((len(y), 3) if kind == "three" else len(y), np.nan)
    for rows, tested in folds(FoldPlan(FoldKind.RANDOM, 5), len(y), seed=seed):
        scores[tested] = fit(kind, X[rows], y[rows])(X[tested])
    return scores


def simulated(kind: str, repetitions: int, n: int) -> tuple[float, list[float]]:
    """Mean coverage on fresh rows, and each class's."""
    held, by_class = [], []
    for seed in range(repetitions):
        rng = np.random.default_rng([seed, 1])
        X, y = draw(kind, n, rng)
        fresh, truth = draw(kind, 500, rng)
        fitted = fit_conformal(TASKS[kind], y, out_of_fold(kind, X, y, seed), 0.9)
        assert not fitted.why_none
        scores = fit(kind, X, y)(fresh)
        decision = None if kind == "regression" else np.zeros(500, np.int64)
        found = coverage(fitted, truth, scores, decision)
        held.append(found.held)
        by_class.append(found.by_class)
    return float(np.mean(held)), list(np.mean(by_class, axis=0)) if by_class[0] else []


@pytest.mark.parametrize(("kind", "n"), [(k, n) for k in TASKS for n in (300, 1000)] + [("regression", 60)])
def test_nine_of_ten_new_rows_are_held_over_200_repetitions(kind: str, n: int) -> None:
    held, by_class = simulated(kind, 200, n)
    assert 0.88 <= held <= 0.92
    assert all(0.88 <= share <= 0.93 for share in by_class)


def test_the_naive_quantile_of_errors_on_training_rows_would_fail() -> None:
    """The simulation can tell: errors of rows that the model was fitted on hold too few."""
    held = []
    for seed in range(60):
        rng = np.random.default_rng([seed, 2])
        X, y = rng.normal(0, 1, (60, 25)), rng.normal(0, 1, 60)
        fresh, truth = rng.normal(0, 1, (500, 25)), rng.normal(0, 1, 500)
        score = fit("regression", X, y)
        held.append(coverage(fit_conformal(TASKS["regression"], y, score(X), 0.9), truth, score(fresh)).held)
    assert np.mean(held) < 0.8


@pytest.mark.parametrize(("n", "level", "rank"), [(9, 0.9, 9), (19, 0.9, 18), (100, 0.9, 91), (99, 0.95, 95)])
def test_the_rank_is_that_of_n_plus_one(n: int, level: float, rank: int) -> None:
    errors = np.random.default_rng(0).permutation(n) + 1.0
    assert upper_quantile(errors, np.arange(n), level) == rank == math.ceil((n + 1) * level - 1e-9)


def test_too_few_rows_are_said_and_everything_is_held() -> None:
    assert units_needed(0.9) == 9
    assert units_needed(0.99) == 99
    assert upper_quantile(np.arange(8.0), np.arange(8), 0.9) is None
    few = fit_conformal(TASKS["regression"], np.zeros(8), np.ones(8), 0.9)
    assert few.quantiles == (None,)
    assert "needs 9 independent units (errors: 8)" in few.why_none
    low, high = few.interval(np.zeros(2))
    assert np.isneginf(low).all() and np.isposinf(high).all()
    y = np.r_[np.zeros(50), np.ones(3)]
    rare = fit_conformal(TASKS["binary"], y, np.full(53, 0.1), 0.9)
    assert rare.quantiles[0] is not None and rare.quantiles[1] is None
    assert "class True: 3" in rare.why_none
    assert rare.sets(np.array([0.0, 0.5]))[:, 1].all()


def test_no_rows_or_holes_are_survived() -> None:
    empty = fit_conformal(TASKS["regression"], np.zeros(0), np.zeros(0), 0.9)
    assert empty.quantiles == (None,)
    y, scores = np.arange(40.0), np.zeros(40)
    scores[::2] = np.nan
    assert fit_conformal(TASKS["regression"], y, scores, 0.9).units == (20,)


def test_rows_of_one_unit_count_together() -> None:
    """Errors that days share: rows alone would promise 90% and hold less; units hold it. 12 days, each with
    an error of its own twice as large as that of its rows."""
    by_unit, by_row = [], []
    for seed in range(400):
        rng = np.random.default_rng([seed, 3])
        sizes = rng.integers(5, 40, 12)
        units = np.repeat(np.arange(12), sizes)
        y = rng.normal(0, 2, 12)[units] + rng.normal(0, 1, len(units))
        zeros, task = np.zeros(len(y)), TASKS["regression"]
        for found, labels in ((by_unit, units), (by_row, None)):
            half = fit_conformal(task, y, zeros, 0.9, units=labels).quantiles[0]
            assert half is not None
            found.append(2 * norm.cdf(half / math.sqrt(5)) - 1)  # a row of a new day
    assert np.mean(by_row) < 0.887
    assert 0.895 <= np.mean(by_unit) <= 0.96


@pytest.mark.parametrize("kind", list(TASKS))
def test_the_graph_says_what_numpy_says(kind: str) -> None:
    rng = np.random.default_rng(4)
    task = TASKS[kind]
    X, y = draw(kind, 400, rng)
    # scores that float32 holds exactly, so that both see the same
    scores = out_of_fold(kind, X, y, 0).astype(np.float32)
    fitted = fit_conformal(task, y, scores.astype(np.float64), 0.8, abstain=True)
    matrix = scores.reshape(400, -1)
    g = GraphBuilder()
    score = g.node("Cast", g.matrix_input("s", matrix.shape[1]), to=TensorProto.DOUBLE)
    if kind != "three":
        score = g.node("Squeeze", score, g.constant([1], np.int64))
    decision = np.argmax(matrix, axis=1) if kind == "three" else (matrix[:, 0] >= 0.4).astype(np.int64)
    if kind == "binary":
        decided = g.node("GreaterOrEqual", score, g.constant(float(np.float32(0.4)), np.float64))
        fitted.emit(g, score, g.node("Cast", decided, to=TensorProto.INT64))
    elif kind == "three":
        fitted.emit(g, score, g.node("ArgMax", score, axis=1, keepdims=0))
    else:
        fitted.emit(g, score)
    session = onnxruntime.InferenceSession(g.build(), providers=["CPUExecutionProvider"])
    for rows in (matrix, matrix[:1], matrix[:0]):
        names = [o.name for o in session.get_outputs()]
        got = dict(zip(names, session.run(None, {"s": rows}), strict=True))
        own = scores.astype(np.float64)[: len(rows)]
        if kind == "regression":
            low, high = fitted.interval(own)
            np.testing.assert_array_equal(got["lower"], low)
            np.testing.assert_array_equal(got["upper"], high)
            assert list(got) == ["lower", "upper"]
        else:
            np.testing.assert_array_equal(got["set"], fitted.sets(own))
            np.testing.assert_array_equal(got["abstain"], fitted.abstains(own, decision[: len(rows)]))


def test_abstaining_leaves_out_rows_that_are_harder() -> None:
    rng = np.random.default_rng(5)
    X, y = draw("three", 3000, rng)
    fresh, truth = draw("three", 3000, rng)
    scores = fit("three", X, y)(fresh)
    decision = np.argmax(scores, axis=1)
    oof = out_of_fold("three", X, y, 0)
    sure = coverage(fit_conformal(TASKS["three"], y, oof, 0.9, abstain=True), truth, scores, decision)
    plain = coverage(fit_conformal(TASKS["three"], y, oof, 0.9), truth, scores, decision)
    assert plain.abstained == 0.0
    assert 0.1 < sure.abstained < 0.9
    assert sure.right > plain.right + 0.05
    assert sure.size == plain.size > 1.0


def test_a_decision_that_the_set_rules_out_is_an_abstention() -> None:
    made = Conformal(TASKS["binary"], 0.9, (0.3, 0.9), (50, 50), abstain=True)
    # 0.2: the set is {True, False}; 0.5: {True} alone; the threshold decides otherwise
    np.testing.assert_array_equal(made.sets(np.array([0.2, 0.5])), [[True, True], [False, True]])
    scores = np.array([0.2, 0.5, 0.5])
    np.testing.assert_array_equal(made.abstains(scores, np.array([0, 0, 1])), [True, True, False])
