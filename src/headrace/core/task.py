"""What is learned: the task with its classes, and the columns of the feature matrix."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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


def code_of(task: Task, value: str | float | bool | None) -> int | None:
    """The code of a class; None for what is none.

    >>> code_of(Task(Kind.BINARY, (0.0, 1.0)), 1), code_of(Task(Kind.BINARY, (0.0, 1.0)), True)
    (1, None)
    """
    for code, known in enumerate(task.classes):
        if known == value and isinstance(known, bool) == isinstance(value, bool):
            return code
    return None


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
