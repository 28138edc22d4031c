"""Fit a candidate on every fold and measure it: one line of the leaderboard."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from headrace.core.errors import HeadraceError, MissingDependency, Problem, UserCodeError, UserError
from headrace.core.task import Kind
from headrace.learn.candidate import Continues, Fitted, Matrix, Vector, check_size, resolve_params
from headrace.learn.continuing import Memory, in_order
from headrace.learn.fold_columns import rows_of_fold
from headrace.learn.folds import Fold
from headrace.learn.measure import decide, measure_pieces
from headrace.learn.records import (
    TODAY,
    Crossed,
    Entry,
    Ints,
    Job,
    Line,
    ModelChoice,
    Progress,
    Result,
    Scored,
    Setting,
)
from headrace.learn.registry import load_candidate


class Steps:
    """Counts finished steps for the progress callback. Live."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self.done = progress, total, 0

    def say(self, text: str, *, finished: int = 1) -> None:
        self.done += finished
        self._progress(text, self.done, self._total)


def entries_of(job: Job, models: Sequence[ModelChoice]) -> list[Entry]:
    """Every candidate with complete parameters.

    Raises:
        UserError: unknown models or parameters, every mistake at once.
        MissingDependency: a library is not installed.
    """
    entries: list[Entry] = []
    problems: list[Problem] = []
    n, width = job.train.X.shape
    for choice in models:
        try:
            candidate = choice.candidate or load_candidate(choice.use)
            params = resolve_params(candidate, job.task, n, width, choice.params)
        except MissingDependency:
            raise
        except UserError as error:
            problems += error.problems
        else:
            entries.append(Entry(choice.name, choice.use, candidate, params, frozenset(choice.params)))
    if problems:
        raise UserError.of(problems)
    return entries


def compare(job: Job, entry: Entry, steps: Steps, clock: Callable[[], float]) -> Result:
    """Fit on every fold and score the rest, or fit on train and score the holdout. A candidate that fails
    is a line with its error.

    Raises:
        MissingDependency: a library is not installed.
    """
    started, begun = clock(), steps.done
    fitted: Fitted | None = None
    try:
        check_size(entry.candidate, entry.params, len(job.train.y))
        if job.folds is None:
            train = job.train
            fitted = fit_entry(job.setting, entry, train.X, train.y, train.times, job.memory)
            scores = score_entry(entry, fitted, job.scored.X)
            steps.say(f"{entry.name}: fitted")
        else:
            scores = _out_of_fold(job, entry, job.folds, steps)
    except MissingDependency:
        raise  # the machine's fault, not the candidate's: going on without it would hide that
    except UserError as error:
        steps.say(f"{entry.name} failed", finished=begun + job.fits - steps.done)
        return Result(Line(entry.name, None, None, (), clock() - started, entry.params, str(error)))
    crossed = Crossed.plain(job, scores)
    return result_of(job, entry.name, entry.params, crossed, clock() - started, fitted=fitted, entry=entry)


def _out_of_fold(job: Job, entry: Entry, folds: Sequence[Fold], steps: Steps) -> Vector:
    """Each row's scores by the model of the fold that it is tested in; NaN where it is in none."""
    scores = np.full(job.shape, np.nan)
    for number, (rows, tested) in enumerate(folds):
        X, others = rows_of_fold(job.train.X, (rows, tested), number, job.refits)
        y, times = job.train.y[rows], job.train.moments(rows)
        fitted = fit_entry(job.setting, entry, X, y, times, job.memory)
        scores[tested] = score_entry(entry, fitted, others)
        steps.say(f"{entry.name}: fold {number + 1} of {len(folds)}")
    return scores


def fit_entry(
    setting: Setting,
    entry: Entry,
    X: Matrix,
    y: Vector,
    times: Ints | None = None,
    memory: Memory | None = None,
) -> Fitted:
    """Fit one candidate. What it raises, ours or a plugin's, is named as its own.

    Those that learn row by row do so in the order of `times`, and go on from what `memory` knows.
    """
    try:
        if isinstance(entry.candidate, Continues):
            X, y = in_order(X, y, times)
            if memory is not None and entry.use in memory.versions:
                return memory.fit(
                    entry.candidate,
                    X,
                    y,
                    line=entry.name,
                    use=entry.use,
                    features=setting.features,
                    task=setting.task,
                    params=entry.params,
                )
        return entry.candidate.fit(
            X,
            y,
            features=setting.features,
            task=setting.task,
            params=entry.params,
            seed=setting.seed,
            threads=setting.threads,
        )
    except HeadraceError:
        raise
    except Exception as error:  # user-code boundary: candidates may be anybody's
        raise _failure(entry, error) from error


