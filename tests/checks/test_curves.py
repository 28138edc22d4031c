"""Curves against the metrics that sum them up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headrace.checks.curves import MOST_POINTS, Curves, curves
from headrace.core.codec import from_json, to_json
from headrace.core.task import Kind, Task
from headrace.metrics.binary import value_metric
from headrace.metrics.catalog import METRICS
from headrace.metrics.measure import measure
from headrace.metrics.record import Predictions

BINARY = Task(Kind.BINARY, ("no", "yes"))


def binary(rows: int, *, ties: bool = False) -> Predictions:
    rng = np.random.default_rng(rows)
    x = rng.normal(size=rows)
    score = 1 / (1 + np.exp(-x))
    score = np.round(score, 1) if ties else score
    y = (rng.random(rows) < 1 / (1 + np.exp(-1.5 * x))).astype(np.float64)
    return Predictions(BINARY, y, score, np.arange(rows), (score >= 0.5).astype(np.int64))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("rows", [150, 5000])
def test_the_area_under_roc_is_the_metric(rows: int, ties: bool) -> None:
    p = binary(rows, ties=ties)
    points = curves(p, METRICS["f1"]).classes[0].points
    assert len(points) <= MOST_POINTS + 2
    area = np.trapezoid([q.tpr for q in points], [q.fpr for q in points])
    assert area == pytest.approx(measure(METRICS["roc_auc"], p), abs=1e-9 if rows < 200 or ties else 1e-3)
    assert (points[0].tpr, points[0].fpr, points[-1].tpr, points[-1].fpr) == (0, 0, 1, 1)


def test_each_point_is_what_its_threshold_decides() -> None:
    p = binary(3000)
    worth = value_metric({"true_positive": 3.0, "false_positive": -1.0})
    found = curves(p, METRICS["f1"], value=worth, chosen=0.5)
    for point in found.thresholds[::17]:
        decided = replace(p, decision=(p.score >= point.threshold).astype(np.int64))
        assert point.metric == pytest.approx(measure(METRICS["f1"], decided))
        assert point.value == pytest.approx(measure(worth, decided))
    for q in found.classes[0].points[1::17]:
        decided = replace(p, decision=(p.score >= q.threshold).astype(np.int64))
        assert q.precision == pytest.approx(measure(METRICS["precision"], decided))
        assert q.tpr == pytest.approx(measure(METRICS["recall"], decided))
    assert from_json(to_json(found), Curves) == found


def test_a_metric_of_scores_has_no_threshold_and_one_class_no_rates() -> None:
    p = binary(200)
    assert all(t.metric is None for t in curves(p, METRICS["roc_auc"]).thresholds)
    lone = curves(replace(p, y=np.zeros(200)), METRICS["f1"])
    assert all(q.tpr is None for q in lone.classes[0].points)
    assert from_json(to_json(lone), Curves) == lone


def test_several_classes_have_a_curve_each() -> None:
    rng = np.random.default_rng(1)
    score = rng.dirichlet(np.ones(3), 300)
    y = np.argmax(score + rng.normal(0, 0.3, (300, 3)), axis=1)
    p = Predictions(
        Task(Kind.MULTICLASS, ("a", "b", "c")), y.astype(float), score, np.arange(300), score.argmax(axis=1)
    )
    found = curves(p, METRICS["f1_macro"])
    areas = [np.trapezoid([q.tpr for q in c.points], [q.fpr for q in c.points]) for c in found.classes]
    assert np.mean(areas) == pytest.approx(measure(METRICS["roc_auc"], p), abs=2e-3)
    assert not found.thresholds


def test_a_regression_has_residuals_by_tenths_of_the_prediction() -> None:
    rng = np.random.default_rng(2)
    score = rng.normal(size=5000)
    y = score + rng.normal(size=5000) * np.exp(0.5 * score)
    found = curves(Predictions(Task(Kind.REGRESSION), y, score, np.arange(5000)), METRICS["rmse"])
    assert len(found.sample) == 1000
    assert sum(b.rows for b in found.residuals) == 5000
    spread = [b.quantiles[-1] - b.quantiles[0] for b in found.residuals]
    assert spread[-1] > 2 * spread[0]
    assert from_json(to_json(found), Curves) == found


def test_no_rows() -> None:
    nothing = np.zeros(0)
    p = Predictions(BINARY, nothing, nothing, nothing.astype(np.int64), nothing.astype(np.int64))
    assert curves(p, METRICS["f1"]).thresholds == ()
    r = Predictions(Task(Kind.REGRESSION), nothing, nothing, nothing.astype(np.int64))
    assert curves(r, METRICS["rmse"]).residuals == ()
