"""What `evaluate:` asks for, against the columns and the task: every mistake before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from headrace.checks.fairness import measures
from headrace.checks.robustness import KINDS
from headrace.core.errors import did_you_mean
from headrace.core.evidence import parse_rule
from headrace.core.schema import Type
from headrace.core.spec import Spec
from headrace.core.task import Kind
from headrace.engine.checking.checker import Checker
from headrace.engine.measures import find_metric
from headrace.expr import Expr, parse


def check_evaluate(check: Checker, types: Mapping[str, Type], events: Mapping[str, Type]) -> None:
    """Slices are typed, sensitive columns exist, rules name measures of the task and point the right way.

    types: every raw column by the name that expressions use. events: the columns of the events table.
    """
    spec = check.parsed.spec.evaluate
    zone = check.parsed.spec.data.zone or "UTC"
    for i, text in enumerate(spec.slices):
        expr = check.attempt(partial(slice_expression, text, types, zone), "evaluate", "slices", i)
        if (types.get(text) if text in types else expr.type if expr else None) == Type.TIME:
            check.add(
                f"slice {text!r} is a time, which has no groups",
                *("evaluate", "slices", i),
                fix=f"use parts of it, such as dayofweek({text}) or hour({text})",
            )
        if text in spec.slices[:i]:
            check.add(f"slice {text!r} is declared twice", "evaluate", "slices", i, fix="remove one")
    _check_floor(check)
    _check_fairness(check, events)
    _check_robustness(check)
    if spec.calibration is not None:
        _direction(check, spec.calibration, "<", "calibration error", "evaluate", "calibration")
        if check.parsed.spec.problem.task == "regression":
            check.add(
                "evaluate.calibration only works for classification",
                *("evaluate", "calibration"),
                why="a regression gives no probabilities",
                fix="remove it; `uncertainty:` gives prediction intervals",
            )


def slice_expression(text: str, types: Mapping[str, Type], zone: str) -> Expr | None:
    """A slice that is no plain column as an expression; None for a column.

    Raises:
        SpecError: it is neither.
    """
    return None if text in types else parse(text, types, zone=zone)


def looked_at(spec: Spec, wanted: Sequence[str]) -> list[str]:
    """Names that the evaluation judges. Slices and groups are named by values, which only the data know: of
    the names in `wanted`, those that speak of a declared slice or measure count as judged."""
    evaluate = spec.evaluate
    fairness, robustness = evaluate.fairness, evaluate.robustness
    named = [f"robustness: {kind}" for kind in (robustness.rules if robustness else ())]
    if fairness:
        named += [f"fairness: {c} {m}" for c in fairness.columns for m in fairness.rules]
        named += [w for w in wanted if w.startswith(tuple(f"{n} of " for n in named))]
    for text in evaluate.slices if evaluate.floor else ():
        named += [w for w in wanted if w.startswith("slice: ") and text in w]
    for text in evaluate.slices:
        named += [w for w in wanted if w.startswith("champion-slice: ") and text in w]
    return named + ["calibration"] * (evaluate.calibration is not None)


def _check_floor(check: Checker) -> None:
    spec = check.parsed.spec
    floor = spec.evaluate.floor
    if floor is None:
        return
    if not spec.evaluate.slices:
        check.add(
            "evaluate.floor has no slice to hold for",
            *("evaluate", "floor"),
            fix="declare slices, such as slices: [region]; the metric over all rows is held by ship_at",
        )
    metric = None
    if not check.problems:  # a metric that is none is told by its own check
        metric = check.attempt(partial(find_metric, spec, spec.problem.metric), "problem", "metric")
    if metric is not None and not metric.best_at_zero:
        wanted = ">" if metric.higher_is_better else "<"
        _direction(check, floor, wanted, metric.name, "evaluate", "floor")


def _check_fairness(check: Checker, events: Mapping[str, Type]) -> None:
    fairness = check.parsed.spec.evaluate.fairness
    if fairness is None:
        return
    for i, column in enumerate(fairness.columns):
        path = ("evaluate", "fairness", "columns", i)
        if column not in events and events:
            fix = did_you_mean(column, events)
            check.add(f"fairness: the events have no column {column!r}", *path, fix=fix)
        elif events.get(column) == Type.TIME:
            check.add(
                f"fairness: {column!r} is a time, which has no groups", *path, fix="name another column"
            )
        if column in fairness.columns[:i]:
            check.add(f"fairness: {column!r} is named twice", *path, fix="remove one")
    known = measures(Kind(check.parsed.spec.problem.task))
    for name, rule in fairness.rules.items():
        path_ = ("evaluate", "fairness", "rules", name)
        if name not in known:
            task = check.parsed.spec.problem.task
            fix = f"{did_you_mean(name, known)} (a {task} task has: {', '.join(known)})"
            check.add(f"fairness has no measure {name!r} for this task", *path_, fix=fix)
        else:
            _direction(check, rule, "<" if name.endswith("difference") else ">", name, *path_)


def _check_robustness(check: Checker) -> None:
    spec = check.parsed.spec
    robustness = spec.evaluate.robustness
    if robustness is None:
        return
    tried = {
        "missing": robustness.missing,
        "scale": bool(robustness.scale),
        "noise": bool(robustness.noise),
    }
    for name, rule in robustness.rules.items():
        path = ("evaluate", "robustness", "rules", name)
        if name not in KINDS:
            check.add(f"robustness has no kind {name!r}", *path, fix=did_you_mean(name, KINDS))
        elif not tried[name]:
            check.add(
                f"robustness: a rule for {name}, which is not tried", *path, fix="remove one of the two"
            )
        else:
            _direction(check, rule, "<", f"loss by {name}", *path)


def _direction(check: Checker, text: str, wanted: str, what: str, *path: str | int) -> None:
    rule = parse_rule(text)
    if not rule.op.startswith(wanted):
        better = "more" if wanted == ">" else "less"
        check.add(
            f"the rule {text!r} points the wrong way",
            *path,
            why=f"{better} {what} is better, and the rule asks for the other",
            fix=f"write {wanted}= {rule.bound:g}",
        )
