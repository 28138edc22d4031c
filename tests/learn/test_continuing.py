"""Learning that goes on comes to the same bits as learning from the start; what does not fit is not used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_candidate_exam import FEATURES, TASKS, fit, rows, run_graph, target

from headrace.core.codec import from_json, to_json
from headrace.core.errors import UserError
from headrace.core.task import Feature, FeatureKind, Kind
from headrace.graph.build import GraphBuilder
from headrace.learn import needs
from headrace.learn.candidate import Continues, resolve_params
from headrace.learn.candidates.river import RIVER, River
from headrace.learn.continuing import Checkpoint, Memory, in_order
from headrace.learn.folds import FoldKind, FoldPlan, folds
from headrace.learn.records import ModelChoice, Part
from headrace.learn.registry import missing_libraries
from headrace.learn.run import learn
from headrace.metrics.catalog import METRICS

N = 300


class Counting(River):
    """River's, counting the rows that it looks at."""

    looked = 0

    def carry_on(self, X: Any, y: Any, **more: Any) -> Any:
        learned = more["learned"]
        self.looked += len(y) - (0 if learned is None else learned["rows"])
        return super().carry_on(X, y, **more)


def fit_with(memory: Memory, X: Any, y: Any, kind: Kind, features: Any = FEATURES, **given: Any) -> Any:
    params = resolve_params(RIVER, TASKS[kind], len(X), X.shape[1], given)
    return memory.fit(
        RIVER, X, y, line="river", use="river", features=features, task=TASKS[kind], params=params
    )


def graph(fitted: Any, width: int = len(FEATURES)) -> bytes:
    g = GraphBuilder()
    fitted.emit(g, g.matrix_input("features", width))
    return g.build()


def kept(memory: Memory) -> tuple[Any, ...]:
    """As another run finds it: through JSON."""
    return from_json(to_json(memory.checkpoint()), Checkpoint).marks


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("cut", [1, 2, 57, N - 1, N])
def test_going_on_is_the_same_to_the_bit(kind: Kind, cut: int) -> None:
    X = rows(N)
    y = target(X, kind)
    whole, first = Memory({"river": "v"}), Memory({"river": "v"})
    straight = fit_with(whole, X, y, kind, penalty=0.001)
    fit_with(first, X[:cut], y[:cut], kind, penalty=0.001)
    second = Memory({"river": "v"}, kept(first))
    later = fit_with(second, X, y, kind, penalty=0.001)
    assert graph(later) == graph(straight)
    assert second.checkpoint() == whole.checkpoint()
    np.testing.assert_array_equal(later.score(X), straight.score(X))
    assert (second.continued["river"].before, whole.continued["river"].before) == (cut, 0)
    assert whole.continued["river"].why_none == "no earlier run has learned row by row"


@pytest.mark.parametrize("kind", list(Kind))
def test_a_world_that_had_one_class_goes_on_to_others(kind: Kind) -> None:
    X = rows(N)
    y = target(X, kind)
    y[:80] = y[0]
    first = Memory({"river": "v"})
    assert np.ptp(fit_with(first, X[:80], y[:80], kind).score(X), axis=0).max() == 0
    second = Memory({"river": "v"}, kept(first))
    assert graph(fit_with(second, X, y, kind)) == graph(fit("river", kind, X, y))
    assert second.continued["river"].before == 80


def test_what_is_not_of_the_same_first_rows_is_learned_from_the_start() -> None:
    X = rows(N)
    y = target(X, Kind.BINARY)
    first = Memory({"river": "v"})
    fit_with(first, X[:200], y[:200], Kind.BINARY)
    marks = kept(first)
    other_X, other_y = X.copy(), y.copy()
    other_X[7, 4], other_y[199] = 1.0, 1 - y[199]
    renamed = (replace(FEATURES[0], name="area"), *FEATURES[1:])
    for memory, given in (
        (Memory({"river": "v"}, marks), {"X": other_X}),
        (Memory({"river": "v"}, marks), {"y": other_y}),
        (Memory({"river": "w"}, marks), {}),
        (Memory({"river": "v"}, marks), {"penalty": 0.01}),
        (Memory({"river": "v"}, marks), {"features": renamed}),
        (Memory({"river": "v"}, marks), {"X": X[1:], "y": y[1:]}),
        (Memory({"river": "v"}, marks), {"X": X[:199], "y": y[:199]}),
    ):
        asked = {"X": X, "y": y, "kind": Kind.BINARY, **given}
        fitted = fit_with(memory, **asked)
        assert memory.continued["river"].before == 0
        assert "these first rows" in memory.continued["river"].why_none
        assert graph(fitted) == graph(fit_with(Memory({"river": "x"}), **asked))


