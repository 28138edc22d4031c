"""Tree ensembles of scikit-learn by import path: their graphs answer as they do, or they are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper
from spine import begin

from headrace.core.errors import UserError
from headrace.core.task import Feature, FeatureKind, Kind, Task
from headrace.graph.build import GraphBuilder
from headrace.learn.candidate import resolve_params
from headrace.learn.onnx_merge import merge
from headrace.learn.registry import load_candidate

FEATURES = (
    Feature("size", FeatureKind.NUMBER),
    Feature("rooms", FeatureKind.NUMBER),
    Feature("town", FeatureKind.CATEGORY, tuple("abcd")),
)
CLASSES = {
    Kind.REGRESSION: (),
    Kind.BINARY: (False, True),
    Kind.MULTICLASS: ("low", "middle", "high"),
}
EXACT = ("tree:DecisionTree", "tree:ExtraTree", "ensemble:RandomForest", "ensemble:ExtraTrees")
BOOSTED = tuple(f"ensemble:{s}" for s in ("GradientBoosting", "HistGradientBoosting", "AdaBoost", "Bagging"))


def rows(n: int) -> np.ndarray:
    rng = np.random.default_rng(4)
    X = np.stack([rng.lognormal(1, 1, n), rng.integers(1, 6, n), rng.integers(2, 7, n)], axis=1)
    X[::11, 0] = np.nan
    return X.astype(np.float32)


def edges() -> np.ndarray:
    """Null, zeros, float32's ends and its smallest steps, unseen categories."""
    big = float(np.finfo(np.float32).max)
    return np.asarray(
        [[v, 2.0, code] for v in (np.nan, 0.0, -0.0, 1e-45, -1.0, big, -big) for code in range(7)], np.float32
    )


def fit(name: str, kind: Kind, X: np.ndarray, **given):
    value = np.log1p(np.nan_to_num(X[:, 0], nan=7)) + 0.3 * X[:, 1] + X[:, 2] % 3
    y = value.astype(np.float64)
    if kind is not Kind.REGRESSION:
        y = np.searchsorted(np.quantile(value, [0.5] if kind is Kind.BINARY else [0.3, 0.7]), value)
    task, candidate = Task(kind, CLASSES[kind]), load_candidate(name)
    params = resolve_params(candidate, task, len(X), X.shape[1], given)
    return candidate.fit(
        X, y.astype(np.float64), features=FEATURES, task=task, params=params, seed=3, threads=1
    )


def run(graph: bytes, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"]).run(None, feed)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("stem", EXACT + BOOSTED)
def test_graph_answers_what_the_estimator_answers(stem: str, kind: Kind) -> None:
    X = rows(400)
    name = f"sklearn.{stem}{'Regressor' if kind is Kind.REGRESSION else 'Classifier'}"
    fitted = fit(name, kind, X)
    everything = np.vstack([X, edges()])
    expected = fitted.score(everything)
    g = GraphBuilder()
    g.output(
        fitted.emit(g, g.matrix_input("x", 3)),
        "score",
        TensorProto.DOUBLE,
        [None, None] if kind is Kind.MULTICLASS else [None],
    )
    [got] = run(g.build(), {"x": everything})
    tolerance = 1e-12 if stem in EXACT else 1e-5
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)
    assert expected.std() > 0.01, "an answer that doesn't depend on its input shows nothing"


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("sklearn.ensemble:RandomForestClassifier", {"n_estimators": 7}),
        ("sklearn.ensemble:ExtraTreesRegressor", {"n_estimators": 7}),
    ],
)
def test_forests_score_what_scikit_learn_scores(name: str, given: dict[str, int]) -> None:
    from headrace.learn.dense import fit_dense

    X = rows(300)
    kind = Kind.BINARY if name.endswith("Classifier") else Kind.REGRESSION
    fitted = fit(name, kind, X, **given)
    value = np.log1p(np.nan_to_num(X[:, 0], nan=7)) + 0.3 * X[:, 1] + X[:, 2] % 3
    y = value.astype(np.float64)
    if kind is Kind.BINARY:
        y = np.searchsorted(np.quantile(value, [0.5]), value)
    Z = fit_dense(X, FEATURES).apply(X).astype(np.float32).astype(np.float64)
    model = load_candidate(name).make(random_state=3, **given).fit(Z, y)
    expected = model.predict_proba(Z)[:, 1] if kind is Kind.BINARY else model.predict(Z)
    np.testing.assert_allclose(fitted.score(X), expected, rtol=1e-12)


