"""From the chosen line to the model: calibrated, with threshold and uncertainty, fitted on everything.

Each step is fitted on scores out of fold of the one before it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from headrace.core.task import Kind
from headrace.learn.calibrate import Calibrator, fit_calibrator
from headrace.learn.candidate import Explained, Fitted, Matrix, Vector
from headrace.learn.compare import fit_entry, result_of
from headrace.learn.conformal import Conformal, fit_conformal
from headrace.learn.ensemble import Combined, FittedEnsemble
from headrace.learn.measure import best_threshold
from headrace.learn.records import Crossed, Job, Member, Result


@dataclass(frozen=True)
class Uncertain:
    """The share of new rows to be held, and whether to abstain where a row is not sure."""

    level: float
    abstain: bool = False


@dataclass(frozen=True)
class Finished:
    """What is packaged: the line that stands for it, the fit, and what comes behind its scores. own: the
    scores out of fold that the threshold was chosen on."""

    result: Result
    own: Vector
    fitted: Fitted
    recipe: tuple[Member, ...]
    calibrator: Calibrator | None
    threshold: float | None
    conformal: Conformal | None

    def score(self, X: Matrix) -> Vector:
        """What the graph answers as its score."""
        scores = self.fitted.score(X)
        return scores if self.calibrator is None else self.calibrator.apply(scores)

    def contributions(self, X: Matrix) -> Vector | None:
        """What each feature added to the raw score, before calibration; None where the model can't say."""
        return self.fitted.contributions(X) if isinstance(self.fitted, Explained) else None


def calibrated(job: Job, crossed: Crossed, method: str) -> tuple[Crossed, Calibrator]:
    """Calibrated scores, each part's by what was fitted on the others; and the calibrator of all."""
    y = job.scored.y
    calibrator = fit_calibrator(method, job.task, y, crossed.own)
    by_part = []
    for part, scores in enumerate(crossed.by_part):
        others = job.others(part)
        by_part.append(fit_calibrator(method, job.task, y[others], scores[others]).apply(scores))
    return Crossed(calibrator.apply(crossed.own), tuple(by_part)), calibrator


def finish(
    job: Job, chosen: Result, combined: Combined | None, *, calibrate: str, uncertain: Uncertain | None
) -> Finished:
    """Calibrate, choose the threshold, measure uncertainty, fit on all training rows.

    `chosen` is the ensemble's line where `combined` is given. The threshold is chosen on calibrated scores
    of the model itself. Uncertainty is measured on those where each part took no part in any choice.
    """
    if chosen.crossed is None:
        raise ValueError("a line without scores can't become the model")
    result, crossed, calibrator = chosen, chosen.crossed, None
    if calibrate != "off" and job.task.kind is not Kind.REGRESSION:
        crossed, calibrator = calibrated(job, chosen.crossed, calibrate)
        name = f"{chosen.line.model} + {calibrate}"
        note = f"{chosen.line.model}, calibrated"
        result = result_of(job, name, chosen.line.params, crossed, 0.0, note=note)
        result = replace(result, entry=chosen.entry)
    part = job.scored
    threshold = best_threshold(job.task, job.aim, part.y, crossed.own, units=part.units, today=part.today)
    conformal = None
    if uncertain is not None:
        conformal = fit_conformal(
            job.task,
            part.y,
            crossed.honest(job),
            uncertain.level,
            abstain=uncertain.abstain,
            units=part.units,
        )
    fitted, recipe = _fitted(job, chosen, combined)
    return Finished(result, crossed.own, fitted, recipe, calibrator, threshold, conformal)


def _fitted(job: Job, chosen: Result, combined: Combined | None) -> tuple[Fitted, tuple[Member, ...]]:
    if combined is None or combined.weights is None:
        return _fit(job, chosen), (_member(chosen, 1.0),)
    used = combined.weights.used()
    members = [combined.members[i] for i in used]
    weights = combined.weights.only(used)
    fitted = FittedEnsemble(tuple(_fit(job, m) for m in members), weights)
    return fitted, tuple(_member(m, w) for m, w in zip(members, weights.weights, strict=True))


def _fit(job: Job, result: Result) -> Fitted:
    if result.fitted is not None:
        return result.fitted
    if result.entry is None:
        raise ValueError(f"{result.line.model} is no candidate")
    train = job.train
    return fit_entry(job.setting, result.entry, train.X, train.y, train.times, job.memory)


def _member(result: Result, weight: float) -> Member:
    if result.entry is None:
        raise ValueError(f"{result.line.model} is no candidate")
    return Member(result.line.model, result.entry.use, dict(result.entry.params), weight)
