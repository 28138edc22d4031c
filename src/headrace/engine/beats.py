"""The chosen model against both baselines: evidence of the learn stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.codec import to_plain
from headrace.core.evidence import Evidence, Interval
from headrace.core.task import Task
from headrace.engine.aims import goal_evidence
from headrace.engine.context import Context
from headrace.engine.worths import worth_on
from headrace.learn.records import NAIVE, TODAY, Learned, Part
from headrace.metrics.intervals import paired
from headrace.metrics.record import Metric, Predictions
from headrace.metrics.threshold import Aim, choose_cut

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Field:
    """Where candidates met: the rows that were scored, and what they are called."""

    rows: Part
    name: str
    task: Task
    metric: Metric
    aim: Metric | Aim


def worths(ctx: Context, learned: Learned, field: Field) -> dict[str, Any]:
    """What 1,000 decisions of each line are worth (`metrics.worth.Worth`), where outcomes have a worth."""
    if ctx.spec.problem.value is None:
        return {}
    found: dict[str, Any] = {}
    for name, scores in learned.scores.items():
        usable = _finite(scores)
        rule = None if field.rows.today is None else field.rows.today[usable]
        predictions = _predictions(field, scores, learned.decisions.get(name), usable)
        found[name] = to_plain(worth_on(ctx, predictions, rule))
    return found


def evidence_of(ctx: Context, learned: Learned, field: Field) -> list[Evidence]:
    """The choice against both baselines, paired over the rows that all of them were scored on.

    What is compared is the whole procedure: each fold is answered by what would have been chosen without
    it, so that having had many candidates, trials and weights to choose from is no advantage.
    """
    found = [_compared("beats-naive", ctx, learned, NAIVE, field)]
    today = ctx.spec.problem.today
    if today is None:
        found.append(
            Evidence("beats-today", None, applies=False, why_none="no solution of today is declared")
        )
    elif today.rule is not None:
        found.append(_compared("beats-today", ctx, learned, TODAY, field))
    else:
        folds = learned.procedure.line.folds
        found.append(_against_number(float(today.value or 0.0), today.source, folds, field.metric))
    if isinstance(field.aim, Aim) and field.aim.needs:
        scores, rows = learned.own, field.rows
        known = _finite(scores)
        rule = None if rows.today is None else rows.today[known]
        cut = choose_cut(field.aim, rows.y[known], scores[known], units=rows.units[known], today=rule)
        found.append(goal_evidence(cut, int(known.sum())))
    return found


def _compared(gate: str, ctx: Context, learned: Learned, other: str, field: Field) -> Evidence:
    if other not in learned.scores:
        return Evidence(gate, None, why_none=f"{other} could not be scored")
    mine = learned.procedure
    usable = _finite(mine.scores) & _finite(learned.scores[other])
    ours = _predictions(field, mine.scores, mine.decisions, usable)
    theirs = _predictions(field, learned.scores[other], learned.decisions.get(other), usable)
    estimate = paired(field.metric, ours, theirs, seed=ctx.spec.seed)
    return Evidence(
        gate,
        estimate.value,
        unit=f"{field.metric.name} better",
        n=estimate.n_units,
        interval=estimate.interval,
        where=f"{learned.best} against {other} on {estimate.n_rows} {field.name}",
        why_none=estimate.why_none,
    )


def _finite(scores: NDArray[np.float64]) -> Bools:
    return np.asarray(np.isfinite(scores.reshape(len(scores), -1)).all(axis=1), dtype=np.bool_)


def _predictions(
    field: Field, scores: NDArray[np.float64], decisions: NDArray[np.int64] | None, usable: Bools
) -> Predictions:
    return Predictions(
        task=field.task,
        y=field.rows.y[usable],
        score=scores[usable],
        units=field.rows.units[usable],
        decision=None if decisions is None else decisions[usable],
    )


def _against_number(value: float, source: str, folds: Sequence[float], metric: Metric) -> Evidence:
    """Today's solution as a number: compared as one, with the spread over the folds as the only interval."""
    oriented = [float(metric.goodness(f)) - float(metric.goodness(value)) for f in folds]
    mean = float(np.mean(oriented))
    interval = None
    if len(oriented) > 1:
        from scipy.stats import t

        half = float(t.ppf(0.975, len(oriented) - 1) * np.std(oriented, ddof=1) / np.sqrt(len(oriented)))
        interval = Interval(mean - half, mean + half)
    return Evidence(
        "beats-today",
        mean,
        unit=f"{metric.name} better",
        n=len(oriented),
        interval=interval,
        where=f"against {value:g}" + (f" ({source})" if source else "") + ", over the folds",
        why_none="" if interval else "one fold has no spread: use cross-validation, or give today's rule",
    )
