from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from headrace.core.errors import UserError
from headrace.core.task import Feature, FeatureKind, Kind, Task
from headrace.learn import compare as learn_compare
from headrace.learn.candidate import Choice, Range
from headrace.learn.candidates.naive import NAIVE
from headrace.learn.choose import chosen_without, simplest_within_error
from headrace.learn.compare import Steps, compare, entries_of
from headrace.learn.folds import FoldKind, FoldPlan, folds
from headrace.learn.records import Job, Learned, ModelChoice, Part, Result, Setting
from headrace.learn.run import BEST, Deepening, learn
from headrace.learn.search import run as search_run
from headrace.learn.search.journal import Journal
from headrace.learn.search.prune import FEWEST, hopeless
from headrace.learn.search.record import SearchPlan, State
from headrace.learn.search.run import search_all
from headrace.learn.search.space import grid, within
from headrace.metrics.catalog import METRICS
from headrace.metrics.intervals import paired
from headrace.metrics.record import Predictions

FEATURES = tuple(Feature(n, FeatureKind.NUMBER) for n in "abcd")
TASKS = {
    Kind.BINARY: Task(Kind.BINARY, (False, True)),
    Kind.MULTICLASS: Task(Kind.MULTICLASS, ("low", "middle", "high")),
    Kind.REGRESSION: Task(Kind.REGRESSION),
}
NAMES = {Kind.BINARY: "f1", Kind.MULTICLASS: "f1_macro", Kind.REGRESSION: "rmse"}
TREE = ModelChoice("tree", "tree")
TWO = (ModelChoice("linear", "linear"), TREE)


def rows(kind: Kind, n: int = 240, seed: int = 0, *, signal: float = 1.0) -> Part:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4)).astype(np.float32)
    value = signal * (X[:, 0] + X[:, 1] * X[:, 2]) + rng.normal(0, 0.5, n)
    cuts = {Kind.BINARY: [0.4], Kind.MULTICLASS: [-0.4, 0.6]}.get(kind)
    y = value if cuts is None else np.searchsorted(cuts, value)
    return Part(X, y.astype(np.float64), np.arange(n))


def run(kind: Kind = Kind.BINARY, plan: SearchPlan | None = None, models=TWO, **more) -> Learned:
    train = more.pop("train", None) or rows(kind)
    if "holdout" not in more:
        more["folds"] = folds(FoldPlan(FoldKind.RANDOM, 3), len(train.y), seed=1)
    deepen = Deepening(search=plan or SearchPlan("random", trials=6), folder=more.pop("folder", None))
    return learn(
        train,
        models,
        features=FEATURES,
        task=TASKS[kind],
        metric=METRICS[NAMES[kind]],
        seed=more.pop("seed", 1),
        deepen=deepen,
        **more,
    )


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """The parameters of every fit that the search made in this process."""
    from headrace.learn.search import workers

    seen: list[dict] = []
    real = learn_compare.fit_entry

    def spy(setting, entry, X, y, times):
        seen.append(dict(entry.params))
        return real(setting, entry, X, y, times)

    monkeypatch.setattr(workers, "fit_entry", spy)
    return seen


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("method", ["grid", "random", "bayesian"])
def test_every_method_searches_every_kind_of_task(kind: Kind, method: str) -> None:
    learned = run(kind, SearchPlan(method, trials=6), [TREE])
    (one,) = learned.search.candidates
    assert len(one.trials) <= 7 and len(one.trials) > 2
    assert [t.number for t in one.trials] == list(range(len(one.trials)))
    made = [json.dumps(dict(t.params), sort_keys=True) for t in one.trials]
    assert len(set(made)) == len(made)
    good = METRICS[NAMES[kind]].goodness
    complete = [t for t in one.trials if t.state is State.COMPLETE]
    assert max(good(t.mean) for t in complete) == good(one.best_mean) >= good(one.defaults_mean)
    assert all(len(t.folds) == 3 for t in complete)


