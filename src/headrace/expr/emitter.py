"""What the rooms that emit ONNX share: one emitter a builder, and who makes which operation.

Inside a graph a number is double with NaN for null; before the law is applied it may be infinite
(`number`), after it is not (`clean`). A condition is two BOOL tensors, `yes` (is true) and `no` (is false),
made only where needed; neither holds for null. Texts and times carry their null marks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto

from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.expr.nodes import MAX_TIME, MIN_TIME, Node
from headrace.expr.nulls import doubts, never_null
from headrace.graph.build import GraphBuilder

Make = Callable[["Emitter", Node], str]


RANGED = ("col", "shift", "start")
"""Operations whose times have to be checked for the years 1 to 9999."""


@dataclass(frozen=True)
class Rooms:
    """Operations by what they make."""

    numbers: Mapping[str, Make]
    yes: Mapping[str, Make]
    no: Mapping[str, Make]
    truth: Make
    texts: Mapping[str, Make]
    times: Mapping[str, Make]


@dataclass(frozen=True)
class Emitter:
    """Adds the tensors of nodes to a builder, each once. Every method returns a tensor's name; constants
    stay scalars, which broadcast."""

    g: GraphBuilder
    rooms: Rooms

    def once(self, key: tuple[Any, ...], make: Callable[[], str]) -> str:
        """The tensor of that meaning, made at first use."""
        if key not in self.g.memo:
            self.g.memo[key] = make()
        return str(self.g.memo[key])

    def number(self, node: Node) -> str:
        """Double; may be infinite where `node.bound` is, which means null."""
        return self.once(("number", node), lambda: self.rooms.numbers[node.op](self, node))

    def clean(self, node: Node) -> str:
        """Double; null is NaN, never infinite."""
        tensor = self.number(node)
        # C's fmod(x, inf) is x where x is finite, and fmod(inf, inf) is NaN: the law in one operation
        return tensor if node.bound < math.inf else self.fmod(tensor, self.double(math.inf))

    def yes(self, node: Node) -> str:
        """BOOL: the condition is true."""
        return self.once(("yes", node), lambda: self.rooms.yes[node.op](self, node))

    def no(self, node: Node) -> str:
        """BOOL: the condition is false (not null)."""
        return self.once(("no", node), lambda: self.rooms.no[node.op](self, node))

    def truth(self, node: Node) -> str:
        """Double: 1 where the condition is true, 0 where false, NaN where null."""
        return self.once(("truth", node), lambda: self.rooms.truth(self, node))

    def text(self, node: Node) -> str:
        """String; null is NULL_TEXT."""
        return self.once(("text", node), lambda: self.rooms.texts[node.op](self, node))

    def moment(self, node: Node) -> str:
        """int64 microseconds; where the time is not `known`, whatever."""
        return self.once(("moment", node), lambda: self.rooms.times[node.op](self, node))

    def time(self, node: Node) -> str:
        """int64 microseconds within the years 1 to 9999; null is NULL_TIME."""
        tensor = self.moment(node)
        if node.op not in RANGED:
            return tensor
        return self.op("Where", self.known(node), tensor, self.whole(NULL_TIME))

    def value(self, node: Node) -> str:
        """The tensor of a value, clean, in the form of a raw column."""
        kinds = {Type.NUMBER: self.clean, Type.BOOL: self.truth, Type.TEXT: self.text, Type.TIME: self.time}
        return kinds[node.type](node)

    def known(self, node: Node) -> str:
        """BOOL: the value is not null."""
        return self.once(("known", node), lambda: self._known(node))

    def _known(self, node: Node) -> str:
        match node.type:
            case Type.TIME if node.op in RANGED:
                tensor = self.moment(node)
                # no Clip: onnxruntime's is wrong for int64 within 2^32 of a limit
                begun = self.op("GreaterOrEqual", tensor, self.whole(MIN_TIME))
                return self.op("And", begun, self.op("LessOrEqual", tensor, self.whole(MAX_TIME)))
            case Type.TIME:
                return self.op("Greater", self.moment(node), self.whole(NULL_TIME))
            case Type.BOOL if doubts(node) is None:
                return self.op("Or", self.yes(node), self.no(node))
        return self.op("Not", self.missing(node))

    def missing(self, node: Node) -> str:
        """BOOL: the value is null."""
        return self.once(("missing", node), lambda: self._missing(node))

    def _missing(self, node: Node) -> str:
        match node.type:
            case Type.NUMBER:
                return self.op("IsNaN", self.clean(node))
            case Type.TEXT:
                return self.op("Equal", self.text(node), self.g.constant(NULL_TEXT))
            case Type.BOOL if node.op == "col":
                return self.op("IsNaN", self.truth(node))
            case Type.BOOL if (below := doubts(node)) is not None:
                return self.any_missing(*below) or self.flag(False)
        return self.op("Not", self.known(node))

    def any_missing(self, *nodes: Node) -> str | None:
        """BOOL: one of the values is null; None where that is certainly not so."""
        doubtful = [n for n in nodes if not never_null(n)]
        return self.fold("Or", [self.missing(n) for n in doubtful]) if doubtful else None

    def all_known(self, *nodes: Node) -> str | None:
        """BOOL: none of the values is null; None where that is certain."""
        doubtful = [n for n in nodes if not never_null(n)]
        return self.fold("And", [self.known(n) for n in doubtful]) if doubtful else None

    def masked(self, tensor: str, null: str, *nodes: Node) -> str:
        """The tensor where none of the nodes is null, else a null."""
        if all(n.type is Type.TIME for n in nodes):  # of a time it is cheaper to see that it is known
            known = self.all_known(*nodes)
            return tensor if known is None else self.op("Where", known, tensor, null)
        missing = self.any_missing(*nodes)
        return tensor if missing is None else self.op("Where", missing, null, tensor)

    def zeros(self, *nodes: Node) -> str:
        """Double: 0 where none of the nodes is null, else NaN."""
        doubles = {Type.NUMBER: self.number, Type.BOOL: self.truth}
        tensors = [doubles[n.type](n) for n in nodes if n.type in doubles and not never_null(n)]
        # x - x is 0, and NaN where x is NaN or infinite
        made = self.fold("Add", [self.op("Sub", t, t) for t in tensors]) if tensors else self.double(0)
        return self.masked(made, self.double(math.nan), *(n for n in nodes if n.type not in doubles))

    def choose(self, node: Node, emit: Callable[[Node], str]) -> str:
        """A `case` of numbers, texts or times."""
        made = emit(node.args[-1])
        for condition, value in reversed(list(zip(node.args[:-1:2], node.args[1::2], strict=True))):
            made = self.op("Where", self.yes(condition), emit(value), made)
        return made

    def first_known(self, node: Node, emit: Callable[[Node], str]) -> str:
        """A `coalesce` of numbers, texts or times."""
        made = emit(node.args[-1])
        for value in reversed(node.args[:-1]):
            if value.type is Type.TIME:
                made = self.op("Where", self.known(value), emit(value), made)
            else:
                made = self.op("Where", self.missing(value), made, emit(value))
        return made

    def op(self, name: str, *tensors: str) -> str:
        """A plain operation without attributes, once for equal tensors."""
        return self.once(("op", name, *tensors), lambda: self.g.node(name, *tensors))

    def fmod(self, tensor: str, by: str) -> str:
        """C's fmod of two doubles: exact, with the sign of the first."""
        return self.once(("fmod", tensor, by), lambda: self.g.node("Mod", tensor, by, fmod=1))

    def fold(self, name: str, tensors: list[str]) -> str:
        """An operation of two, over several from the left."""
        made = tensors[0]
        for tensor in tensors[1:]:
            made = self.op(name, made, tensor)
        return made

    def cast(self, tensor: str, to: int) -> str:
        """Another element type."""
        return self.once(("cast", tensor, to), lambda: self.g.node("Cast", tensor, to=to))

    def to_double(self, tensor: str) -> str:
        """As double."""
        return self.cast(tensor, TensorProto.DOUBLE)

    def double(self, value: float) -> str:
        """A constant double."""
        return self.g.constant(value, np.float64)

    def whole(self, value: int) -> str:
        """A constant int64."""
        return self.g.constant(value, np.int64)

    def flag(self, value: bool) -> str:
        """A constant BOOL."""
        return self.g.constant(value, np.bool_)
