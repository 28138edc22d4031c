"""Texts in ONNX."""

from __future__ import annotations

from headrace.core.schema import NULL_TEXT, Type
from headrace.expr.emitter import Emitter, Make
from headrace.expr.nodes import Node


def _literal(e: Emitter, node: Node) -> str:
    return e.g.constant(NULL_TEXT if node.param is None else str(node.param))


def _column(e: Emitter, node: Node) -> str:
    return e.g.input(str(node.param), Type.TEXT)


def _concat(e: Emitter, node: Node) -> str:
    joined = e.fold("StringConcat", [e.text(a) for a in node.args])
    return e.masked(joined, e.g.constant(NULL_TEXT), *node.args)


def _change_case(action: str) -> Make:
    def make(e: Emitter, node: Node) -> str:
        # one more text at the end, because the operation refuses an empty tensor
        flat = e.op("Reshape", e.text(node.args[0]), e.g.constant([-1], "int64"))
        longer = e.g.node("Concat", flat, e.g.constant([""]), axis=0)
        # en_US, the default, is missing on bare machines
        changed = e.g.node("StringNormalizer", longer, case_change_action=action, locale="C.UTF-8")
        return e.op("Slice", changed, e.g.constant([0], "int64"), e.g.constant([-1], "int64"))

    return make


TEXTS: dict[str, Make] = {
    "lit": _literal,
    "col": _column,
    "concat": _concat,
    "lower": _change_case("LOWER"),
    "upper": _change_case("UPPER"),
    "case": lambda e, node: e.choose(node, e.text),
    "coalesce": lambda e, node: e.first_known(node, e.text),
}
"""What makes a text."""
