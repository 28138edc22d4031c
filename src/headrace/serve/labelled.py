"""Labels as a release understands them: inputs as the log has them, truths as its task has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from headrace.core.errors import DataError, Problem, did_you_mean
from headrace.core.schema import Type
from headrace.core.spelled import spelled
from headrace.core.task import Kind, Task, truth_of
from headrace.data.privacy.redact import Treatment, treat_one
from headrace.release.manifest import Serving, Treated
from headrace.serve.answer import secret_of


def as_logged(serving: Serving) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """What makes of a label's inputs what the log has of them: hashed and masked as the release does it.

    The function raises `DataError` for a value that can't be treated.

    Raises:
        UserError: hashes need the key of training, and it is not there or another.
    """
    treated = dict(serving.treated)
    secret = secret_of(treated.values(), serving.pii_key)

    def treat(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        told = {}
        for name, value in inputs.items():
            told[name] = treated_text(name, value, treated[name], secret) if name in treated else value
        return told

    return treat


def as_truth(task: Task) -> Callable[[str | float | bool], str | float | bool]:
    """What makes of a label what the task has of it (see `core.task.truth_of`). The function raises
    `DataError` for one that can't be true of the task."""
    told = "a number" if task.kind is Kind.REGRESSION else "one of its classes"

    def fit(value: str | float | bool) -> str | float | bool:
        found = truth_of(task, value)
        if found is None:
            near = did_you_mean(spelled(value), map(spelled, task.classes))
            raise DataError(
                f"{value!r} is no truth of what is predicted: {told} is expected",
                fix=near or "null withdraws what was said",
            )
        return found

    return fit


def treated_text(name: str, value: Any, how: Treated, secret: bytes) -> str | None:
    """One value, hashed or masked as the release does it; numbers may come as text.

    Raises:
        DataError: the value is not of the column's type, or a time.
    """
    problem = Problem(f"{name!r} is {how.do}ed in the log, and this is no {how.type.value}", f"input_{name}")
    if how.type is Type.NUMBER and isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise DataError.of([problem]) from None
    fits = {Type.TEXT: (str,), Type.NUMBER: (int, float), Type.BOOL: (bool,)}.get(how.type, ())
    if value is not None and type(value) not in fits:
        raise DataError.of([problem])
    return treat_one(value, how.type, Treatment(how.do, length=how.length), secret)
