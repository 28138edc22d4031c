"""Target values to codes: the classes, which one is positive, and what is wrong with a target."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import DataError
from headrace.core.schema import NULL_TEXT, Type
from headrace.core.spec.frame import Problem as Frame
from headrace.core.task import Kind, Task

MOST_CLASSES = 1_000
Value = str | float | bool


def find_task(frame: Frame, kind: Type, values: NDArray[Any]) -> Task:
    """The task with its classes, from the target's values in raw-column convention (see `graph.build`).

    Classes are in order: false before true, numbers ascending, text by code point; a binary task's
    positive class is last: `problem.positive`, or true, 1, or the last in order.

    Raises:
        DataError: all null, constant, not two classes in a binary task, more than 1,000 classes, or a
            `positive` that is no class.
    """
    task = Kind(frame.task)
    usable = values[~nulls(kind, values)]
    if not len(usable):
        raise DataError(
            f"the target {frame.target!r} is null in every row", fix="name another target, or get the labels"
        )
    if task == Kind.REGRESSION:
        if usable.min() == usable.max():
            raise _constant(frame, usable[0])
        return Task(task)
    found = np.unique(usable)
    if len(found) == 1:
        raise _constant(frame, _value(kind, found[0]))
    if len(found) > MOST_CLASSES:
        raise DataError(
            f"the target {frame.target!r} has {len(found):,} classes; at most {MOST_CLASSES:,} are learned",
            fix="use task: regression for a quantity, or group rare classes with a `case` expression",
        )
    classes = [_value(kind, v) for v in found]
    if task == Kind.BINARY:
        classes = _binary(frame, kind, classes)
    return Task(task, tuple(classes))


def _binary(frame: Frame, kind: Type, classes: list[Value]) -> list[Value]:
    if len(classes) != 2:
        shown = ", ".join(repr(c) for c in classes[:6]) + (", …" if len(classes) > 6 else "")
        raise DataError(
            f"the target {frame.target!r} of a binary task has {len(classes)} classes: {shown}",
            fix="use task: multiclass, or write a condition as the target, such as status = 'late'",
        )
    positive: Any = frame.positive
    if positive is None:
        return classes
    if kind == Type.BOOL:
        positive = bool(positive)
    elif kind == Type.NUMBER and not isinstance(positive, str):
        positive = float(positive)
    if positive not in classes:
        raise DataError(
            f"problem.positive is {frame.positive!r}; the classes are {classes[0]!r} and {classes[1]!r}",
            fix=f"write positive: {classes[1]!r}",
        )
    return [c for c in classes if c != positive] + [positive]


def codes(task: Task, kind: Type, values: NDArray[Any]) -> NDArray[np.float64]:
    """Class codes (or, for regression, values) as float64 [rows], NaN for null."""
    missing = nulls(kind, values)
    if task.kind == Kind.REGRESSION:
        return np.where(missing, np.nan, values.astype(np.float64))
    result = np.full(len(values), np.nan)
    for code, value in enumerate(task.classes):
        wanted: Any = float(value) if kind != Type.TEXT else np.array(value, dtype=object)
        result[values == wanted] = code
    return result


def nulls(kind: Type, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a vector in raw-column convention is null."""
    if kind != Type.TEXT:
        return np.asarray(np.isnan(values), dtype=np.bool_)
    # As an object: numpy's own strings drop trailing NULs, and would compare with the empty text.
    return np.asarray(values == np.array(NULL_TEXT, dtype=object), dtype=np.bool_)


def _value(kind: Type, value: Any) -> Value:
    if kind == Type.BOOL:
        return bool(value)
    return str(value) if kind == Type.TEXT else float(value)


def _constant(frame: Frame, value: Any) -> DataError:
    return DataError(
        f"the target {frame.target!r} is {value!r} in every row: there is nothing to learn",
        fix="check the target's expression and the data behind it",
    )
