"""Truths in ONNX: each condition as `yes` and `no`, so that `not` is free and null is neither."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto, helper

from headrace.core.schema import Type
from headrace.expr.emitter import Emitter, Make, never_null
from headrace.expr.nodes import Node

FEW = 4
"""Up to so many list members are compared one by one; more are looked up."""


def _literal(truth: bool) -> Make:
    return lambda e, node: e.flag(node.param is truth)


def _column(code: float) -> Make:
    return lambda e, node: e.op("Equal", e.g.input(str(node.param), Type.BOOL), e.double(code))


def _certain(e: Emitter, truth: str, *nodes: Node) -> str:
    known = e.all_known(*nodes)
    return truth if known is None else e.op("And", truth, known)


def _order(e: Emitter, node: Node, name: str) -> str:
    a, b = node.args
    compared = e.op(name, e.value(a), e.value(b))
    return compared if a.type is Type.NUMBER else _certain(e, compared, a, b)  # NaN orders with nothing


def _equal(e: Emitter, node: Node) -> str:
    a, b = node.args
    if a.type is Type.BOOL:
        return e.op("Or", e.op("And", e.yes(a), e.yes(b)), e.op("And", e.no(a), e.no(b)))
    same = e.op("Equal", e.value(a), e.value(b))
    if a.type is Type.NUMBER or never_null(a) or never_null(b):
        return same  # NaN equals nothing; a null mark equals no value
    return e.op("And", same, e.known(a))


def _unequal(e: Emitter, node: Node) -> str:
    a, b = node.args
    if a.type is Type.BOOL:
        return e.op("Or", e.op("And", e.yes(a), e.no(b)), e.op("And", e.no(a), e.yes(b)))
    if a.type is Type.NUMBER:
        return e.op("Or", e.op("Less", e.clean(a), e.clean(b)), e.op("Greater", e.clean(a), e.clean(b)))
    return _certain(e, e.op("Not", e.op("Equal", e.value(a), e.value(b))), a, b)


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


def _members(node: Node) -> list[bool | int | float | str]:
    values: Sequence[object] = node.param if isinstance(node.param, tuple) else ()
    return [v for v in values if isinstance(v, bool | int | float | str)]


def _in(e: Emitter, node: Node) -> str:
    subject, members = node.args[0], _members(node)
    if not members:
        return e.flag(False)
    if len(members) <= FEW:
        literals = [Node("lit", subject.type, param=m) for m in members]
        return e.fold("Or", [e.op("Equal", e.value(subject), e.value(m)) for m in literals])
    ones, dtype = [1] * len(members), {Type.NUMBER: np.float64, Type.TIME: np.int64}.get(subject.type)
    if dtype is None:
        keys = helper.make_tensor(
            "keys", TensorProto.STRING, [len(members)], [str(m).encode() for m in members]
        )
    else:
        keys = _keys(members, dtype)
    values = helper.make_tensor("values", TensorProto.INT64, [len(members)], ones)
    found = e.g.node("LabelEncoder", e.value(subject), domain="ai.onnx.ml", keys_tensor=keys, values_tensor=values,
                     default_tensor=helper.make_tensor("default", TensorProto.INT64, [1], [0]))  # fmt: skip
    return e.cast(found, TensorProto.BOOL)


def _keys(values: Sequence[object], dtype: type) -> object:
    """A list of numbers as a tensor attribute."""
    kind = TensorProto.DOUBLE if dtype is np.float64 else TensorProto.INT64
    return helper.make_tensor("keys", kind, [len(values)], values)


def _not_in(e: Emitter, node: Node) -> str:
    if isinstance(node.param, tuple) and None in node.param:
        return e.flag(False)  # the null may be equal: a miss is unknown
    return _certain(e, e.op("Not", e.yes(node)), node.args[0])


def _match(e: Emitter, node: Node) -> str:
    kind, words = node.param if isinstance(node.param, tuple) else ("", "")
    if not words:
        return e.known(node.args[0])
    quoted = "".join(c if c.isalnum() or ord(c) > 127 else "\\" + c for c in str(words))
    pattern = {"prefix": f"{quoted}.*", "suffix": f".*{quoted}", "contains": f".*{quoted}.*"}[str(kind)]
    return e.g.node("RegexFullMatch", e.text(node.args[0]), pattern=f"(?s){pattern}")


def _no_match(e: Emitter, node: Node) -> str:
    return _certain(e, e.op("Not", e.yes(node)), node.args[0])


YES: dict[str, Make] = {
    "lit": _literal(True),
    "col": _column(1.0),
    "eq": _equal,
    "lt": lambda e, n: _order(e, n, "Less"),
    "le": lambda e, n: _order(e, n, "LessOrEqual"),
    "and": lambda e, n: e.op("And", e.yes(n.args[0]), e.yes(n.args[1])),
    "or": lambda e, n: e.op("Or", e.yes(n.args[0]), e.yes(n.args[1])),
    "not": lambda e, n: e.no(n.args[0]),
    "is_null": lambda e, n: e.missing(n.args[0]),
    "is_true": lambda e, n: e.yes(n.args[0]),
    "case": lambda e, n: _choose(e, n, "yes"),
    "coalesce": lambda e, n: _first_known(e, n, "yes"),
    "in": _in,
    "match": _match,
}
"""Where a condition is true."""

NO: dict[str, Make] = {
    "lit": _literal(False),
    "col": _column(0.0),
    "eq": _unequal,
    "lt": lambda e, n: _order(e, n, "GreaterOrEqual"),
    "le": lambda e, n: _order(e, n, "Greater"),
    "and": lambda e, n: e.op("Or", e.no(n.args[0]), e.no(n.args[1])),
    "or": lambda e, n: e.op("And", e.no(n.args[0]), e.no(n.args[1])),
    "not": lambda e, n: e.yes(n.args[0]),
    "is_null": lambda e, n: e.known(n.args[0]),
    "is_true": lambda e, n: e.op("Not", e.yes(n.args[0])),
    "case": lambda e, n: _choose(e, n, "no"),
    "coalesce": lambda e, n: _first_known(e, n, "no"),
    "in": _not_in,
    "match": _no_match,
}
"""Where a condition is false."""
