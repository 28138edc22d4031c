"""Truths in ONNX: each condition as `yes` and `no`, so that `not` is free and null is neither."""

from __future__ import annotations

import math

from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.expr.emitter import Emitter, Make
from headrace.expr.nodes import Node, Param
from headrace.expr.nulls import doubts_unless, never_null


def _literal(truth: bool) -> Make:
    return lambda e, node: e.flag(node.param is truth)


def _column(code: float) -> Make:
    return lambda e, node: e.op("Equal", e.g.input(str(node.param), Type.BOOL), e.double(code))


def _certain(e: Emitter, truth: str, *nodes: Node) -> str:
    known = e.all_known(*nodes)
    return truth if known is None else e.op("And", truth, known)


def _order(e: Emitter, node: Node, name: str) -> str:
    a, b = node.args
    if a.type is Type.NUMBER:
        return e.op(name, e.clean(a), e.clean(b))  # NaN orders with nothing
    return _certain(e, e.op(name, e.moment(a), e.moment(b)), a, b)


def _equal(e: Emitter, node: Node) -> str:
    a, b = node.args
    if a.type is Type.BOOL:
        return e.op("Or", e.op("And", e.yes(a), e.yes(b)), e.op("And", e.no(a), e.no(b)))
    if a.type is Type.TIME:
        return _certain(e, e.op("Equal", e.moment(a), e.moment(b)), a, b)
    same = e.op("Equal", e.value(a), e.value(b))
    if a.type is Type.NUMBER or never_null(a) or never_null(b):
        return same  # NaN equals nothing; the null mark equals no text
    return e.op("And", same, e.known(a))


def _unequal(e: Emitter, node: Node) -> str:
    a, b = node.args
    if a.type is Type.BOOL:
        return e.op("Or", e.op("And", e.yes(a), e.no(b)), e.op("And", e.no(a), e.yes(b)))
    if _lookup(node):
        return _is_coded(e, node, 0.0)
    if a.type is Type.NUMBER:
        return e.op("Or", e.op("Less", e.clean(a), e.clean(b)), e.op("Greater", e.clean(a), e.clean(b)))
    emit = e.text if a.type is Type.TEXT else e.moment
    return _certain(e, e.op("Not", e.op("Equal", emit(a), emit(b))), a, b)


def _choose(e: Emitter, node: Node, side: str) -> str:
    def emit(n: Node) -> str:
        return e.yes(n) if side == "yes" else e.no(n)

    made = emit(node.args[-1])
    for condition, value in reversed(list(zip(node.args[:-1:2], node.args[1::2], strict=True))):
        holds = e.yes(condition)
        made = e.op("Or", e.op("And", holds, emit(value)), e.op("And", e.op("Not", holds), made))
    return made


def _first_known(e: Emitter, node: Node, side: str) -> str:
    def pair(n: Node) -> tuple[str, str]:
        return (e.yes(n), e.no(n)) if side == "yes" else (e.no(n), e.yes(n))

    made = pair(node.args[-1])[0]
    for value in reversed(node.args[:-1]):
        this, other = pair(value)
        made = e.op("Or", this, e.op("And", e.op("Not", other), made))
    return made


def _coded(e: Emitter, subject: Node, members: tuple[Param, ...]) -> str:
    """Double: 1 where the subject is one of the literals, NaN where null, else 0, in one operation."""
    real = [m for m in members if isinstance(m, str | int | float)]
    miss = math.nan if None in members else 0.0  # the null may be equal: a miss is unknown
    match subject.type:
        case Type.TEXT:
            tensor, keys = e.text(subject), [*real, NULL_TEXT]
        case Type.TIME:
            tensor, keys = e.time(subject), [*real, NULL_TIME]
        case _:
            tensor, keys = e.number(subject), [*real, math.nan, math.inf, -math.inf]
    codes = [1.0] * len(real) + [math.nan] * (len(keys) - len(real))
    return e.once(("coded", subject, members), lambda: e.g.lookup(tensor, keys, codes, miss))


def _is_coded(e: Emitter, node: Node, code: float) -> str:
    return e.op("Equal", e.truth(node), e.double(code))


