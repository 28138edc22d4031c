"""The functions of the expression language as data: name, parameters, meaning, and how each is made of
operations. `docs/expressions.md` is tested against this table.

Parameters are written as words: a type (`number`, `bool`, `text`, `time`), `any` (all `any` of a call have
one type), or a literal (`'text'`, `whole`, `'part'`, `'unit'`). A trailing `?` makes it optional, `*` lets
it repeat.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from headrace.core.schema import Type
from headrace.expr.nodes import PARTS, UNITS, Node, null, number

Build = Callable[[Sequence[Node], str], Node]
"""Checked arguments and the zone to a node; the arguments' count and types are as declared."""


@dataclass(frozen=True)
class Function:
    """A function a user may call."""

    name: str
    parameters: tuple[str, ...]
    returns: str
    meaning: str
    build: Build

    @property
    def signature(self) -> str:
        """For people, such as `round(number, whole?) -> number`."""
        return f"{self.name}({', '.join(self.parameters)}) -> {self.returns}"

    @property
    def least(self) -> int:
        """The fewest arguments a call takes."""
        return sum(not p.endswith(("?", "*")) for p in self.parameters)

    @property
    def most(self) -> int | None:
        """The most arguments a call takes; None without limit."""
        return None if any(p.endswith("*") for p in self.parameters) else len(self.parameters)

    def parameter(self, index: int) -> str:
        """The word that declares argument `index`, without `?` and `*`."""
        return self.parameters[min(index, len(self.parameters) - 1)].rstrip("?*")


def _op(op: str, kind: Type = Type.NUMBER, *, swap: bool = False) -> Build:
    return lambda args, _zone: Node(op, kind, tuple(reversed(args) if swap else args))


def _same(op: str) -> Build:
    return lambda args, _zone: Node(op, args[0].type, tuple(args))


def _log(base: float) -> Build:
    def build(args: Sequence[Node], _zone: str) -> Node:
        return Node("div", Type.NUMBER, (Node("ln", Type.NUMBER, (args[0],)), number(math.log(base))))

    return build


def _tan(args: Sequence[Node], _zone: str) -> Node:
    sides = (Node("sin", Type.NUMBER, (args[0],)), Node("cos", Type.NUMBER, (args[0],)))
    return Node("div", Type.NUMBER, sides)


def _round(args: Sequence[Node], _zone: str) -> Node:
    if len(args) == 1 or args[1].param == 0:
        return Node("round", Type.NUMBER, (args[0],))
    digits = int(float(str(args[1].param)))
    scale = number(10.0 ** abs(digits))
    there, back = ("mul", "div") if digits > 0 else ("div", "mul")
    whole = Node("round", Type.NUMBER, (Node(there, Type.NUMBER, (args[0], scale)),))
    return Node(back, Type.NUMBER, (whole, scale))


def _nullif(args: Sequence[Node], _zone: str) -> Node:
    same = Node("eq", Type.BOOL, tuple(args))
    return Node("case", args[0].type, (same, null(args[0].type), args[0]))


def _if(args: Sequence[Node], _zone: str) -> Node:
    otherwise = args[2] if len(args) == 3 else null(args[1].type)
    return Node("case", args[1].type, (args[0], args[1], otherwise))


def concat_or_empty(args: Sequence[Node], _zone: str) -> Node:
    """Texts end to end, null as the empty text."""
    empty = Node("lit", Type.TEXT, param="")
    full = tuple(Node("coalesce", Type.TEXT, (a, empty)) if a.op != "lit" else a for a in args)
    return Node("concat", Type.TEXT, full)


def match(kind: str) -> Build:
    """Whether a text contains, starts or ends with a literal."""
    return lambda args, _zone: Node("match", Type.BOOL, (args[0],), (kind, str(args[1].param)))


def part_of(part: str) -> Build:
    """A part of the wall clock."""
    return lambda args, zone: Node(
        "part", Type.NUMBER, (args[-1],), (part, "UTC" if part == "epoch" else zone)
    )


def _date_part(args: Sequence[Node], zone: str) -> Node:
    return part_of(part_name(str(args[0].param)) or "")(args, zone)


def _date_trunc(args: Sequence[Node], zone: str) -> Node:
    return Node("start", Type.TIME, (args[1],), (unit_name(str(args[0].param)) or "", zone))


