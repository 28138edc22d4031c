"""What the readers of syntax share: the columns, the zone, and the mistakes found so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from headrace.core.errors import Problem
from headrace.core.schema import Type
from headrace.expr.literals import read_moment
from headrace.expr.nodes import Node, is_null_literal
from headrace.expr.syntax import spell

Handler = Callable[["Reader", exp.Expr], Node | None]


@dataclass
class Reader:
    """Turns syntax into nodes. A handler answers None where it has noted a problem, so that the mistakes in
    the other branches are found too."""

    columns: Mapping[str, Type]
    zone: str
    where: str
    handlers: Mapping[type[exp.Expr], Handler]
    problems: list[Problem] = field(default_factory=list)

    def wrong(self, what: str, fix: str = "", why: str = "") -> None:
        """Note a mistake."""
        problem = Problem(what, self.where, why, fix)
        if problem not in self.problems:
            self.problems.append(problem)

    def read(self, tree: exp.Expr) -> Node | None:
        """The node of a piece of syntax, or None with the problem noted."""
        handler = self.handlers.get(type(tree))
        if handler is None:
            self.wrong(f"`{spell(tree)}` is not part of the expression language",
                       "docs/expressions.md lists what is")  # fmt: skip
            return None
        return handler(self, tree)

    def read_all(self, trees: Sequence[exp.Expr]) -> list[Node] | None:
        """The nodes of all pieces, or None if any has a problem (all are read)."""
        nodes = [self.read(t) for t in trees]
        return None if None in nodes else [n for n in nodes if n is not None]

    def read_as(self, tree: exp.Expr, kind: Type, use: str) -> Node | None:
        """The node of a piece that has to be of a type; `use` says what needs it."""
        node = self.read(tree)
        return None if node is None else self.fit(node, kind, tree, use)

    def fit(self, node: Node, kind: Type, tree: exp.Expr, use: str) -> Node | None:
        """The node as a type: a literal null fits any, a text literal spells a time."""
        if node.type is kind:
            return node
        if is_null_literal(node):
            return Node("lit", kind)
        if kind is Type.TIME and node.op == "lit" and node.type is Type.TEXT:
            return self.moment(str(node.param))
        self.wrong(
            f"{use} needs {a(kind)}, but `{spell(tree)}` is {a(node.type)}", _mend(node.type, kind, tree)
        )
        return None

    def unify(self, nodes: Sequence[Node], trees: Sequence[exp.Expr], use: str) -> list[Node] | None:
        """Nodes that have to be of one type, as that type."""
        kinds = [n.type for n in nodes if not is_null_literal(n)]
        if not kinds:
            return list(nodes)
        kind = Type.TIME if Type.TIME in kinds else kinds[0]
        fitted = []
        for node, tree in zip(nodes, trees, strict=True):
            if node.type is not kind and not is_null_literal(node) and not _spells(node, kind):
                other = next(t for n, t in zip(nodes, trees, strict=True) if n.type is kind)
                self.wrong(f"{use} can't mix {kind} and {node.type}: "
                           f"`{spell(other)}` is {a(kind)}, `{spell(tree)}` is {a(node.type)}",
                           _mend(node.type, kind, tree))  # fmt: skip
                return None
            fitted.append(self.fit(node, kind, tree, use))
        return None if None in fitted else [n for n in fitted if n is not None]

    def moment(self, text: str) -> Node | None:
        """A time literal."""
        found = read_moment(text, self.zone)
        if isinstance(found, str):
            self.wrong(found, "write '2013-01-31', '2013-01-31 17:30' or '2013-01-31 17:30:00+02:00'")
            return None
        return Node("lit", Type.TIME, param=found)


def a(kind: Type) -> str:
    """A type in a sentence."""
    return {Type.NUMBER: "a number", Type.BOOL: "true or false", Type.TEXT: "text", Type.TIME: "a time"}[kind]


def _spells(node: Node, kind: Type) -> bool:
    return kind is Type.TIME and node.op == "lit" and node.type is Type.TEXT


def _mend(have: Type, need: Type, tree: exp.Expr) -> str:
    text = spell(tree)
    match have, need:
        case Type.TEXT, Type.NUMBER:
            return f"cast({text} as double), if it spells numbers"
        case Type.BOOL, Type.NUMBER:
            return f"cast({text} as int)"
        case Type.TIME, Type.NUMBER:
            return f"take a part, such as hour({text}), or a difference of two times"
        case Type.NUMBER, Type.BOOL:
            return f"compare it, such as {text} > 0"
        case Type.TEXT, Type.BOOL:
            return f"compare it, such as {text} = 'yes'"
        case Type.TEXT, Type.TIME:
            return "give the column's type and zone in the data section, so that it is read as a time"
        case Type.NUMBER, Type.TEXT:
            return "compare numbers with numbers, without quotes"
    return f"use {a(need)} there"
