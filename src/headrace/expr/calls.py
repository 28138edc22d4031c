"""Readers of function calls, casts and extract()."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from sqlglot import exp

from headrace.core.errors import did_you_mean
from headrace.core.schema import Type
from headrace.expr.functions import FUNCTIONS, REFUSED, Function, part_name, part_of, unit_name
from headrace.expr.nodes import PARTS, UNITS, Node, is_null_literal, null, number
from headrace.expr.operators import negate
from headrace.expr.reader import Handler, Reader, a
from headrace.expr.syntax import spell

_SIGNED = ("TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT", "INT128")
_UNSIGNED = ("UTINYINT", "USMALLINT", "UINT", "UBIGINT", "UINT128")
_KINDS = {
    **dict.fromkeys((*_SIGNED, *_UNSIGNED), "whole"),
    **dict.fromkeys(("DOUBLE", "FLOAT"), "number"),
    "BOOLEAN": "bool",
    **dict.fromkeys(("TEXT", "VARCHAR", "CHAR", "NVARCHAR", "NCHAR"), "text"),
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMPNTZ", "TIMESTAMPTZ", "DATETIME", "TIMESTAMP_NS"), "time"),
    "DATE": "date",
}


def call(r: Reader, e: exp.Expr) -> Node | None:
    """A function call by name."""
    name, trees = e.name.lower(), e.expressions
    function = FUNCTIONS.get(name)
    if function is not None:
        args = _arguments(r, function, trees, e)
        return None if args is None else function.build(args, r.zone)
    if name in REFUSED:
        why, fix = REFUSED[name]
        r.wrong(f"{name}() is refused", fix, why)
        return None
    r.wrong(f"unknown function '{name}'", did_you_mean(name, FUNCTIONS))
    for tree in trees:  # the mistakes inside are worth knowing too
        if not isinstance(tree, exp.Star):
            r.read(tree)
    return None


def constant_call(r: Reader, e: exp.Expr) -> None:
    """`current_date` and its like, which SQL writes without parentheses."""
    name = cast("exp.Func", e).sql_name().lower()
    why, fix = REFUSED.get(name, REFUSED["now"])
    r.wrong(f"{name} is refused", fix, why)


def _arguments(r: Reader, f: Function, trees: Sequence[exp.Expr], e: exp.Expr) -> list[Node] | None:
    if len(trees) < f.least or (f.most is not None and len(trees) > f.most):
        r.wrong(f"{f.name}() can't take {len(trees)} arguments: `{spell(e)}`", f"write {f.signature}")
        return None
    nodes = [_argument(r, f, i, tree) for i, tree in enumerate(trees)]
    if None in nodes:
        return None
    known = [n for n in nodes if n is not None]
    alike = [i for i in range(len(known)) if f.parameter(i) == "any"]
    if alike:
        unified = r.unify([known[i] for i in alike], [trees[i] for i in alike], f"{f.name}()")
        if unified is None:
            return None
        for i, node in zip(alike, unified, strict=True):
            known[i] = node
    if f.name in ("greatest", "least") and known[0].type not in (Type.NUMBER, Type.TIME):
        r.wrong(f"{f.name}() can't order {known[0].type} values", "use it on numbers or times")
        return None
    return known


def _argument(r: Reader, f: Function, index: int, tree: exp.Expr) -> Node | None:
    word, use = f.parameter(index), f"{f.name}()"
    if word == "any":
        return r.read(tree)
    if word in ("number", "bool", "text", "time"):
        return r.read_as(tree, Type(word), use)
    node = r.read(tree)
    if node is None:
        return None
    kind = Type.NUMBER if word == "whole" else Type.TEXT
    if node.op != "lit" or node.type is not kind or is_null_literal(node):
        needs = "a whole number" if word == "whole" else "a text in quotes"
        r.wrong(f"{use} needs {needs} as argument {index + 1}, not `{spell(tree)}`", f"write {f.signature}",
                "the model graph holds it as a constant")  # fmt: skip
        return None
    return node if _allowed(r, use, word, str(node.param)) else None


def _allowed(r: Reader, use: str, word: str, value: str) -> bool:
    if word == "'part'" and part_name(value) is None:
        r.wrong(f"{use} knows no part '{value}'", did_you_mean(value, PARTS))
        return False
    if word == "'unit'" and unit_name(value) is None:
        r.wrong(f"{use} knows no unit '{value}'", did_you_mean(value, UNITS))
        return False
    if word == "whole" and (float(value) % 1 or abs(float(value)) > 15):
        r.wrong(f"{use} needs a whole number from -15 to 15, not {value}", "such as round(x, 2)")
        return False
    return True


def extract(r: Reader, e: exp.Expr) -> Node | None:
    """`extract(part from time)`."""
    word = e.this.name
    part = part_name(word)
    time = r.read_as(e.expression, Type.TIME, "extract()")
    if part is None:
        r.wrong(f"extract() knows no part '{word.lower()}'", did_you_mean(word.lower(), PARTS))
        return None
    return None if time is None else part_of(part)([time], r.zone)


def cast_to(r: Reader, e: exp.Expr) -> Node | None:
    """`cast(x as type)`, `x::type`, and typed literals such as `timestamp '2013-01-31'`."""
    target = e.args["to"]
    kind = _KINDS.get(target.this.name) if not target.expressions else None
    if kind is None and _KINDS.get(target.this.name) == "text":
        kind = "text"  # varchar(20): the length says nothing in DuckDB either
    node = r.read(e.this)
    if kind is None:
        r.wrong(f"can't cast to {target.sql(dialect='duckdb').lower()}: `{spell(e)}`",
                "cast to int, double, boolean, varchar or date; round(x, 2) keeps decimals")  # fmt: skip
        return None
    if node is None:
        return None
    if is_null_literal(node):
        return null({"whole": Type.NUMBER, "date": Type.TIME}.get(kind) or Type(kind))
    made = _cast(r, node, kind)
    if isinstance(made, tuple):
        r.wrong(
            f"can't cast {node.type} to {target.sql(dialect='duckdb').lower()}: `{spell(e)}`",
            made[1],
            made[0],
        )
        return None
    return made


def _cast(r: Reader, node: Node, kind: str) -> Node | tuple[str, str] | None:
    """The cast node; or why not and what to do; or None where a problem is noted."""
    match node.type, kind:
        case (Type.NUMBER, "number") | (Type.BOOL, "bool") | (Type.TEXT, "text") | (Type.TIME, "time"):
            return node
        case Type.NUMBER, "whole":
            return Node("round_even", Type.NUMBER, (node,))
        case Type.NUMBER, "bool":
            return negate(Node("eq", Type.BOOL, (node, number(0))))
        case Type.BOOL, "number" | "whole":
            return Node("code", Type.NUMBER, (node,))
        case Type.BOOL, "text":
            yes, no = (Node("lit", Type.TEXT, param=word) for word in ("true", "false"))
            return _spelled(node, yes, no)
        case Type.TEXT, "number":
            return Node("parse", Type.NUMBER, (node,))
        case Type.TEXT, "whole":
            return Node("round_even", Type.NUMBER, (Node("parse", Type.NUMBER, (node,)),))
        case Type.TEXT, "time" | "date" if node.op == "lit":
            moment = r.moment(str(node.param))
            return moment if moment is None or kind == "time" else _midnight(moment, r.zone)
        case Type.TIME, "date":
            return _midnight(node, r.zone)
        case Type.NUMBER, "text":
            return "doubles have no one spelling in graph and SQL", "use the number as it is, or case"
        case Type.TIME, "number" | "whole":
            return "a time has no unit", "use epoch(t), a date part or a difference"
    return f"{a(node.type)} can't become that", "compare it instead, such as x = 'yes'"


def _spelled(node: Node, yes: Node, no: Node) -> Node:
    return Node("case", yes.type, (node, yes, negate(node), no, null(yes.type)))


def _midnight(node: Node, zone: str) -> Node:
    return Node("start", Type.TIME, (node,), ("day", zone))


HANDLERS: dict[type[exp.Expr], Handler] = {
    exp.Anonymous: call,
    exp.Extract: extract,
    exp.Cast: cast_to,
    exp.TryCast: cast_to,
    **dict.fromkeys((exp.CurrentDate, exp.CurrentTimestamp, exp.CurrentTime), constant_call),
    **dict.fromkeys((exp.CurrentDatetime, exp.Localtime, exp.Localtimestamp), constant_call),
}
"""Which kind of call is read by what."""
