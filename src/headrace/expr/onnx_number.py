"""Numbers in ONNX."""

from __future__ import annotations

import math

from onnx import TensorProto

from headrace.core.schema import Type
from headrace.expr.emitter import Emitter, Make
from headrace.expr.nodes import NUMBER_TEXT, Node


def _literal(e: Emitter, node: Node) -> str:
    return e.double(math.nan if node.param is None else float(str(node.param)))


def _column(e: Emitter, node: Node) -> str:
    return e.g.input(str(node.param), Type.NUMBER)


def _plain(name: str) -> Make:
    """An operation in which an infinite or NaN argument makes an infinite or NaN result, so that the law
    may wait."""
    return lambda e, node: e.op(name, *(e.number(a) for a in node.args))


def _clean(name: str) -> Make:
    return lambda e, node: e.op(name, *(e.clean(a) for a in node.args))


def _division(e: Emitter, node: Node) -> str:
    return e.op("Div", e.number(node.args[0]), e.clean(node.args[1]))


def _remainder(e: Emitter, node: Node) -> str:
    return e.fmod(e.number(node.args[0]), e.clean(node.args[1]))


def _trunc(e: Emitter, node: Node) -> str:
    a = e.number(node.args[0])
    return e.op("Sub", a, e.fmod(a, e.double(1)))


def _round(e: Emitter, node: Node) -> str:
    # ONNX rounds ties to even. The fraction f = fmod(a, 1) is exact, and so is a + f (no bit below a's last),
    # whose whole part is that of a and of 2f together: C's round()
    a = e.number(node.args[0])
    twice = e.op("Add", a, e.fmod(a, e.double(1)))
    return e.op("Sub", twice, e.fmod(twice, e.double(1)))


def _power(e: Emitter, node: Node) -> str:
    base, exponent = node.args
    made = e.op("Pow", e.clean(base), e.clean(exponent))
    # C's pow(NaN, 0) and pow(1, NaN) are 1, but a null makes null
    if exponent.op == "lit" and exponent.param not in (None, 0.0):
        return made
    return e.masked(made, e.double(math.nan), base, exponent)


def _extreme(comparison: str) -> Make:
    def make(e: Emitter, node: Node) -> str:
        best, *rest = (e.clean(a) for a in node.args)
        for other in rest:
            better = e.op("Or", e.op(comparison, best, other), e.op("IsNaN", other))
            best = e.op("Where", better, best, other)
        return best

    return make


def _parse(e: Emitter, node: Node) -> str:
    text = e.text(node.args[0])
    spells = e.g.node("RegexFullMatch", text, pattern=NUMBER_TEXT)
    digits = e.op("Where", spells, text, e.g.constant("0"))
    return e.op("Where", spells, e.cast(digits, TensorProto.DOUBLE), e.double(math.nan))


NUMBERS: dict[str, Make] = {
    "lit": _literal,
    "col": _column,
    "add": _plain("Add"),
    "sub": _plain("Sub"),
    "mul": _plain("Mul"),
    "div": _division,
    "mod": _remainder,
    "neg": _plain("Neg"),
    "abs": _plain("Abs"),
    "floor": _plain("Floor"),
    "ceil": _plain("Ceil"),
    "trunc": _trunc,
    "round": _round,
    "round_even": _plain("Round"),
    "sign": _clean("Sign"),
    "sqrt": _plain("Sqrt"),
    "ln": _plain("Log"),
    "exp": _clean("Exp"),
    "pow": _power,
    "sin": _clean("Sin"),
    "cos": _clean("Cos"),
    "greatest": _extreme("Greater"),
    "least": _extreme("Less"),
    "case": lambda e, node: e.choose(node, e.number),
    "coalesce": lambda e, node: e.first_known(node, e.number),
    "code": lambda e, node: e.truth(node.args[0]),
    "parse": _parse,
}
"""What makes a number, times aside."""
