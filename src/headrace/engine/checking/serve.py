"""What the spec says under `serve`, against columns and task: rules that can hold, answers that can be given,
targets that can be kept."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from functools import partial

from headrace.core.clock import parse_duration
from headrace.core.errors import did_you_mean
from headrace.core.schema import Type
from headrace.core.spec.serve import Rule, Serve
from headrace.engine.checking.checker import Checker
from headrace.engine.compile import Typed
from headrace.engine.reviewing import answer_types
from headrace.expr import Expr, parse

PATH = "serve"
_WANTED = {Type.BOOL: "true or false", Type.NUMBER: "a number", Type.TEXT: "a text"}


def check_serve(check: Checker, typed: Typed) -> None:
    """Add a problem for everything under `serve` that can't be kept as it is written."""
    serve = check.parsed.spec.serve
    if serve is None:
        return
    _check_targets(check, serve)
    _check_columns(check, typed, serve)
    if typed.target is None or not typed.events:
        return
    answers = answer_types(check.parsed.spec, typed.target.type)
    for when, rules in (("before", serve.rules.before), ("after", serve.rules.after)):
        for i, rule in enumerate(rules):
            told = answers if when == "after" else {}
            _check_rule(check, typed, rule, told, answers, ("rules", when, i))
    _check_names(check, serve)
    _check_fallbacks(check, typed, serve)


def _check_targets(check: Checker, serve: Serve) -> None:
    targets = {n: text for n in ("p50", "p99") if (text := getattr(serve, n)) is not None}
    if serve.mode == "batch":
        for name in targets:
            check.add(
                f"serve.{name} speaks of single answers, and in mode batch there are none",
                *(PATH, name),
                fix="remove it, or set serve.throughput, such as '1,000,000 / h'",
            )
    for name, text in {**targets, "deadline": serve.deadline}.items():
        if not parse_duration(text):
            check.add(f"serve.{name} is no time at all", PATH, name, fix="write one above 0, such as 20 ms")
    for short, long, why in (
        ("p50", "p99", "half of the answers are among the ninety-nine in a hundred"),
        ("p99", "deadline", "what is not there by the deadline is answered by the fallback"),
    ):
        first, second = getattr(serve, short), getattr(serve, long)
        if first is None or second is None or parse_duration(first) <= parse_duration(second):
            continue
        what = f"serve.{short} ({first}) is longer than serve.{long} ({second})"
        fix = "swap them, or mend the unit of one" if long == "p99" else "raise serve.deadline"
        check.add(what, PATH, short, why=why, fix=fix)


def _check_columns(check: Checker, typed: Typed, serve: Serve) -> None:
    """The columns that say whom a row is about."""
    named = {("unit",): serve.unit, ("log", "subject"): serve.log.subject}
    for path, column in named.items():
        key = ".".join(path)
        if not column or not typed.events:
            continue
        if column not in typed.events:
            check.add(
                f"serve.{key}: the events have no column {column!r}",
                *(PATH, *path),
                fix=did_you_mean(column, typed.events),
            )
        elif typed.events[column] is Type.TIME:
            check.add(
                f"serve.{key}: {column!r} is a time, which names nobody",
                *(PATH, *path),
                fix="name the column of a customer, a flight, a machine",
            )
        elif typed.target is not None and column in typed.target.columns:
            check.add(
                f"serve.{key}: {column!r} is a column of the target",
                *(PATH, *path),
                why="it is not known when the answer is given",
                fix="name a column that callers know",
            )


def _check_rule(
    check: Checker,
    typed: Typed,
    rule: Rule,
    told: Mapping[str, Type],
    answers: Collection[str],
    path: tuple[str | int, ...],
) -> None:
    place = (PATH, *path)
    name = f"rule {rule.name!r}"
    condition = _typed(check, rule.when, {**typed.types, **told}, *place, "when")
    if condition is not None:
        if condition.type is not Type.BOOL:
            check.add(
                f"{name} is no condition: it gives {condition.type.value}",
                *(*place, "when"),
                fix="compare it with something",
            )
        if not condition.columns:
            check.add(
                f"{name} reads nothing: it holds for all or for none", *place, "when", fix="name a column"
            )
        _refuse_target(check, typed, name, condition, *place, "when")
        for column in sorted(set(condition.columns) & set(answers) & set(typed.types)):
            check.add(
                f"{name} reads {column!r}, which is a column and part of the answer",
                *(*place, "when"),
                fix="rename the column in its source",
            )
    if rule.answer is not None:
        _check_answer(check, typed, name, rule.answer, *place, "answer")


