"""The frame against metrics and columns: goals, bars, worths and descriptions that can mean something."""

from __future__ import annotations

import math
from collections.abc import Mapping

from headrace.core.errors import UserError, did_you_mean
from headrace.core.goal import Constraint, Limit, parse_goal, parse_limit
from headrace.core.spec.frame import Outcomes
from headrace.core.task import Kind
from headrace.engine.checking.checker import Checker
from headrace.engine.measures import find_metric
from headrace.metrics.catalog import names
from headrace.metrics.record import Metric, Ranks, Scale

_REACH = {
    Scale.SHARE: (0.0, 1.0),
    Scale.CORRELATION: (-1.0, 1.0),
    Scale.POSITIVE: (0.0, math.inf),
    Scale.EXPLAINED: (-math.inf, 1.0),
    Scale.PLAIN: (-math.inf, math.inf),
}
_Path = tuple[str | int, ...]


def check_frame(check: Checker) -> None:
    """Add a problem for every part of the frame that can't mean what it says."""
    _check_value(check)
    _check_bars(check)
    _check_goal(check)
    _check_columns(check)
    _check_assumptions(check)


def _metric(check: Checker, name: str) -> Metric | None:
    """The metric; None where it is none (`compile` has told)."""
    try:
        return find_metric(check.parsed.spec, name)
    except UserError:
        return None


def _check_value(check: Checker) -> None:
    problem = check.parsed.spec.problem
    if problem.value is None:
        return
    if problem.task != "binary":
        check.add(
            f"problem.value only works for binary tasks; this one is {problem.task}",
            *("problem", "value"),
            why="it speaks of acting rightly or needlessly, and there is no one act here",
            fix="remove it, or frame the decision as a binary task: a condition as the target",
        )
        return
    worths = problem.value.model_dump(exclude={"unit"})
    wrong = [name for name, worth in worths.items() if not math.isfinite(worth)]
    for name in wrong:
        check.add(f"{name} is worth {worths[name]}", "problem", "value", name, fix="write a finite number")
    if not wrong:
        _check_worths(check, problem.value)


def _check_worths(check: Checker, value: Outcomes) -> None:
    """Acting has to be worth it where the target is positive, and not where it is negative."""
    right = value.true_positive - value.false_negative
    needless = value.false_positive - value.true_negative
    if right > 0 > needless:
        return
    if right <= 0 and needless <= 0:
        what = "acting is never worth it"
    elif right >= 0 and needless >= 0:
        what = "acting is always worth it"
    else:
        what = "acting is worth it just where the target is negative"
    check.add(
        f"problem.value: {what}, whatever is predicted",
        *("problem", "value"),
        why=f"on a positive, acting changes the value by {right:g}; on a negative, by {needless:g}",
        fix="acting should gain on positives (true_positive above false_negative) and cost on negatives "
        "(false_positive below true_negative)",
    )


def _check_bars(check: Checker) -> None:
    problem = check.parsed.spec.problem
    if not isinstance(problem.ship_at, Mapping):
        metric = _metric(check, problem.metric)
        if problem.ship_at is not None and metric is not None:
            op = ">=" if metric.higher_is_better else "<="
            _check_limit(check, metric, Limit(op, problem.ship_at), "problem", "ship_at")
        return
    for name, text in problem.ship_at.items():
        metric = _metric(check, name)
        if metric is not None:
            _check_limit(check, metric, parse_limit(text), "problem", "ship_at", name)


def _check_limit(check: Checker, metric: Metric, limit: Limit, *path: str | int) -> None:
    if limit.relative:
        _check_relative(check, metric, limit, path)
        return
    low, high = _REACH[metric.scale]
    if not low <= limit.number <= high:
        hint = f", such as {limit.number:g}%" if high == 1 and 1 < limit.number <= 100 else ""
        check.add(
            f"{metric.name} {limit}: {metric.name} lies between {low:g} and {high:g}",
            *path,
            fix=f"write a bound that it can have{hint}",
        )


