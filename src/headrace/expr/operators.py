"""Readers of operators: arithmetic, comparison, logic, choice."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from headrace.core.schema import Type
from headrace.expr.literals import read_span
from headrace.expr.nodes import Node, is_null_literal, number
from headrace.expr.reader import Handler, Reader
from headrace.expr.syntax import spell

SIGNS: dict[type[exp.Expr], str] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.IntDiv: "//",
    exp.Mod: "%",
    exp.Pow: "**",
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.NullSafeEQ: "is not distinct from",
    exp.NullSafeNEQ: "is distinct from",
}
_ARITHMETIC: dict[type[exp.Expr], str] = {
    exp.Add: "add",
    exp.Sub: "sub",
    exp.Mul: "mul",
    exp.Div: "div",
    exp.Mod: "mod",
    exp.Pow: "pow",
}


def negate(node: Node) -> Node:
    """Kleene's not."""
    return node.args[0] if node.op == "not" else Node("not", Type.BOOL, (node,))


def both(op: str, first: Node, second: Node) -> Node:
    """`and` or `or` of two."""
    return Node(op, Type.BOOL, (first, second))


def arithmetic(r: Reader, e: exp.Expr) -> Node | None:
    sign, sides = SIGNS[type(e)], (e.this, e.expression)
    if any(_is_span(t) for t in sides):
        return _shift(r, e)
    nodes = r.read_all(sides)
    if nodes is None:
        return None
    if isinstance(e, exp.Sub) and all(n.type is Type.TIME for n in nodes):
        return Node("elapsed", Type.NUMBER, (nodes[1], nodes[0]))
    bad = [n for n in nodes if n.type is not Type.NUMBER and not is_null_literal(n)]
    if len(bad) == 2 or (bad and {n.type for n in nodes} == {Type.TIME, Type.NUMBER}):
        kinds = " and ".join(n.type for n in nodes)
        r.wrong(f"`{sign}` can't take {kinds}: `{spell(e)}`", _mend_arithmetic(nodes))
        return None
    fitted = [r.fit(n, Type.NUMBER, t, f"`{sign}`") for n, t in zip(nodes, sides, strict=True)]
    args = tuple(n for n in fitted if n is not None)
    if len(args) < 2:
        return None
    if isinstance(e, exp.IntDiv):
        return Node("trunc", Type.NUMBER, (Node("div", Type.NUMBER, args),))
    return Node(_ARITHMETIC[type(e)], Type.NUMBER, args)


def _mend_arithmetic(nodes: Sequence[Node]) -> str:
    kinds = {n.type for n in nodes}
    if Type.TEXT in kinds and len(kinds) == 1:
        return "join texts with ||"
    if Type.TIME in kinds:
        return "add a span, such as t + interval '3 hours', or subtract two times"
    return "use numbers"


def _is_span(e: exp.Expr) -> bool:
    return isinstance(_bare(e), exp.Interval)


def _bare(e: exp.Expr) -> exp.Expr:
    while isinstance(e, exp.Paren):
        e = e.this
    return e


def _shift(r: Reader, e: exp.Expr) -> Node | None:
    left, right = e.this, e.expression
    if _is_span(left) and isinstance(e, exp.Add):
        left, right = right, left
    if not isinstance(e, exp.Add | exp.Sub) or not _is_span(right) or _is_span(left):
        r.wrong(f"a span of time can only be added to or taken from a time: `{spell(e)}`",
                "write t + interval '3 hours' or t - interval '2 days'")  # fmt: skip
        return None
    span = _span(r, _bare(right))
    time = r.read_as(left, Type.TIME, "`± interval`")
    if span is None or time is None:
        return None
    return Node("shift", Type.TIME, (time,), -span if isinstance(e, exp.Sub) else span)


def _span(r: Reader, e: exp.Expr) -> int | None:
    size, unit = e.this, e.args.get("unit")
    if isinstance(size, exp.Neg):
        words = "-" + str(size.this.name)
    elif isinstance(size, exp.Literal):
        words = size.name
    else:
        r.wrong(f"a span has to be a literal: `{spell(e)}`", "write interval '3 hours'")
        return None
    found = read_span(f"{words} {unit.name}" if unit is not None else words)
    if isinstance(found, str):
        r.wrong(found, "use microseconds to weeks, such as interval '90 minutes' or interval '28 days'")
        return None
    return found


