from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from headrace.core.errors import MissingDependency, UserCodeError, UserError
from headrace.core.task import Feature, FeatureKind, Kind, Task
from headrace.learn import compare as learn_compare
from headrace.learn import final as learn_final
from headrace.learn.folds import FoldKind, FoldPlan, folds
from headrace.learn.records import Learned, ModelChoice, Part
from headrace.learn.run import learn
from headrace.metrics.catalog import METRICS
from headrace.metrics.measure import measure
from headrace.metrics.record import Predictions
from headrace.metrics.threshold import choose_threshold

FEATURES = (
    Feature("a", FeatureKind.NUMBER),
    Feature("b", FeatureKind.NUMBER),
    Feature("c", FeatureKind.CATEGORY, ("x", "y", "z")),
)
BINARY = Task(Kind.BINARY, (False, True))
SMALL = ModelChoice("boosting", "boosting", {"trees": 20, "min_leaf": 5})
TWO = (ModelChoice("linear", "linear"), SMALL)


def part(n: int, kind: Kind, seed: int = 0, *, today: bool = False) -> Part:
    rng = np.random.default_rng(seed)
    X = np.stack([rng.normal(size=n), rng.normal(size=n), rng.integers(2, 6, n)], axis=1).astype(np.float32)
    X[rng.random(n) < 0.1, 0] = np.nan
    value = np.nan_to_num(X[:, 0]) + 0.5 * (X[:, 2] == 4) + rng.normal(0, 0.5, n)
    if kind is Kind.REGRESSION:
        y = value.astype(np.float64)
    else:
        cuts = [0.6] if kind is Kind.BINARY else [-0.3, 0.6]
        y = np.searchsorted(cuts, value).astype(np.float64)
    rule = None
    if today:
        rule = np.nan_to_num(X[:, 0]).astype(np.float64)
        rule = (
            rule
            if kind is Kind.REGRESSION
            else np.clip(np.round(rule), 0, (kind is Kind.MULTICLASS and 2) or 1)
        )
    return Part(X, y, np.arange(n), rule)


def run(kind: Kind = Kind.BINARY, models=TWO, **more) -> Learned:
    task = {
        Kind.BINARY: BINARY,
        Kind.MULTICLASS: Task(Kind.MULTICLASS, ("low", "middle", "high")),
        Kind.REGRESSION: Task(Kind.REGRESSION),
    }[kind]
    name = {Kind.BINARY: "f1", Kind.MULTICLASS: "f1_macro", Kind.REGRESSION: "rmse"}[kind]
    train = more.pop("train", None) or part(300, kind, today=True)
    more.setdefault("metric", METRICS[name])
    if "holdout" not in more:
        more.setdefault("folds", folds(FoldPlan(FoldKind.RANDOM, 3), len(train.y), seed=1))
    return learn(train, models, features=FEATURES, task=task, seed=1, **more)


def outputs(graph: bytes, X: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, {"features": X}), strict=True))


@pytest.mark.parametrize("kind", list(Kind))
def test_leaderboard_has_every_model_and_both_baselines_best_first(kind: Kind) -> None:
    learned = run(kind)
    assert {line.model for line in learned.leaderboard} == {"linear", "boosting", "naive", "today"}
    means = [line.mean for line in learned.leaderboard]
    assert means == sorted(means, reverse=kind is not Kind.REGRESSION)
    assert learned.best in {"linear", "boosting"}
    for line in learned.leaderboard:
        assert len(line.folds) == 3
        assert line.mean == pytest.approx(np.mean(line.folds))
        assert line.std == pytest.approx(np.std(line.folds, ddof=1))
        assert not line.error
    assert set(learned.scores) == {"linear", "boosting", "naive", "today"}


@pytest.mark.parametrize("kind", list(Kind))
def test_the_graph_answers_what_the_model_answers(kind: Kind) -> None:
    fresh = part(100, kind, seed=5)
    learned = run(kind, probes={"fresh": fresh.X})
    got = outputs(learned.graph, fresh.X)
    native = learned.native["fresh"]
    if kind is Kind.REGRESSION:
        assert set(got) == {"prediction"}
        np.testing.assert_allclose(got["prediction"], native, rtol=1e-9)
        assert learned.threshold is None
        return
    np.testing.assert_allclose(got["probability"], native, rtol=1e-9)
    assert got["decision"].dtype == np.int64
    if kind is Kind.BINARY:
        assert np.array_equal(got["decision"], native >= learned.threshold)
        assert got["prediction"].dtype == np.float64
        assert np.array_equal(got["prediction"], got["decision"])
    else:
        assert np.array_equal(got["decision"], native.argmax(axis=1))
        assert list(got["prediction"]) == [("low", "middle", "high")[d] for d in got["decision"]]


