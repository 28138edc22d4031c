"""Performance before labels are there.

Classification: confidence-based performance estimation (NannyML's CBPE; Guillory et al. 2021, ICCV, for the
idea). A row that is told probability p counts as p of a true one and 1 - p of a false one, and the metric is
taken of these expected counts. It is right while probabilities are calibrated and truth relates to the
columns as it did: it sees covariate shift, and is blind to concept drift. Probabilities are calibrated first,
by isotonic regression of truth on probability over the reference rows (Zadrozny & Elkan 2002), so that a
model that never was calibrated is estimated rightly too.

Regression: direct loss estimation: the absolute and squared error are regressed on the codes of all columns
and the prediction, additively (ridge regression of one-hot codes over the reference rows), and averaged over
the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from headrace.checks.live.labelled import LEAST, Baseline, Labelled, judged
from headrace.checks.live.null import Evaluate, Prepare, of_sums
from headrace.core.task import Kind, Task
from headrace.core.watching import Family, Reading
from headrace.metrics.record import Floats, Ints, Metric, Predictions, Ranks, Sums

LEVELS = 4096
"""Scores of a rank metric are taken in so many bins of equal rows."""
_ERRORS = ("mae", "rmse", "mse")
_RIDGE = 20.0


@dataclass(frozen=True, eq=False)
class Answers:
    """What was answered, without truth. score: as `Predictions` has it; decision: None for a regression;
    codes: uint8 [n, columns of bins]."""

    task: Task
    score: NDArray[np.float64]
    decision: Ints | None
    codes: NDArray[np.uint8]

    @property
    def rows(self) -> int:
        return len(self.score)


class Estimator:
    """What a release's metric is likely to be, made of its reference rows. Safe to keep between windows."""

    def __init__(self, metric: Metric, baseline: Baseline) -> None:
        self.metric = metric
        self._baseline = baseline

    @property
    def why_none(self) -> str:
        """Why the metric can't be estimated; empty where it can."""
        how = self.metric.how.get(self._baseline.predictions.task.kind)
        if self._baseline.predictions.task.kind is Kind.REGRESSION:
            known = self.metric.name in _ERRORS
            return "" if known else f"{self.metric.name} is no mean of errors: {', '.join(_ERRORS)} are"
        return (
            "" if isinstance(how, Sums | Ranks) else f"{self.metric.name} is no function of counts or ranks"
        )

    def estimate(self, answers: Answers) -> float:
        """The metric that these answers are likely to have."""
        how = self.metric.how[answers.task.kind]
        if isinstance(how, Ranks) and answers.score.ndim == 1:
            # Sorted scores are calibrated in a tenth of the time, and need no bins.
            ranked = np.sort(answers.score)
            return _ranked(how, ranked, self._calibrated(ranked))
        return float(self._prepared(answers)(np.zeros(answers.rows, np.int64), 1)(np.ones((1, 1)))[0])

    def reading(self, answers: Answers, chance: float) -> Reading:
        """The estimate, judged against estimates of windows of the reference.

        chance: of an alarm while nothing changes.
        """
        name = f"estimated {self.metric.name}"
        why = self.why_none or (f"{answers.rows} answers; {LEAST} are needed" if answers.rows < LEAST else "")
        if why:
            return Reading(Family.ESTIMATED, name, n=answers.rows, unit=self.metric.unit, why_none=why)
        value = self.estimate(answers)
        if not np.isfinite(value):
            why = f"{self.metric.name} is undefined on these rows"
            return Reading(Family.ESTIMATED, name, n=answers.rows, unit=self.metric.unit, why_none=why)
        p, worse = self._baseline.predictions, not self.metric.higher_is_better
        theirs = self._prepared(Answers(p.task, p.score, p.decision, self._baseline.rows.codes))
        null = self._baseline.null(name, theirs, answers.rows, larger_is_worse=worse)
        return judged(
            Family.ESTIMATED, name, "", value, null, chance, rows=answers.rows, unit=self.metric.unit
        )

    def _prepared(self, answers: Answers) -> Prepare:
        if answers.task.kind is Kind.REGRESSION:
            return _of_errors(self.metric.name, self._errors.of(answers))
        how = self.metric.how[answers.task.kind]
        score = self._calibrated(answers.score)
        if isinstance(how, Sums):
            if self.metric.needs == "decision":
                return _of_decisions(how, answers, score)
            return of_sums(_expected(how, answers, score), how.finish)
        assert isinstance(how, Ranks)  # noqa: S101  `why_none` has seen to it
        return _of_ranks(how, answers, score)

    def _calibrated(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        if score.ndim == 1:
            return self._maps[0](score)
        told = np.stack([m(score[:, k]) for k, m in enumerate(self._maps)], axis=1)
        return np.asarray(told / np.maximum(told.sum(axis=1, keepdims=True), 1e-12))

    @cached_property
    def _maps(self) -> list[Isotonic]:
        p = self._baseline.predictions
        if p.score.ndim == 1:
            return [isotonic(p.score, p.y)]
        return [isotonic(p.score[:, k], (p.y == k).astype(np.float64)) for k in range(p.score.shape[1])]

    @cached_property
    def _errors(self) -> ErrorModel:
        return fit_errors(self._baseline.rows)


@dataclass(frozen=True, eq=False)
class Isotonic:
    """A rising map of scores: `values` at `scores`, straight in between."""

    scores: NDArray[np.float64]
    values: NDArray[np.float64]

    def __call__(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.interp(score, self.scores, self.values)


def isotonic(score: NDArray[np.float64], truth: NDArray[np.float64], most: int = 200) -> Isotonic:
    """The rising map that is nearest to the truth: pool adjacent violators (Ayer et al. 1955), over at most
    `most` bins of equal rows, so that no value rests on a few rows."""
    order = np.argsort(score, kind="stable")
    count = max(1, min(most, len(score) // 25))
    cuts = (np.arange(count + 1) * len(score)) // count
    sums = np.add.reduceat(truth[order], cuts[:-1])
    at = np.add.reduceat(score[order], cuts[:-1])
    rows = np.diff(cuts).astype(np.float64)
    pooled: list[list[float]] = []
    for total, place, n in zip(sums.tolist(), at.tolist(), rows.tolist(), strict=True):
        pooled.append([total, place, n])
        while len(pooled) > 1 and pooled[-2][0] * pooled[-1][2] >= pooled[-1][0] * pooled[-2][2]:
            last = pooled.pop()
            pooled[-1] = [a + b for a, b in zip(pooled[-1], last, strict=True)]
    made = np.array(pooled)
    return Isotonic(made[:, 1] / made[:, 2], made[:, 0] / made[:, 2])


def _expected(how: Sums, answers: Answers, score: NDArray[np.float64]) -> Floats:
    """What each row adds to the sums, in expectation over its truth: [n, S]."""
    classes = 2 if score.ndim == 1 else score.shape[1]
    total: Floats | None = None
    for k in range(classes):
        p = score if score.ndim == 1 and k == 1 else 1 - score if score.ndim == 1 else score[:, k]
        truth = np.full(answers.rows, float(k))
        # Only the truth is imagined: the score that the metric looks at is what was answered.
        told = Predictions(
            answers.task, truth, answers.score, np.zeros(answers.rows, np.int64), answers.decision
        )
        part = how.columns(told) * p[:, None]
        total = part if total is None else total + part
    assert total is not None  # noqa: S101  there are two classes at least
    return total


def _of_decisions(how: Sums, answers: Answers, score: NDArray[np.float64]) -> Prepare:
    """Sums that look at decisions alone: how often each meets each truth, in expectation, is enough."""
    assert answers.decision is not None  # noqa: S101  the task has classes
    classes = 2 if score.ndim == 1 else score.shape[1]
    decision = np.repeat(np.arange(classes), classes)
    truth = np.tile(np.arange(classes, dtype=np.float64), classes)
    spare = np.zeros(len(truth)) if score.ndim == 1 else np.zeros((len(truth), classes))
    pairs = Predictions(answers.task, truth, spare, np.zeros(len(truth), np.int64), decision)
    adds, decided = how.columns(pairs), answers.decision

    def prepare(blocks: Ints, count: int) -> Evaluate:
        cell = blocks * classes + decided
        if score.ndim == 1:
            true = np.bincount(cell, score, minlength=2 * count)
            met = np.stack([np.bincount(cell, minlength=2 * count) - true, true], axis=-1)
        else:
            told = [np.bincount(cell, p, minlength=classes * count) for p in score.T]
            met = np.stack(told, axis=-1)
        sums = met.reshape(count, classes * classes) @ adds
        return lambda weights: how.finish(weights @ sums)

    return prepare


def _ranked(how: Ranks, ranked: NDArray[np.float64], likely: NDArray[np.float64]) -> float:
    """A rank metric of scores in their order, lowest first, and how likely each is a positive, [n]."""
    if not len(ranked):
        return float("nan")
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    hits = np.add.reduceat(likely, starts)
    rows = np.diff(starts, append=len(ranked))
    return float(how.finish(hits[None], (rows - hits)[None])[0])


def _of_ranks(how: Ranks, answers: Answers, score: NDArray[np.float64]) -> Prepare:
    """A rank metric of expected positives and negatives, in bins of the score."""
    told = Predictions(
        answers.task,
        np.zeros(answers.rows),
        answers.score,
        np.zeros(answers.rows, np.int64),
        answers.decision,
    )
    problems = how.problems(told)
    likely = [score] if score.ndim == 1 else [score[:, k] for k in range(len(problems))]

    def prepare(blocks: Ints, count: int) -> Evaluate:
        tables = []
        for (ranked, _), p in zip(problems, likely, strict=True):
            level = _levels(ranked)
            levels = int(level.max()) + 1
            cell = blocks * levels + level
            hits = np.bincount(cell, p, minlength=count * levels).reshape(count, levels)
            rest = np.bincount(cell, 1 - p, minlength=count * levels).reshape(count, levels)
            tables.append((hits, rest))

        def evaluate(weights: Floats) -> Floats:
            found = [how.finish(weights @ hits, weights @ rest) for hits, rest in tables]
            return np.asarray(np.mean(found, axis=0))

        return evaluate

    return prepare


def _levels(score: NDArray[np.float64]) -> Ints:
    """The bin of each score: equal scores share one, and there are at most `LEVELS`."""
    order = np.argsort(score)
    ranked = score[order]
    new = np.r_[False, ranked[1:] != ranked[:-1]]
    if new.sum() >= LEVELS:
        place = (np.arange(len(score)) * LEVELS) // len(score)
        first = np.maximum.accumulate(np.where(np.r_[True, new[1:]], np.arange(len(score)), 0))
        dense = place[first]
        new = np.r_[False, dense[1:] != dense[:-1]]
    out = np.empty(len(score), np.int64)
    out[order] = np.cumsum(new)
    return out


@dataclass(frozen=True, eq=False)
class ErrorModel:
    """The absolute and squared error that answers are likely to have, additive over codes of columns."""

    offsets: NDArray[np.int64]
    weights: NDArray[np.float64]
    base: NDArray[np.float64]

    def of(self, answers: Answers) -> NDArray[np.float64]:
        """Expected absolute and squared error of each row, [n, 2]."""
        total = np.tile(self.base, (answers.rows, 1))
        for i in range(answers.codes.shape[1]):
            most = self.offsets[i + 1] - self.offsets[i] - 1
            total += self.weights[self.offsets[i] + np.minimum(answers.codes[:, i].astype(np.int64), most)]
        return np.maximum(total, 0.0)


def fit_errors(reference: Labelled) -> ErrorModel:
    """Ridge regression of the reference's errors on one-hot codes, by backfitting (Buja, Hastie & Tibshirani
    1989): each column's effects are the shrunken means of what the others leave."""
    p = reference.predictions
    error = np.abs(p.score - p.y)
    targets = np.stack([error, error**2], axis=1)
    base = targets.mean(axis=0)
    widths = reference.bins.widths
    offsets = np.concatenate([[0], np.cumsum(widths)]).astype(np.int64)
    weights = np.zeros((int(offsets[-1]), 2))
    codes = [
        offsets[i] + np.minimum(reference.codes[:, i].astype(np.int64), widths[i] - 1)
        for i in range(len(widths))
    ]
    counts = [np.bincount(c, minlength=len(weights)) for c in codes]
    left = targets - base
    for _ in range(3):
        for i, code in enumerate(codes):
            left += weights[code]
            sums = np.stack([np.bincount(code, left[:, j], minlength=len(weights)) for j in (0, 1)], axis=1)
            span = slice(offsets[i], offsets[i + 1])
            weights[span] = (sums / (counts[i][:, None] + _RIDGE))[span]
            left -= weights[code]
    return ErrorModel(offsets, weights, base)


def _of_errors(name: str, expected: NDArray[np.float64]) -> Prepare:
    column = expected[:, 0] if name == "mae" else expected[:, 1]
    columns = np.stack([np.ones(len(column)), column], axis=1)

    def finish(sums: Floats) -> Floats:
        mean = sums[..., 1] / sums[..., 0]
        return np.asarray(np.sqrt(mean) if name == "rmse" else mean)

    return of_sums(columns, finish)