def lonely_span(r: Reader, e: exp.Expr) -> None:
    r.wrong(f"a span of time can only be added to or taken from a time: `{spell(e)}`",
            "write t + interval '3 hours'")  # fmt: skip


def negative(r: Reader, e: exp.Expr) -> Node | None:
    node = r.read_as(e.this, Type.NUMBER, "`-`")
    if node is not None and node.op == "lit" and isinstance(node.param, float):
        return number(-node.param)
    return None if node is None else Node("neg", Type.NUMBER, (node,))


def comparison(r: Reader, e: exp.Expr) -> Node | None:
    sides = (e.this, e.expression)
    nodes = r.read_all(sides)
    nodes = None if nodes is None else r.unify(nodes, sides, f"`{SIGNS[type(e)]}`")
    return None if nodes is None else compare(r, type(e), nodes[0], nodes[1])


def compare(r: Reader, sign: type[exp.Expr], left: Node, right: Node) -> Node | None:
    """A comparison of two nodes of one type."""
    if sign in (exp.EQ, exp.NEQ):
        same = Node("eq", Type.BOOL, (left, right))
        return same if sign is exp.EQ else negate(same)
    if sign in (exp.NullSafeEQ, exp.NullSafeNEQ):
        same = Node("same", Type.BOOL, (left, right))
        return same if sign is exp.NullSafeEQ else negate(same)
    if left.type in (Type.TEXT, Type.BOOL):
        why = "the model graph has no order of texts" if left.type is Type.TEXT else ""
        r.wrong(f"`{SIGNS[sign]}` can't order {left.type} values", "compare with =, <> or in (...)", why)
        return None
    if sign in (exp.GT, exp.GTE):
        left, right = right, left
    return Node("lt" if sign in (exp.LT, exp.GT) else "le", Type.BOOL, (left, right))


def between(r: Reader, e: exp.Expr) -> Node | None:
    trees = (e.this, e.args["low"], e.args["high"])
    nodes = r.read_all(trees)
    nodes = None if nodes is None else r.unify(nodes, trees, "`between`")
    if nodes is None:
        return None
    low, high = compare(r, exp.GTE, nodes[0], nodes[1]), compare(r, exp.LTE, nodes[0], nodes[2])
    return None if low is None or high is None else both("and", low, high)


def connective(r: Reader, e: exp.Expr) -> Node | None:
    word = "and" if isinstance(e, exp.And) else "or"
    sides = [r.read_as(t, Type.BOOL, f"`{word}`") for t in (e.this, e.expression)]
    known = [n for n in sides if n is not None]
    return both(word, known[0], known[1]) if len(known) == 2 else None


def negation(r: Reader, e: exp.Expr) -> Node | None:
    node = r.read_as(e.this, Type.BOOL, "`not`")
    return None if node is None else negate(node)


def test_is(r: Reader, e: exp.Expr) -> Node | None:
    tested = e.expression
    if isinstance(tested, exp.Null):
        node = r.read(e.this)
        return None if node is None else Node("is_null", Type.BOOL, (node,))
    if isinstance(tested, exp.Boolean):
        node = r.read_as(e.this, Type.BOOL, "`is true` or `is false`")
        if node is None:
            return None
        return Node("is_true", Type.BOOL, (node if tested.this else negate(node),))
    r.wrong(f"`is` tests for null, true or false: `{spell(e)}`", "write x is null, or x = y to compare")
    return None


def case(r: Reader, e: exp.Expr) -> Node | None:
    branches: Sequence[exp.Expr] = e.args["ifs"]
    trees = [*(b.args["true"] for b in branches), e.args.get("default") or exp.Null()]
    conditions = _conditions(r, e.this, [b.this for b in branches])
    values = r.read_all(trees)
    values = None if values is None else r.unify(values, trees, "`case`")
    if values is None or conditions is None:
        return None
    flat = [n for pair in zip(conditions, values, strict=False) for n in pair]
    return Node("case", values[0].type, (*flat, values[-1]))


