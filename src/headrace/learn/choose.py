"""Choosing between lines without letting the choice flatter itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from headrace.learn.candidate import Vector
from headrace.learn.compare import part_values, rank
from headrace.learn.records import NAIVE, Crossed, Ints, Job, Result
from headrace.metrics.intervals import interval
from headrace.metrics.record import Predictions

SIMPLICITY = (
    "naive",
    "linear",
    "river",
    "tree",
    "svm",
    "knn",
    "forest",
    "extra_trees",
    "boosting",
    "xgboost",
    "catboost",
    "mlp",
)
"""Candidates by how much they take to understand, to serve and to keep: the simplest first. Others, and
combinations of several, come after."""

_RESAMPLES = 200


def chosen_without(values: Vector) -> Ints:
    """For each part the option that is best on the mean of all the others: [parts].

    values: [options, parts], more is better, NaN where undefined. The first of equals.
    """
    options, parts = values.shape
    picks = np.empty(parts, np.int64)
    for part in range(parts):
        rest = np.delete(values, part, axis=1)
        known = np.isfinite(rest)
        means = np.full(options, -np.inf)
        sums, counts = np.where(known, rest, 0.0).sum(axis=1), known.sum(axis=1)
        means[counts > 0] = sums[counts > 0] / counts[counts > 0]
        picks[part] = int(np.argmax(means))
    return picks


def procedure_of(job: Job, results: Sequence[Result], chosen: Result) -> Crossed:
    """Scores of "take the best of these lines": of `chosen` with all parts looked at, and each part by the
    line that is best on the others. What the whole choice is worth on rows that it has not seen."""
    lines = [r for r in results if r.crossed is not None]
    picks = chosen_without(np.stack([part_values(job, r) for r in lines]))
    crossed = [r.crossed for r in lines if r.crossed is not None]
    own = chosen.crossed.own if chosen.crossed is not None else crossed[0].own
    return Crossed(own, tuple(crossed[pick].by_part[part] for part, pick in enumerate(picks.tolist())))


def simplest_within_error(job: Job, results: Mapping[str, Result]) -> tuple[str, str]:
    """The simplest line that is no worse than the best by more than one standard error of the best (Breiman
    et al. 1984, section 3.4.3), and why, in words.

    The standard error is the metric's by units, over all rows out of fold; where it is unknown, that of
    the folds.
    """
    lines = [r for n, r in results.items() if n != NAIVE and r.line.mean is not None]
    best = min(lines, key=lambda r: rank(job, r.line))
    error = _error(job, best)
    floor = job.goodness(best.line.mean) - error
    near = [r for r in lines if job.goodness(r.line.mean) >= floor]
    chosen = min(near, key=lambda r: (_simplicity(r), rank(job, r.line)))
    value = f"{best.line.model} is best with {best.line.mean:.4g}, standard error {error:.2g}"
    if chosen is best:
        return best.line.model, f"{value}: nothing simpler is as near"
    return chosen.line.model, f"{value}; {chosen.line.model} with {chosen.line.mean:.4g} is simpler"


def _simplicity(result: Result) -> tuple[int, int]:
    """Of a line: its candidate's place, and default parameters before tuned ones."""
    entry = result.entry
    if entry is None:
        return len(SIMPLICITY) + 1, 0
    place = SIMPLICITY.index(entry.use) if entry.use in SIMPLICITY else len(SIMPLICITY)
    return place, int(entry.name != result.line.model)


def _error(job: Job, result: Result) -> float:
    part = job.scored
    predictions = predictions_of(job, result)
    if predictions is not None and len(part.y):
        found = interval(job.metric, predictions, seed=job.setting.seed, resamples=_RESAMPLES).se
        if np.isfinite(found):
            return float(found)
    std, folds = result.line.std, len(result.line.folds)
    return float(std / np.sqrt(folds)) if std is not None else 0.0


def predictions_of(job: Job, result: Result, usable: Ints | None = None) -> Predictions | None:
    """A line's honest predictions of the rows that have one (and are among `usable`)."""
    if result.crossed is None:
        return None
    scores = result.crossed.honest(job)
    rows = known_rows(scores) if usable is None else usable
    decisions = None if result.decisions is None else result.decisions[rows]
    return Predictions(job.task, job.scored.y[rows], scores[rows], job.scored.units[rows], decisions)


def known_rows(scores: Vector) -> Ints:
    """The rows that have a score."""
    return np.flatnonzero(np.isfinite(scores.reshape(len(scores), -1)).all(axis=1)).astype(np.int64)
