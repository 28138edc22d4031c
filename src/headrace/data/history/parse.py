"""The text of an aggregate: `avg(arr_delay)`, `quantile(arr_delay, 0.9)`, `since_last()`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from headrace.core.errors import ExprError, did_you_mean
from headrace.core.history import FUNCTIONS
from headrace.core.schema import Type
from headrace.expr import Expr, parse
from headrace.expr.reader import a
from headrace.expr.syntax import read_syntax

_CALL = re.compile(r"\s*([A-Za-z_]\w*)\s*\((.*)\)\s*", re.DOTALL)
_TAKES: Mapping[str, tuple[Type, ...]] = {
    "count": tuple(Type),
    "sum": (Type.NUMBER,),
    "avg": (Type.NUMBER,),
    "min": (Type.NUMBER, Type.TIME),
    "max": (Type.NUMBER, Type.TIME),
    "stddev": (Type.NUMBER,),
    "share": (Type.BOOL,),
    "first": tuple(Type),
    "last": tuple(Type),
    "distinct": tuple(Type),
    "quantile": (Type.NUMBER,),
}
_OTHERS = {"mean": "avg", "average": "avg", "median": "quantile(x, 0.5)", "std": "stddev", "n": "count",
           "count_distinct": "distinct", "nunique": "distinct", "rate": "share"}  # fmt: skip


@dataclass(frozen=True)
class Aggregate:
    """What is computed: `value` is the expression over a row (None: of rows themselves), `argument` a
    quantile's q, `type` that of the result."""

    function: str
    value: Expr | None
    argument: float | None
    type: Type


def parse_aggregate(text: str, columns: Mapping[str, Type], *, zone: str = "UTC") -> Aggregate:
    """Read and check one aggregate over rows with these columns.

    Raises:
        ExprError: it is no aggregate, its function is unknown, or takes another type; or with the mistakes
            of the expression in it.
    """
    place = f"aggregate `{text}`"
    function, inner = _call(text, place)
    argument = None
    if function == "quantile":
        inner, argument = _quantile(inner, place)
    if function == "since_last" or (function == "count" and inner in ("", "*")):
        if inner not in ("", "*"):
            raise ExprError(
                "since_last() takes nothing: it is the seconds since the newest row that counts",
                where=place,
                fix="write since_last(), and choose rows by `where:`",
            )
        return Aggregate(function, None, None, Type.NUMBER)
    if not inner:
        raise ExprError(f"{function}() of what?", where=place, fix=f"write {function}(column)")
    value = parse(inner, columns, zone=zone)
    _check(function, value, place)
    keeps = function in ("first", "last", "min", "max")
    return Aggregate(function, value, argument, value.type if keeps else Type.NUMBER)


def _call(text: str, place: str) -> tuple[str, str]:
    """The function's name and what stands between its brackets."""
    found = _CALL.fullmatch(text)
    # The name may be a word of SQL's own (distinct): any other name shows whether the brackets match.
    tree = read_syntax(f"aggregate_({found[2]})", place) if found else None
    if found is None or not isinstance(tree, exp.Anonymous) or tree.name != "aggregate_":
        raise ExprError(
            f"`{text}` is no aggregate",
            where=place,
            fix="write one function of one expression, such as avg(amount), share(amount > 100) or count(); "
            "compute with its result in a feature of its own: history.NAME / 60",
        )
    function = found[1].lower()
    if function not in FUNCTIONS:
        other = _OTHERS.get(function)
        raise ExprError(
            f"there is no aggregate {found[1]!r}",
            where=place,
            fix=f"write {other}" if other else did_you_mean(function, FUNCTIONS),
        )
    return function, found[2].strip()


def _quantile(inner: str, place: str) -> tuple[str, float]:
    value, _, told = inner.rpartition(",")
    try:
        q = float(told)
    except ValueError:
        q = -1.0
    if not value.strip() or not 0 <= q <= 1:
        raise ExprError(
            "quantile() takes an expression and a number from 0 to 1",
            where=place,
            fix="write quantile(amount, 0.9)",
        )
    return value.strip(), q


def _check(function: str, value: Expr, place: str) -> None:
    if value.type not in _TAKES[function]:
        needs = " or ".join(a(t) for t in _TAKES[function])
        fix = {
            Type.BOOL: "share(…) is the share of rows of which it is true",
            Type.TEXT: "distinct(…), first(…), last(…) and count(…) take text",
            Type.TIME: "min(…) and max(…) take times; a difference of two times is a number",
            Type.NUMBER: "compare it, such as share(amount > 100)",
        }[value.type]
        raise ExprError(
            f"{function}() takes {needs}, but `{value.text}` is {a(value.type)}", where=place, fix=fix
        )
    if not value.columns:
        raise ExprError(
            f"`{value.text}` reads no column: it is the same in every row",
            where=place,
            fix="name a column of the table; count() counts rows",
        )
