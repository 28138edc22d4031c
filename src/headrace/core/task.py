"""What is learned: the task with its classes, and the columns of the feature matrix."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from headrace.core.review import Label
from headrace.core.spelled import spelled


class Kind(StrEnum):
    """The kind of prediction."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


@dataclass(frozen=True)
class Task:
    """The kind of prediction and its classes.

    `classes` are the target's values in the order of their codes (empty for regression). For a binary
    task code 1 is the positive class. A learner sees codes (float64) as `y`, never the values.
    """

    kind: Kind
    classes: tuple[str | float | bool, ...] = ()


def label(value: str | float | bool) -> Label:
    """A class as callers see it: a whole number has no fraction (1.0 is 1)."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def labels(task: Task) -> tuple[Label, ...]:
    """The classes as callers see them, in the order of their codes."""
    return tuple(label(c) for c in task.classes)


def code_of(task: Task, value: str | float | bool | None) -> int | None:
    """The code of a class; None for what is none.

    >>> code_of(Task(Kind.BINARY, (0.0, 1.0)), 1), code_of(Task(Kind.BINARY, (0.0, 1.0)), True)
    (1, None)
    """
    for code, known in enumerate(task.classes):
        if known == value and isinstance(known, bool) == isinstance(value, bool):
            return code
    return None


_SAME = {"0": "false", "1": "true", "false": "0", "true": "1"}


def truth_of(task: Task, value: str | float | bool) -> str | float | bool | None:
    """A truth as the task has it, however it is spelled: `"1"`, `1` and `true` of a target of truths. None
    for what it can't be: text where numbers are, neither of two classes. With more than two another class of
    their type is itself: it may be new.

    >>> truth_of(Task(Kind.BINARY, (False, True)), "1"), truth_of(Task(Kind.REGRESSION), "2.5")
    (True, 2.5)
    >>> truth_of(Task(Kind.REGRESSION), "n/a"), truth_of(Task(Kind.BINARY, ("no", "yes")), "maybe")
    (None, None)
    """
    number = None if isinstance(value, bool) else _number(value)
    if task.kind is Kind.REGRESSION:
        return number
    known = {spelled(c): c for c in task.classes}
    if set(known) in ({"0", "1"}, {"false", "true"}):
        known |= {_SAME[text]: c for text, c in known.items()}
        value = value.lower() if isinstance(value, str) else value
    for text in (spelled(value), "" if number is None else spelled(number)):
        if text in known:
            return known[text]
    if task.kind is Kind.BINARY:
        return None
    if isinstance(task.classes[0], str):
        return value if isinstance(value, str) else None
    return number


def _number(value: str | float) -> float | None:
    """A finite number; whole ones stay whole."""
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if number - number != 0:
        return None
    return number if isinstance(value, str) else value


class FeatureKind(StrEnum):
    """How a column of the feature matrix is to be read."""

    NUMBER = "number"
    BOOL = "bool"
    CATEGORY = "category"


MISSING, UNSEEN, RARE, FIRST_CODE = 0, 1, 2, 3
"""Codes of a category: null, a value never seen in training, a value too rare to have a code of its own;
`vocabulary[i]` has code `i + FIRST_CODE`."""


@dataclass(frozen=True)
class Feature:
    """A column of the feature matrix (float32 [rows, features]).

    number and bool columns hold values, NaN for null; category columns hold codes, never NaN.
    """

    name: str
    kind: FeatureKind
    vocabulary: tuple[str, ...] = ()
    expression: str = ""
