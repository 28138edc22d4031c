"""Text to a checked, typed expression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from sqlglot import exp

from headrace.core.errors import ExprError, Problem, did_you_mean
from headrace.core.schema import NULL_TEXT, Type
from headrace.expr import calls, operators
from headrace.expr.nodes import Expr, Node, is_null_literal, null, number, walk
from headrace.expr.reader import Handler, Reader
from headrace.expr.syntax import read_syntax, spell, too_deep
from headrace.expr.zones import zone_exists

DEEPEST = 100
"""How many operations may nest: emitters and onnxruntime follow them by recursion."""


def parse(text: str, columns: Mapping[str, Type], *, zone: str = "UTC", where: str = "") -> Expr:
    """Read and check one SQL expression over raw columns.

    Args:
        text: the expression, in DuckDB's grammar.
        columns: raw column names (as `hour` or, of a looked-up table, `weather.temp`) and their types.
        zone: of the wall clock that date parts and time literals use.
        where: what the caller calls this place, for messages.

    Raises:
        ExprError: with every mistake that was found.
    """
    place = where or f"expression `{text if len(text) <= 60 else text[:57] + '...'}`"
    if not zone_exists(zone):
        raise ExprError(
            f"unknown time zone '{zone}'",
            where=place,
            fix="use a name of the tz database, such as Europe/Amsterdam",
        )
    tree = read_syntax(text, place)
    if isinstance(tree, Problem):
        raise ExprError.of([tree])
    reader = Reader(columns, zone, place, HANDLERS)
    try:
        node = reader.read(tree)
    except RecursionError:
        raise ExprError.of([too_deep(place)]) from None
    if node is not None and is_null_literal(node):
        reader.wrong("the expression is always null", "remove it, or give it a value")
    if node is not None and node.depth > DEEPEST:
        reader.problems.append(too_deep(place))
    if reader.problems or node is None:
        raise ExprError.of(reader.problems)
    used = sorted({str(n.param) for n in walk(node) if n.op == "col"})
    return Expr(text, node, node.type, tuple(used), zone)


def _column(r: Reader, e: exp.Expr) -> Node | None:
    if isinstance(e.this, exp.Star):
        r.wrong("`*` is no column", "name one column")
        return None
    name = ".".join(part.name for part in cast("exp.Column", e).parts)
    if name not in r.columns:
        r.wrong(
            f"unknown column '{name}'", did_you_mean(name, r.columns) or "there are no columns to use here"
        )
        return None
    return Node("col", r.columns[name], param=name)


def _literal(r: Reader, e: exp.Expr) -> Node | None:
    if cast("exp.Literal", e).is_string:
        try:
            e.name.encode()
        except UnicodeEncodeError:
            r.wrong("a text literal holds half a character", "write it as plain UTF-8")
            return None
        if NULL_TEXT in e.name:
            r.wrong("a text literal holds a NUL character", "remove it")
            return None
        return Node("lit", Type.TEXT, param=e.name)
    try:
        value = float(e.name)
    except ValueError:
        r.wrong(f"`{e.name}` is no number", "write it as 1234.5 or 1e6")
        return None
    if value in (float("inf"), float("-inf")):
        r.wrong(f"`{e.name}` is too large for a double", "numbers go to 1.797e308")
        return None
    return number(value)


def _null(_r: Reader, _e: exp.Expr) -> Node:
    return null(Type.NUMBER)


def _boolean(_r: Reader, e: exp.Expr) -> Node:
    return Node("lit", Type.BOOL, param=bool(e.this))


def _paren(r: Reader, e: exp.Expr) -> Node | None:
    return r.read(e.this)


def _refuse(what: str, why: str, fix: str) -> Handler:
    def handler(r: Reader, e: exp.Expr) -> None:
        r.wrong(f"{what}: `{spell(e)}`", fix, why)

    return handler


_SUBQUERY = _refuse("subqueries are refused", "a row expression sees one row", "join the table as a lookup")
_LIST = _refuse("lists and structures are refused", "a value is one number, text, time or truth",
                "use x in (...) or several features")  # fmt: skip
_BITS = _refuse("bit operations are refused", "numbers are doubles", "use // and %")

HANDLERS: dict[type[exp.Expr], Handler] = {
    **operators.HANDLERS,
    **calls.HANDLERS,
    exp.Column: _column,
    exp.Literal: _literal,
    exp.Null: _null,
    exp.Boolean: _boolean,
    exp.Paren: _paren,
    **dict.fromkeys((exp.Subquery, exp.Select, exp.Exists), _SUBQUERY),
    **dict.fromkeys((exp.Array, exp.Struct, exp.Bracket, exp.Tuple), _LIST),
    **dict.fromkeys((exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseXor, exp.BitwiseNot), _BITS),
    **dict.fromkeys((exp.BitwiseLeftShift, exp.BitwiseRightShift), _BITS),
    exp.Window: _refuse("window functions are refused", "they look at other rows, and an expression sees one",
                        "prepare it as a column of the source (`read:`)"),
    exp.AtTimeZone: _refuse("`at time zone` is refused", "one zone holds for the whole project",
                            "set `zone:` in the spec; times are UTC inside"),
    exp.ILike: _refuse("`ilike` is refused", "patterns compare exactly", "write lower(x) like 'abc%'"),
    exp.Placeholder: _refuse("parameters are refused", "an expression is complete", "write the value"),
    exp.Star: _refuse("`*` is no value", "a row expression names its columns", "name one column"),
}  # fmt: skip
"""Which syntax is read by what. What is not here is not part of the language."""
