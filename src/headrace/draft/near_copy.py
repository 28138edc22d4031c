"""Does one column alone give the target away? The linter's own measure, on training rows of the draft."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.lint import Column
from headrace.checks.lint import copies as lint
from headrace.core.schema import NULL_TIME, Type
from headrace.core.task import Kind, Task
from headrace.draft.look import Look, Profile
from headrace.draft.problem import Aim


def near_copy(look: Look, profile: Profile, aim: Aim) -> str:
    """Why the column is a near-copy of the target; empty where it is none. Reads `train`."""
    x, target = look.sample(profile.name, aim.column)
    y = _codes(target, aim)
    kept = ~np.isnan(y)
    column = _column(profile, x).at(kept)
    task = Task(aim.kind, _classes(aim))
    found = lint.near_copy(column, y[kept], task)
    return f"near-copy of the target: {found.reason}" if found is not None else ""


def _classes(aim: Aim) -> tuple[Any, ...]:
    """The classes in the order of their codes: the positive one of two is last."""
    if aim.kind is not Kind.BINARY:
        return aim.classes
    return (*(c for c in aim.classes if c != aim.positive), aim.positive)


def _codes(target: NDArray[Any], aim: Aim) -> NDArray[np.float64]:
    """The target as values or class codes, NaN where there is none or it is of no kept class."""
    null = np.ma.getmaskarray(target)
    plain = np.ma.getdata(target)
    if aim.kind is Kind.REGRESSION:
        return np.where(null, np.nan, np.where(null, 0, plain).astype(np.float64))
    y = np.full(len(plain), np.nan)
    for code, value in enumerate(_classes(aim)):
        for spelled in dict(aim.spellings).get(value, (value,)):
            y[~null & np.asarray(plain == spelled)] = code
    return y


def _column(profile: Profile, values: NDArray[Any]) -> Column:
    null = np.ma.getmaskarray(values)
    plain = np.ma.getdata(values)
    if profile.type is Type.TEXT:
        known = [None if n else v for n, v in zip(null.tolist(), plain.tolist(), strict=True)]
        return Column.of_text(profile.name, known)
    if profile.type is Type.TIME:
        moments = np.where(null, np.int64(NULL_TIME), plain.astype("datetime64[us]").astype(np.int64))
        return Column(profile.name, Type.TIME, moments)
    return Column(
        profile.name, profile.type, np.where(null, np.nan, np.where(null, 0, plain).astype(np.float64))
    )
