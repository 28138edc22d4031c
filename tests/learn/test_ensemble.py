from __future__ import annotations

import itertools

import numpy as np
import onnxruntime
import pytest

from headrace.core.task import Feature, FeatureKind, Kind, Task
from headrace.graph.build import GraphBuilder
from headrace.learn.calibrate import fit_calibrator
from headrace.learn.ensemble import Weights, fit_weights
from headrace.learn.final import Uncertain
from headrace.learn.folds import FoldKind, FoldPlan, folds
from headrace.learn.records import Learned, ModelChoice, Part
from headrace.learn.run import Deepening, learn
from headrace.learn.search.record import SearchPlan
from headrace.metrics.catalog import METRICS

FEATURES = tuple(Feature(n, FeatureKind.NUMBER) for n in "abcd")
TASKS = {
    Kind.BINARY: Task(Kind.BINARY, (False, True)),
    Kind.MULTICLASS: Task(Kind.MULTICLASS, ("low", "middle", "high")),
    Kind.REGRESSION: Task(Kind.REGRESSION),
}
NAMES = {Kind.BINARY: "log_loss", Kind.MULTICLASS: "roc_auc", Kind.REGRESSION: "rmse"}
WAYS = ("blend", "stack")
EVERY = list(itertools.product(Kind, WAYS))
MODELS = (
    ModelChoice("linear", "linear"),
    ModelChoice("forest", "forest", {"trees": 5, "min_leaf": 10}),
    ModelChoice("tree", "tree"),
)


