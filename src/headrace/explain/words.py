"""Contributions in plain words: `distance = 1,200: +0.080`."""

from __future__ import annotations

import math

import numpy as np

from headrace.core.schema import Type
from headrace.explain.shapley import is_null

_LONGEST = 60


def sentence(name: str, kind: Type, value: object, contribution: float, *, personal: bool = False) -> str:
    """A column, its value, and what it added. Values of personal columns are not shown.

    >>> sentence("distance", Type.NUMBER, 1200.0, 0.0801)
    'distance = 1,200: +0.080'
    """
    if personal:
        return f"{name} (personal): {signed(contribution)}"
    if is_null(kind, value):
        return f"{name} unknown: {signed(contribution)}"
    return f"{name} = {shown(kind, value)}: {signed(contribution)}"


def shown(kind: Type, value: object) -> str:
    """A raw value for people; long texts are cut, times are UTC.

    >>> shown(Type.NUMBER, 0.5), shown(Type.BOOL, 1.0), shown(Type.TIME, 0)
    ('0.5', 'true', '1970-01-01 00:00:00Z')
    """
    if kind is Type.TEXT:
        text = " ".join(str(value).split())
        return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    number = float(value)  # type: ignore[arg-type]  # a number, truth or moment
    if kind is Type.TIME:
        moment = np.datetime64(int(value), "us")  # type: ignore[call-overload]  # whole microseconds
        return f"{str(np.datetime_as_string(moment, unit='s')).replace('T', ' ')}Z"
    if kind is Type.BOOL:
        return "true" if number else "false"
    if number.is_integer() and abs(number) < 1e15:
        return f"{int(number):,}"
    return f"{number:,.2f}" if 1e4 <= abs(number) < 1e15 else f"{number:.5g}"


def signed(value: float) -> str:
    """A contribution with its sign and two digits that count.

    >>> signed(0.0801), signed(-12345.6), signed(0.0)
    ('+0.080', '-12,346', '+0')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value + 0.0:+.0f}"
    digits = 1 - math.floor(math.log10(abs(value)))
    return f"{value:+.1e}" if digits > 6 else f"{value:+,.{max(digits, 0)}f}"
