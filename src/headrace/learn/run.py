"""Compare candidates under cross-validation, choose one, fit it on everything, and make its graph.

Knows nothing of files, events or gates: arrays in, arrays and graph bytes out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import HeadraceError, MissingDependency, Problem, UserCodeError, UserError
from headrace.core.task import Feature, Kind, Task
from headrace.learn.candidate import Candidate, Fitted, Matrix, Vector, resolve_params
from headrace.learn.folds import Fold
from headrace.learn.measure import best_threshold, decide, measure_pieces
from headrace.learn.model_graph import model_graph
from headrace.learn.registry import RESERVED, load_candidate
from headrace.metrics.record import Metric
from headrace.metrics.threshold import Aim

NAIVE, TODAY = RESERVED

Progress = Callable[[str, int, int], None]
"""Told of what is being done, and how many of how many steps are done."""


@dataclass(frozen=True)
class Part:
    """Rows to learn from, or to compare on: X float32 [rows, features], y float64 codes or values [rows],
    units int64 [rows] (rows of one unit depend on each other).

    today: what today's rule answers (float64 [rows]): codes for classes, values for regression; NaN where
    it has no answer. None where there is no rule.
    """

    X: Matrix
    y: Vector
    units: NDArray[np.int64]
    today: Vector | None = None


@dataclass(frozen=True)
class ModelChoice:
    """A candidate as the user asked for it: its name on the leaderboard, what it is, changed parameters."""

    name: str
    use: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """A line of the leaderboard. `mean` and `std` of the metric over `folds`; None where it failed, for the
    reason in `error`. `std` is None where there is one fold only."""

    model: str
    mean: float | None
    std: float | None
    folds: tuple[float, ...]
    seconds: float
    params: Mapping[str, Any]
    error: str = ""


@dataclass(frozen=True)
class Learned:
    """What came out.

    leaderboard: best first, failed candidates last; with `naive` always and `today` where there is a rule.
    threshold: of the positive class's probability (binary only).
    graph: see `model_graph`.
    scores: for every line that did not fail, float64 scores of rows by models that were not fitted on them,
    [rows] or [rows, classes]; NaN where a row is in no test fold. The rows are those of train, or of the
    validation part where candidates were compared on a holdout.
    native: the chosen model's own scores of the probe matrices (what the graph has to reproduce).
    """

    leaderboard: tuple[Line, ...]
    best: str
    threshold: float | None
    graph: bytes
    scores: Mapping[str, Vector]
    native: Mapping[str, Vector]


class _Steps:
    """Counts finished steps for the progress callback. Live."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self.done = progress, total, 0

    def say(self, text: str, *, finished: int = 1) -> None:
        self.done += finished
        self._progress(text, self.done, self._total)


@dataclass(frozen=True)
class _Entry:
    """A candidate with everything it is fitted with."""

    name: str
    candidate: Candidate
    params: Mapping[str, Any]


@dataclass(frozen=True)
class _Job:
    """What every fit and measurement needs. `folds` is None where `scored` is a holdout."""

    train: Part
    scored: Part
    folds: Sequence[Fold] | None
    features: tuple[Feature, ...]
    task: Task
    metric: Metric
    aim: Metric | Aim
    seed: int
    threads: int

    @property
    def pieces(self) -> list[NDArray[np.int64]]:
        """The rows of `scored` that each fold is measured on."""
        return [np.arange(len(self.scored.y))] if self.folds is None else [test for _, test in self.folds]

    @property
    def fits(self) -> int:
        """How many times each candidate is fitted to compare it."""
        return len(self.folds) if self.folds is not None else 1


@dataclass(frozen=True)
class _Result:
    """A candidate's line, its scores of rows it was not fitted on, and its fit where that may be the last."""

    line: Line
    scores: Vector | None = None
    fitted: Fitted | None = None


