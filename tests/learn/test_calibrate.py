"""Calibration: the curves mend what is bent, the graph says what numpy says, and order is kept."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto

from headrace.core.errors import UserError
from headrace.core.task import Kind, Task
from headrace.graph.build import GraphBuilder
from headrace.learn.calibrate import fit_calibrator, fit_curve, fit_monotone
from headrace.learn.links import sigmoid

METHODS = ("sigmoid", "isotonic")
BINARY = Task(Kind.BINARY, (False, True))
THREE = Task(Kind.MULTICLASS, ("a", "b", "c"))


def bent(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Overconfident scores: the true log-odds are half of what is said, less one half."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 3, n)
    return (rng.random(n) < sigmoid(0.5 * odds - 0.5)).astype(float), sigmoid(odds)


def bent_three(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    raw = rng.normal(0, 1, (n, 3))
    true = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    said = np.exp(3 * raw) / np.exp(3 * raw).sum(axis=1, keepdims=True)
    return (true.cumsum(axis=1) < rng.random(n)[:, None]).sum(axis=1).astype(float), said


def log_loss(y: np.ndarray, p: np.ndarray) -> float:
    shares = np.stack([1 - p, p], axis=1) if p.ndim == 1 else p
    return -float(np.mean(np.log(np.maximum(shares[np.arange(len(y)), y.astype(int)], 1e-15))))


def in_graph(calibrator, scores: np.ndarray) -> np.ndarray:
    """The calibrator's nodes behind exact doubles: two float32 columns whose sum is the score."""
    flat = scores.reshape(len(scores), -1)
    high = flat.astype(np.float32)
    low = (flat - high).astype(np.float32)
    g = GraphBuilder()
    parts = [
        g.node("Cast", g.matrix_input(name, flat.shape[1]), to=TensorProto.DOUBLE) for name in ("high", "low")
    ]
    total = g.node("Add", *parts)
    if scores.ndim == 1:
        total = g.node("Squeeze", total, g.constant([1], np.int64))
    g.output(calibrator.emit(g, total), "p", TensorProto.DOUBLE, [None] * scores.ndim)
    session = onnxruntime.InferenceSession(g.build(), providers=["CPUExecutionProvider"])
    exact = (high.astype(np.float64) + low.astype(np.float64)).reshape(scores.shape)
    np.testing.assert_allclose(exact, scores, rtol=1e-12, atol=1e-15)
    return session.run(None, {"high": high, "low": low})[0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("task", "world"), [(BINARY, bent), (THREE, bent_three)])
def test_bent_probabilities_are_mended_on_rows_that_were_not_seen(method, task, world) -> None:
    y, scores = world(4000, 1)
    fresh, new = world(4000, 2)
    calibrated = fit_calibrator(method, task, y, scores).apply(new)
    assert log_loss(fresh, calibrated) < log_loss(fresh, new) - 0.05
    if calibrated.ndim == 2:
        np.testing.assert_allclose(calibrated.sum(axis=1), 1.0, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("task", "world"), [(BINARY, bent), (THREE, bent_three)])
def test_the_graph_says_what_numpy_says(method, task, world) -> None:
    y, scores = world(2000, 3)
    calibrator = fit_calibrator(method, task, y, scores)
    ends = np.array([0.0, 1.0, 1e-300, 1 - 1e-16, 0.5])
    more = ends if task is BINARY else np.eye(3)
    probe = np.concatenate([scores, more])
    np.testing.assert_allclose(in_graph(calibrator, probe), calibrator.apply(probe), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_order_is_kept_and_results_are_probabilities(method) -> None:
    y, scores = bent(1500, 4)
    grid = np.linspace(0, 1, 2001)
    p = fit_calibrator(method, BINARY, y, scores).apply(grid)
    assert (np.diff(p) >= 0).all()
    assert p.min() > 0
    assert p.max() < 1


@pytest.mark.parametrize("method", METHODS)
def test_scores_against_the_truth_become_one_number_and_never_turn_around(method) -> None:
    y, scores = bent(3000, 5)
    p = fit_calibrator(method, BINARY, 1 - y, scores).apply(scores)
    assert np.ptp(p) < 0.02
    assert p.mean() == pytest.approx(1 - y.mean(), abs=0.01)


def test_the_curve_is_platts_against_a_plain_maximum() -> None:
    """Slope and intercept against scikit-learn's unpenalised logistic regression on many rows, where the
    smoothed targets hardly matter; and on four rows, where they keep the slope finite."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(6)
    f = rng.normal(3, 40, 20_000)
    y = rng.random(20_000) < sigmoid(0.05 * f + 0.7)
    slope, level = fit_curve(y, f)
    plain = LogisticRegression(C=np.inf, tol=1e-10).fit(f[:, None], y)
    assert slope == pytest.approx(plain.coef_[0, 0], rel=1e-2)
    assert level == pytest.approx(plain.intercept_[0], rel=1e-2)
    slope, level = fit_curve(np.array([False, False, True, True]), np.array([-2.0, -1.0, 1.0, 2.0]))
    assert 0 < slope < 5
    assert sigmoid(slope * 2 + level) == pytest.approx(0.75, abs=0.08)  # (N+ + 1) / (N+ + 2)


def test_isotonic_blocks_against_scikit_learn() -> None:
    """Without interpolation, the values at the blocks are those of pool adjacent violators."""
    from sklearn.isotonic import IsotonicRegression

    y, scores = bent(800, 7)
    scores = np.round(scores, 2)  # ties
    line = fit_monotone(y == 1, scores)
    steps = IsotonicRegression().fit(scores, y).predict(scores)
    margin = 1 / (len(y) + 2)
    expected = np.unique(np.clip(steps, margin, 1 - margin).round(9))
    np.testing.assert_allclose(np.unique(np.round(line.y, 9)), expected)


def test_rows_without_a_score_are_left_out_and_too_few_are_survived() -> None:
    y, scores = bent(200, 8)
    holes = scores.copy()
    holes[::2] = np.nan
    for method in METHODS:
        with_holes = fit_calibrator(method, BINARY, y, holes)
        assert with_holes == fit_calibrator(method, BINARY, y[1::2], scores[1::2])
        one = fit_calibrator(method, BINARY, np.array([1.0]), np.array([0.3])).apply(np.array([0.0, 0.9]))
        assert np.isfinite(one).all() and np.ptp(one) == 0
        with pytest.raises(UserError, match="no row"):
            fit_calibrator(method, BINARY, y, np.full(200, np.nan))
        absent = fit_calibrator(method, THREE, np.zeros(50), np.full((50, 3), 1 / 3)).apply(np.eye(3))
        assert (absent[:, 0] > 0.9).all()


def test_a_regression_is_refused() -> None:
    with pytest.raises(UserError, match="no probabilities"):
        fit_calibrator("sigmoid", Task(Kind.REGRESSION), np.zeros(3), np.zeros(3))