class Scaled:
    """Answers the first column times `factor`: its default is far from the truth, which is 0.8."""

    name, summary, tasks = "scaled", "a multiple of the first column", frozenset(Kind)

    def defaults(self, task, n_rows, n_features):
        return {"factor": 0.0}

    def space(self, task):
        return {"factor": Range(0.0, 1.0)}

    def fit(self, X, y, *, features, task, params, seed, threads):
        return FittedScaled(params["factor"])


@dataclass(frozen=True)
class FittedScaled:
    factor: float

    def score(self, X):
        return X[:, 0].astype(np.float64) * self.factor

    def emit(self, g, x):
        first = g.node("Cast", g.node("Gather", x, g.constant(0, np.int64), axis=1), to=TensorProto.DOUBLE)
        return g.node("Mul", first, g.constant(self.factor, np.float64))


@pytest.mark.parametrize(("method", "near"), [("bayesian", 0.05), ("random", 0.12), ("grid", 0.31)])
def test_the_search_finds_what_the_defaults_miss_and_its_model_is_packaged(
    method: str, near: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learn_compare, "load_candidate", lambda n: Scaled() if n == "scaled" else NAIVE)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4)).astype(np.float32)
    train = Part(X, 0.8 * X[:, 0] + rng.normal(0, 0.3, 300), np.arange(300))
    plan = SearchPlan(method, trials=30)
    models = [ModelChoice("scaled", "scaled")]
    learned = run(Kind.REGRESSION, plan, models, train=train, probes={"train": X})
    assert learned.best == "scaled (tuned)"
    factor = learned.recipe[0].params["factor"]
    assert abs(factor - 0.8) < near
    assert np.allclose(learned.native["train"], X[:, 0].astype(float) * factor)
    tuned, plain = (
        next(line for line in learned.leaderboard if line.model == n) for n in ("scaled (tuned)", "scaled")
    )
    assert tuned.mean < plain.mean
    assert tuned.params == learned.recipe[0].params


def test_the_same_search_twice_is_the_same_to_the_byte() -> None:
    plan = SearchPlan("bayesian", trials=14)
    first, again = run(plan=plan), run(plan=plan)
    assert first.graph == again.graph
    assert first.search == again.search
    assert not first.search.clock
    assert run(plan=plan, seed=2).search != first.search


def test_what_the_user_set_is_not_searched() -> None:
    learned = run(models=[ModelChoice("tree", "tree", {"max_depth": 3})])
    (one,) = learned.search.candidates
    assert "max_depth" not in one.space
    assert learned.recipe[0].params["max_depth"] == 3


def test_trials_are_shared_and_what_one_leaves_passes_on() -> None:
    models = [ModelChoice("tree", "tree", {"smoothing": 1.0, "min_leaf": 5}), ModelChoice("linear", "linear")]
    learned = run(plan=SearchPlan("grid", trials=40), models=models)
    made = {c.model: len(c.trials) - 1 for c in learned.search.candidates}
    assert made["linear"] + made["tree"] <= 6, "two grids of three levels"
    learned = run(plan=SearchPlan("random", trials=40), models=models)
    made = {c.model: len(c.trials) - 1 for c in learned.search.candidates}
    assert made["tree"] <= 14, "there are only fourteen depths"
    assert made["linear"] >= 20
    assert sum(made.values()) <= 40


def test_time_is_shared_and_ends_the_search() -> None:
    ticks = itertools.count()

    def clock() -> float:
        return float(next(ticks))

    learned = run(plan=SearchPlan("random", seconds=60.0), clock=clock)
    record = learned.search
    assert record.clock
    for one in record.candidates:
        assert one.stopped == "its share of the time was used up"
        assert len(one.trials) > 1
    assert run(plan=SearchPlan("random", seconds=60.0, trials=2), clock=clock).search.candidates


class Killed(BaseException):
    """As if the process had died."""