def learn(
    train: Part,
    models: Sequence[ModelChoice],
    *,
    features: tuple[Feature, ...],
    task: Task,
    metric: Metric,
    aim: Aim | None = None,
    folds: Sequence[Fold] | None = None,
    holdout: Part | None = None,
    probes: Mapping[str, Matrix] | None = None,
    seed: int = 0,
    threads: int = 1,
    progress: Progress = lambda text, done, total: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Learned:
    """Compare `models` on `folds` of train, or on the holdout; give exactly one of the two.

    With folds the best candidate is fitted again on all of train. With a holdout each is fitted once, and
    the best fit is the model. The mean over folds decides; the baselines never win. Decision thresholds
    (binary) are those that `aim` asks for, or else the metric.

    A candidate that fails is a line of the leaderboard with its error, and the others go on.

    Raises:
        UserError: unknown models or parameters (all at once), no rows, or every candidate failed.
        MissingDependency: a library is not installed.
    """
    if (folds is None) == (holdout is None):
        raise ValueError("give either folds or a holdout")
    if not len(train.y):
        raise UserError("there is no row to learn from", fix="look at what the split and the target dropped")
    job = _Job(train, holdout or train, folds, features, task, metric, aim or metric, seed, threads)
    entries = _entries(job, [ModelChoice(NAIVE, NAIVE), *models])
    steps = _Steps(progress, len(entries) * job.fits + 1)
    results: dict[str, _Result] = {}
    best: _Result | None = None
    for entry in entries:
        result = _compare(job, entry, steps, clock)
        if entry.name != NAIVE and (best is None or _rank(job, result.line) < _rank(job, best.line)):
            best = result  # the fit of a holdout is kept for the best alone: forests are large
        results[entry.name] = replace(result, fitted=None)
    if best is None or best.scores is None:
        raise _all_failed([r.line for r in results.values()])
    if job.scored.today is not None:
        results[TODAY] = _today(job, job.scored.today)
    steps.say(f"{best.line.model} is best: fitting the final model", finished=0)
    chosen = next(e for e in entries if e.name == best.line.model)
    fitted = best.fitted or _fit(job, chosen, train.X, train.y)
    scored = job.scored
    threshold = best_threshold(task, job.aim, scored.y, best.scores, units=scored.units, today=scored.today)
    steps.say("model graph made")
    return Learned(
        leaderboard=tuple(sorted((r.line for r in results.values()), key=lambda line: _rank(job, line))),
        best=chosen.name,
        threshold=threshold,
        graph=model_graph(fitted, task, train.X.shape[1], threshold),
        scores={name: r.scores for name, r in results.items() if r.scores is not None},
        native={name: fitted.score(X) for name, X in (probes or {}).items()},
    )


def _entries(job: _Job, models: Sequence[ModelChoice]) -> list[_Entry]:
    """Every candidate with complete parameters; every mistake at once."""
    entries: list[_Entry] = []
    problems: list[Problem] = []
    n, width = job.train.X.shape
    for choice in models:
        try:
            candidate = load_candidate(choice.use)
            params = resolve_params(candidate, job.task, n, width, choice.params)
        except MissingDependency:
            raise
        except UserError as error:
            problems += error.problems
        else:
            entries.append(_Entry(choice.name, candidate, params))
    if problems:
        raise UserError.of(problems)
    return entries


def _compare(job: _Job, entry: _Entry, steps: _Steps, clock: Callable[[], float]) -> _Result:
    """Fit on every fold and score the rest, or fit on train and score the holdout."""
    started, begun = clock(), steps.done
    fitted: Fitted | None = None
    try:
        if job.folds is None:
            fitted = _fit(job, entry, job.train.X, job.train.y)
            scores = _score(entry, fitted, job.scored.X)
            steps.say(f"{entry.name}: fitted")
        else:
            scores = _out_of_fold(job, entry, job.folds, steps)
    except MissingDependency:
        raise  # the machine's fault, not the candidate's: going on without it would hide that
    except UserError as error:
        steps.say(f"{entry.name} failed", finished=begun + job.fits - steps.done)
        return _Result(Line(entry.name, None, None, (), clock() - started, entry.params, str(error)))
    line = _line(job, entry.name, entry.params, scores, clock() - started)
    return _Result(line, scores, fitted)


def _out_of_fold(job: _Job, entry: _Entry, folds: Sequence[Fold], steps: _Steps) -> Vector:
    """Each row's scores by the model of the fold that it is tested in; NaN where it is in none."""
    X, y = job.train.X, job.train.y
    shape = (len(y), len(job.task.classes)) if job.task.kind is Kind.MULTICLASS else (len(y),)
    scores = np.full(shape, np.nan)
    for number, (rows, tested) in enumerate(folds, start=1):
        scores[tested] = _score(entry, _fit(job, entry, X[rows], y[rows]), X[tested])
        steps.say(f"{entry.name}: fold {number} of {len(folds)}")
    return scores


def _fit(job: _Job, entry: _Entry, X: Matrix, y: Vector) -> Fitted:
    """Fit one candidate. What it raises, ours or a plugin's, is named as its own."""
    try:
        return entry.candidate.fit(
            X,
            y,
            features=job.features,
            task=job.task,
            params=entry.params,
            seed=job.seed,
            threads=job.threads,
        )
    except HeadraceError:
        raise
    except Exception as error:  # user-code boundary: candidates may be anybody's
        raise _failure(entry, error) from error


def _score(entry: _Entry, fitted: Fitted, X: Matrix) -> Vector:
    """Scores, all finite."""
    try:
        scores = fitted.score(X)
    except HeadraceError:
        raise
    except Exception as error:  # user-code boundary: candidates may be anybody's
        raise _failure(entry, error) from error
    if not np.isfinite(scores).all():
        raise UserCodeError(f"{entry.name} gave scores that are not finite", where=f"models: {entry.name}")
    return scores


def _failure(entry: _Entry, error: Exception) -> UserCodeError:
    return UserCodeError(
        f"{entry.name} failed: {type(error).__name__}: {error}",
        where=f"models: {entry.name}",
        fix="look at its parameters, or leave it out",
    )


def _line(job: _Job, name: str, params: Mapping[str, Any], scores: Vector, seconds: float) -> Line:
    """The metric on every fold, decisions by thresholds of the other folds."""
    part = job.scored
    decisions = decide(job.task, job.aim, part.y, scores, job.pieces, units=part.units, today=part.today)
    values = measure_pieces(job.task, job.metric, part.y, scores, decisions, part.units, job.pieces)
    return Line(name, *_summary(values), values, seconds, params)


def _summary(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and standard deviation over the folds where the metric is defined."""
    defined = [v for v in values if np.isfinite(v)]
    if not defined:
        return None, None
    return float(np.mean(defined)), float(np.std(defined, ddof=1)) if len(defined) > 1 else None


def _today(job: _Job, today: Vector) -> _Result:
    """Today's rule on the folds of the candidates, where it has an answer, so that the lines compare."""
    part, known = job.scored, np.isfinite(today)
    scores, decisions = today, None
    if job.task.kind is not Kind.REGRESSION:
        decisions = np.where(known, today, 0).astype(np.int64)
    if job.task.kind is Kind.MULTICLASS:
        scores = np.where(known[:, None], np.eye(len(job.task.classes))[decisions], np.nan)
    pieces = [rows[known[rows]] for rows in job.pieces]
    values = measure_pieces(job.task, job.metric, part.y, scores, decisions, part.units, pieces)
    return _Result(Line(TODAY, *_summary(values), values, 0.0, {}), scores)


def _rank(job: _Job, line: Line) -> tuple[float, bool, str]:
    """Smaller is better; lines without a mean are last, failed ones at the very end; equals go by name."""
    goodness = -np.inf if line.mean is None else float(job.metric.goodness(line.mean))
    return -goodness, bool(line.error), line.model


def _all_failed(lines: Sequence[Line]) -> HeadraceError:
    problems = [
        Problem(f"{line.model} could not be fitted: {line.error}", where=f"models: {line.model}")
        for line in lines
        if line.error
    ]
    return UserError.of(problems or [Problem("no model is named", where="models", fix="name at least one")])
