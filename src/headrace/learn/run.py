"""Compare candidates, search and combine the best, choose one, fit it on everything, and make its graph.

Knows nothing of events or gates: arrays in, arrays and graph bytes out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from headrace.core.errors import UserError
from headrace.core.task import Feature, Task
from headrace.learn.candidate import Matrix
from headrace.learn.choose import procedure_of, simplest_within_error
from headrace.learn.compare import (
    Steps,
    all_failed,
    compare,
    compare_today,
    entries_of,
    fit_entry,
    judged,
    rank,
    result_of,
)
from headrace.learn.continuing import Memory
from headrace.learn.ensemble import Combined, combine
from headrace.learn.final import Finished, Uncertain, calibrated, finish
from headrace.learn.fold_columns import FoldColumns
from headrace.learn.folds import Fold
from headrace.learn.measure import best_threshold
from headrace.learn.model_graph import model_graph
from headrace.learn.records import (
    NAIVE,
    TODAY,
    Crossed,
    Job,
    Learned,
    ModelChoice,
    Part,
    Progress,
    Result,
    Scored,
    Setting,
)
from headrace.learn.search.record import SearchPlan, SearchRecord
from headrace.metrics.record import Metric
from headrace.metrics.threshold import Aim


@dataclass(frozen=True)
class Deepening:
    """What is done beyond comparing candidates as they stand.

    threshold: of a binary model, where it is given and not chosen. folder: where a search keeps its trials,
    so that it goes on when it was killed (None: in memory). It stands for these rows, folds and candidates;
    whoever made it removes it when its result is durable.
    """

    search: SearchPlan | None = None
    ensemble: Literal["off", "blend", "stack"] = "off"
    calibrate: Literal["off", "sigmoid", "isotonic"] = "off"
    uncertain: Uncertain | None = None
    threshold: float | None = None
    folder: Path | None = None


PLAIN = Deepening()

BEST = "best"
"""The chosen model's name in `Learned.judged`."""