OWN = """
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import RandomForestRegressor

class Unknown(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        return self
    def predict(self, X):
        return X[:, 0]

class Doubled(RandomForestRegressor):
    def predict(self, X):
        return 2 * super().predict(X)
"""


@pytest.mark.parametrize("name", ["own_trees:Unknown", "own_trees:Doubled"])
def test_what_skl2onnx_does_not_know_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_trees.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=f"{name} can't be turned into a graph: ") as caught:
        fit(name, Kind.REGRESSION, rows(50))
    [problem] = caught.value.problems
    assert problem.where == f"models: {name}"
    assert "linear, forest, boosting" in problem.fix


def test_a_graph_that_answers_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The converter's result for another estimator stands for a converter that errs."""
    from sklearn.ensemble import GradientBoostingRegressor

    from headrace.learn.candidates import sklearn_any

    convert = sklearn_any.convert

    def wrong(name, estimator, Z, **where):
        return convert(name, GradientBoostingRegressor(n_estimators=3).fit(Z, np.arange(len(Z))), Z, **where)

    monkeypatch.setattr(sklearn_any, "convert", wrong)
    with pytest.raises(UserError, match="is not equal to its graph: they differ by up to ") as caught:
        fit("sklearn.ensemble:GradientBoostingRegressor", Kind.REGRESSION, rows(60))
    assert "1e-05 (relative, on real rows) is allowed" in str(caught.value)


def old_node(op: str, **attributes):
    """One tree, `x <= 1`, beside a tree of one leaf, as an old node."""
    return helper.make_node(
        op,
        ["x"],
        ["label", "score"] if op.endswith("Classifier") else ["score"],
        domain="ai.onnx.ml",
        nodes_treeids=[0, 0, 0, 1],
        nodes_nodeids=[0, 1, 2, 0],
        nodes_modes=attributes.pop("modes", ["BRANCH_LEQ", "LEAF", "LEAF", "LEAF"]),
        nodes_featureids=[0, 0, 0, 0],
        nodes_values=[1.0, 0.0, 0.0, 0.0],
        nodes_truenodeids=[1, 0, 0, 0],
        nodes_falsenodeids=[2, 0, 0, 0],
        nodes_missing_value_tracks_true=[1, 0, 0, 0],
        **attributes,
    )


def weights(prefix: str, target: list[int], values: list[float]) -> dict[str, list]:
    ids = {f"{prefix}_treeids": [0, 0, 1], f"{prefix}_nodeids": [1, 2, 0]}
    return {**ids, f"{prefix}_ids": target, f"{prefix}_weights": values}


def old_model(node):
    """The old node as a model of its own, which onnxruntime runs at ai.onnx.ml opset 3."""
    outputs = [helper.make_tensor_value_info("score", TensorProto.FLOAT, None)]
    if len(node.output) == 2:
        outputs.insert(0, helper.make_tensor_value_info("label", TensorProto.INT64, None))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(
        helper.make_graph([node], "old", [x], outputs), opset_imports=imports, ir_version=9
    )


def rewritten(model) -> bytes:
    g = GraphBuilder()
    names = merge(g, model, g.matrix_input("x", 1))
    for name, value in zip(names, model.graph.output, strict=True):
        g.output(name, value.name, value.type.tensor_type.elem_type, [None] * (1 + (value.name == "score")))
    return g.build()


