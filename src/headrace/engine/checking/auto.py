"""What `features: auto` and its lock say of columns and of each other."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.core.errors import Problem, did_you_mean
from headrace.core.schema import Type
from headrace.core.spec.features import AUTO
from headrace.core.spec.parse import place
from headrace.engine.checking.checker import Checker


def check_auto(check: Checker, types: Mapping[str, Type]) -> None:
    """Add a problem for every column of `without` that is none, and for every pinned name that the lock
    does not hold."""
    spec, lock = check.parsed.spec, check.parsed.lock
    readable = not set(spec.data.tables) - set(check.tables)
    for i, column in enumerate(spec.auto.without if spec.auto is not None else ()):
        if readable and column not in types:
            check.add(
                f"features.auto.without names no column: {column!r}",
                *("features", AUTO, "without", i),
                fix=did_you_mean(column, types),
            )
    for i, name in enumerate(lock.lock.pin if lock is not None else ()):
        if lock is not None and name not in lock.lock.features:
            where = place(lock.name, lock.lines, ("pin", i))
            what = f"pin names no feature of the lock: {name!r}"
            check.problems.append(Problem(what, where, fix=did_you_mean(name, lock.lock.features)))
