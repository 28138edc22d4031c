"""The typed form between parser and emitters: what an expression means, free of any SQL dialect.

The law that makes graph and SQL agree: **NaN and ±infinity are null**, for raw columns and after every
operation. All numbers are IEEE doubles; zero has no sign. Text compares by code point. A time is a UTC
microsecond within the years 1 to 9999; one outside is null. Unless an operation says otherwise, a null
argument makes a null result. `and` and `or` are Kleene's.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from headrace.core.clock import micros
from headrace.core.schema import Type

OPS: dict[str, str] = {
    "lit": "a constant; param is its value (None for null, microseconds for a time)",
    "col": "a raw column; param is its name",
    "add": "a + b",
    "sub": "a - b",
    "mul": "a * b",
    "div": "a / b; null where b = 0",
    "mod": "the remainder of a / b truncated: the sign of a (C's fmod); null where b = 0",
    "neg": "-a",
    "abs": "|a|",
    "floor": "the greatest whole number <= a",
    "ceil": "the least whole number >= a",
    "trunc": "a without its fraction",
    "round": "the nearest whole number, ties away from zero",
    "round_even": "the nearest whole number, ties to the even one",
    "sign": "-1, 0 or 1",
    "sqrt": "square root; null where a < 0",
    "ln": "natural logarithm; null where a <= 0",
    "exp": "e to the power a",
    "pow": "a to the power b; null where that is not a finite real number",
    "sin": "sine of a in radians",
    "cos": "cosine of a in radians",
    "greatest": "the greatest of the arguments that are not null",
    "least": "the least of the arguments that are not null",
    "eq": "a = b",
    "lt": "a < b (numbers and times)",
    "le": "a <= b (numbers and times)",
    "same": "a = b, or both are null; never null",
    "and": "Kleene's and",
    "or": "Kleene's or",
    "not": "Kleene's not",
    "is_null": "true where a is null, else false",
    "is_true": "true where a is true, false where it is false or null",
    "case": "args are c1, v1, c2, v2, ..., else: the value of the first condition that is true",
    "coalesce": "the first argument that is not null",
    "in": "a equals one of the literals in param; a null among them makes a miss null",
    "code": "1 where the condition is true, 0 where it is false",
    "concat": "the arguments end to end; null where one is null",
    "lower": "lower case",
    "upper": "upper case",
    "match": "param (kind, text): a contains, starts or ends with the text",
    "parse": "the number that a text spells (see NUMBER_TEXT), else null",
    "part": "param (part, zone): a part of the wall clock in the zone",
    "index": "param (unit, zone): how many starts of the unit the wall clock has passed, from a fixed one",
    "start": "param (unit, zone): the moment the time's unit began on the zone's wall clock",
    "shift": "a time moved by param microseconds; null outside the years 1 to 9999",
    "elapsed": "seconds from b to a",
}
"""Every operation: its definition. Both emitters cover exactly these."""

PARTS = (
    *("year", "quarter", "month", "day", "hour", "minute", "second"),
    *("dayofweek", "isodow", "dayofyear", "week", "epoch"),
)
UNITS = ("second", "minute", "hour", "day", "week", "month", "quarter", "year")

NUMBER_TEXT = r"[+-]?[0-9]{1,17}(\.[0-9]{0,17})?([eE][+-]?[0-9]{1,2})?"
"""The texts that `parse` reads as numbers: no spaces, no grouping, no hexadecimal, no infinity."""

MIN_TIME = micros(datetime(1, 1, 1, tzinfo=UTC))
MAX_TIME = micros(datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC))

Param = None | bool | int | float | str | tuple["Param", ...]


@dataclass(frozen=True)
class Node:
    """One operation of `OPS` on `args`. Equal nodes mean the same value on every row.

    `depth` and `size` are those of the tree (what is shared counts each time). `bound` is how large the
    magnitude of a number can be before the law is applied: infinity says that the
    plain operation may give an infinity or NaN, which has to be made null wherever it would be seen.
    """

    op: str
    type: Type
    args: tuple[Node, ...] = ()
    param: Param = None
    depth: int = field(init=False, compare=False)
    size: int = field(init=False, compare=False)
    bound: float = field(init=False, compare=False)
    _hash: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", 1 + max((a.depth for a in self.args), default=0))
        object.__setattr__(self, "size", 1 + sum(a.size for a in self.args))
        object.__setattr__(self, "bound", _bound(self))
        object.__setattr__(self, "_hash", hash((self.op, self.type, self.args, self.param)))

    def __hash__(self) -> int:
        return self._hash  # known since birth: emitters look every node up many times


@dataclass(frozen=True)
class Expr:
    """A checked expression: its text, meaning, type, the raw columns it reads (sorted), and the zone whose
    wall clock its date parts use."""

    text: str
    node: Node
    type: Type
    columns: tuple[str, ...]
    zone: str


def number(value: float) -> Node:
    """A number; minus zero is zero."""
    return Node("lit", Type.NUMBER, param=float(value) + 0.0)


def null(kind: Type) -> Node:
    """A null of a type."""
    return Node("lit", kind, param=None)


def is_null_literal(node: Node) -> bool:
    """Whether the node is a literal null, which fits any type."""
    return node.op == "lit" and node.param is None


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it; shared parts once."""
    seen, stack = set(), [node]
    while stack:
        top = stack.pop()
        if top not in seen:
            seen.add(top)
            yield top
            stack.extend(top.args)


def _bound(node: Node) -> float:
    """Sound because rounding to double is monotone: |a + b| <= A + B, computed in double."""
    args = node.args
    match node.op:
        case "lit":
            return abs(node.param) if isinstance(node.param, float) else 0.0
        case "add" | "sub":
            return args[0].bound + args[1].bound
        case "mul":
            return math.inf if math.inf in (args[0].bound, args[1].bound) else args[0].bound * args[1].bound
        case "div":
            by = args[1].param if args[1].op == "lit" else None
            return args[0].bound / abs(by) if isinstance(by, float) and by != 0 else math.inf
        case "neg" | "abs" | "floor" | "ceil" | "trunc" | "round" | "round_even":
            return args[0].bound + 1
        case "sin" | "cos" | "sign" | "code":
            return 1.0
        case "greatest" | "least":
            return max(_seen(a) for a in args)
        case "case":
            return max(v.bound for v in (*args[1::2], args[-1]))
        case "coalesce":
            return max([*(_seen(a) for a in args[:-1]), args[-1].bound])
        case "part" | "index" | "elapsed":
            return 1e13
        case "parse":
            return 1e120
        case _:
            return math.inf


def _seen(node: Node) -> float:
    return min(node.bound, sys.float_info.max)