def test_a_killed_search_goes_on_and_ends_as_if_nothing_had_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fits: list[dict]
) -> None:
    plan = SearchPlan("bayesian", trials=24)
    whole = run(plan=plan)
    all_fits = len(fits)
    fits.clear()
    real = Journal.add

    def dying(self, entered, scores):
        real(self, entered, scores)
        if entered.trial.number == 7:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", dying)
        with pytest.raises(Killed):
            run(plan=plan, folder=tmp_path)
    before = len(fits)
    assert before > 0
    half = next(tmp_path.rglob("trials.jsonl"))
    with half.open("ab") as out:
        out.write(b'{"trial": {"number": 8, "par')  # the line that it was writing
    resumed = run(plan=plan, folder=tmp_path)
    assert len(fits) == all_fits, "no finished trial was fitted twice"
    assert resumed.graph == whole.graph
    assert resumed.search == whole.search


def test_processes_of_their_own_find_the_same_scores(tmp_path: Path) -> None:
    """A random search without pruning makes the same trials, however they take turns."""
    here = run(plan=SearchPlan("random", trials=4, prune=False), models=[TREE])
    there = run(plan=SearchPlan("random", trials=4, prune=False, processes=2), models=[TREE], folder=tmp_path)
    assert there.search.clock
    assert there.search.candidates[0].trials == here.search.candidates[0].trials
    assert there.graph == here.graph


def test_trials_that_fail_are_kept_and_the_search_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from headrace.learn.search import workers

    real = learn_compare.fit_entry

    def fragile(setting, entry, X, y, times):
        if entry.params["max_depth"] > 8:
            raise UserError("too deep for me")
        return real(setting, entry, X, y, times)

    monkeypatch.setattr(workers, "fit_entry", fragile)
    (one,) = run(plan=SearchPlan("random", trials=12), models=[TREE]).search.candidates
    states = {t.state for t in one.trials}
    assert states >= {State.COMPLETE, State.FAILED}
    failed = next(t for t in one.trials if t.state is State.FAILED)
    assert failed.mean is None and "too deep" in failed.error
    monkeypatch.setattr(workers, "fit_entry", lambda *_: (_ for _ in ()).throw(UserError("never")))
    (one,) = run(plan=SearchPlan("random", trials=500), models=[TREE]).search.candidates
    assert one.stopped == "10 trials in a row failed"
    assert one.best == 0


def test_progress_tells_the_trial_and_the_best_so_far() -> None:
    told: list[str] = []
    run(
        plan=SearchPlan("random", trials=4),
        models=[TREE],
        progress=lambda text, done, total: told.append(text),
    )
    trials = [t for t in told if t.startswith("tree trial")]
    assert trials[-1].startswith("tree trial 4/4 best 0.")


@pytest.mark.parametrize("kind", list(Kind))
def test_a_holdout_is_searched_too(kind: Kind) -> None:
    held = rows(kind, 200, seed=9)
    learned = run(kind, SearchPlan("random", trials=6), holdout=held, probes={"held": held.X})
    assert all(len(t.folds) == 1 for c in learned.search.candidates for t in c.trials)
    assert np.isfinite(learned.native["held"]).all()
    assert len(learned.scores[learned.best]) == 200


def test_a_trial_is_given_up_only_beyond_noise() -> None:
    rng = np.random.default_rng(0)
    alike = rng.normal(0.7, 0.02, size=(12, 5))
    assert not hopeless([], alike)
    assert not hopeless([0.1], alike[: FEWEST - 1])
    assert hopeless([0.4], alike)
    assert hopeless([0.4, 0.45], alike)
    assert not hopeless([0.69], alike)
    given_up = np.mean([hopeless(rng.normal(0.7, 0.02, size=2), alike) for _ in range(400)])
    assert given_up < 0.08, "trials that differ by noise alone are left to finish"


