"""Goals and limits as the spec writes them: `minimise fpr subject to recall >= 0.95`, `<= 0.8 * today`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from headrace.core.errors import Problem, UserError

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_LIMIT = re.compile(
    rf"\s*(?P<op>>=|<=|==|>|<)\s*(?:"
    rf"(?P<factor>{_NUMBER})\s*(?P<percent>%)?\s*\*\s*today|"
    rf"today\s*\*\s*(?P<times>{_NUMBER})\s*(?P<percents>%)?|"
    rf"(?P<today>today)|"
    rf"(?P<number>{_NUMBER})\s*(?P<share>%)?)\s*",
    re.IGNORECASE,
)
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_GOAL = re.compile(
    rf"\s*(?P<verb>[A-Za-z]+)\s+(?P<metric>{_NAME})\s*(?:\s+subject\s+to\b(?P<limits>.*))?",
    re.IGNORECASE | re.DOTALL,
)
_PART = re.compile(rf"\s*(?P<metric>{_NAME})\s*(?P<limit>[<>=].*)", re.DOTALL)
_VERBS = {"maximise": True, "maximize": True, "minimise": False, "minimize": False}
_EXAMPLE = "minimise fpr subject to recall >= 0.95"


@dataclass(frozen=True)
class Limit:
    """A comparison with a number, or with today's solution: `relative` makes `number` a factor of what
    today's solution reaches on the same rows."""

    op: str
    number: float
    relative: bool = False

    def __str__(self) -> str:
        if not self.relative:
            return f"{self.op} {self.number:g}"
        return f"{self.op} today" if self.number == 1 else f"{self.op} {self.number:g} * today"


@dataclass(frozen=True)
class Constraint:
    """A limit on a metric."""

    metric: str
    limit: Limit

    def __str__(self) -> str:
        return f"{self.metric} {self.limit}"


@dataclass(frozen=True)
class Goal:
    """A metric to be made as large or small as can be, among what meets every constraint."""

    maximise: bool
    metric: str
    constraints: tuple[Constraint, ...] = ()

    def __str__(self) -> str:
        text = f"{'maximise' if self.maximise else 'minimise'} {self.metric}"
        limits = " and ".join(str(c) for c in self.constraints)
        return f"{text} subject to {limits}" if limits else text


def parse_limit(text: str) -> Limit:
    """Read `>= 0.95`, `<= 10%`, `<= 0.8 * today`, `<= 80% * today`, `> today`.

    Raises:
        UserError: the text is no such rule.

    >>> parse_limit("<= 80% * today")
    Limit(op='<=', number=0.8, relative=True)
    """
    match = _LIMIT.fullmatch(text)
    if match is None:
        raise UserError(
            f"{text!r} is no rule",
            fix="write a comparison with a number or with today's solution, such as '>= 0.95' or "
            "'<= 0.8 * today'",
        )
    if match["number"] is not None:
        return Limit(match["op"], float(match["number"]) / (100 if match["share"] else 1))
    factor = float(match["factor"] or match["times"] or 1)
    if match["percent"] or match["percents"]:
        factor /= 100
    if factor <= 0:
        raise UserError(f"{text!r} compares with {factor:g} times today", fix="write a factor above 0")
    return Limit(match["op"], factor, relative=True)


def parse_goal(text: str) -> Goal:
    """Read `maximise precision subject to recall >= 0.9 and fpr <= 0.8 * today`.

    Raises:
        UserError: with one problem for every mistake.

    >>> str(parse_goal("minimize fpr subject to recall >= 95%"))
    'minimise fpr subject to recall >= 0.95'
    """
    match = _GOAL.fullmatch(text)
    if match is None or match["verb"].lower() not in _VERBS:
        raise UserError(
            f"{text!r} is no goal",
            fix=f"begin with 'maximise' or 'minimise' and a metric, such as '{_EXAMPLE}'",
        )
    problems: list[Problem] = []
    constraints: list[Constraint] = []
    limits = match["limits"]
    for part in re.split(r"\band\b|,", limits, flags=re.IGNORECASE) if limits is not None else ():
        found = _PART.fullmatch(part)
        if found is None:
            what = f"{part.strip()!r} is no constraint" if part.strip() else "a constraint is missing"
            problems.append(
                Problem(what, fix=f"write a metric, a comparison and a bound, as in '{_EXAMPLE}'")
            )
            continue
        try:
            constraints.append(Constraint(found["metric"], parse_limit(found["limit"])))
        except UserError as error:
            problems += error.problems
    named = [c.metric for c in constraints]
    problems += [
        Problem(f"{name!r} is constrained twice", fix="keep the tighter of the two")
        for name in dict.fromkeys(named)
        if named.count(name) > 1
    ]
    if problems:
        raise UserError.of(problems)
    return Goal(_VERBS[match["verb"].lower()], match["metric"], tuple(constraints))
