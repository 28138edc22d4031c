"""What a trial costs beyond fitting: our search against a bare loop of Optuna and LightGBM.

Both make the same trials (parameters, folds, threads, metric) in one process, by turns; pruning is off, so
that both fit the same number of models.
"""

from __future__ import annotations

import importlib
import time

import numpy as np

from benchmarks.rows import Row, row

ROWS, COLUMNS, FOLDS, TRIALS, ROUNDS, THREADS = 20_000, 20, 3, 4, 3, 2
TREES = 150


def run() -> list[Row]:
    importlib.import_module("optuna")  # half a second, once a process: no cost of a trial
    rounds = []
    for seed in range(ROUNDS):
        X, y = _table(seed)
        ours, params = _ours(X, y, seed)
        bare = _bare(X, y, seed, params)
        again, _ = _ours(X, y, seed)
        # the faster of two, one before and one after: what other processes take away only ever adds
        rounds.append((min(ours, again), min(bare, _bare(X, y, seed, params))))
    ours, bare = sorted(rounds, key=lambda r: r[0] / r[1])[len(rounds) // 2]
    ratio = ours / bare
    return [
        row(
            "tuning",
            f"a trial of {FOLDS} folds on {ROWS:,} × {COLUMNS} rows, boosting by TPE",
            ours / TRIALS,
            "s",
            floor=f"bare Optuna + LightGBM {bare / TRIALS:.3f} s",
            ratio=ratio,
            reach="≤ 1.05",
            ok=ratio <= 1.05,
        )
    ]


def _table(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(ROWS, COLUMNS)).astype(np.float32)
    raw = X[:, 0] + X[:, 1] * X[:, 2] + 0.5 * np.sin(3 * X[:, 3]) + rng.normal(size=ROWS)
    return X, (raw > 0.8).astype(np.float64)


def _folds(y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    from headrace.learn.folds import FoldKind, FoldPlan, folds

    return folds(FoldPlan(FoldKind.STRATIFIED, FOLDS, strata=y.astype(np.int64)), len(y), seed=0)


def _ours(X: np.ndarray, y: np.ndarray, seed: int) -> tuple[float, list[dict[str, float]]]:
    """Seconds of the search of `TRIALS` trials after the comparison, and their parameters."""
    from headrace.core.task import Feature, FeatureKind, Kind, Task
    from headrace.learn.compare import Steps, compare, entries_of
    from headrace.learn.records import Job, ModelChoice, Part, Setting
    from headrace.learn.search.record import SearchPlan
    from headrace.learn.search.run import search_all
    from headrace.metrics.catalog import METRICS

    task = Task(Kind.BINARY, (False, True))
    features = tuple(Feature(f"f{i}", FeatureKind.NUMBER) for i in range(COLUMNS))
    metric = METRICS["roc_auc"]
    train = Part(X, y, np.arange(ROWS))
    job = Job(train, train, _folds(y), Setting(features, task, seed, THREADS), metric, metric)
    (entry,) = entries_of(job, [ModelChoice("boosting", "boosting", {"trees": TREES})])
    base = compare(job, entry, Steps(lambda *_: None, FOLDS), time.perf_counter)
    plan = SearchPlan("bayesian", trials=TRIALS, prune=False)
    started = time.perf_counter()
    record, _ = search_all(job, [base], plan, folder=None, progress=lambda *_: None, clock=time.perf_counter)
    seconds = time.perf_counter() - started
    return seconds, [dict(t.params) for t in record.candidates[0].trials[1:]]


def _bare(X: np.ndarray, y: np.ndarray, seed: int, params: list[dict[str, float]]) -> float:
    """Seconds of the same trials as one would write them by hand."""
    import lightgbm
    import optuna
    from sklearn.metrics import roc_auc_score

    from headrace.core.task import Kind, Task
    from headrace.learn.candidates.boosting import BOOSTING, _settings

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    drawn = _folds(y)

    task = Task(Kind.BINARY, (False, True))
    given = {**BOOSTING.defaults(task, ROWS, COLUMNS), "trees": TREES}
    space = {n: part for n, part in BOOSTING.space(task).items() if n != "trees"}

    def objective(trial: optuna.Trial) -> float:
        drawn_params = dict(given)
        for name, part in space.items():
            suggest = trial.suggest_int if part.integer else trial.suggest_float
            drawn_params[name] = suggest(name, part.low, part.high, log=part.log)
        settings = {**_settings(drawn_params, seed, THREADS), "objective": "binary"}
        values = []
        for rows, tested in drawn:
            data = lightgbm.Dataset(X[rows], y[rows], params=settings)
            booster = lightgbm.train(settings, data, num_boost_round=TREES)
            values.append(roc_auc_score(y[tested], booster.predict(X[tested], num_threads=THREADS)))
        return float(np.mean(values))

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    for one in params:
        study.enqueue_trial(one)
    started = time.perf_counter()
    study.optimize(objective, n_trials=len(params))
    return time.perf_counter() - started
