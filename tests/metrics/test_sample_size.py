"""The size of an A/B test has the power that it promises, at the level that it promises."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from headrace.metrics.sample_size import SampleSize, two_proportions


def share_seen(n1: int, n2: int, p1: float, p2: float, *, seed: int, times: int = 20_000) -> float:
    """How often the pooled two-sided z test at 5% sees a difference."""
    rng = np.random.default_rng(seed)
    a, b = rng.binomial(n1, p1, times) / n1, rng.binomial(n2, p2, times) / n2
    pooled = (n1 * a + n2 * b) / (n1 + n2)
    z = (b - a) / np.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2))
    return float(np.mean(np.abs(z) > norm.ppf(0.975)))


@pytest.mark.parametrize(("p1", "p2", "share"), [(0.1, 0.12, 0.5), (0.06, 0.045, 0.1), (0.5, 0.55, 0.3)])
def test_power_and_level_hold_by_simulation(p1: float, p2: float, share: float) -> None:
    size = two_proportions(p1, p2, treatment_share=share, power=0.8)
    assert size.treatment / size.total == pytest.approx(share, abs=0.001)
    # 20,000 draws: the standard error of a share near 0.8 is 0.003.
    assert share_seen(size.control, size.treatment, p1, p2, seed=1) == pytest.approx(0.8, abs=0.015)
    assert share_seen(size.control, size.treatment, p1, p1, seed=2) == pytest.approx(0.05, abs=0.008)


def test_smaller_effects_higher_power_and_uneven_arms_need_more() -> None:
    base = two_proportions(0.1, 0.12, treatment_share=0.5)
    assert base == SampleSize(3841, 3841)
    assert two_proportions(0.1, 0.11, treatment_share=0.5).total > base.total
    assert two_proportions(0.1, 0.12, treatment_share=0.1).total > base.total
    assert two_proportions(0.1, 0.12, treatment_share=0.5, power=0.9).total > base.total
    assert two_proportions(0.1, 0.12, treatment_share=0.5, level=0.01).total > base.total


@pytest.mark.parametrize("wrong", [(0.1, 0.1, 0.5), (0.0, 0.1, 0.5), (0.1, 1.0, 0.5), (0.1, 0.2, 1.0)])
def test_what_can_t_be_computed_is_refused(wrong: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match=r"does not lie between|between equal shares"):
        two_proportions(wrong[0], wrong[1], treatment_share=wrong[2])
