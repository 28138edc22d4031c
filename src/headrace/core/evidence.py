"""What a check measured, the rule it is held to, and the one function that decides."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from headrace.core.errors import UserError


class Outcome(StrEnum):
    """What judging can yield. `unknown` never passes; `not_applicable` is recorded with its reason."""

    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "unknown"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval: `low` to `high` covers the true value with probability `level`."""

    low: float
    high: float
    level: float = 0.95


@dataclass(frozen=True)
class Evidence:
    """What a check measured. A check never decides.

    `value` is None where nothing could be measured: `why_none` says why, and `applies=False` says that
    the question does not arise (no champion yet) rather than that the answer is missing.
    `n` counts the independent units behind the value. `where` says where it falls short, for people.
    """

    gate: str
    value: float | None
    unit: str = ""
    n: int = 0
    interval: Interval | None = None
    where: str = ""
    why_none: str = ""
    applies: bool = True
    details: Mapping[str, Any] = field(default_factory=dict)


_COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "==": operator.eq}
_RULE = re.compile(r"\s*(>=|<=|==|>|<)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(%)?\s*")


@dataclass(frozen=True)
class Rule:
    """A comparison with a bound. With `safe_end`, the interval's unfavourable end is compared, and
    evidence without an interval is unknown. Fewer than `min_n` units are unknown too."""

    op: str
    bound: float
    safe_end: bool = False
    min_n: int = 0

    def __str__(self) -> str:
        suffix = " at the safe end" if self.safe_end else ""
        return f"{self.op} {self.bound:g}{suffix}"


def parse_rule(text: str, *, safe_end: bool = False, min_n: int = 0) -> Rule:
    """Read `>= 0.95`, `<= 10%`, `== 0`.

    Raises:
        UserError: the text is no comparison with a number.

    >>> parse_rule(">= 95%").bound
    0.95
    """
    match = _RULE.fullmatch(text)
    if match is None:
        raise UserError(f"{text!r} is no rule", fix="write a comparison with a number, such as '>= 0.95'")
    bound = float(match[2]) / 100 if match[3] else float(match[2])
    return Rule(match[1], bound, safe_end, min_n)


@dataclass(frozen=True)
class Waiver:
    """Somebody's reason for letting a gate pass until (and including) the day `until` (ISO date)."""

    gate: str
    reason: str
    by: str
    until: str
    event: str


@dataclass(frozen=True)
class Verdict:
    """Evidence judged against a rule. `allows` says whether work may go on behind the gate."""

    gate: str
    stage: str
    outcome: Outcome
    evidence: Evidence
    rule: str
    reason: str
    waiver: Waiver | None = None

    @property
    def allows(self) -> bool:
        return self.outcome in (Outcome.PASS, Outcome.NOT_APPLICABLE) or self.waiver is not None


def judge(evidence: Evidence, rule: Rule) -> tuple[Outcome, str]:
    """Decide: outcome and reason. Pure; the only place in headrace where a measurement meets a bound.

    >>> judge(Evidence("ship-at", 0.4, n=90, interval=Interval(0.31, 0.49)), Rule(">=", 0.3, safe_end=True))
    (<Outcome.PASS: 'pass'>, '0.31 >= 0.3')
    """
    if not evidence.applies:
        return Outcome.NOT_APPLICABLE, evidence.why_none or "does not apply here"
    if evidence.value is None or math.isnan(evidence.value):
        return Outcome.UNKNOWN, evidence.why_none or "nothing was measured"
    if evidence.n < rule.min_n:
        return Outcome.UNKNOWN, f"{evidence.n} units measured, {rule.min_n} needed"
    measured = evidence.value
    if rule.safe_end:
        if evidence.interval is None:
            return Outcome.UNKNOWN, evidence.why_none or "no interval could be computed"
        measured = evidence.interval.low if rule.op in (">=", ">") else evidence.interval.high
        if math.isnan(measured):
            return Outcome.UNKNOWN, "the interval has no safe end"
    passed = _COMPARE[rule.op](measured, rule.bound)
    sign = rule.op if passed else "is not " + rule.op
    return (Outcome.PASS if passed else Outcome.FAIL), f"{measured:.4g} {sign} {rule.bound:.4g}"
