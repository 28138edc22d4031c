"""Reliability and the expected calibration error: known gaps, chance, units, coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.core.errors import UserError
from headrace.core.task import Kind, Task
from headrace.metrics.calibration import ece, reliability
from headrace.metrics.record import Predictions

BINARY = Task(Kind.BINARY, (False, True))


def predictions(y: np.ndarray, p: np.ndarray, units: np.ndarray | None = None) -> Predictions:
    units = np.arange(len(y)) if units is None else units
    return Predictions(BINARY, y.astype(float), p, units, (p >= 0.5).astype(np.int64))


def world(n: int, power: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Scores and the true probabilities, bent by a power of the odds (1: calibrated)."""
    p = rng.beta(2, 5, n)
    return p, p**power / (p**power + (1 - p) ** power)


def test_a_gap_that_is_known() -> None:
    """Half of the rows are told 0.2 and half 0.6; a tenth and four fifths come true."""
    p = np.repeat([0.2, 0.6], 500)
    y = np.r_[np.arange(500) % 10 == 0, np.arange(500) % 5 != 0]
    found = reliability(predictions(y, p))
    assert [(b.rows, b.said) for b in found.bins] == [(500, pytest.approx(0.2)), (500, pytest.approx(0.6))]
    assert [b.came for b in found.bins] == [0.1, 0.8]
    assert found.ece == pytest.approx(0.15) == ece(predictions(y, p))
    assert found.debiased == pytest.approx(np.sqrt((0.1**2 + 0.2**2) / 2), rel=0.02)
    assert found.interval is not None
    assert 0.11 < found.interval.low < 0.15 < found.interval.high < 0.19
    assert (found.said, found.came, found.units) == (pytest.approx(0.4), pytest.approx(0.45), 1000)
    for one in found.bins:
        assert one.interval is not None
        assert one.interval.low < one.came < one.interval.high


def test_bins_hold_equally_many_rows_in_any_order() -> None:
    rng = np.random.default_rng(0)
    p, _ = world(1500, 1.0, rng)
    y = rng.random(1500) < p
    found = reliability(predictions(y, p), bins=10)
    assert {b.rows for b in found.bins} == {150}
    order = rng.permutation(1500)
    again = reliability(predictions(y[order], p[order], order), bins=10)
    np.testing.assert_allclose([b.said for b in again.bins], [b.said for b in found.bins])
    assert again.ece == pytest.approx(found.ece)


@pytest.mark.parametrize(("power", "truth"), [(1.0, 0.0), (1.3, 0.0416), (2.0, 0.106)])
def test_intervals_hold_the_truth_and_chance_is_no_proof(power: float, truth: float) -> None:
    held, above, plain, debiased = [], [], [], []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        p, true = world(2000, power, rng)
        found = reliability(predictions(rng.random(2000) < true, p), resamples=200)
        assert found.interval is not None
        held.append(found.interval.low <= truth <= found.interval.high)
        above.append(found.interval.low > 0)
        plain.append(found.ece)
        debiased.append(found.debiased)
    assert np.mean(held) >= 0.86
    if truth == 0.0:
        assert np.mean(above) <= 0.11
        assert np.mean(plain) > 0.02 > 0.012 > np.mean(debiased)
    else:
        assert np.mean(above) >= 0.9


def test_rows_of_one_unit_count_together() -> None:
    """Every row ten times over is no more proof than once."""
    rng = np.random.default_rng(3)
    p, true = world(400, 1.5, rng)
    y = rng.random(400) < true
    once = reliability(predictions(y, p), bins=5)
    tenfold = reliability(
        predictions(np.repeat(y, 10), np.repeat(p, 10), np.repeat(np.arange(400), 10)), bins=5
    )
    assert once.interval is not None and tenfold.interval is not None
    width, wide = (r.interval.high - r.interval.low for r in (once, tenfold))
    assert wide == pytest.approx(width, rel=0.15)
    for a, b in zip(once.bins, tenfold.bins, strict=True):
        assert b.interval.high - b.interval.low == pytest.approx(a.interval.high - a.interval.low, rel=0.05)


def test_several_classes_are_measured_by_their_confidence() -> None:
    rng = np.random.default_rng(4)
    p = rng.dirichlet([1, 1, 1], 3000)
    y = (p.cumsum(axis=1) < rng.random(3000)[:, None]).sum(axis=1).astype(float)
    decided = np.argmax(p, axis=1)
    task = Task(Kind.MULTICLASS, ("a", "b", "c"))
    found = reliability(Predictions(task, y, p, np.arange(3000), decided))
    assert found.of == "probability of the decided class"
    assert found.interval is not None and found.interval.low == 0.0
    sharp = p**3 / (p**3).sum(axis=1, keepdims=True)
    assert ece(Predictions(task, y, sharp, np.arange(3000), decided)) > 0.1


def test_few_rows_units_and_a_regression() -> None:
    one = reliability(predictions(np.array([1.0]), np.array([0.4])))
    assert one.ece == pytest.approx(0.6)
    assert one.interval is None
    assert "1 independent units" in one.why_none
    assert one.bins[0].interval is None
    rng = np.random.default_rng(5)
    four = reliability(predictions(rng.random(100) < 0.5, rng.random(100), np.arange(100) % 4))
    assert four.interval is None and all(b.interval is None for b in four.bins)
    constant = reliability(predictions(np.zeros(100), np.zeros(100)))
    assert (constant.ece, constant.debiased, len(constant.bins)) == (0.0, 0.0, 1)
    with pytest.raises(UserError, match="regression"):
        ece(Predictions(Task(Kind.REGRESSION), np.zeros(3), np.zeros(3), np.arange(3)))
    with pytest.raises(UserError, match="no row"):
        ece(predictions(np.zeros(0), np.zeros(0)))