def test_categories_are_known_by_name_whatever_their_code() -> None:
    X = rows(N)
    y = target(X, Kind.REGRESSION)
    first = Memory({"river": "v"})
    fit_with(first, X[:200], y[:200], Kind.REGRESSION)
    # Another order of the same names, and one more: h comes first, and every code is another one.
    turned = Feature("town", FeatureKind.CATEGORY, tuple("hgfedcbaz"))
    code = {3 + i: 3 + 7 - i for i in range(8)}
    other = X.copy()
    other[:, 3] = [code.get(int(c), c) for c in X[:, 3]]
    other[250, 3] = 3 + 8  # z
    features = (*FEATURES[:3], turned, *FEATURES[4:])
    second = Memory({"river": "v"}, kept(first))
    fitted = fit_with(second, other, y, Kind.REGRESSION, features)
    assert second.continued["river"].before == 200
    assert graph(fitted) == graph(fit_with(Memory({"river": "v"}), other, y, Kind.REGRESSION, features))
    np.testing.assert_allclose(run_graph(fitted, other, Kind.REGRESSION), fitted.score(other), rtol=1e-9)


def test_rows_are_learned_in_the_order_of_their_moments() -> None:
    X = rows(N)
    y = target(X, Kind.BINARY)
    times = np.arange(N, dtype=np.int64)
    turned = np.random.default_rng(4).permutation(N)
    again = in_order(X[turned], y[turned], times[turned])
    np.testing.assert_array_equal(again[0], X)
    np.testing.assert_array_equal(again[1], y)
    assert in_order(X, y, times)[0] is X
    assert in_order(X, y, None)[0] is X


def test_folds_that_walk_forward_look_at_every_row_once() -> None:
    X = rows(N)
    y = target(X, Kind.BINARY)
    turned = np.random.default_rng(4).permutation(N)
    times = np.argsort(turned).astype(np.int64)  # rows lie in any order
    X, y = X[np.argsort(turned)], y[np.argsort(turned)]
    X, y = np.ascontiguousarray(X), y
    units = times // 10
    part = Part(X, y, units, times=times)
    drawn = folds(FoldPlan(FoldKind.WALK, 4, times=times, blocks=units), N, seed=0)
    found = []
    for memory in (None, Memory({"river": "v"})):
        counting = Counting()
        assert isinstance(counting, Continues)
        found.append(
            learn(
                part,
                [ModelChoice("river", "river", {}, counting)],
                features=FEATURES,
                task=TASKS[Kind.BINARY],
                metric=METRICS["roc_auc"],
                folds=drawn,
                memory=memory,
            )
        )
        looked = sum(len(r) for r, _ in drawn) + N if memory is None else N
        assert counting.looked == looked
    assert found[0].graph == found[1].graph
    np.testing.assert_array_equal(found[0].scores["river"], found[1].scores["river"])
    assert memory is not None
    assert [m.rows for m in memory.checkpoint().marks] == [*(len(r) for r, _ in drawn), N]


def test_many_rows_are_many_blocks() -> None:
    X = rows(9000)
    y = target(X, Kind.BINARY)
    first = Memory({"river": "v"})
    fit_with(first, X[:5000], y[:5000], Kind.BINARY)
    second = Memory({"river": "v"}, kept(first))
    assert graph(fit_with(second, X, y, Kind.BINARY)) == graph(fit("river", Kind.BINARY, X, y))
    assert second.continued["river"].before == 5000


def test_where_river_is_missing_it_is_said_what_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(module: str) -> None:
        raise ModuleNotFoundError("no River", name="river")

    monkeypatch.setattr(needs, "import_module", fails)
    X = rows(20)
    with pytest.raises(UserError, match="river is not installed") as caught:
        fit("river", Kind.BINARY, X, target(X, Kind.BINARY))
    assert "pip install 'headrace[watch]'" in str(caught.value)
    monkeypatch.setattr("headrace.learn.registry.find_spec", lambda name: None)
    ((place, problem),) = missing_libraries(["tree", "river"])
    assert (place, "headrace[watch]" in problem.fix) == (1, True)


def test_later_rows_count_more() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(4000, 1)).astype(np.float32)
    y = (X[:, 0] > 0).astype(np.float64)
    y[2000:] = 1 - y[2000:]  # the world turns round
    feature = (Feature("x", FeatureKind.NUMBER),)
    fitted = fit_with(Memory({"river": "v"}), X, y, Kind.BINARY, feature)
    assert np.mean((fitted.score(X[2000:]) > 0.5) == y[2000:]) > 0.95