def _date_diff(args: Sequence[Node], zone: str) -> Node:
    param = (unit_name(str(args[0].param)) or "", zone)
    first, last = (Node("index", Type.NUMBER, (a,), param) for a in args[1:])
    return Node("sub", Type.NUMBER, (last, first))


_PART_ALIASES = {"dow": "dayofweek", "weekday": "dayofweek", "doy": "dayofyear", "dayofmonth": "day"}
_PART_ALIASES |= {"weekofyear": "week", "years": "year", "months": "month", "days": "day", "hours": "hour"}
_PART_ALIASES |= {"minutes": "minute", "seconds": "second"}


def part_name(word: str) -> str | None:
    """The part of a time that a word names, if any."""
    name = _PART_ALIASES.get(word.lower(), word.lower())
    return name if name in PARTS else None


def unit_name(word: str) -> str | None:
    """The unit that a word names, if any."""
    name = word.lower().removesuffix("s")
    return name if name in UNITS else None


def _table(*functions: Function) -> dict[str, Function]:
    return {f.name: f for f in functions}


def _f(name: str, parameters: str, returns: str, meaning: str, build: Build) -> Function:
    return Function(name, tuple(parameters.split()), returns, meaning, build)


_NUMBERS = (
    _f("abs", "number", "number", "magnitude", _op("abs")),
    _f("ceil", "number", "number", "the least whole number that is not below", _op("ceil")),
    _f("ceiling", "number", "number", "same as ceil", _op("ceil")),
    _f("cos", "number", "number", "cosine of radians", _op("cos")),
    _f("exp", "number", "number", "e to that power", _op("exp")),
    _f("floor", "number", "number", "the greatest whole number that is not above", _op("floor")),
    _f("ln", "number", "number", "natural logarithm; null at or below 0", _op("ln")),
    _f("log", "number", "number", "same as log10", _log(10)),
    _f("log10", "number", "number", "ln(x) / ln(10); null at or below 0", _log(10)),
    _f("log2", "number", "number", "ln(x) / ln(2); null at or below 0", _log(2)),
    _f("mod", "number number", "number", "same as %: the remainder with the sign of the first", _op("mod")),
    _f("pi", "", "number", "3.141592653589793", lambda _a, _z: number(math.pi)),
    _f("pow", "number number", "number", "same as power", _op("pow")),
    _f("power", "number number", "number", "the first to the power of the second", _op("pow")),
    _f("radians", "number", "number", "degrees times pi / 180",
       lambda a, _z: Node("mul", Type.NUMBER, (a[0], number(math.pi / 180)))),
    _f("round", "number whole?", "number",
       "the nearest whole number, or the nearest at that many decimals; ties away from zero", _round),
    _f("sign", "number", "number", "-1, 0 or 1", _op("sign")),
    _f("sin", "number", "number", "sine of radians", _op("sin")),
    _f("sqrt", "number", "number", "square root; null below 0", _op("sqrt")),
    _f("tan", "number", "number", "sin(x) / cos(x)", _tan),
    _f("trunc", "number", "number", "the number without its fraction", _op("trunc")),
)  # fmt: skip

_CHOICES = (
    _f("coalesce", "any any*", "any", "the first that is not null", _same("coalesce")),
    _f("greatest", "any any*", "any", "the greatest that is not null (numbers or times)", _same("greatest")),
    _f("if", "bool any any?", "any", "the second where the first is true, else the third (or null)", _if),
    _f("iff", "bool any any?", "any", "same as if", _if),
    _f("ifnull", "any any", "any", "same as coalesce", _same("coalesce")),
    _f("least", "any any*", "any", "the least that is not null (numbers or times)", _same("least")),
    _f("nullif", "any any", "any", "null where both are equal, else the first", _nullif),
)

_TEXTS = (
    _f("concat", "text text*", "text", "end to end, null as empty (|| gives null instead)", concat_or_empty),
    _f("contains", "text 'text'", "bool", "true where the text holds the literal", match("contains")),
    _f("ends_with", "text 'text'", "bool", "true where it ends with the literal", match("suffix")),
    _f("lcase", "text", "text", "same as lower", _op("lower", Type.TEXT)),
    _f("lower", "text", "text", "lower case, one code point for one", _op("lower", Type.TEXT)),
    _f("prefix", "text 'text'", "bool", "same as starts_with", match("prefix")),
    _f("starts_with", "text 'text'", "bool", "true where it starts with the literal", match("prefix")),
    _f("suffix", "text 'text'", "bool", "same as ends_with", match("suffix")),
    _f("ucase", "text", "text", "same as upper", _op("upper", Type.TEXT)),
    _f("upper", "text", "text", "upper case, one code point for one (ß stays)", _op("upper", Type.TEXT)),
)