def _check_relative(check: Checker, metric: Metric, limit: Limit, path: _Path) -> None:
    problem = check.parsed.spec.problem
    today = problem.today
    text = f"{metric.name} {limit}"
    if today is None:
        check.add(
            f"'{text}' compares with today's solution, and none is declared",
            *path,
            fix="add problem.today: a rule, or the value that it reaches",
        )
    elif today.value is not None and metric.name != problem.metric:
        check.add(
            f"'{text}': of today's solution only its {problem.metric} is known (problem.today.value)",
            *path,
            fix="give today's rule, which can be measured by any metric, or a bound that is a number",
        )
    elif today.value is None and _of_probabilities(metric, Kind(problem.task)):
        check.add(
            f"'{text}': today's rule decides and has no probabilities to be measured by {metric.name}",
            *path,
            fix="compare a metric of decisions or ranks, or give a bound that is a number",
        )
    wanted = ("<=", "<") if not metric.higher_is_better else (">=", ">")
    if metric.best_at_zero:
        check.add(
            f"'{text}': {metric.name} has a sign, and a multiple of today's says nothing",
            *path,
            fix="give a bound that is a number",
        )
    elif limit.op not in wanted:
        check.add(
            f"'{text}' asks for a worse {metric.name} than today's",
            *path,
            why=f"of {metric.name}, {'more' if metric.higher_is_better else 'less'} is better",
            fix=f"write {metric.name} {wanted[0]} …",
        )


def _of_probabilities(metric: Metric, kind: Kind) -> bool:
    """Whether it measures probabilities as numbers, and not the order that they put rows in."""
    return metric.needs == "score" and not isinstance(metric.how[kind], Ranks)


def _check_goal(check: Checker) -> None:
    problem = check.parsed.spec.problem
    if problem.goal is None:
        return
    path = ("problem", "goal")
    if problem.task != "binary":
        check.add(
            f"problem.goal chooses a decision threshold, which a {problem.task} task has not",
            *path,
            fix="put its constraints into problem.ship_at: they are judged there in the same way",
        )
        return
    goal = parse_goal(problem.goal)
    metric = _goal_metric(check, goal.metric, path)
    if metric is not None and metric.higher_is_better != goal.maximise:
        wanted = "maximise" if metric.higher_is_better else "minimise"
        check.add(f"'{goal}' asks for the worst {goal.metric}", *path, fix=f"write {wanted} {goal.metric}")
    for constraint in goal.constraints:
        bounded = _goal_metric(check, constraint.metric, path)
        if bounded is not None:
            _check_constraint(check, bounded, constraint, path)


def _check_constraint(check: Checker, metric: Metric, constraint: Constraint, path: _Path) -> None:
    if not constraint.limit.relative:
        wanted = (">=", ">") if metric.higher_is_better else ("<=", "<")
        if constraint.limit.op not in wanted:
            check.add(
                f"the goal's constraint '{constraint}' asks for a bad {constraint.metric}",
                *path,
                fix=f"write {constraint.metric} {wanted[0]} …",
            )
    _check_limit(check, metric, constraint.limit, *path)


def _goal_metric(check: Checker, name: str, path: _Path) -> Metric | None:
    """A metric that a threshold changes."""
    metric = check.attempt(lambda: find_metric(check.parsed.spec, name), *path)
    if metric is None or metric.needs == "decision":
        return metric
    by_decision = [n for n in names(Kind.BINARY) if (m := _metric(check, n)) and m.needs == "decision"]
    check.add(
        f"{name} is the same at every threshold: no goal can be reached by choosing one",
        *path,
        fix=f"put it in problem.ship_at; a goal speaks of {', '.join(by_decision)}",
    )
    return None


def _check_columns(check: Checker) -> None:
    """Descriptions name columns: the events' by their name, others as `table.column`."""
    spec = check.parsed.spec
    if set(spec.data.tables) - set(check.tables):
        return  # a table that can't be read is told already; its columns would seem unknown
    known = [c.name for c in check.tables.get(spec.data.events, ())]
    for table, columns in check.tables.items():
        if table != spec.data.events:
            known += [f"{table}.{c.name}" for c in columns]
    for name, text in spec.problem.columns.items():
        if name not in known:
            check.add(
                f"problem.columns describes {name!r}, which is no column",
                *("problem", "columns", name),
                fix=did_you_mean(name, known),
            )
        elif not text.strip():
            check.add(
                f"problem.columns.{name} is empty",
                *("problem", "columns", name),
                fix="say what the column means, or remove the line",
            )


def _check_assumptions(check: Checker) -> None:
    seen: dict[str, int] = {}
    for i, assumption in enumerate(check.parsed.spec.problem.assumptions):
        if not assumption.text.strip():
            check.add("an assumption says nothing", "problem", "assumptions", i, fix="write it down in words")
        if assumption.check is not None and seen.setdefault(assumption.check, i) != i:
            check.add(
                f"two assumptions have the check {assumption.check!r}",
                *("problem", "assumptions", i),
                fix="keep one: they would be one gate",
            )
