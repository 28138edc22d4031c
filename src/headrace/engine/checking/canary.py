"""How a canary goes up, and its guardrails: whether they can be held."""

from __future__ import annotations

from itertools import pairwise

from headrace.core.clock import parse_duration
from headrace.core.errors import UserError
from headrace.engine.checking.checker import Checker
from headrace.policy.guardrails import VALUE, parse_guardrail

_PATH = ("serve", "canary")


def check_canary(check: Checker) -> None:
    """Add a problem for every guardrail, share or span that can't be."""
    spec = check.parsed.spec
    if spec.serve is None:
        return
    canary = spec.serve.canary
    for i, text in enumerate(canary.guardrails):
        try:
            found = parse_guardrail(text)
        except UserError as error:
            problem = error.problems[0]
            check.add(problem.what, *_PATH, "guardrails", i, why=problem.why, fix=problem.fix)
            continue
        if found.name == VALUE and spec.problem.value is None:
            check.add(
                f"{text!r} bounds what decisions are worth, and nothing says what they are",
                *(*_PATH, "guardrails", i),
                fix="add problem.value, such as {true_positive: 4, false_positive: -1, unit: USD}",
            )
    ramp = [float(s) for s in canary.ramp]
    if any(a >= b for a, b in pairwise(ramp)):
        told = ", ".join(f"{s:g}" for s in ramp)
        check.add(f"serve.canary.ramp does not go up: {told}", *_PATH, "ramp", fix="write 0.05, 0.25, 0.5, 1")
    if not parse_duration(canary.bake):
        check.add("serve.canary.bake is no time at all", *_PATH, "bake", fix="write one, such as 1 h")