def score_entry(entry: Entry, fitted: Fitted, X: Matrix) -> Vector:
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


def _failure(entry: Entry, error: Exception) -> UserCodeError:
    return UserCodeError(
        f"{entry.name} failed: {type(error).__name__}: {error}",
        where=f"models: {entry.name}",
        fix="look at its parameters, or leave it out",
    )


def result_of(
    job: Job,
    name: str,
    params: Mapping[str, Any],
    crossed: Crossed,
    seconds: float,
    *,
    note: str = "",
    fitted: Fitted | None = None,
    entry: Entry | None = None,
) -> Result:
    """The metric on every fold, with decisions by thresholds of the other parts."""
    part = job.scored
    scores = crossed.honest(job)
    decisions = decide(
        job.task, job.aim, part.y, crossed.by_part, job.parts, units=part.units, today=part.today
    )
    values = measure_pieces(job.task, job.metric, part.y, scores, decisions, part.units, job.pieces)
    line = Line(name, *summary(values), values, seconds, params, note=note)
    return Result(line, crossed, decisions, fitted, entry)


def judged(job: Job, name: str, scores: Vector, threshold: float | None) -> Scored:
    """The metric of scores of all rows, decided by a threshold that other rows chose."""
    part = job.scored
    decisions: Ints | None = None
    if job.task.kind is Kind.MULTICLASS:
        decisions = np.argmax(scores, axis=1).astype(np.int64)
    elif threshold is not None:
        decisions = (scores >= threshold).astype(np.int64)
    values = measure_pieces(job.task, job.metric, part.y, scores, decisions, part.units, job.pieces)
    return Scored(Line(name, *summary(values), values, 0.0, {}), scores, decisions)


def part_values(job: Job, result: Result) -> Vector:
    """The metric on every part, oriented so that more is better; NaN where it is undefined."""
    if result.crossed is None:
        return np.full(len(job.parts), np.nan)
    if job.folds is not None:
        return np.asarray(job.metric.goodness(np.array(result.line.folds)), np.float64)
    part, scores = job.scored, result.crossed.honest(job)
    values = measure_pieces(job.task, job.metric, part.y, scores, result.decisions, part.units, job.parts)
    return np.asarray(job.metric.goodness(np.array(values)), np.float64)


def summary(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and standard deviation over the folds where the metric is defined."""
    defined = [v for v in values if np.isfinite(v)]
    if not defined:
        return None, None
    return float(np.mean(defined)), float(np.std(defined, ddof=1)) if len(defined) > 1 else None


def compare_today(job: Job, today: Vector) -> Result:
    """Today's rule on the folds of the candidates, where it has an answer, so that the lines compare."""
    part, known = job.scored, np.isfinite(today)
    scores = today
    decisions: Ints | None = None
    if job.task.kind is not Kind.REGRESSION:
        decisions = np.where(known, today, 0).astype(np.int64)
    if job.task.kind is Kind.MULTICLASS:
        scores = np.where(known[:, None], np.eye(len(job.task.classes))[decisions], np.nan)
    pieces = [rows[known[rows]] for rows in job.pieces]
    values = measure_pieces(job.task, job.metric, part.y, scores, decisions, part.units, pieces)
    return Result(Line(TODAY, *summary(values), values, 0.0, {}), Crossed.plain(job, scores), decisions)


def rank(job: Job, line: Line) -> tuple[float, bool, str]:
    """Smaller is better; lines without a mean are last, failed ones at the very end; equals go by name."""
    return -job.goodness(line.mean), bool(line.error), line.model


def all_failed(lines: Sequence[Line]) -> HeadraceError:
    """The error where no candidate could be fitted."""
    problems = [
        Problem(f"{line.model} could not be fitted: {line.error}", where=f"models: {line.model}")
        for line in lines
        if line.error
    ]
    return UserError.of(problems or [Problem("no model is named", where="models", fix="name at least one")])