_MEANINGS = {
    "year": "year of the wall clock",
    "quarter": "1 to 4",
    "month": "1 to 12",
    "day": "day of the month",
    "hour": "0 to 23",
    "minute": "0 to 59",
    "second": "0 to 59, whole",
    "dayofweek": "0 Sunday to 6 Saturday",
    "isodow": "1 Monday to 7 Sunday",
    "dayofyear": "1 to 366",
    "week": "ISO 8601 week, 1 to 53",
    "epoch": "seconds since 1970-01-01 UTC, with fraction",
}

_TIMES = (
    *(_f(p, "time", "number", _MEANINGS[p], part_of(p)) for p in PARTS),
    _f("dayofmonth", "time", "number", "same as day", part_of("day")),
    _f("weekofyear", "time", "number", "same as week", part_of("week")),
    _f("date_part", "'part' time", "number", "a part by its name, as extract(part from time)", _date_part),
    _f("datepart", "'part' time", "number", "same as date_part", _date_part),
    _f("date_trunc", "'unit' time", "time", "the moment its unit began on the wall clock", _date_trunc),
    _f("datetrunc", "'unit' time", "time", "same as date_trunc", _date_trunc),
    _f("date_diff", "'unit' time time", "number",
       "how many times the unit starts on the wall clock after the first, up to the second", _date_diff),
    _f("datediff", "'unit' time time", "number", "same as date_diff", _date_diff),
)  # fmt: skip

FUNCTIONS: dict[str, Function] = _table(*_NUMBERS, *_CHOICES, *_TEXTS, *_TIMES)
"""Every function by its lower-case name."""

_AGGREGATE = (
    "it looks at many rows, and a row expression sees one",
    "prepare it as a column of the source (`read:`)",
)
_LENGTH = ("the model graph can't count characters", "compare with texts: x = '', starts_with(x, 'ab')")
_CUT = ("the model graph can't cut or rewrite text", "prepare the column in the source (`read:`)")
_TRIM = ("the model graph can't cut text", "declare it for the column: clean: {columns: {x: {trim: true}}}")
_READ = (
    "the model graph can't read times",
    "declare the format for the column: clean: {columns: {x: {parse: '%d/%m/%Y'}}}",
)
_NOW = ("the answer must not depend on when it is computed", "use the row's own time columns")
_CHANCE = ("the answer must be the same every time", "leave it out")
_ATAN = ("onnxruntime has no arc functions in double precision", "keep sine and cosine as two features")
_FORMAT = ("the model graph can't spell times as text", "use date parts, such as year(t) and month(t)")
_WINDOW = (
    "it looks at other rows, and a row expression sees one",
    "prepare it as a column of the source (`read:`)",
)

REFUSED: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("sum", "avg", "mean", "count", "min", "max", "median", "mode", "stddev", "stddev_samp", "variance"),
        _AGGREGATE,
    ),
    **dict.fromkeys(
        ("var_samp", "quantile", "quantile_cont", "first", "last", "any_value", "list"), _AGGREGATE
    ),
    **dict.fromkeys(("row_number", "rank", "dense_rank", "lag", "lead", "ntile", "first_value"), _WINDOW),
    **dict.fromkeys(("length", "len", "char_length", "strlen"), _LENGTH),
    **dict.fromkeys(("substring", "substr", "left", "right", "replace"), _CUT),
    **dict.fromkeys(("trim", "ltrim", "rtrim"), _TRIM),
    **dict.fromkeys(("regexp_matches", "regexp_replace", "regexp_extract", "split_part", "reverse"), _CUT),
    **dict.fromkeys(("now", "current_date", "current_timestamp", "today", "get_current_timestamp"), _NOW),
    **dict.fromkeys(("random", "uuid", "setseed"), _CHANCE),
    **dict.fromkeys(("asin", "acos", "atan", "atan2"), _ATAN),
    **dict.fromkeys(("strftime", "to_char"), _FORMAT),
    **dict.fromkeys(("strptime", "try_strptime"), _READ),
}
"""Functions of SQL that are refused by name: why, and what to do instead."""