SINGLE = {"classlabels_int64s": [5, 7], **weights("class", [0, 0, 0], [0.25, 0.5, 0.125])}
SIGNED = {"classlabels_int64s": [5, 7], **weights("class", [0, 0, 0], [-0.25, 0.5, 0.125])}
SECOND = {"classlabels_int64s": [5, 7], **weights("class", [1, 1, 1], [-0.25, 0.5, 0.125])}
SEVERAL = {"classlabels_int64s": [4, 5, 6], **weights("class", [0, 1, 2], [0.7, 0.5, 0.6])}
BOTH = {
    "n_targets": 2,
    "target_treeids": [0, 0, 1, 1],
    "target_nodeids": [1, 2, 0, 0],
    "target_ids": [0, 1, 0, 1],
    "target_weights": [0.5, 3.0, -1.0, 0.25],
}
TARGETS = {"n_targets": 2, **weights("target", [0, 1, 0], [0.5, 3.0, -1.0])}


@pytest.mark.parametrize(
    "node",
    [
        old_node("TreeEnsembleClassifier", **SINGLE),
        old_node("TreeEnsembleClassifier", **SIGNED),
        old_node("TreeEnsembleClassifier", **SIGNED, base_values=[0.4], post_transform="LOGISTIC"),
        old_node("TreeEnsembleClassifier", **SECOND),
        old_node("TreeEnsembleClassifier", **SEVERAL),
        old_node("TreeEnsembleClassifier", **SEVERAL, base_values=[0.1, 0.0, 0.5], post_transform="SOFTMAX"),
        old_node("TreeEnsembleClassifier", **SEVERAL, post_transform="SOFTMAX_ZERO"),
        old_node("TreeEnsembleClassifier", **SEVERAL, post_transform="LOGISTIC"),
        old_node("TreeEnsembleRegressor", **BOTH, base_values=[1.0, -2.0]),
        old_node("TreeEnsembleRegressor", **TARGETS, aggregate_function="AVERAGE"),
        old_node("TreeEnsembleRegressor", **TARGETS, modes=["BRANCH_LT", "LEAF", "LEAF", "LEAF"]),
        old_node("TreeEnsembleRegressor", **TARGETS, modes=["BRANCH_GTE", "LEAF", "LEAF", "LEAF"]),
        old_node("TreeEnsembleRegressor", **TARGETS, modes=["BRANCH_NEQ", "LEAF", "LEAF", "LEAF"]),
    ],
)
def test_rewritten_nodes_answer_what_the_old_ones_answer(node) -> None:
    model = old_model(node)
    feed = {"x": np.asarray([[0.0], [1.0], [1.5], [np.nan]], np.float32)}
    for got, expected in zip(run(rewritten(model), feed), run(model.SerializeToString(), feed), strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (old_node("TreeEnsembleRegressor", **TARGETS, aggregate_function="MIN"), "with MIN and NONE has no"),
        (old_node("TreeEnsembleRegressor", **TARGETS, post_transform="PROBIT"), "SUM and PROBIT has no"),
        (old_node("TreeEnsembleClassifier", **SEVERAL, post_transform="PROBIT"), "PROBIT has no counterpart"),
        (old_node("TreeEnsembleClassifier", **SINGLE, post_transform="SOFTMAX"), "one weight with SOFTMAX"),
        (old_node("TreeEnsembleRegressor", **TARGETS, base_values=[1.0]), "1 base values for 2 sums"),
        (
            old_node("TreeEnsembleRegressor", **TARGETS, modes=["BRANCH_MEMBER", "LEAF", "LEAF", "LEAF"]),
            "mode BRANCH_MEMBER have no counterpart",
        ),
    ],
)
def test_old_nodes_without_a_counterpart_are_refused(node, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rewritten(old_model(node))


def test_a_run_with_boosted_trees_beside_a_model_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_trees_run.py").write_text(OWN.replace("Regressor", "Classifier"))
    monkeypatch.syspath_prepend(tmp_path)
    models = "[{use: 'sklearn.ensemble:GradientBoostingClassifier', name: boosted}, 'own_trees_run:Doubled']"
    project = begin(tmp_path / "project", ("[tree]", models))
    result = project.run()
    assert result.status == "released", result.problems
    lines = {line["model"]: line for line in result.plain()["leaderboard"]}
    assert project.release()[1].model == "boosted"
    assert "can't be turned into a graph" in lines["own_trees_run:Doubled"]["error"]
