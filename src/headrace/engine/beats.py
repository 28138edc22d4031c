"""The chosen model against both baselines: evidence of the learn stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.codec import to_plain
from headrace.core.evidence import Evidence, Interval
from headrace.core.task import Task
from headrace.engine.aims import goal_evidence
from headrace.engine.context import Context
from headrace.engine.measures import rule_metric
from headrace.engine.worths import worth_on
from headrace.learn.records import NAIVE, TODAY, Learned, Part, Scored
from headrace.learn.run import BEST
from headrace.metrics.intervals import interval, paired
from headrace.metrics.record import Metric, Predictions
from headrace.metrics.threshold import Aim, choose_cut

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Field:
    """Where candidates met: the rows that were scored, and what they are called. judge: rows that took no
    part in anything, where there are such."""

    rows: Part
    name: str
    task: Task
    metric: Metric
    aim: Metric | Aim
    judge: Part | None = None


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
    """The chosen model against both baselines, paired over the rows that all of them were scored on.

    Where parameters were searched or candidates combined, those are the validation rows, which took no
    part in it. Else they are the rows out of fold, each fold answered by the candidate that is best on the
    others.
    """
    court = _court(learned, field)
    found = [_compared("beats-naive", ctx, learned, NAIVE, court)]
    today = ctx.spec.problem.today
    if today is None:
        found.append(
            Evidence("beats-today", None, applies=False, why_none="no solution of today is declared")
        )
    elif today.rule is not None:
        by = replace(court, field=replace(court.field, metric=rule_metric(ctx.spec)))
        found.append(_compared("beats-today", ctx, learned, TODAY, by))
    elif learned.judged:
        found.append(_number_on_rows(ctx, float(today.value or 0.0), today.source, court))
    else:
        folds = learned.procedure.line.folds
        found.append(_number_on_folds(float(today.value or 0.0), today.source, folds, field.metric))
    if isinstance(field.aim, Aim) and field.aim.needs:
        scores, rows = learned.own, field.rows
        known = _finite(scores)
        rule = None if rows.today is None else rows.today[known]
        cut = choose_cut(field.aim, rows.y[known], scores[known], units=rows.units[known], today=rule)
        found.append(goal_evidence(cut, int(known.sum())))
    return found


@dataclass(frozen=True)
class _Court:
    """Where the comparison is held: the rows, ours, and the baselines that could be scored."""

    field: Field
    ours: Scored
    others: Mapping[str, Scored]


def _court(learned: Learned, field: Field) -> _Court:
    if learned.judged and field.judge is not None:
        rest = {n: s for n, s in learned.judged.items() if n != BEST}
        return _Court(replace(field, rows=field.judge, name="validation rows"), learned.judged[BEST], rest)
    lines = {line.model: line for line in learned.leaderboard}
    others = {
        n: Scored(lines[n], learned.scores[n], learned.decisions.get(n))
        for n in (NAIVE, TODAY)
        if n in learned.scores
    }
    return _Court(field, learned.procedure, others)


def _compared(gate: str, ctx: Context, learned: Learned, other: str, court: _Court) -> Evidence:
    if other not in court.others:
        return Evidence(gate, None, why_none=f"{other} could not be scored")
    ours, theirs, field = court.ours, court.others[other], court.field
    usable = _finite(ours.scores) & _finite(theirs.scores)
    estimate = paired(
        field.metric,
        _predictions(field, ours.scores, ours.decisions, usable),
        _predictions(field, theirs.scores, theirs.decisions, usable),
        seed=ctx.spec.seed,
    )
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


def _number_on_rows(ctx: Context, value: float, source: str, court: _Court) -> Evidence:
    """Today's solution as a number, against the model with its interval by units."""
    field, ours = court.field, court.ours
    usable = _finite(ours.scores)
    estimate = interval(
        field.metric, _predictions(field, ours.scores, ours.decisions, usable), seed=ctx.spec.seed
    )
    between = None
    if estimate.interval is not None:
        ends = [estimate.interval.low, estimate.interval.high]
        apart = sorted(float(field.metric.goodness(e)) - float(field.metric.goodness(value)) for e in ends)
        between = Interval(apart[0], apart[1], estimate.interval.level)
    return Evidence(
        "beats-today",
        float(field.metric.goodness(estimate.value)) - float(field.metric.goodness(value)),
        unit=f"{field.metric.name} better",
        n=estimate.n_units,
        interval=between,
        where=f"against {value:g}" + (f" ({source})" if source else "") + f", on {field.name}",
        why_none=estimate.why_none,
    )


def _number_on_folds(value: float, source: str, folds: Sequence[float], metric: Metric) -> Evidence:
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
