"""What the spec says of people in the loop, against columns and task: numbers that can mean something."""

from __future__ import annotations

from headrace.core.clock import parse_duration
from headrace.core.schema import Type
from headrace.core.spec.scalars import split_rate
from headrace.core.spec.serve import Review
from headrace.engine.checking.checker import Checker
from headrace.engine.compile import Typed
from headrace.engine.reviewing import answer_types, type_when
from headrace.policy.review import needed

PATH = "review"


def check_review(check: Checker, typed: Typed) -> None:
    """Add a problem for everything under `review` that can't be kept as it is written."""
    review = check.parsed.spec.review
    if review is None:
        return
    if review.when is None and review.risk is None and not review.audit:
        check.add("review says of no answer that a person looks at it", PATH, fix="add when, risk or audit")
    if review.when is not None and review.risk is not None:
        check.add(
            "review has both when and risk",
            *(PATH, "risk"),
            why="a risk is held by a confidence that is found for it; a condition of yours would break it",
            fix="keep one of them",
        )
    _check_risk(check, review)
    _check_numbers(check, review)
    if review.when is not None and typed.target is not None:
        _check_when(check, typed, review.when, typed.target.type, typed.target.columns)


def _check_risk(check: Checker, review: Review) -> None:
    spec = check.parsed.spec
    if review.risk is None:
        if "level" in review.model_fields_set:
            check.add(
                "review.level is of a risk, and there is none", PATH, "level", fix="add risk, or remove it"
            )
        return
    if spec.problem.task == "regression":
        check.add(
            "review.risk: a value is not right or wrong",
            *(PATH, "risk"),
            fix="write a condition: when: upper - lower > 100 (with uncertainty), or when: prediction > 1000",
        )
        return
    rows = needed(review.risk, review.level)
    if rows > 1_000_000:
        check.add(
            f"review.risk {review.risk:g} at a level of {review.level:g} needs {rows:,} faultless rows",
            *(PATH, "risk"),
            fix="state a larger risk, or a lower level",
        )
    if spec.uncertainty is not None and spec.uncertainty.abstain:
        check.add(
            "review.risk beside uncertainty.abstain: two rules say which answers are given",
            *(PATH, "risk"),
            why="what abstains has no answer that could be right",
            fix="keep one of them; when: set_size != 1 sends to people what the set can't tell",
        )


def _check_numbers(check: Checker, review: Review) -> None:
    if not parse_duration(review.deadline):
        check.add("review.deadline is no time at all", PATH, "deadline", fix="write one, such as 4 h")
    if review.capacity is None:
        return
    number, seconds = split_rate(review.capacity)
    if seconds < 3600:
        check.add(
            f"review.capacity: people are not counted by the {'second' if seconds == 1 else 'minute'}",
            *(PATH, "capacity"),
            fix="write what they manage in an hour, a day or a week, such as 200 / day",
        )
    elif number < 1 or number != int(number):
        check.add(
            f"review.capacity: {review.capacity} is no whole number of items",
            *(PATH, "capacity"),
            fix="write a whole number, for a longer time if need be, such as 3 / week",
        )
    elif review.double and number < 2:
        check.add(
            "review.double: two can't decide an item where one fits", PATH, "double", fix="raise the capacity"
        )


def _check_when(check: Checker, typed: Typed, text: str, target: Type, hidden: tuple[str, ...]) -> None:
    spec, place = check.parsed.spec, (PATH, "when")
    told = answer_types(spec, target)
    condition = check.attempt(lambda: type_when(spec, text, typed.types, target), *place)
    if condition is None:
        return
    if condition.type is not Type.BOOL:
        check.add(
            f"review.when is no condition: it gives {condition.type.value}",
            *place,
            fix="compare it with something",
        )
    columns = [c for c in condition.columns if c not in told]
    if not condition.columns:
        check.add("review.when reads nothing: it holds for all or for none", *place, fix="name a column")
    for name in sorted({*columns} & {*hidden}):
        check.add(
            f"review.when reads the target's column {name!r}",
            *place,
            why="it is not known when the answer is given",
            fix="write it over what is known then, or over prediction",
        )
