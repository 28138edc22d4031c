"""Weighted forms equal the metric of rows drawn again, exactly or within what they state."""

from __future__ import annotations

import numpy as np
import pytest
from metric_worlds import World
from test_metric_catalog import binary_sample, number_sample, three_class_sample

from headrace.core.task import Kind
from headrace.metrics.catalog import METRICS, metric, names
from headrace.metrics.measure import EXACT_ROWS, measure, prepare
from headrace.metrics.record import Metric, Predictions
from headrace.metrics.resample import MAX_UNITS, draw, effective, find_units, leave_one_out

SAMPLES = [
    binary_sample(3, 90, False),
    binary_sample(4, 90, True),
    three_class_sample(3, 120),
    number_sample(3, 90),
    number_sample(4, 91),
]


def repeated(p: Predictions, weights: np.ndarray) -> Predictions:
    """The rows of `p`, each as often as its unit's weight says."""
    at = np.repeat(np.arange(p.rows), weights[p.units].astype(int))
    decision = None if p.decision is None else p.decision[at]
    return Predictions(p.task, p.y[at], p.score[at], p.units[at], decision)


def metrics_of(kind: Kind) -> list[Metric]:
    worth = {"true_positive": 2.0, "false_negative": -3.0}
    return [metric(n, SAMPLES[0].task, value=worth) if n == "value" else METRICS[n] for n in names(kind)]


@pytest.mark.parametrize("p", SAMPLES, ids=lambda p: f"{p.task.kind}-{p.rows}")
@pytest.mark.parametrize("units", [1, 12])
def test_a_weighted_metric_is_that_of_the_rows_drawn_again(p: Predictions, units: int) -> None:
    rng = np.random.default_rng(1)
    p = Predictions(p.task, p.y, p.score, rng.integers(0, units, p.rows), p.decision)
    weights = rng.integers(0, 4, size=(25, units)).astype(float)
    weights[:, 0] += 1  # not nothing at all
    for m in metrics_of(p.task.kind):
        got = prepare(m, p, p.units, units).evaluate(weights)
        wanted = [measure(m, repeated(p, w)) for w in weights]
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12, err_msg=m.name)


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "median_error"])
@pytest.mark.parametrize("rounded", [False, True])
def test_many_rows_are_binned_within_the_error_they_state(name: str, rounded: bool) -> None:
    world = World(40, 2 * EXACT_ROWS // 40)
    rng = np.random.default_rng(5)
    p = world.regression(rng) if name == "median_error" else world.binary(rng)
    if rounded:
        p = Predictions(p.task, p.y, np.round(p.score, 2), p.units, p.decision)
    assert p.rows > EXACT_ROWS
    measured = prepare(METRICS[name], p, p.units, 40)
    assert measured.value == measure(METRICS[name], p)
    weights = np.concatenate(list(draw(40, 20, rng)))
    wanted = np.array([measure(METRICS[name], repeated(p, w)) for w in weights])
    error = np.abs(measured.evaluate(weights) - wanted).max()
    assert error < 0.02 * wanted.std()
    if rounded and name != "median_error":  # no more distinct scores than bins: nothing is lost
        assert measured.approximated < 1e-12
        assert error < 1e-12


def test_units_are_found_whatever_their_labels() -> None:
    rng = np.random.default_rng(0)
    for labels in ([5, 5, -3, 9, -3], [10**15, 10**15, -(10**17), 7, -(10**17)]):
        units = find_units(np.array(labels), rng)
        first, other, third = units.codes[0], units.codes[2], units.codes[3]
        assert units.count == units.declared == 3 and not units.merged
        assert sorted([first, other, third]) == [0, 1, 2]
        assert list(units.codes) == [first, first, other, third, other]
    assert find_units(np.zeros(0, np.int64), rng).count == 0


@pytest.mark.parametrize("declared", [MAX_UNITS + 1, 2500, 3500, 30_000])
def test_many_units_are_merged_whole_into_blocks_of_like_size(declared: int) -> None:
    labels = np.repeat(np.arange(declared), 3)
    units = find_units(labels, np.random.default_rng(2))
    assert units.merged and units.declared == declared and 800 <= units.count <= 1250
    blocks = units.codes.reshape(declared, 3)
    assert (blocks == blocks[:, :1]).all()  # a unit is never torn
    sizes = np.bincount(units.codes)
    assert sizes.max() - sizes.min() <= 3
    assert not np.array_equal(np.sort(blocks[:, 0]), blocks[:, 0])  # at random, not in order


def test_draws_take_as_many_units_as_there_are() -> None:
    weights = np.concatenate(list(draw(2000, 2500, np.random.default_rng(0))))
    assert weights.shape == (2500, 2000)  # more than one chunk
    assert (weights.sum(axis=1) == 2000).all()
    assert weights.mean(axis=0) == pytest.approx(1, abs=0.12)
    left_out = np.concatenate(list(leave_one_out(7)))
    np.testing.assert_array_equal(left_out, 1 - np.eye(7))


def test_effective_units() -> None:
    assert effective(np.array([3.0, 3, 3, 0])) == pytest.approx(3)
    assert effective(np.array([100.0, 1, 1])) == pytest.approx(1.04, abs=0.01)
    assert effective(np.zeros(3)) == 0.0