def test_pruned_trials_save_fits(fits: list[dict]) -> None:
    """Half of the trials can't learn: they are given up after a fold or two."""
    train = rows(Kind.REGRESSION, 400)
    plan = SearchPlan("random", trials=30)
    (one,) = run(Kind.REGRESSION, plan, [TREE], train=train).search.candidates
    pruned = [t for t in one.trials if t.state is State.PRUNED]
    assert pruned
    assert all(len(t.folds) < 3 and t.mean is None for t in pruned)
    assert len(fits) == sum(len(t.folds) for t in one.trials[1:])
    assert one.trials[one.best].state is State.COMPLETE


def test_grids_stay_small_and_say_what_they_left_out() -> None:
    space = {
        "depth": Range(2, 8, integer=True),
        "rate": Range(0.01, 1.0, log=True),
        "kind": Choice(("a", "b")),
        "rest": Range(0, 1),
    }
    points, note = grid(space, 20)
    assert len(points) == 18
    assert {p["depth"] for p in points} == {2, 5, 8}
    assert {p["rate"] for p in points} == {0.01, 0.1, 1.0}
    assert note.startswith("grid of 18: depth (3) × rate (3) × kind (2); rest as by default")
    assert grid(space, 1) == ([], grid(space, 1)[1])
    assert within(space, {"depth": 20, "rate": 0.0, "kind": "z", "rest": 0.5}) == {
        "depth": 8,
        "rate": 0.01,
        "kind": "a",
        "rest": 0.5,
    }


def test_each_part_is_answered_by_what_is_best_on_the_others() -> None:
    values = np.array([[0.9, 0.1, 0.1], [0.5, 0.5, 0.5], [np.nan, 0.6, 0.0]])
    # without part 0 option 1 leads (0.5 against 0.1 and 0.3); without 1: 0.5 each, the first; without 2: 2
    assert chosen_without(values).tolist() == [1, 0, 2]


def job_of(train: Part, metric: str = "f1") -> Job:
    made = folds(FoldPlan(FoldKind.RANDOM, 3), len(train.y), seed=1)
    setting = Setting(FEATURES, TASKS[Kind.BINARY], 1, 1)
    return Job(train, train, made, setting, METRICS[metric], METRICS[metric])


def results_of(job: Job, models) -> dict[str, Result]:
    steps = Steps(lambda *_: None, 1)
    return {e.name: compare(job, e, steps, lambda: 0.0) for e in entries_of(job, models)}


def test_the_simpler_line_is_taken_within_one_standard_error_and_not_beyond() -> None:
    job = job_of(rows(Kind.BINARY, 200, signal=0.3), "roc_auc")
    models = [*TWO, ModelChoice("forest", "forest", {"trees": 20})]
    name, why = simplest_within_error(job, results_of(job, models))
    assert name == "linear", why
    strong = job_of(rows(Kind.BINARY, 1500), "roc_auc")
    name, why = simplest_within_error(strong, results_of(strong, models))
    assert name == "forest", why


def test_one_standard_error_is_what_the_plan_asks_for() -> None:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(300, 4)).astype(np.float32)
    train = Part(X, X[:, 0] + rng.normal(0, 1, 300), np.arange(300))
    models = [ModelChoice("forest", "forest", {"trees": 10}), ModelChoice("linear", "linear")]
    plan = SearchPlan("random", trials=8, choose="one_standard_error")
    learned = run(Kind.REGRESSION, plan, models, train=train)
    assert learned.best == "linear", "default parameters are simpler than tuned ones"
    assert "standard error" in learned.choice


def test_a_plan_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a budget"):
        SearchPlan("bayesian")
    assert SearchPlan("grid").trials is None


