"""What is planned around the model, against metrics and columns: numbers that can mean something."""

from __future__ import annotations

import re
from dataclasses import dataclass

from headrace.core.clock import parse_duration
from headrace.core.errors import did_you_mean
from headrace.core.schema import Type
from headrace.core.task import Kind
from headrace.engine.checking.checker import Checker
from headrace.engine.checking.policy import check_policy
from headrace.metrics.catalog import METRICS, names
from headrace.metrics.record import Scale

DURATIONS = ("latency", "p50", "p95", "p99")
SHARES = ("error_share", "fallback_share", "null_share", "unseen_share", "rejected_share", "positive_share")
DRIFTS = ("psi", "js", "ks", "chi2", "wasserstein")
PLAIN = ("age", "rows", "answers", "cost")
OPERATIONAL = (*DURATIONS, *SHARES, *DRIFTS, *PLAIN)
"""What may be bounded beside the metrics of the task."""

_BOUND = re.compile(
    r"(?P<name>.*?)\s*(?P<op>>=|<=|==|>|<)\s*(?P<number>[-+]?\d[\d,]*(?:\.\d+)?)\s*(?P<rest>.*)"
)
_WORD = re.compile(r"[a-z][a-z0-9_]*")
_Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Bounded:
    """A guardrail or threshold: what is bounded, how, by which number, and what follows it (a unit)."""

    name: str
    op: str
    number: float
    rest: str


def check_plans(check: Checker) -> None:
    """Add a problem for every plan that can't be kept as it is written."""
    _check_experiment(check)
    check_policy(check)
    spec = check.parsed.spec
    for name, reason in spec.context.choices.items():
        if not reason.strip():
            check.add(f"the choice {name!r} has no reason", "context", "choices", name, fix="say why")


def parse_bound(text: str) -> Bounded | None:
    """Read `p99 <= 50 ms`, `psi > 0.2`, `complaints a day <= 5`; None where it is no comparison."""
    match = _BOUND.fullmatch(text.strip())
    if match is None or not match["name"]:
        return None
    return Bounded(match["name"], match["op"], float(match["number"].replace(",", "")), match["rest"].strip())


def _check_bound(check: Checker, text: str, what: str, *path: str | int) -> None:
    bound = parse_bound(text)
    if bound is None:
        fix = "write a name, a comparison and a number, such as 'psi > 0.2' or 'p99 <= 50 ms'"
        check.add(f"{text!r} is no {what}", *path, fix=fix)
        return
    if _WORD.fullmatch(bound.name):
        _check_named(check, bound, *path)


def _check_named(check: Checker, bound: Bounded, *path: str | int) -> None:
    """One word is a name of ours; several are the user's own words."""
    name, fitting = bound.name, _fitting(check)
    if name not in (*fitting, *OPERATIONAL):
        options = (*fitting, *OPERATIONAL)
        fix = f"{did_you_mean(name, options)} (or say it in several words)"
        check.add(f"there is no measure {name!r} for this task", *path, fix=fix)
    elif name in DURATIONS:
        try:
            parse_duration(f"{bound.number:.12g} {bound.rest}")
        except ValueError:
            what = f"'{name} {bound.op} {bound.number:g}' needs a unit of time"
            check.add(what, *path, fix=f"write one, such as '{name} {bound.op} {bound.number:g} ms'")
    else:
        low, high = _reach(name)
        number = bound.number / 100 if bound.rest.startswith("%") else bound.number
        if not low <= number <= high:
            hint = f"; {bound.number:g}% would be a share" if high == 1 and 1 < number <= 100 else ""
            check.add(
                f"'{name} {bound.op} {bound.number:g}' can't be: {name} lies between {low:g} and {high:g}",
                *path,
                fix=f"write a bound that it can have{hint}",
            )


def _reach(name: str) -> tuple[float, float]:
    infinite = float("inf")
    if name in METRICS:
        scale = METRICS[name].scale
        if scale is Scale.PLAIN:
            return -infinite, infinite
        low = {Scale.CORRELATION: -1.0, Scale.EXPLAINED: -infinite}.get(scale, 0.0)
        return low, infinite if scale is Scale.POSITIVE else 1.0
    if name == "value":
        return -infinite, infinite
    return 0.0, 1.0 if name in SHARES or name in ("js", "ks") else infinite


def _fitting(check: Checker) -> tuple[str, ...]:
    problem = check.parsed.spec.problem
    every = names(Kind(problem.task))
    return tuple(n for n in every if n != "value" or problem.value is not None)


def _check_experiment(check: Checker) -> None:
    spec = check.parsed.spec
    plan = spec.experiment
    if plan is None:
        return
    path = "experiment"
    events = {c.name: c.type for c in check.tables.get(spec.data.events, ())}
    if plan.unit and events and plan.unit not in events:
        what = f"experiment.unit: the events have no column {plan.unit!r}"
        check.add(what, path, "unit", fix=did_you_mean(plan.unit, events))
    elif plan.unit and events.get(plan.unit) == Type.TIME:
        what = f"experiment.unit: {plan.unit!r} is a time, which belongs to no arm"
        check.add(what, path, "unit", fix="name a column of those who are treated: a customer, a flight")
    if _WORD.fullmatch(plan.primary) and plan.primary not in _fitting(check):
        fitting = _fitting(check)
        fix = f"{did_you_mean(plan.primary, fitting)} (a business metric is written in several words)"
        check.add(f"experiment.primary: no metric {plan.primary!r} for this task", path, "primary", fix=fix)
    if plan.baseline is not None and plan.primary in _fitting(check) and plan.primary != "accuracy":
        check.add(
            f"experiment.baseline: {plan.primary} is no share of units",
            *(path, "baseline"),
            why="how many units are needed is computed for a share of all units that enter",
            fix="leave baseline and expected out, or decide by a business metric that is a share",
        )
    if plan.baseline is not None and plan.baseline == plan.expected:
        what = f"experiment.expected is the same as experiment.baseline: {plan.expected:g}"
        check.add(what, path, "expected", fix="write the share that would be worth finding")
    if (plan.baseline is None) != (plan.expected is None):
        given, other = ("baseline", "expected") if plan.expected is None else ("expected", "baseline")
        check.add(f"experiment.{given} needs experiment.{other}", path, given, fix=f"add {other}: …")
    for i, text in enumerate(plan.guardrails):
        _check_bound(check, text, "guardrail", path, "guardrails", i)
    if plan.minimum is not None and not parse_duration(plan.minimum):
        check.add("experiment.minimum is no time at all", path, "minimum", fix="write one, such as 14 days")
