"""Models that scripts give: estimators and ONNX files go through the spine's gates, and serve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from spine import edit_spec, statuses, verdict
from worlds import homes, wine

from headrace.core.errors import NotFound, UserError
from headrace.project import Project
from headrace.serve.answer import Answerer


def _pipeline(last: Any) -> Any:
    return make_pipeline(SimpleImputer(), StandardScaler(), last)


def _give(project: Project, model: Any) -> str:
    with project.track("by hand") as run:
        data = run.data()
        model.fit(data.train.X, data.train.y)
        run.log_model(model)
    return run.id


@pytest.mark.parametrize("model", [_pipeline(LogisticRegression()), ExtraTreesClassifier(20, random_state=1)])
def test_a_given_classifier_is_released_and_answers_as_the_estimator(fresh: Project, model: Any) -> None:
    result = fresh.run(model=_give(fresh, model))
    assert result.status == "released", result.problems
    assert verdict(result, "parity: scores").outcome == "pass" and verdict(result, "beats-naive").allows
    assert result.plain()["leaderboard"][0]["model"] == type(model).__name__
    found, manifest = fresh.release()
    assert manifest.model == type(model).__name__
    answerer = Answerer(fresh.store, manifest.serving, found.release)
    with fresh.track("look") as run:
        data = run.data()
    row = {"depot": "north", "distance": 12.5, "at": "2024-02-20T09:30:00Z"}
    answer = answerer.answer([row])[0]
    assert 0 <= answer["probability"] <= 1
    assert data.names == ("depot", "distance", "hour", "wind")


def test_three_classes_and_quantities(tmp_path: Path, housing: Path) -> None:
    bottles = wine(tmp_path / "wine")
    assert bottles.run(model=_give(bottles, _pipeline(LogisticRegression()))).status == "released"
    districts = homes(tmp_path / "homes", housing, {"features": None} | _numbers(), rows=600)
    given = _give(districts, RandomForestRegressor(20, random_state=0))
    result = districts.run(model=given)
    assert result.status == "released", result.problems
    again = districts.run(model=given)
    assert set(statuses(again).values()) == {"cached"}
    assert districts.run(model=_give(districts, _pipeline(Ridge()))).status in ("released", "blocked")


def _numbers() -> dict[str, Any]:
    return {"features": {n: n for n in ("median_income", "housing_median_age", "latitude", "longitude")}}


def test_an_onnx_file(fresh: Project, tmp_path: Path) -> None:
    """Two probabilities a row, from hour and wind alone."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])
    y = helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 2])
    weights = np.zeros((4, 2), np.float32)
    weights[2], weights[3] = [-0.4, 0.4], [-1.1, 1.1]  # hour and wind
    known = helper.make_node("IsNaN", ["x"], ["missing"])
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0])
    filled = helper.make_node("Where", ["missing", "zero", "x"], ["filled"])
    product = helper.make_node("MatMul", ["filled", "w"], ["logit"])
    soft = helper.make_node("Softmax", ["logit"], ["p"], axis=1)
    kept = [helper.make_tensor("w", TensorProto.FLOAT, [4, 2], weights.ravel()), zero]
    graph = helper.make_graph([known, filled, product, soft], "g", [x], [y], kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    file = tmp_path / "model.onnx"
    onnx.save(model, str(file))
    with fresh.track("onnx") as run:
        run.data()
        run.log_model(file)
    result = fresh.run(model=run.id, to="package")
    assert result.status == "stopped", result.problems
    assert verdict(result, "parity: scores").outcome == "pass"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: Ridge(), "has no predict_proba"),
        (lambda: _pipeline(LogisticRegression()).fit([[0, 1, 2, 3], [1, 0, 3, 2]], ["a", "b"]), "codes"),
        (lambda: "no/such.onnx", "there is no file"),
        (lambda: make_pipeline(StandardScaler(), LogisticRegression()), "not finite"),
    ],
)
def test_models_that_do_not_fit_are_refused(fresh: Project, model: Any, message: str) -> None:
    made = model()
    with fresh.track("wrong") as run:
        data = run.data()
        if hasattr(made, "fit") and not hasattr(made, "classes_"):
            made.fit(np.nan_to_num(data.train.X), data.train.y)
        with pytest.raises(UserError, match=message):
            run.log_model(made)


def test_a_file_that_is_no_model(fresh: Project, tmp_path: Path) -> None:
    file = tmp_path / "x.onnx"
    file.write_bytes(b"not a model")
    with fresh.track("wrong") as run, pytest.raises(UserError, match="no ONNX file"):
        run.log_model(file)


def test_a_model_that_was_fitted_behind_other_features_is_refused(fresh: Project) -> None:
    given = _give(fresh, HistGradientBoostingClassifier(max_iter=5))
    edit_spec(fresh, ("  wind: weather.wind\n", ""))
    with pytest.raises(UserError, match="behind other features"):
        fresh.run(model=given)


def test_a_run_without_a_model(finished: Project) -> None:
    with pytest.raises(NotFound, match="gave no model"):
        finished.run(model="run-1")