def test_damaged_journals_lose_trials_and_nothing_else(tmp_path: Path) -> None:
    plan = SearchPlan("random", trials=6)
    whole = run(plan=plan, models=[TREE], folder=tmp_path)
    file = next(tmp_path.rglob("trials.jsonl"))
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"not json\n" + b"".join(lines[:3]) + lines[3][:20])
    again = run(plan=plan, models=[TREE], folder=tmp_path)
    assert [t.params for t in again.search.candidates[0].trials] == [
        t.params for t in whole.search.candidates[0].trials
    ]
    next(tmp_path.rglob("2.npy")).unlink()
    assert len(run(plan=plan, models=[TREE], folder=tmp_path).search.candidates[0].trials) == 7


def alarm(seed: int) -> tuple[float, bool, float]:
    """On noise: the model's gain over naive on rows outside of the search, whether it passes for one beyond
    noise, and the gain of the winner on the folds that chose it."""
    rng = np.random.default_rng(seed)

    def noise(n: int) -> Part:
        return Part(
            rng.normal(size=(n, 4)).astype(np.float32), rng.integers(0, 2, n).astype(float), np.arange(n)
        )

    train, judge = noise(120), noise(150)
    metric = METRICS["roc_auc"]
    learned = learn(
        train,
        [TREE],
        features=FEATURES,
        task=TASKS[Kind.BINARY],
        metric=metric,
        folds=folds(FoldPlan(FoldKind.RANDOM, 3), 120, seed=seed),
        judge=judge,
        deepen=Deepening(search=SearchPlan("bayesian", trials=14)),
        seed=seed,
    )
    ours, naive = (
        Predictions(TASKS[Kind.BINARY], judge.y, s.scores, judge.units, s.decisions)
        for s in (learned.judged[BEST], learned.judged["naive"])
    )
    estimate = paired(metric, ours, naive, seed=1, resamples=100)
    passes = estimate.interval is not None and estimate.interval.low > 0
    return estimate.value, passes, learned.search.candidates[0].best_mean - 0.5


@pytest.mark.parametrize("times", [40, pytest.param(400, marks=pytest.mark.deep)])
def test_a_search_through_noise_passes_no_gate_that_it_should_not(times: int) -> None:
    """The winner's own folds flatter it; on rows outside of the search its gain is none, and "better than
    naive beyond noise" is said as rarely as its level promises (one-sided 2.5%)."""
    found = [alarm(seed) for seed in range(times)]
    gains, flattered = np.array([g for g, _, _ in found]), np.mean([f for _, _, f in found])
    assert flattered > 0.03, "there is something to be honest about"
    assert abs(gains.mean()) < 4 * gains.std() / np.sqrt(times)
    alarms = sum(passes for _, passes, _ in found)
    assert alarms <= 0.025 * times + 3 * np.sqrt(0.025 * times)


def test_the_line_of_a_tuned_model_is_not_the_mean_that_chose_it() -> None:
    """Each fold's trial is chosen by the other folds: on noise that is lower than the winner's own mean."""
    gaps = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        train = Part(rng.normal(size=(120, 4)).astype(np.float32), rng.normal(size=120), np.arange(120))
        learned = run(Kind.REGRESSION, SearchPlan("random", trials=12), [TREE], train=train, seed=seed)
        (one,) = learned.search.candidates
        gaps.append(one.honest_mean - one.best_mean)
    assert min(gaps) >= -1e-12
    assert max(gaps) > 0


def test_a_dead_process_is_the_users_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import Future
    from concurrent.futures.process import BrokenProcessPool

    class Dead:
        lanes = 1

        def submit(self, entry, params, fold):
            future = Future()
            future.set_exception(BrokenProcessPool("gone"))
            return future

    job = job_of(rows(Kind.BINARY))
    base = results_of(job, [TREE])["tree"]
    from contextlib import contextmanager

    @contextmanager
    def dead(job, processes):
        yield Dead()

    monkeypatch.setattr(search_run, "workers", dead)
    with pytest.raises(UserError, match="a process of the search died"):
        search_all(
            job,
            [base],
            SearchPlan("random", trials=2),
            folder=None,
            progress=lambda *_: None,
            clock=lambda: 0.0,
        )