def rows(kind: Kind, n: int, seed: int = 0, *, both: bool = True) -> Part:
    """A part of the truth is a line, which trees need many rows for, and a part is one that no line sees."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4)).astype(np.float32)
    value = 2 * (X[:, 0] + X[:, 2] + X[:, 3]) + (4 * np.abs(X[:, 1]) - 3.2 if both else 0.0)
    value = value + rng.normal(0, 0.5, n)
    cuts = {Kind.BINARY: [0.2], Kind.MULTICLASS: [-0.8, 0.8]}.get(kind)
    y = value if cuts is None else np.searchsorted(cuts, value)
    return Part(X, y.astype(np.float64), np.arange(n))


def run(kind: Kind, way: str, train: Part, models=MODELS, **more) -> Learned:
    deepen = Deepening(
        ensemble=way, **{k: more.pop(k) for k in list(more) if k in ("search", "calibrate", "uncertain")}
    )
    if "holdout" not in more:
        more["folds"] = folds(FoldPlan(FoldKind.RANDOM, 4), len(train.y), seed=1)
    metric = METRICS[NAMES[kind]]
    return learn(
        train, models, features=FEATURES, task=TASKS[kind], metric=metric, deepen=deepen, seed=1, **more
    )


def answers(graph: bytes, X: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, {"features": X}), strict=True))


@pytest.mark.parametrize(("kind", "way"), EVERY)
def test_what_two_candidates_know_together_is_kept_and_packaged(kind: Kind, way: str) -> None:
    train, fresh = rows(kind, 900), rows(kind, 200, seed=5)
    learned = run(kind, way, train, probes={"fresh": fresh.X})
    record = learned.ensemble
    assert record.kept, record.why
    assert record.gain > 0 and record.interval.low > 0
    assert learned.best == way
    assert learned.choice.endswith("kept")
    assert {m.name for m in learned.recipe} == {n for n, w in record.weights.items() if w > 0}
    assert len(learned.recipe) > 1
    got = answers(learned.graph, fresh.X)
    name = "prediction" if kind is Kind.REGRESSION else "probability"
    np.testing.assert_allclose(got[name], learned.native["fresh"], rtol=1e-6, atol=1e-9)
    if kind is not Kind.REGRESSION:
        shares = got["probability"]
        assert ((shares >= 0) & (shares <= 1)).all()
    line = next(line for line in learned.leaderboard if line.model == way)
    assert len(line.folds) == 4


@pytest.mark.parametrize("way", WAYS)
def test_what_adds_nothing_is_not_kept_and_the_reason_is_said(way: str) -> None:
    train = rows(Kind.REGRESSION, 300, both=False)
    learned = run(Kind.REGRESSION, way, train)
    assert not learned.ensemble.kept
    assert learned.best == "linear"
    assert "not kept: not better beyond noise" in learned.ensemble.why
    assert {line.model for line in learned.leaderboard} >= {way}, "its line is shown all the same"


def test_one_candidate_is_nothing_to_combine() -> None:
    learned = run(Kind.REGRESSION, "blend", rows(Kind.REGRESSION, 100), models=MODELS[:1])
    assert "two are needed" in learned.ensemble.why
    assert learned.best == "linear"


@pytest.mark.parametrize("way", WAYS)
def test_a_noise_candidate_gets_little_weight(way: str) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=2000)
    good, noise = y + rng.normal(0, 0.3, 2000), rng.normal(size=2000)
    weights = fit_weights(way, TASKS[Kind.REGRESSION], y, [noise, good]).weights
    assert weights[1] > 0.85
    assert 0 <= weights[0] < 0.1


def test_a_blend_of_equals_halves_the_noise() -> None:
    rng = np.random.default_rng(1)
    y = rng.normal(size=4000)
    members = [y + rng.normal(0, 0.5, 4000) for _ in range(4)]
    blend = fit_weights("blend", TASKS[Kind.REGRESSION], y, members)
    assert sum(blend.weights) == pytest.approx(1)
    assert max(abs(w - 0.25) for w in blend.weights) < 0.06
    error = np.std(blend.apply(members) - y)
    assert error < 0.28  # 0.5 / √4, and a little


def test_a_greedy_blend_is_as_good_as_the_best_of_all_weights() -> None:
    """Against every weight on a fine grid, for two members."""
    rng = np.random.default_rng(2)
    y = (rng.random(3000) < 0.4).astype(float)
    truth = TASKS[Kind.BINARY]
    members = [np.clip(0.4 + 0.3 * (y - 0.4) + rng.normal(0, s, 3000), 0, 1) for s in (0.1, 0.2)]
    weights = fit_weights("blend", truth, y, members)

    def brier(w: float) -> float:
        return float(np.mean((w * members[0] + (1 - w) * members[1] - y) ** 2))

    best = min(brier(w) for w in np.linspace(0, 1, 201))
    assert brier(weights.weights[0]) <= best + 1e-5


@pytest.mark.parametrize("kind", [Kind.BINARY, Kind.MULTICLASS])
def test_a_stack_of_one_honest_member_leaves_it_nearly_as_it_is(kind: Kind) -> None:
    rng = np.random.default_rng(3)
    raw = rng.normal(0, 1.5, size=(6000, 3))
    shares = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    codes = np.array([rng.choice(3, p=p) for p in shares]).astype(float)
    if kind is Kind.BINARY:
        shares, codes = shares[:, 1], (codes == 1).astype(float)
    weights = fit_weights("stack", TASKS[kind], codes, [shares])
    assert weights.weights[0] == pytest.approx(1, abs=0.08)
    np.testing.assert_allclose(weights.apply([shares]), shares, atol=0.04)


def test_weights_are_never_negative() -> None:
    """The second member is the first one's opposite: least squares alone would subtract it."""
    rng = np.random.default_rng(4)
    y = rng.normal(size=500)
    first = y + rng.normal(0, 0.2, 500)
    weights = fit_weights("stack", TASKS[Kind.REGRESSION], y, [first, -y + rng.normal(0, 0.1, 500)])
    assert min(weights.weights) >= 0
    assert weights.used() == [0]