def test_out_of_fold_scores_come_from_models_that_did_not_see_the_row() -> None:
    """With noise for a target, a model that saw the row would know it."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(400, 3)).astype(np.float32)
    X[:, 2] = 3
    noise = Part(X, rng.integers(0, 2, 400).astype(np.float64), np.arange(400))
    learned = run(
        train=noise, models=[ModelChoice("forest", "forest", {"trees": 20})], metric=METRICS["roc_auc"]
    )
    assert abs(learned.leaderboard[0].mean - 0.5) < 0.12
    seen = learned.scores["forest"]
    assert np.isfinite(seen).all()
    assert abs(np.corrcoef(seen, noise.y)[0, 1]) < 0.2


def test_rows_in_no_test_fold_have_no_score() -> None:
    train = part(300, Kind.BINARY)
    plan = FoldPlan(FoldKind.WALK, 4, times=np.arange(300))
    learned = run(train=train, folds=folds(plan, 300, seed=0))
    assert np.isnan(learned.scores["linear"][:60]).all()
    assert np.isfinite(learned.scores["linear"][60:]).all()


def test_the_threshold_is_the_best_on_out_of_fold_scores_and_each_fold_is_decided_by_the_others() -> None:
    train = part(300, Kind.BINARY)
    made = folds(FoldPlan(FoldKind.RANDOM, 3), 300, seed=1)
    learned = run(train=train, folds=made, models=[SMALL])
    scores = learned.scores["boosting"]
    assert learned.threshold == choose_threshold(METRICS["f1"], train.y, scores)
    line = next(line for line in learned.leaderboard if line.model == "boosting")
    for (rows, tested), value in zip(made, line.folds, strict=True):
        threshold = choose_threshold(METRICS["f1"], train.y[rows], scores[rows])
        decided = (scores[tested] >= threshold).astype(np.int64)
        predictions = Predictions(BINARY, train.y[tested], scores[tested], tested, decided)
        assert value == measure(METRICS["f1"], predictions)


@pytest.mark.parametrize("kind", list(Kind))
def test_holdout_fits_once_and_keeps_that_fit(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    fits = []
    real = learn_compare.fit_entry
    for room in (learn_compare, learn_final):
        monkeypatch.setattr(
            room,
            "fit_entry",
            lambda setting, entry, *more: fits.append(entry.name) or real(setting, entry, *more),
        )
    held = part(200, kind, seed=9, today=True)
    learned = run(kind, holdout=held, probes={"held": held.X})
    assert sorted(fits) == ["boosting", "linear", "naive"]
    assert np.array_equal(learned.native["held"], learned.scores[learned.best])
    line = learned.leaderboard[0]
    assert line.std is None and len(line.folds) == 1


def test_the_same_inputs_give_the_same_bytes() -> None:
    first, again = run(), run()
    assert first.graph == again.graph
    assert first.threshold == again.threshold
    for name in first.scores:
        assert np.array_equal(first.scores[name], again.scores[name])


def test_today_is_scored_as_it_decides() -> None:
    train = part(300, Kind.BINARY, today=True)
    learned = run(train=train)
    made = folds(FoldPlan(FoldKind.RANDOM, 3), 300, seed=1)
    line = next(line for line in learned.leaderboard if line.model == "today")
    rows = made[0][1]
    decided = train.today[rows].astype(np.int64)
    expected = measure(METRICS["f1"], Predictions(BINARY, train.y[rows], train.today[rows], rows, decided))
    assert line.folds[0] == expected


def test_rows_without_an_answer_of_today_are_left_out_of_its_line() -> None:
    train = part(300, Kind.REGRESSION, today=True)
    today = train.today.copy()
    today[::2] = np.nan
    learned = run(Kind.REGRESSION, train=Part(train.X, train.y, train.units, today))
    made = folds(FoldPlan(FoldKind.RANDOM, 3), 300, seed=1)
    rows = made[0][1][np.isfinite(today[made[0][1]])]
    line = next(line for line in learned.leaderboard if line.model == "today")
    assert line.folds[0] == pytest.approx(np.sqrt(np.mean((today[rows] - train.y[rows]) ** 2)))


class Breaks:
    """A candidate whose fit raises what it is told to."""

    name, summary, tasks = "breaks", "raises", frozenset(Kind)

    def __init__(self, error: Exception) -> None:
        self.error = error

    def defaults(self, task, n_rows, n_features):
        return {}

    def space(self, task):
        return {}

    def fit(self, X, y, *, features, task, params, seed, threads):
        raise self.error


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch):
    real = learn_compare.load_candidate

    def use(error: Exception) -> None:
        monkeypatch.setattr(
            learn_compare, "load_candidate", lambda n: Breaks(error) if n == "breaks" else real(n)
        )

    return use


def test_a_failed_candidate_is_shown_last_and_the_others_go_on(breaking) -> None:
    breaking(ZeroDivisionError("no rows left"))
    told = []
    learned = run(models=[ModelChoice("mine", "breaks"), SMALL], progress=lambda *a: told.append(a))
    last = learned.leaderboard[-1]
    assert (last.model, last.mean, last.folds) == ("mine", None, ())
    assert "mine failed: ZeroDivisionError: no rows left" in last.error
    assert learned.best == "boosting"
    assert "mine" not in learned.scores
    assert [t[1:] for t in told][-1] == (10, 10)
    assert [t[1] for t in told] == sorted(t[1] for t in told)


def test_where_every_candidate_fails_all_are_named(breaking) -> None:
    breaking(ValueError("boom"))
    with pytest.raises(UserError) as caught:
        run(models=[ModelChoice("one", "breaks"), ModelChoice("two", "breaks")])
    assert [p.where for p in caught.value.problems] == ["models: one", "models: two"]
    assert "boom" in str(caught.value)


def test_a_missing_library_stops_everything(breaking) -> None:
    breaking(MissingDependency("lightgbm is not installed", fix="pip install 'headrace[train]'"))
    with pytest.raises(MissingDependency, match="lightgbm is not installed"):
        run(models=[ModelChoice("mine", "breaks"), SMALL])


def test_mistakes_in_all_models_are_reported_at_once() -> None:
    models = [
        ModelChoice("a", "boostng"),
        ModelChoice("b", "forest", {"treez": 3}),
        ModelChoice("c", "linear", {"penalty": "x"}),
    ]
    with pytest.raises(UserError) as caught:
        run(models=models)
    text = str(caught.value)
    assert "no model is called 'boostng'" in text and "did you mean 'boosting'" in text
    assert "forest has no parameter 'treez'" in text and "did you mean 'trees'?" in text
    assert "penalty = 'x' is of the wrong type" in text


def test_no_rows_and_no_models_are_the_users_mistakes() -> None:
    empty = Part(np.empty((0, 3), np.float32), np.empty(0), np.empty(0, np.int64))
    with pytest.raises(UserError, match="no row to learn from"):
        learn(empty, [SMALL], features=FEATURES, task=BINARY, metric=METRICS["f1"], folds=[])
    with pytest.raises(UserError, match="no model is named"):
        run(models=[])


def test_a_fold_where_the_metric_is_undefined_is_left_out_of_the_mean() -> None:
    train = part(90, Kind.BINARY)
    y = train.y.copy()
    y[:30] = 0
    made = [(np.setdiff1d(np.arange(90), t), t) for t in np.array_split(np.arange(90), 3)]
    learned = run(train=Part(train.X, y, train.units), folds=made, metric=METRICS["roc_auc"])
    line = learned.leaderboard[0]
    assert np.isnan(line.folds[0])
    assert line.mean == pytest.approx(np.mean(line.folds[1:]))


def test_an_estimator_by_import_path_takes_part() -> None:
    models = [ModelChoice("near", "sklearn.neighbors:KNeighborsRegressor", {"n_neighbors": 7})]
    fresh = part(50, Kind.REGRESSION, seed=4)
    learned = run(Kind.REGRESSION, models=models, probes={"fresh": fresh.X})
    assert learned.best == "near"
    got = outputs(learned.graph, fresh.X)["prediction"]
    np.testing.assert_allclose(got, learned.native["fresh"], rtol=1e-4, atol=1e-4)


def test_scores_that_are_not_finite_fail_the_candidate(breaking, monkeypatch: pytest.MonkeyPatch) -> None:
    breaking(UserCodeError("unused"))

    class Nans:
        def score(self, X):
            return np.full(len(X), np.nan)

    monkeypatch.setattr(Breaks, "fit", lambda self, X, y, **_: Nans())
    learned = run(models=[ModelChoice("mine", "breaks"), SMALL])
    assert "not finite" in learned.leaderboard[-1].error
