"""Where the model errs, on rows made for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headrace.checks.errors import Errors, described, errors, losses, worst_rows
from headrace.core.codec import from_json, to_json
from headrace.core.schema import NULL_TIME
from headrace.core.task import Kind, Task
from headrace.metrics.catalog import METRICS
from headrace.metrics.record import Predictions

BINARY, REGRESSION = Task(Kind.BINARY, ("no", "yes")), Task(Kind.REGRESSION)
THREE = Task(Kind.MULTICLASS, ("a", "b", "c"))


def regression(rows: int = 1000) -> Predictions:
    rng = np.random.default_rng(1)
    score = rng.normal(size=rows)
    return Predictions(REGRESSION, score + rng.normal(size=rows), score, np.arange(rows))


def looked(p: Predictions, metric: str, **given: object) -> Errors:
    wanted = {"times": None, "missing": {}, "min_rows": 50, "seed": 0, **given}
    found = errors(p, METRICS[metric], **wanted)
    assert from_json(to_json(found), Errors) == found
    return found


def test_losses_are_those_of_the_task() -> None:
    score = np.array([0.9, 0.2, 0.0])
    p = Predictions(BINARY, np.array([1.0, 1.0, 0.0]), score, np.arange(3), np.array([1, 0, 0]))
    assert losses(p) == pytest.approx([-np.log(0.9), -np.log(0.2), 0.0])
    assert worst_rows(p, 2).tolist() == [1, 0]
    wide = Predictions(THREE, np.array([2.0]), np.array([[0.5, 0.3, 0.2]]), np.arange(1), np.array([0]))
    assert losses(wide) == pytest.approx([-np.log(0.2)])


def test_the_confusion_matrix_counts_rows() -> None:
    y, decided = np.array([0.0, 1, 2, 2, 2]), np.array([0, 1, 0, 2, 2])
    p = Predictions(THREE, y, np.eye(3)[decided], np.arange(5), decided)
    confusion = looked(p, "f1_macro").confusion
    assert confusion is not None
    assert confusion.counts == ((1, 0, 0), (0, 1, 0), (1, 0, 2))
    assert looked(regression(), "rmse").confusion is None


def test_residuals_and_bands_add_up() -> None:
    p = regression()
    found = looked(p, "rmse")
    assert found.residuals is not None
    assert sum(found.residuals.counts) == 1000
    assert len(found.residuals.edges) == len(found.residuals.counts) + 1
    assert found.residuals.mean == pytest.approx(float(np.mean(p.score - p.y)))
    assert sum(b.rows for b in found.by_score) == 1000
    assert np.mean([b.actual for b in found.by_score]) == pytest.approx(p.y.mean())
    constant = replace(p, score=p.y.copy())
    assert looked(constant, "rmse").residuals.skew is None


def test_errors_by_time_show_where_it_became_worse() -> None:
    p = regression(1200)
    times = np.arange(1200) * 60_000_000
    late = np.arange(1200) >= 900
    p = replace(p, y=np.where(late, p.score + 3 * (p.y - p.score), p.y))
    shuffled = np.random.default_rng(0).permutation(1200)
    mixed = replace(p, y=p.y[shuffled], score=p.score[shuffled], units=p.units[shuffled])
    when = times[shuffled]
    when[:5] = NULL_TIME
    stretches = looked(mixed, "rmse", times=when).by_time
    assert len(stretches) == 12
    assert sum(s.rows for s in stretches) == 1195
    assert min(s.metric for s in stretches[9:]) > 2 * max(s.metric for s in stretches[:9])
    assert stretches[0].start.startswith("1970-01-01T00:0")
    assert [s.start for s in stretches] == sorted(s.start for s in stretches)


def test_errors_by_missing_name_columns_that_go_missing_together() -> None:
    p = regression()
    gone = np.arange(1000) % 4 == 0
    p = replace(p, y=np.where(gone, p.score + 2 * (p.y - p.score), p.y))
    few = np.arange(1000) < 10
    missing = {"temp": gone, "wind": gone.copy(), "seats": few, "never": np.zeros(1000, bool)}
    by = {s.name: s for s in looked(p, "rmse", missing=missing).by_missing}
    assert set(by) == {"temp, wind are null", "seats is null"}
    assert by["temp, wind are null"].p_corrected < 0.001
    assert by["temp, wind are null"].value > 1.5 * by["temp, wind are null"].rest
    assert by["seats is null"].value is None


def test_worst_rows_are_described_without_personal_columns() -> None:
    p = regression(50)
    picked = worst_rows(p, 3)
    cells = {"email": ["a@b.c"] * 3, "distance": [1.5, None, 20.0]}
    rows = described(p, picked, picked + 100, cells, ids=["x", "y", "z"], hidden=("email",))
    assert [r.id for r in rows] == ["x", "y", "z"]
    assert [r.cells for r in rows] == [{"distance": "1.5"}, {"distance": "null"}, {"distance": "20"}]
    assert rows[0].row == picked[0] + 101
    assert rows[0].loss >= rows[1].loss >= rows[2].loss


def test_no_rows() -> None:
    nothing = np.zeros(0)
    p = Predictions(REGRESSION, nothing, nothing, nothing.astype(np.int64))
    found = looked(p, "rmse", times=nothing.astype(np.int64), missing={"a": nothing.astype(bool)})
    assert (found.by_score, found.by_time, found.by_missing, found.residuals) == ((), (), (), None)
