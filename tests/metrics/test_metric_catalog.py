"""Every metric against scikit-learn, and what looking one up says."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

from headrace.core.errors import DataError, SpecError, UserError
from headrace.core.task import Kind, Task
from headrace.metrics.catalog import DEFAULT, METRICS, metric, names
from headrace.metrics.measure import measure
from headrace.metrics.record import Predictions

BINARY = Task(Kind.BINARY, ("no", "yes"))
THREE = Task(Kind.MULTICLASS, ("a", "b", "c"))
REGRESSION = Task(Kind.REGRESSION)


def binary_sample(seed: int, rows: int, ties: bool) -> Predictions:
    rng = np.random.default_rng(seed)
    y = (rng.random(rows) < 0.3).astype(float)
    y[:2] = 0, 1
    score = np.clip(rng.normal(0.4 + 0.2 * y, 0.25), 0.001, 0.999)
    score = np.round(score, 1) * 0.98 + 0.01 if ties else score
    return Predictions(BINARY, y, score, np.arange(rows), (score >= 0.5).astype(np.int64))


def three_class_sample(seed: int, rows: int) -> Predictions:
    rng = np.random.default_rng(seed)
    y = rng.choice(3, rows, p=[0.6, 0.3, 0.1])
    y[:3] = 0, 1, 2
    raw = rng.random((rows, 3)) + np.eye(3)[y] * 0.6
    score = raw / raw.sum(axis=1, keepdims=True)
    return Predictions(THREE, y.astype(float), score, np.arange(rows), score.argmax(axis=1))


def number_sample(seed: int, rows: int) -> Predictions:
    rng = np.random.default_rng(seed)
    y = rng.normal(50, 10, rows)
    return Predictions(REGRESSION, y, y + rng.standard_t(3, rows), np.arange(rows))


SK_BINARY = {
    "f1": lambda p: sk.f1_score(p.y, p.decision),
    "precision": lambda p: sk.precision_score(p.y, p.decision),
    "recall": lambda p: sk.recall_score(p.y, p.decision),
    "accuracy": lambda p: sk.accuracy_score(p.y, p.decision),
    "balanced_accuracy": lambda p: sk.balanced_accuracy_score(p.y, p.decision),
    "specificity": lambda p: sk.recall_score(p.y, p.decision, pos_label=0),
    "fpr": lambda p: 1 - sk.recall_score(p.y, p.decision, pos_label=0),
    "mcc": lambda p: sk.matthews_corrcoef(p.y, p.decision),
    "roc_auc": lambda p: sk.roc_auc_score(p.y, p.score),
    "average_precision": lambda p: sk.average_precision_score(p.y, p.score),
    "log_loss": lambda p: sk.log_loss(p.y, p.score),
    "brier": lambda p: sk.brier_score_loss(p.y, p.score),
}
SK_MULTICLASS = {
    "accuracy": lambda p: sk.accuracy_score(p.y, p.decision),
    "balanced_accuracy": lambda p: sk.balanced_accuracy_score(p.y, p.decision),
    "log_loss": lambda p: sk.log_loss(p.y, p.score),
    "roc_auc": lambda p: sk.roc_auc_score(p.y, p.score, multi_class="ovr", average="macro"),
    "f1_macro": lambda p: sk.f1_score(p.y, p.decision, average="macro"),
    "f1_weighted": lambda p: sk.f1_score(p.y, p.decision, average="weighted"),
    "precision_macro": lambda p: sk.precision_score(p.y, p.decision, average="macro", zero_division=0),
    "precision_weighted": lambda p: sk.precision_score(p.y, p.decision, average="weighted", zero_division=0),
    "recall_macro": lambda p: sk.recall_score(p.y, p.decision, average="macro"),
    "recall_weighted": lambda p: sk.recall_score(p.y, p.decision, average="weighted"),
}
SK_REGRESSION = {
    "rmse": lambda p: sk.root_mean_squared_error(p.y, p.score),
    "mae": lambda p: sk.mean_absolute_error(p.y, p.score),
    "r2": lambda p: sk.r2_score(p.y, p.score),
    "mape": lambda p: sk.mean_absolute_percentage_error(p.y, p.score),
    "median_error": lambda p: sk.median_absolute_error(p.y, p.score),
}


def test_every_metric_has_a_peer_but_bias() -> None:
    assert {*SK_BINARY} == {*names(Kind.BINARY)} - {"value"}
    assert {*SK_MULTICLASS} == {*names(Kind.MULTICLASS)}
    assert {*SK_REGRESSION} == {*names(Kind.REGRESSION)} - {"bias"}


@pytest.mark.parametrize("name", SK_BINARY)
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("rows", [8, 40, 501])
def test_binary_agrees_with_scikit_learn(name: str, ties: bool, rows: int) -> None:
    for seed in range(5):
        p = binary_sample(seed, rows, ties)
        if name in ("precision", "f1") and not p.decision.any():  # type: ignore[union-attr]  # always given
            continue
        assert measure(METRICS[name], p) == pytest.approx(SK_BINARY[name](p), abs=1e-12)


@pytest.mark.parametrize("name", SK_MULTICLASS)
@pytest.mark.parametrize("rows", [9, 400])
def test_multiclass_agrees_with_scikit_learn(name: str, rows: int) -> None:
    for seed in range(5):
        p = three_class_sample(seed, rows)
        assert measure(METRICS[name], p) == pytest.approx(SK_MULTICLASS[name](p), abs=1e-12)


@pytest.mark.parametrize("name", SK_REGRESSION)
@pytest.mark.parametrize("rows", [2, 9, 10, 400])
def test_regression_agrees_with_scikit_learn(name: str, rows: int) -> None:
    for seed in range(5):
        p = number_sample(seed, rows)
        assert measure(METRICS[name], p) == pytest.approx(SK_REGRESSION[name](p), rel=1e-10)


def test_r2_keeps_its_digits_far_from_zero() -> None:
    near = number_sample(1, 300)
    far = Predictions(REGRESSION, near.y + 1e9, near.score + 1e9, near.units)
    assert measure(METRICS["r2"], far) == pytest.approx(measure(METRICS["r2"], near), abs=1e-6)


def test_macro_averages_count_a_class_that_is_decided_but_never_true() -> None:
    y, decision = np.array([0.0, 0, 1, 1]), np.array([0, 2, 1, 1])
    p = Predictions(THREE, y, np.full((4, 3), 1 / 3), np.arange(4), decision)
    for name in ("f1_macro", "precision_macro", "recall_macro"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert measure(METRICS[name], p) == pytest.approx(SK_MULTICLASS[name](p))


def test_bias_is_prediction_minus_truth_and_best_at_zero() -> None:
    p = Predictions(REGRESSION, np.array([1.0, 2, 3]), np.array([2.0, 3, 7]), np.arange(3))
    assert measure(METRICS["bias"], p) == 2.0
    assert METRICS["bias"].goodness(-2.0) == METRICS["bias"].goodness(2.0) == -2.0
    assert METRICS["rmse"].goodness(2.0) == -2.0
    assert METRICS["f1"].goodness(0.2) == 0.2


@pytest.mark.parametrize(
    ("y", "decision", "undefined"),
    [
        (
            [0, 0, 0],
            [0, 0, 0],
            {"f1", "precision", "recall", "mcc", "balanced_accuracy", "roc_auc", "average_precision"},
        ),
        ([0, 0, 0], [1, 0, 0], {"recall", "mcc", "balanced_accuracy", "roc_auc", "average_precision"}),
        ([1, 1, 1], [1, 1, 0], {"specificity", "fpr", "mcc", "balanced_accuracy", "roc_auc"}),
        ([1, 0, 1], [0, 0, 0], {"precision"}),
    ],
)
def test_binary_metrics_are_nan_exactly_where_documented(
    y: list[int], decision: list[int], undefined: set[str]
) -> None:
    p = Predictions(BINARY, np.array(y, float), np.array([0.3, 0.2, 0.4]), np.arange(3), np.array(decision))
    values = {name: measure(METRICS[name], p) for name in SK_BINARY}
    assert {name for name, value in values.items() if np.isnan(value)} == undefined


def test_a_constant_decision_has_no_correlation() -> None:
    p = Predictions(BINARY, np.array([1.0, 0, 1]), np.full(3, 0.2), np.arange(3), np.zeros(3, np.int64))
    assert measure(METRICS["mcc"], p) == 0.0
    assert measure(METRICS["f1"], p) == 0.0


def test_regression_metrics_are_nan_exactly_where_documented() -> None:
    p = Predictions(REGRESSION, np.zeros(4), np.ones(4), np.arange(4))
    assert {n for n in names(Kind.REGRESSION) if np.isnan(measure(METRICS[n], p))} == {"mape", "r2"}


@pytest.mark.parametrize("kind", list(Kind))
def test_no_rows_measure_nothing(kind: Kind) -> None:
    sample = {
        Kind.BINARY: lambda: binary_sample(0, 8, False),
        Kind.MULTICLASS: lambda: three_class_sample(0, 8),
        Kind.REGRESSION: lambda: number_sample(0, 8),
    }[kind]()
    decision = None if sample.decision is None else sample.decision[:0]
    none = Predictions(sample.task, sample.y[:0], sample.score[:0], sample.units[:0], decision)
    assert all(np.isnan(measure(METRICS[n], none)) for n in names(kind) if n != "value")


def test_certain_and_wrong_probabilities_cost_a_finite_log_loss() -> None:
    p = Predictions(BINARY, np.array([1.0, 0]), np.array([0.0, 0.0]), np.arange(2), np.zeros(2, np.int64))
    assert measure(METRICS["log_loss"], p) == pytest.approx(sk.log_loss(p.y, p.score))


def test_value_per_thousand_decisions() -> None:
    worth = metric("value", BINARY, value={"true_positive": 4.0, "false_positive": -1.0}, unit="USD")
    y, decision = np.array([1.0, 1, 0, 0, 0]), np.array([1, 0, 1, 1, 0])
    p = Predictions(BINARY, y, np.full(5, 0.5), np.arange(5), decision)
    assert measure(worth, p) == pytest.approx(1000 * (4.0 - 2.0) / 5)
    assert worth.unit == "USD per 1,000 decisions"
    assert worth.higher_is_better


def test_value_mistakes_are_told_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        metric("value", BINARY, value={"true_positve": 4.0, "false_positive": float("nan")})
    assert [p.what for p in caught.value.problems] == [
        "'true_positve' is no outcome",
        "false_positive is worth nan, which is no finite number",
    ]
    assert caught.value.problems[0].fix == "did you mean 'true_positive' or 'false_positive'?"
    with pytest.raises(SpecError, match="no outcome has a value"):
        metric("value", BINARY, value={})
    with pytest.raises(SpecError, match="metric 'value' needs to know what each outcome is worth"):
        metric("value", BINARY)


def test_an_unknown_name_is_told_with_what_fits() -> None:
    with pytest.raises(SpecError) as caught:
        metric("f1_score", BINARY, where="headrace.yaml:8")
    problem = caught.value.problems[0]
    assert problem.what == "no metric is named 'f1_score'"
    assert problem.where == "headrace.yaml:8"
    assert "a binary task has: f1, precision, recall" in problem.fix
    with pytest.raises(SpecError, match=r"did you mean 'rmse'"):
        metric("rmsse", REGRESSION)


@pytest.mark.parametrize(("name", "task"), [("rmse", BINARY), ("f1", THREE), ("value", REGRESSION)])
def test_a_metric_of_another_task_is_told_as_such(name: str, task: Task) -> None:
    with pytest.raises(SpecError, match=f"metric '{name}' does not fit a {task.kind} task") as caught:
        metric(name, task)
    assert caught.value.problems[0].fix == "choose from: " + ", ".join(names(task.kind))


def test_measuring_another_task_is_refused() -> None:
    with pytest.raises(UserError, match="metric 'rmse' does not fit a binary task"):
        measure(METRICS["rmse"], binary_sample(0, 8, False))


def test_every_kind_has_a_default() -> None:
    assert all(DEFAULT[kind] in names(kind) for kind in Kind)


def test_predictions_tell_every_mistake_at_once() -> None:
    with pytest.raises(DataError) as caught:
        Predictions(BINARY, np.array([0.0, np.nan]), np.zeros(3), np.arange(1), None)
    assert [p.what for p in caught.value.problems] == [
        "score has shape (3,), (2,) was expected",
        "units has shape (1,), (2,) was expected",
        "1 values of y are not finite",
        "decision is missing",
    ]
    with pytest.raises(DataError, match="y holds codes outside 0 to 1"):
        Predictions(BINARY, np.array([2.0]), np.zeros(1), np.arange(1), np.zeros(1, np.int64))
    with pytest.raises(DataError, match="decision holds codes outside 0 to 1"):
        Predictions(BINARY, np.array([1.0]), np.zeros(1), np.arange(1), np.array([2]))


def test_every_metric_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    for name in (*METRICS, "value"):
        assert f"| `{name}` |" in page, name
    for name, m in METRICS.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert m.meaning in row and m.reference in row, name
        assert all(str(kind) in row for kind in m.kinds), name
        direction = "0 is best" if m.best_at_zero else ("higher" if m.higher_is_better else "lower")
        assert f"| {direction} |" in row, name
