"""Labels sent by inputs: the inputs as the prediction log has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from headrace.core.errors import DataError, Problem
from headrace.core.schema import Type
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