def truth(e: Emitter, node: Node) -> str:
    """1 where the condition is true, 0 where false, NaN where null: by the cheapest way there is."""
    match node.op:
        case "lit":
            return e.double(math.nan if node.param is None else float(bool(node.param)))
        case "col":
            return e.g.input(str(node.param), Type.BOOL)
        case "in":
            return _coded(e, node.args[0], node.param if isinstance(node.param, tuple) else ())
        case "eq" if _lookup(node):
            return _coded(e, node.args[0], (node.args[1].param,))
        case "not":
            return e.op("Sub", e.double(1), e.truth(node.args[0]))
    if (below := doubts_unless(node, True)) is not None:
        return e.op("Where", e.yes(node), e.double(1), e.zeros(*below))
    if (below := doubts_unless(node, False)) is not None:
        return e.op("Where", e.no(node), e.double(0), e.op("Add", e.double(1), e.zeros(*below)))
    otherwise = e.op("Where", e.no(node), e.double(0), e.double(math.nan))
    return e.op("Where", e.yes(node), e.double(1), otherwise)


def _lookup(node: Node) -> bool:
    """Whether an equality compares something with a literal on its right."""
    left, right = node.args
    return left.type is not Type.BOOL and left.op != "lit" and right.op == "lit" and right.param is not None


def _match(e: Emitter, node: Node) -> str:
    kind, words = node.param if isinstance(node.param, tuple) else ("", "")
    if not words:
        return e.known(node.args[0])
    quoted = "".join(c if c.isalnum() or ord(c) > 127 else "\\" + c for c in str(words))
    pattern = {"prefix": f"{quoted}.*", "suffix": f".*{quoted}", "contains": f".*{quoted}.*"}[str(kind)]
    return e.g.node("RegexFullMatch", e.text(node.args[0]), pattern=f"(?s){pattern}")


def _no_match(e: Emitter, node: Node) -> str:
    return _certain(e, e.op("Not", e.yes(node)), node.args[0])


def _same(e: Emitter, node: Node) -> str:
    a, b = node.args
    nulls = e.op("And", e.missing(a), e.missing(b))
    return e.op("Or", e.yes(Node("eq", Type.BOOL, (a, b))), nulls)


YES: dict[str, Make] = {
    "lit": _literal(True),
    "col": _column(1.0),
    "eq": _equal,
    "lt": lambda e, n: _order(e, n, "Less"),
    "le": lambda e, n: _order(e, n, "LessOrEqual"),
    "same": _same,
    "and": lambda e, n: e.op("And", e.yes(n.args[0]), e.yes(n.args[1])),
    "or": lambda e, n: e.op("Or", e.yes(n.args[0]), e.yes(n.args[1])),
    "not": lambda e, n: e.no(n.args[0]),
    "is_null": lambda e, n: e.missing(n.args[0]),
    "is_true": lambda e, n: e.yes(n.args[0]),
    "case": lambda e, n: _choose(e, n, "yes"),
    "coalesce": lambda e, n: _first_known(e, n, "yes"),
    "in": lambda e, n: _is_coded(e, n, 1.0),
    "match": _match,
}
"""Where a condition is true."""

NO: dict[str, Make] = {
    "lit": _literal(False),
    "col": _column(0.0),
    "eq": _unequal,
    "lt": lambda e, n: _order(e, n, "GreaterOrEqual"),
    "le": lambda e, n: _order(e, n, "Greater"),
    "same": lambda e, n: e.op("Not", e.yes(n)),
    "and": lambda e, n: e.op("Or", e.no(n.args[0]), e.no(n.args[1])),
    "or": lambda e, n: e.op("And", e.no(n.args[0]), e.no(n.args[1])),
    "not": lambda e, n: e.yes(n.args[0]),
    "is_null": lambda e, n: e.known(n.args[0]),
    "is_true": lambda e, n: e.op("Not", e.yes(n.args[0])),
    "case": lambda e, n: _choose(e, n, "no"),
    "coalesce": lambda e, n: _first_known(e, n, "no"),
    "in": lambda e, n: _is_coded(e, n, 0.0),
    "match": _no_match,
}
"""Where a condition is false."""
