"""Statistics of drift are what their papers say, and the tails behind thresholds are the tails they claim to
be."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from headrace.checks.drift import BUILT_IN
from headrace.checks.drift.budget import split, window_rate
from headrace.checks.drift.chi_square import CHI_SQUARE
from headrace.checks.drift.jensen_shannon import JENSEN_SHANNON
from headrace.checks.drift.ks import KS
from headrace.checks.drift.layout import STATISTICS, spaces
from headrace.checks.drift.psi import PSI
from headrace.checks.drift.statistic import Statistic
from headrace.checks.drift.tail import extremal_index, fit_tail, quantile, surprise
from headrace.checks.drift.wasserstein import WASSERSTEIN
from headrace.core.schema import Type
from headrace.core.watching import Family
from headrace.summary.bins import ColumnBins, make_bins

NOWHERE = np.zeros((1, 6))


def two_samples() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    one, two = rng.integers(0, 6, 400), rng.binomial(5, 0.55, 300)
    counts = [np.bincount(x, minlength=6)[None, :] for x in (one, two)]
    return one, two, counts[0], counts[1]


def test_ks_is_that_of_the_values() -> None:
    one, two, a, b = two_samples()
    assert KS.value(b, a, NOWHERE)[0] == pytest.approx(stats.ks_2samp(two, one).statistic)


def test_wasserstein_is_that_of_the_values_where_a_bin_is_a_value() -> None:
    one, two, a, b = two_samples()
    expected = stats.wasserstein_distance(two, one)
    assert WASSERSTEIN.value(b, a, np.ones((1, 6)))[0] == pytest.approx(expected)


def test_jensen_shannon_is_scipys() -> None:
    _, _, a, b = two_samples()
    expected = jensenshannon(a[0], b[0], base=2)
    assert JENSEN_SHANNON.value(b, a, NOWHERE)[0] == pytest.approx(expected)


def test_psi_is_the_sum_of_both_divergences() -> None:
    _, _, a, b = two_samples()
    p, q = np.maximum(a[0], 0.5) / a.sum(), np.maximum(b[0], 0.5) / b.sum()
    assert PSI.value(b, a, NOWHERE)[0] == pytest.approx(stats.entropy(p, q) + stats.entropy(q, p), rel=0.02)


def test_chi_square_expects_its_degrees_of_freedom() -> None:
    rng = np.random.default_rng(5)
    p = np.array([0.1, 0.2, 0.3, 0.25, 0.1, 0.05])
    a, b = rng.multinomial(5_000, p, 4_000), rng.multinomial(500, p, 4_000)
    found = CHI_SQUARE.value(b[:, None], a[:, None], NOWHERE)[:, 0]
    assert found.mean() == pytest.approx(5, abs=0.25)
    assert (found > stats.chi2.ppf(0.99, 5)).mean() == pytest.approx(0.01, abs=0.006)


def test_a_value_never_seen_does_not_drown_all_else() -> None:
    reference, window = np.array([[5_000, 5_000, 0]]), np.array([[50, 49, 1]])
    for s in STATISTICS:
        amplitude = s.amplitude(
            s.value(window, reference, np.full((1, 3), 0.5)), np.sqrt(np.array([1 / 100]))
        )
        assert 0 < amplitude[0] < 4


@pytest.mark.parametrize("statistic", STATISTICS, ids=lambda s: s.name)
def test_equal_counts_are_at_no_distance_and_nothing_is_no_error(statistic: Statistic) -> None:
    counts = np.array([[3, 0, 5, 2, 0, 0]])
    assert statistic.value(counts * 7, counts, np.ones((1, 6)))[0] == pytest.approx(0, abs=1e-7)
    assert np.isfinite(statistic.value(counts * 0, counts, np.ones((1, 6)))).all()
    scale = np.array([0.2])
    for value in (0.01, 0.3):
        again = statistic.undo(statistic.amplitude(np.array([value]), scale), scale)
        assert again[0] == pytest.approx(value)


def test_the_registry_names_what_there_is() -> None:
    places = {name: value.split(":") for name, value in BUILT_IN.items()}
    found = {name: getattr(import_module(module), what) for name, (module, what) in places.items()}
    assert found == {s.name: s for s in STATISTICS}


def test_a_heavy_tail_does_not_stretch_distances() -> None:
    x = np.random.default_rng(1).standard_cauchy(5_000)
    gaps = spaces(make_bins({"x": x}, {"x": Type.NUMBER}).columns[0])
    assert gaps.max() == 1
    assert 0.9 < gaps[1:-1].sum() < 8
    assert spaces(ColumnBins("y", Type.NUMBER, edges=(4.0, 4.0))).tolist() == [0, 0]


def test_surprise_is_the_logarithm_of_a_chance_however_small() -> None:
    z = np.concatenate([np.linspace(-9, 9, 181), [20.0, 35.0]])
    np.testing.assert_allclose(surprise(z), -stats.norm.logsf(z), rtol=2e-6, atol=1e-9)
    for s in (0.01, 0.7, 5.0, 300.0):
        assert float(surprise(np.array([quantile(s)]))[0]) == pytest.approx(s, rel=1e-5)


def test_a_tail_keeps_to_chances_far_beyond_the_resamples() -> None:
    rng = np.random.default_rng(2)
    rates = []
    for _ in range(200):
        tail = fit_tail(rng.exponential(2.0, 500), share=0.1, gap=0, independent=1.0)
        rates.append([np.exp(-tail.threshold(chance) / 2.0) for chance in (1 / 5, 1 / 50, 1 / 720)])
    a, b, c = np.mean(rates, axis=0)
    assert a == pytest.approx(1 / 5, rel=0.05)
    assert 0.75 / 50 < b < 1.1 / 50
    assert 0.5 / 720 < c < 1.2 / 720


def test_chances_and_thresholds_are_each_other_undone() -> None:
    tail = fit_tail(np.random.default_rng(2).exponential(2.0, 500), share=0.1, gap=0, independent=1.0)
    for chance in (0.4, 0.09, 1e-4):
        assert tail.beyond(tail.threshold(chance)) == pytest.approx(chance, rel=1e-6)


def test_few_excesses_and_excesses_that_come_together_widen_a_threshold() -> None:
    values = np.random.default_rng(4).exponential(1.0, 400)
    alone = fit_tail(values, share=0.2, gap=0, independent=1.0)
    rare = fit_tail(values, share=0.2, gap=0, independent=0.1)
    together = fit_tail(np.sort(values.reshape(20, 20), axis=0).ravel("F"), share=0.2, gap=1, independent=1.0)
    assert rare.threshold(1e-3) > 1.2 * alone.threshold(1e-3)
    assert together.clusters < alone.clusters
    assert extremal_index(np.arange(0, 400, 40)) == 1


def test_a_budget_is_a_rate_for_a_window_and_is_shared_out() -> None:
    hour = 3_600_000_000
    assert 1 / window_rate(1, hour) == pytest.approx(730.5)
    assert window_rate(10_000, hour) == 0.5
    every = split(0.01, list(Family))
    assert sum(every.values()) == pytest.approx(0.01)
    assert Family.HEALTH not in every
    assert split(0.01, [Family.DRIFT]) == {Family.DRIFT: pytest.approx(0.01)}
    assert split(0.01, [Family.HEALTH]) == {}
