"""Influences against what reweighting really does, and the test built on them against chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from metric_worlds import World

from headrace.core.task import Kind, Task
from headrace.metrics.catalog import METRICS
from headrace.metrics.contrast import blocked, contrast, influence, take
from headrace.metrics.measure import measure
from headrace.metrics.record import Predictions


def three_classes(rng: np.random.Generator, n: int) -> Predictions:
    raw = rng.normal(size=(n, 3))
    y = np.argmax(raw + rng.gumbel(size=(n, 3)), axis=1).astype(np.float64)
    score = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    task = Task(Kind.MULTICLASS, ("a", "b", "c"))
    return Predictions(task, y, score, np.arange(n), np.argmax(score, axis=1))


def worlds() -> dict[Kind, Predictions]:
    rng = np.random.default_rng(4)
    return {
        Kind.BINARY: World(4000).binary(rng),
        Kind.REGRESSION: World(4000).regression(rng),
        Kind.MULTICLASS: three_classes(rng, 4000),
    }


@pytest.mark.parametrize("name", [n for n in METRICS if n not in ("mape", "median_error")])
def test_influences_foretell_what_leaving_rows_out_does(name: str) -> None:
    """Leave a fiftieth of the rows out, wrong ones first: the metric moves as the influences say."""
    metric = METRICS[name]
    for kind, p in worlds().items():
        if kind not in metric.how:
            continue
        if metric.best_at_zero:
            p = replace(p, y=p.y + 1)  # its slope turns where it is zero
        slopes = influence(metric, p)
        assert abs(slopes.mean()) < 1e-9
        keep = np.ones(p.rows, bool)
        keep[np.argsort(slopes)[: p.rows // 50]] = False
        before, after = (float(metric.goodness(measure(metric, q))) for q in (p, take(p, keep)))
        moved = after - before
        foretold = float(np.mean(keep / keep.mean() * slopes))
        assert moved > 0
        assert foretold == pytest.approx(moved, rel=0.25), kind


def test_the_median_counts_rows_on_its_far_side() -> None:
    p = worlds()[Kind.REGRESSION]
    slopes = influence(METRICS["median_error"], p)
    far = np.abs(p.y - p.score) > np.median(np.abs(p.y - p.score))
    assert slopes[far].max() < slopes[~far].min()


def test_nothing_to_measure_gives_zeros_and_no_p() -> None:
    one_class = replace(worlds()[Kind.BINARY], y=np.zeros(4000))
    slopes = influence(METRICS["roc_auc"], one_class)
    assert not slopes.any()
    assert np.isnan(contrast(slopes, np.arange(4000) < 100, np.arange(4000)).p)


def test_too_few_units_are_not_judged() -> None:
    slopes = np.random.default_rng(0).normal(size=100)
    units = np.arange(100) // 25
    assert np.isnan(contrast(slopes, np.arange(100) < 60, units).p)


@pytest.mark.parametrize("by_day", [False, True])
@pytest.mark.parametrize("name", ["f1", "roc_auc"])
def test_chance_alone_alarms_one_time_in_twenty(name: str, by_day: bool) -> None:
    """Rows of a day share a day's luck; the marked set is a tenth of the rows, or a tenth of the days."""
    metric, alarms, runs = METRICS[name], 0, 300
    for seed in range(runs):
        rng = np.random.default_rng([8, seed])
        p = World(80, 12).binary(rng)
        marked = (rng.random(80) < 0.15)[p.units] if by_day else rng.random(p.rows) < 0.1
        found = contrast(influence(metric, p), marked, p.units)
        alarms += found.p <= 0.05
    assert alarms <= 0.05 * runs + 2.33 * np.sqrt(runs * 0.05 * 0.95)


def test_blocks_hold_whole_units() -> None:
    p = World(1000, 3).binary(np.random.default_rng(1))
    merged = blocked(p, seed=0, most=50)
    assert len(np.unique(merged.units)) == 50
    for unit in np.unique(p.units)[:100]:
        assert len(np.unique(merged.units[p.units == unit])) == 1
    assert blocked(merged, seed=0, most=50) is merged
