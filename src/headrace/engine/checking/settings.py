"""The settings that no expression needs: metrics, frame, learners, evaluation, findings, plans.

Only `headrace check` and the start of a run ask for this; stages import `engine.compile` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from headrace.engine.checking.auto import check_auto
from headrace.engine.checking.canary import check_canary
from headrace.engine.checking.checker import Checker
from headrace.engine.checking.evaluate import check_evaluate
from headrace.engine.checking.frame import check_frame
from headrace.engine.checking.learn import check_learn
from headrace.engine.checking.lint import check_lint
from headrace.engine.checking.plans import check_plans
from headrace.engine.checking.review import check_review
from headrace.engine.checking.serve import check_serve
from headrace.engine.checking.watching import check_watch
from headrace.engine.compile import Typed
from headrace.engine.measures import find_metric


def check_settings(check: Checker) -> None:
    """Check what needs no column."""
    _check_metrics(check)
    check_frame(check)
    check_learn(check)


def check_meanings(check: Checker, typed: Typed) -> None:
    """Check what speaks of columns or features."""
    check_evaluate(check, typed.types, typed.events)
    check_auto(check, typed.types)
    check_lint(check, typed.features, typed.encoded)
    check_plans(check)
    check_review(check, typed)
    check_serve(check, typed)
    check_canary(check)
    check_watch(check, typed.types)


def _check_metrics(check: Checker) -> None:
    spec = check.parsed.spec
    problem = spec.problem
    named: list[tuple[str, tuple[str, ...]]] = [(problem.metric, ("problem", "metric"))]
    if isinstance(problem.ship_at, Mapping):
        named += [(name, ("problem", "ship_at", name)) for name in problem.ship_at]
    for name, path in named:
        check.attempt(partial(find_metric, spec, name), *path)