def learn(
    train: Part,
    models: Sequence[ModelChoice],
    *,
    features: tuple[Feature, ...],
    task: Task,
    metric: Metric,
    aim: Aim | None = None,
    folds: Sequence[Fold] | None = None,
    refits: FoldColumns | None = None,
    holdout: Part | None = None,
    judge: Part | None = None,
    deepen: Deepening = PLAIN,
    probes: Mapping[str, Matrix] | None = None,
    explain: Matrix | None = None,
    memory: Memory | None = None,
    seed: int = 0,
    threads: int = 1,
    progress: Progress = lambda text, done, total: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Learned:
    """Compare `models` on `folds` of train, or on the holdout; give exactly one of the two.

    With folds the best candidate is fitted again on all of train. With a holdout each is fitted once, and
    the best fit is the model. The mean over folds decides; the baselines never win. Decision thresholds
    (binary) are those that `aim` asks for, or else the metric.

    refits: columns of train that every fold has its own of, because they were learned of the target.

    A candidate that fails is a line of the leaderboard with its error, and the others go on.

    judge: rows on which nothing is fitted and nothing chosen, to compare the model with the baselines. Folds
    can't do that after a search: parameters are chosen by models that were fitted on the very fold that is
    left out of the choice, and what two folds share by luck flatters both.

    explain: rows whose scores are explained, where the model can (`Explained`).

    memory: what fits that learn row by row go on from (None: from nothing). It changes no result.

    Raises:
        UserError: unknown models or parameters (all at once), no rows, or every candidate failed.
        MissingDependency: a library is not installed.
    """
    if (folds is None) == (holdout is None):
        raise ValueError("give either folds or a holdout")
    if not len(train.y):
        raise UserError("there is no row to learn from", fix="look at what the split and the target dropped")
    setting = Setting(features, task, seed, threads)
    job = Job(train, holdout or train, folds, setting, metric, aim or metric, refits, memory)
    entries = entries_of(job, [ModelChoice(NAIVE, NAIVE), *models])
    steps = Steps(progress, len(entries) * job.fits + 1)
    results: dict[str, Result] = {}
    best: Result | None = None
    for entry in entries:
        result = compare(job, entry, steps, clock)
        if entry.name != NAIVE and (best is None or rank(job, result.line) < rank(job, best.line)):
            if best is not None:  # the fit of a holdout is kept for the best alone: forests are large
                results[best.line.model] = replace(best, fitted=None)
            best = result
        results[entry.name] = result if result is best else replace(result, fitted=None)
    if best is None or best.crossed is None:
        raise all_failed([r.line for r in results.values()])
    naive = results.pop(NAIVE)
    search, trial_seconds = _searched(job, results, deepen, progress, clock)
    chosen, choice = _chosen(job, results, deepen)
    procedure = _procedure(job, results, chosen, deepen)
    combined = _combined(job, results, deepen, steps)
    kept = combined if combined is not None and combined.record.kept else None
    if kept is not None and kept.result is not None and kept.result.crossed is not None:
        chosen, choice, procedure = kept.result, kept.record.why, kept.result.crossed
    results[NAIVE] = naive
    if combined is not None and combined.result is not None:
        results[combined.result.line.model] = combined.result
    if job.scored.today is not None:
        results[TODAY] = compare_today(job, job.scored.today)
    steps.say(f"{chosen.line.model} is best: fitting the final model", finished=0)
    final = finish(job, chosen, kept, calibrate=deepen.calibrate, uncertain=deepen.uncertain)
    if deepen.threshold is not None:
        final = replace(final, threshold=deepen.threshold)
    results[final.result.line.model] = final.result
    if final.calibrator is not None:
        procedure, _ = calibrated(job, procedure, deepen.calibrate)
    steps.say("model graph made")
    learned = _learned(job, results, final, procedure, probes or {})
    return replace(
        learned,
        judged={} if judge is None else _judged(job, judge, naive, final),
        search=search,
        trial_seconds=trial_seconds,
        ensemble=combined.record if combined else None,
        choice=choice,
        contributions=final.contributions(explain) if explain is not None else None,
    )


def _judged(job: Job, judge: Part, naive: Result, final: Finished) -> dict[str, Scored]:
    """The model and both baselines on rows that nothing was fitted or chosen on."""
    rows = replace(job, scored=judge, folds=None)
    found = {BEST: judged(rows, BEST, final.score(judge.X), final.threshold)}
    if naive.entry is not None and naive.crossed is not None:
        part = job.scored
        fitted = fit_entry(job.setting, naive.entry, job.train.X, job.train.y)
        threshold = best_threshold(
            job.task, job.aim, part.y, naive.crossed.own, units=part.units, today=part.today
        )
        found[NAIVE] = judged(rows, NAIVE, fitted.score(judge.X), threshold)
    if judge.today is not None:
        today = compare_today(rows, judge.today)
        if today.crossed is not None:
            found[TODAY] = Scored(today.line, today.crossed.own, today.decisions)
    return found


def _searched(
    job: Job,
    results: dict[str, Result],
    deepen: Deepening,
    progress: Progress,
    clock: Callable[[], float],
) -> tuple[SearchRecord | None, dict[str, tuple[float, ...]]]:
    """Search the shortlist; tuned lines join the results."""
    if deepen.search is None:
        return None, {}
    from headrace.learn.search.run import search_all

    record, found = search_all(
        job, list(results.values()), deepen.search, folder=deepen.folder, progress=progress, clock=clock
    )
    for one in found:
        if one.result is not None:
            results[one.result.line.model] = one.result
    return record, {f.search.model: tuple(round(s, 4) for s in f.seconds) for f in found}


def _chosen(job: Job, results: Mapping[str, Result], deepen: Deepening) -> tuple[Result, str]:
    """The line that is to become the model, and why."""
    if deepen.search is not None and deepen.search.choose == "one_standard_error":
        name, why = simplest_within_error(job, results)
        return results[name], why
    best = min(results.values(), key=lambda r: rank(job, r.line))
    return best, f"{best.line.model} has the best mean"


def _procedure(job: Job, results: Mapping[str, Result], chosen: Result, deepen: Deepening) -> Crossed:
    """What gates compare: the choice itself made on the other parts. A choice of the simpler line is not
    made by luck on the best one's account: there the line stands for itself."""
    if chosen.crossed is not None and deepen.search is not None and deepen.search.choose != "best":
        return chosen.crossed
    return procedure_of(job, list(results.values()), chosen)


def _combined(job: Job, results: Mapping[str, Result], deepen: Deepening, steps: Steps) -> Combined | None:
    if deepen.ensemble == "off":
        return None
    steps.say(f"combining candidates: {deepen.ensemble}", finished=0)
    return combine(job, deepen.ensemble, list(results.values()))


def _learned(
    job: Job,
    results: Mapping[str, Result],
    final: Finished,
    procedure: Crossed,
    probes: Mapping[str, Matrix],
) -> Learned:
    gates = result_of(job, final.result.line.model, {}, procedure, 0.0)
    done = {n: r for n, r in results.items() if r.crossed is not None}
    return Learned(
        leaderboard=tuple(sorted((r.line for r in results.values()), key=lambda line: rank(job, line))),
        best=final.result.line.model,
        threshold=final.threshold,
        graph=model_graph(
            final.fitted,
            job.task,
            job.train.X.shape[1],
            final.threshold,
            calibrator=final.calibrator,
            conformal=final.conformal,
        ),
        scores={n: r.crossed.honest(job) for n, r in done.items() if r.crossed is not None},
        decisions={n: r.decisions for n, r in done.items() if r.decisions is not None},
        own=final.own,
        judged={},
        procedure=Scored(gates.line, procedure.honest(job), gates.decisions),
        native={name: final.score(X) for name, X in probes.items()},
        calibrator=final.calibrator,
        conformal=final.conformal,
        recipe=final.recipe,
    )