def _conditions(r: Reader, subject: exp.Expr | None, tests: list[exp.Expr]) -> list[Node] | None:
    if subject is None:
        known = [r.read_as(t, Type.BOOL, "`when`") for t in tests]
        return None if None in known else [n for n in known if n is not None]
    sides = r.read_all([subject, *tests])
    sides = None if sides is None else r.unify(sides, [subject, *tests], "`case`")
    return None if sides is None else [Node("eq", Type.BOOL, (sides[0], s)) for s in sides[1:]]


def membership(r: Reader, e: exp.Expr) -> Node | None:
    if e.args.get("query") is not None or not e.expressions:
        r.wrong(f"`in` needs a list of literals: `{spell(e)}`", "write x in ('a', 'b')")
        return None
    trees = [e.this, *e.expressions]
    nodes = r.read_all(trees)
    nodes = None if nodes is None else r.unify(nodes, trees, "`in`")
    if nodes is None:
        return None
    odd = [t for n, t in zip(nodes[1:], e.expressions, strict=True) if n.op != "lit"]
    if odd:
        r.wrong(f"`in` needs literals, but `{spell(odd[0])}` is none", "write a = b or a = c")
        return None
    if nodes[0].type is Type.BOOL:
        parts = [Node("eq", Type.BOOL, (nodes[0], n)) for n in nodes[1:]]
        found = parts[0]
        for part in parts[1:]:
            found = both("or", found, part)
        return found
    return Node("in", Type.BOOL, (nodes[0],), tuple(dict.fromkeys(n.param for n in nodes[1:])))


def join_texts(r: Reader, e: exp.Expr) -> Node | None:
    sides = [r.read_as(t, Type.TEXT, "`||`") for t in (e.this, e.expression)]
    known = tuple(n for n in sides if n is not None)
    return Node("concat", Type.TEXT, known) if len(known) == 2 else None


def like(r: Reader, e: exp.Expr) -> Node | None:
    text = r.read_as(e.this, Type.TEXT, "`like`")
    pattern = e.expression
    if not isinstance(pattern, exp.Literal) or not pattern.is_string:
        r.wrong(f"`like` needs a literal pattern: `{spell(e)}`", "write x like 'abc%'")
        return None
    words = pattern.name
    core = words.strip("%")
    if "%" in core or "_" in words or "\\" in words:
        r.wrong(f"`like '{words}'` is beyond what the model graph can match",
                "use 'abc%', '%abc' or '%abc%', joined with and/or; starts_with() takes _ and % as they are",
                "patterns are limited to prefix, suffix and contains")  # fmt: skip
        return None
    if text is None:
        return None
    start, end = words.startswith("%"), words.endswith("%")
    found = Node("eq", Type.BOOL, (text, Node("lit", Type.TEXT, param=core)))
    if start or end:
        kind = "contains" if start and end else "suffix" if start else "prefix"
        found = Node("match", Type.BOOL, (text,), (kind, core))
    return negate(found) if e.args.get("negate") else found


def choice(r: Reader, e: exp.Expr) -> Node | None:
    """if(condition, then, else): the grammar reads it apart from other calls."""
    trees = [e.args["true"], e.args.get("false") or exp.Null()]
    condition = r.read_as(e.this, Type.BOOL, "if()")
    values = r.read_all(trees)
    values = None if values is None else r.unify(values, trees, "if()")
    return None if values is None or condition is None else Node("case", values[0].type, (condition, *values))


HANDLERS: dict[type[exp.Expr], Handler] = {
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Pow), arithmetic),
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE), comparison),
    **dict.fromkeys((exp.NullSafeEQ, exp.NullSafeNEQ), comparison),
    **dict.fromkeys((exp.And, exp.Or), connective),
    exp.Interval: lonely_span,
    exp.Neg: negative,
    exp.Between: between,
    exp.Not: negation,
    exp.Is: test_is,
    exp.Case: case,
    exp.If: choice,
    exp.In: membership,
    exp.DPipe: join_texts,
    exp.Like: like,
}
"""Which operator is read by what."""
