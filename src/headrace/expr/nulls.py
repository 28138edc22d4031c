"""What can be said about nulls from an expression alone, so that less is tested row by row."""

from __future__ import annotations

from headrace.core.schema import Type
from headrace.expr.nodes import Node


def never_null(node: Node) -> bool:
    """Whether the node's value can't be null, whatever the row."""
    match node.op:
        case "lit":
            return node.param is not None
        case "coalesce":
            return any(never_null(a) for a in node.args)
        case "concat" | "lower" | "upper":
            return all(never_null(a) for a in node.args)
        case "case":
            return all(never_null(v) for v in (*node.args[1::2], node.args[-1]))
    return node.type is Type.BOOL and doubts(node) == ()


def doubts(node: Node) -> tuple[Node, ...] | None:
    """The values of which a condition is null exactly where one is null; None where it is not so simple."""
    match node.op:
        case "lit":
            return () if node.param is not None else None
        case "col":
            return (node,)
        case "eq" | "lt" | "le" | "match":
            return _all_doubts(node.args)
        case "in":
            unsure = isinstance(node.param, tuple) and None in node.param
            return None if unsure else _all_doubts(node.args)
        case "not":
            return doubts(node.args[0])
        case "and" | "or":
            left, right = doubts(node.args[0]), doubts(node.args[1])
            return left if left is not None and right is not None and set(left) == set(right) else None
        case "is_null" | "is_true" | "same":
            return ()
    return None


def doubts_unless(node: Node, truth: bool) -> tuple[Node, ...] | None:
    """The same, for the rows on which the condition isn't `truth`: one side of `or` that is true, and of
    `and` that is false, decides alone."""
    match node.op:
        case "not":
            return doubts_unless(node.args[0], not truth)
        case "or" | "and" if truth is (node.op == "or"):
            left, right = (doubts_unless(a, truth) for a in node.args)
            return None if left is None or right is None else tuple(dict.fromkeys(left + right))
    return doubts(node)


def _all_doubts(nodes: tuple[Node, ...]) -> tuple[Node, ...] | None:
    found: list[Node] = []
    for node in nodes:
        below = doubts(node) if node.type is Type.BOOL else () if never_null(node) else (node,)
        if below is None:
            return None
        found.extend(below)
    return tuple(dict.fromkeys(found))