@pytest.mark.parametrize(("kind", "way"), EVERY)
def test_the_combination_is_the_same_in_numpy_and_as_nodes(kind: Kind, way: str) -> None:
    rng = np.random.default_rng(6)
    shape = (40, 3) if kind is Kind.MULTICLASS else (40,)
    members = [rng.random(shape) for _ in range(2)]
    if kind is Kind.MULTICLASS:
        members = [m / m.sum(axis=1, keepdims=True) for m in members]
    members[0].reshape(-1)[:2] = 0.0, 1.0  # log-odds of a forest that is sure
    bias = (0.1, -0.2, 0.3) if kind is Kind.MULTICLASS else (0.1,)
    weights = Weights(way, TASKS[kind], (0.7, 0.3), bias)
    g = GraphBuilder()
    tensors = [g.constant(m, np.float64) for m in members]
    from onnx import TensorProto

    g.matrix_input("features", 1)
    g.output(weights.emit(g, tensors), "out", TensorProto.DOUBLE, [None] * len(shape))
    got = answers(g.build(), np.zeros((1, 1), np.float32))["out"]
    np.testing.assert_allclose(got, weights.apply(members), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [Kind.BINARY, Kind.MULTICLASS])
def test_tuned_combined_calibrated_and_unsure_in_one_graph(kind: Kind) -> None:
    train, fresh = rows(kind, 600), rows(kind, 150, seed=8)
    learned = run(
        kind,
        "blend",
        train,
        search=SearchPlan("random", trials=4),
        calibrate="sigmoid",
        uncertain=Uncertain(0.9, abstain=True),
        probes={"fresh": fresh.X},
        judge=fresh,
    )
    assert learned.best.endswith(" + sigmoid")
    got = answers(learned.graph, fresh.X)
    np.testing.assert_allclose(got["probability"], learned.native["fresh"], rtol=1e-6, atol=1e-9)
    assert got["set"].shape == (150, len(TASKS[kind].classes))
    assert np.array_equal(got["set"], learned.conformal.sets(learned.native["fresh"]))
    held = got["set"][np.arange(150), fresh.y.astype(int)].mean()
    assert 0.8 < held <= 1
    if kind is Kind.BINARY:
        assert np.array_equal(got["decision"], learned.native["fresh"] >= learned.threshold)


def test_a_part_is_calibrated_without_its_own_labels() -> None:
    """Turning one fold's labels around leaves the calibrated scores of that fold as they were."""
    from headrace.learn.final import calibrated
    from headrace.learn.records import Crossed, Job, Setting

    train = rows(Kind.BINARY, 300)
    made = folds(FoldPlan(FoldKind.RANDOM, 3), 300, seed=0)
    metric = METRICS["log_loss"]
    scores = np.random.default_rng(0).random(300)

    def job(y: np.ndarray) -> Job:
        part = Part(train.X, y, train.units)
        return Job(part, part, made, Setting(FEATURES, TASKS[Kind.BINARY], 0, 1), metric, metric)

    tested = made[0][1]
    turned = train.y.copy()
    turned[tested] = 1 - turned[tested]
    first, again = job(train.y), job(turned)
    a, model = calibrated(first, Crossed.plain(first, scores), "isotonic")
    b, _ = calibrated(again, Crossed.plain(again, scores), "isotonic")
    assert np.array_equal(a.honest(first)[tested], b.honest(again)[tested])
    rest = np.setdiff1d(np.arange(300), tested)
    assert not np.array_equal(a.honest(first)[rest], b.honest(again)[rest])
    whole = fit_calibrator("isotonic", TASKS[Kind.BINARY], train.y, scores)
    assert np.array_equal(model.apply(scores), whole.apply(scores))


@pytest.mark.parametrize("kind", list(Kind))
def test_a_holdout_can_be_combined_and_calibrated(kind: Kind) -> None:
    held = rows(kind, 1500, seed=9)
    learned = run(kind, "stack", rows(kind, 600), holdout=held, calibrate="sigmoid", uncertain=Uncertain(0.8))
    assert learned.ensemble.kept, learned.ensemble.why
    assert np.isfinite(learned.scores[learned.best]).all()
    assert learned.conformal.level == 0.8
