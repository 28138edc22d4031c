"""What the prediction log knows of an experiment's units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from headrace.core.experiments import Experiment
from headrace.core.routes import Role
from headrace.core.spec.plans import ExperimentPlan
from headrace.core.sql import sql_text
from headrace.policy.experiments import Guarded, Units
from headrace.policy.guarded import Guard, parse_guard

Ask = Callable[[str], Sequence[Sequence[Any]]]
"""Rows of a SELECT over the log's `answered` view."""


def units_of(experiment: Experiment, plan: ExperimentPlan, ask: Ask, end: str) -> tuple[Units, int]:
    """What the log knows of the units, by unit; and how many were answered by both arms."""
    guards = [g for text in plan.guardrails if (g := parse_guard(text)) is not None]
    rows: list[Sequence[Any]] = []
    if ask(f"SELECT 1 FROM answered WHERE {_mine(experiment, end)} LIMIT 1"):  # else it lacks columns, too
        rows = [r for r in ask(_sql(experiment, plan, guards, end)) if r[1] is not None]
    crossed = sum(bool(r[2]) for r in rows)
    rows = [r for r in rows if not r[2]]

    def column(at: int) -> Any:
        return np.array([np.nan if r[at] is None else float(r[at]) for r in rows], dtype=np.float64)

    fixed, each = 8, 2
    arms = [r[1] for r in rows]
    spot = fixed + each * len(guards)
    guarded = {}
    for i, guard in enumerate(guards):
        at = fixed + each * i
        guarded[guard.text] = Guarded(column(at), column(at + 1), guard.bound, guard.least)
    return (
        Units(
            treated=np.array([a == Role.TREATMENT for a in arms], dtype=bool),
            control=np.array([a == Role.CHAMPION for a in arms], dtype=bool),
            outcome=column(4),
            rows=column(5),
            first=np.array([int(r[3]) for r in rows], dtype=np.int64),
            per=None if plan.per is None else column(6),
            before=None if plan.covariate is None else column(7),
            guardrails=guarded,
            slices={name: [r[spot + i] for r in rows] for i, name in enumerate(plan.slices)},
        ),
        crossed,
    )


def _sql(experiment: Experiment, plan: ExperimentPlan, guards: Sequence[Guard], end: str) -> str:
    """One row a unit: unit, arm, whether it was answered by several arms, first moment, sums."""
    outcome = f"CAST(({plan.outcome}) AS DOUBLE)"
    per = f"CAST(({plan.per}) AS DOUBLE)" if plan.per is not None else "1.0"
    before = "NULL"
    if plan.covariate is not None and plan.covariate != "before":
        before = f"CAST(({plan.covariate}) AS DOUBLE)"
    unit = "coalesce(nullif(unit, ''), id)"
    since = _moment(experiment.started)
    guarded = [s for g in guards for s in (f"sum({g.numerator})", f"sum({g.denominator})")]
    slices = [f'any_value("input_{name}")' for name in plan.slices]
    sums = ", ".join(["", *guarded, *slices])
    told = f"""
        SELECT {unit} AS u, any_value(arm) AS arm, count(DISTINCT arm) > 1 AS crossed,
            epoch_us(min(time)) AS first, sum(y) AS outcome, count(y) AS n,
            sum(CASE WHEN y IS NOT NULL THEN d END) AS per, avg(x) AS before {sums}
        FROM (SELECT *, {outcome} AS y, {per} AS d, {before} AS x FROM answered
              WHERE {_mine(experiment, end)} AND arm IN ('champion', 'treatment', 'canary'))
        GROUP BY 1"""
    if plan.covariate != "before":
        return told
    names = ", ".join(["u", "arm", "crossed", "first", "outcome", "n", "per", "earlier"])
    return f"""
        WITH told AS ({told}), earlier AS (
            SELECT {unit} AS v, avg({outcome}) AS earlier FROM answered
            WHERE {_of(experiment)} AND time < {since} GROUP BY 1)
        SELECT {names}, told.* EXCLUDE (u, arm, crossed, first, outcome, n, per, before)
        FROM told LEFT JOIN earlier ON u = v"""


def _of(experiment: Experiment) -> str:
    return f"route = {sql_text(experiment.route)} AND shadow_of = ''"


def _mine(experiment: Experiment, end: str) -> str:
    """What was answered on the experiment's route while it ran."""
    return f"{_of(experiment)} AND time >= {_moment(experiment.started)} AND time < {_moment(end)}"


def _moment(iso: str) -> str:
    return f"TIMESTAMP {sql_text(iso[:26])}"
