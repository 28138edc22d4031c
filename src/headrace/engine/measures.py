"""The metrics that a spec speaks of: which are measured, which bars the test has to reach, and what the
decision threshold is chosen for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.core.evidence import Rule
from headrace.core.goal import Limit, parse_goal, parse_limit
from headrace.core.spec import Spec
from headrace.core.task import Kind, Task
from headrace.metrics.catalog import metric, names
from headrace.metrics.margin import SAFE
from headrace.metrics.record import Metric
from headrace.metrics.threshold import Aim, Need


@dataclass(frozen=True)
class Bar:
    """A metric that the test measures, and the rule it is held to (None: measured only).

    factor: the rule holds the metric less `factor` times today's on the same rows to 0; None where it holds
    the metric itself. gate: the judged name.
    """

    name: str
    metric: Metric
    rule: Rule | None
    main: bool
    gate: str
    factor: float | None = None


def find_metric(spec: Spec, name: str) -> Metric:
    """A metric of the catalog, or `value` with the worth that the spec gives outcomes."""
    worth = spec.problem.value
    return metric(
        name,
        Task(Kind(spec.problem.task)),
        value=worth.model_dump(exclude={"unit"}) if worth else None,
        unit=worth.unit if worth else "",
    )


def metrics_of(spec: Spec) -> dict[str, Metric]:
    """Every metric that fits the task, the declared one first."""
    fitting = [n for n in names(Kind(spec.problem.task)) if n != "value" or spec.problem.value is not None]
    return {n: find_metric(spec, n) for n in dict.fromkeys([spec.problem.metric, *fitting])}


def limits_of(spec: Spec) -> dict[str, Limit]:
    """The limits of `ship_at` by metric."""
    main, ship_at = spec.problem.metric, spec.problem.ship_at
    if isinstance(ship_at, Mapping):
        return {n: parse_limit(r) for n, r in ship_at.items()}
    if ship_at is None:
        return {}
    return {main: Limit(">=" if find_metric(spec, main).higher_is_better else "<=", ship_at)}


def bars_of(spec: Spec) -> tuple[Bar, ...]:
    """The declared metric, then every other that `ship_at` names, then the goal's constraints."""
    main, limits = spec.problem.metric, limits_of(spec)
    bars = [
        _bar(spec, n, limits.get(n), f"ship-at: {n}", main=n == main) for n in dict.fromkeys([main, *limits])
    ]
    goal = parse_goal(spec.problem.goal) if spec.problem.goal else None
    constraints = goal.constraints if goal else ()
    bars += [_bar(spec, c.metric, c.limit, f"goal: {c.metric}", main=False) for c in constraints]
    return tuple(bars)


def _bar(spec: Spec, name: str, limit: Limit | None, gate: str, *, main: bool) -> Bar:
    found = find_metric(spec, name)
    if limit is None:
        return Bar(name, found, None, main, gate)
    number, relative = _worked_in(spec, limit)
    if relative:
        return Bar(name, found, Rule(limit.op, 0.0, safe_end=True), main, gate, factor=number)
    return Bar(name, found, Rule(limit.op, number, safe_end=True), main, gate)


def _worked_in(spec: Spec, limit: Limit) -> tuple[float, bool]:
    """The limit's number, and whether it is still a factor: today's solution may itself be a number."""
    today = spec.problem.today
    if limit.relative and today is not None and today.value is not None:
        return limit.number * today.value, False
    return limit.number, limit.relative


def aim_of(spec: Spec, level: float = SAFE) -> Aim | None:
    """What the decision threshold of a binary task is chosen for: the goal, where there is one; the value of
    outcomes, where it is declared and the metric looks at scores alone. None: the metric itself.

    level: the one-sided level at which the goal's constraints are to hold (see `margin.planned_level`).
    """
    problem = spec.problem
    if Kind(problem.task) is not Kind.BINARY:
        return None
    if problem.goal is None:
        scores = find_metric(spec, problem.metric).needs == "score"
        return Aim(find_metric(spec, "value")) if scores and problem.value is not None else None
    goal = parse_goal(problem.goal)
    needs = []
    for c in goal.constraints:
        number, relative = _worked_in(spec, c.limit)
        needs.append(Need(find_metric(spec, c.metric), c.limit.op, number, relative))
    return Aim(find_metric(spec, goal.metric), tuple(needs), level)


def rule_metric(spec: Spec) -> Metric:
    """What candidates are held against today's rule by: the metric; but the value of decisions, where it is
    declared, if the metric looks at scores. A rule has none to rank rows by and would lose to any model."""
    declared = find_metric(spec, spec.problem.metric)
    if declared.needs == "score" and spec.problem.value is not None:
        return find_metric(spec, "value")
    return declared