def _check_names(check: Checker, serve: Serve) -> None:
    seen: set[str] = set()
    for when, rules in (("before", serve.rules.before), ("after", serve.rules.after)):
        for i, rule in enumerate(rules):
            place = (PATH, "rules", when, i, "name")
            if not rule.name.strip():
                check.add("a rule has no name", *place, fix="name it: answers give it as their reason")
            elif rule.name in seen:
                check.add(f"two rules are called {rule.name!r}", *place, fix="give each a name of its own")
            seen.add(rule.name)


def _check_fallbacks(check: Checker, typed: Typed, serve: Serve) -> None:
    constant = False
    for i, fallback in enumerate(serve.fallback):
        place = (PATH, "fallback", i)
        if constant:
            check.add(
                "a fallback behind a constant is never reached",
                *place,
                why="a constant always answers",
                fix="put the constant last",
            )
        if (fallback.rule is None) == (fallback.value is None):
            what = "a fallback has both a rule and a value" if fallback.rule else "a fallback says nothing"
            check.add(what, *place, fix="write one of rule: and value:")
        elif fallback.rule is not None:
            _check_fallback_rule(check, typed, fallback.rule, *place, "rule")
        elif fallback.value is not None:
            constant = True
            _check_answer(check, typed, "the fallback", fallback.value, *place, "value")


def _check_fallback_rule(check: Checker, typed: Typed, text: str, *place: str | int) -> None:
    rule = _typed(check, text, typed.events, *place)
    if rule is None:
        return
    _refuse_target(check, typed, "the fallback", rule, *place)
    task = check.parsed.spec.problem.task
    fitting = Type.NUMBER if typed.target is None else typed.target.type
    wanted = {"binary": Type.BOOL, "regression": Type.NUMBER}.get(task, fitting)
    if rule.type is not wanted:
        check.add(
            f"the fallback's rule gives {rule.type.value}; a {task} task needs {wanted.value}",
            *place,
            fix="write a condition, such as hour(time) >= 17"
            if task == "binary"
            else "write what it answers",
        )


def _check_answer(
    check: Checker, typed: Typed, what: str, answer: str | float | bool, *place: str | int
) -> None:
    """An answer has to be a value of the target's type; whether it is one of the classes is known when the
    rows are."""
    wanted = Type.NUMBER if typed.target is None else typed.target.type
    kind = Type.TEXT
    if isinstance(answer, bool):
        kind = Type.BOOL
    elif isinstance(answer, int | float):
        kind = Type.NUMBER
    if kind is not wanted:
        check.add(
            f"{what} answers {answer!r}; the target is {wanted.value}",
            *place,
            fix=f"write {_WANTED.get(wanted, 'a value of the target')}",
        )
    elif isinstance(answer, float) and not math.isfinite(answer):
        check.add(f"{what} answers {answer!r}", *place, fix="write a number")


def _refuse_target(check: Checker, typed: Typed, name: str, expr: Expr, *place: str | int) -> None:
    hidden = set() if typed.target is None else set(typed.target.columns)
    for column in sorted(set(expr.columns) & hidden):
        check.add(
            f"{name} reads the target's column {column!r}",
            *place,
            why="it is not known when the answer is given",
            fix="write it over what is known then",
        )


def _typed(check: Checker, text: str, columns: Mapping[str, Type], *place: str | int) -> Expr | None:
    zone = check.parsed.spec.data.zone or "UTC"
    return check.attempt(partial(parse, text, columns, zone=zone), *place)
