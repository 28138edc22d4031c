from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto

from headrace.core.task import Feature, FeatureKind, Kind, Task
from headrace.graph.build import GraphBuilder
from headrace.learn.candidate import resolve_params
from headrace.learn.registry import load_candidate
from headrace.learn.trees import from_lightgbm

TOWNS = tuple(f"t{i}" for i in range(400))
FEATURES = (Feature("a", FeatureKind.NUMBER), Feature("town", FeatureKind.CATEGORY, TOWNS))
TASK = Task(Kind.REGRESSION)


@pytest.mark.parametrize("name", ["tree", "forest", "boosting"])
def test_large_vocabularies_and_many_leaves_are_exact(name: str) -> None:
    rng = np.random.default_rng(0)
    X = np.stack([rng.normal(size=20_000), rng.integers(3, 390, 20_000)], axis=1).astype(np.float32)
    X[::17, 0] = np.nan
    worth = rng.normal(size=403)
    y = worth[X[:, 1].astype(int)] * (1 + np.nan_to_num(X[:, 0])) + rng.normal(0, 0.1, len(X))
    candidate = load_candidate(name)
    given = {
        "tree": {"min_leaf": 5, "max_depth": 30},
        "forest": {"trees": 10},
        "boosting": {"leaves": 500, "trees": 20},
    }
    params = resolve_params(candidate, TASK, len(X), 2, given[name])
    fitted = candidate.fit(X, y, features=FEATURES, task=TASK, params=params, seed=0, threads=1)
    probe = np.array([[a, c] for c in range(403) for a in (np.nan, -1.0, 0.0, 2.5)], np.float32)
    g = GraphBuilder()
    g.output(fitted.emit(g, g.matrix_input("features", 2)), "score", TensorProto.DOUBLE, [None])
    session = onnxruntime.InferenceSession(g.build(), providers=["CPUExecutionProvider"])
    got = session.run(None, {"features": probe})[0]
    np.testing.assert_allclose(got, fitted.score(probe), rtol=1e-12, atol=1e-12)


def test_what_the_node_cannot_say_is_refused() -> None:
    text = (
        "tree\nnum_tree_per_iteration=1\n\nTree=0\nnum_leaves=2\nsplit_feature=0\nthreshold=0.5\n"
        "decision_type={}\nleft_child=-1\nright_child=-2\nleaf_value=1 2\n\n\nend of trees\n"
    )
    assert from_lightgbm(text.format(10)).leaf_values == [1.0, 2.0]
    with pytest.raises(ValueError, match="zero_as_missing"):
        from_lightgbm(text.format(4))
