"""Expressions to SQL: to DuckDB's with the graph's meaning to the bit, to others' as `expr.dialects` says.

Raw columns are named as in the expression, quoted; times in them are TIMESTAMP in UTC. A result is DOUBLE,
BOOLEAN, VARCHAR or TIMESTAMP (UTC).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from headrace.core.errors import ExprError
from headrace.core.schema import Type
from headrace.core.sql import sql_text
from headrace.expr.nodes import MAX_TIME, MIN_TIME, NUMBER_TEXT, OPS, Expr, Node, Param
from headrace.expr.zones import Offsets, offsets

_SHORT, _SMALL = 120, 4
_ZERO_MICROS = 719_468 * 86_400_000_000
_UNIT_MICROS = {"second": 1_000_000, "minute": 60_000_000, "hour": 3_600_000_000, "day": 86_400_000_000}
_TYPES = {Type.NUMBER: "DOUBLE", Type.BOOL: "BOOLEAN", Type.TEXT: "VARCHAR", Type.TIME: "TIMESTAMP"}


@dataclass(frozen=True)
class Dialect:
    """A database's way of writing. `write` has a writer for each operation that it has, `bind(sql, name,
    use)` names a text inside another, `finite` makes infinity and NaN null, `double` spells a number, `text`
    quotes one."""

    name: str
    types: Mapping[Type, str]
    write: Mapping[str, Write]
    bind: Callable[[str, str, str], str]
    finite: Callable[[str], str]
    double: Callable[[float], str]
    text: Callable[[str], str]
    mark: str = '"'
    """What stands around a name."""

    def named(self, name: str) -> str:
        """A name, quoted."""
        return self.mark + name.replace(self.mark, self.mark * 2) + self.mark


def to_sql(expr: Expr, dialect: Dialect | None = None) -> str:
    """One expression of DuckDB's (or of another dialect). Its size stays proportional to the expression's.

    Raises:
        ExprError: the dialect has no exact form of an operation.
    """
    return Writer(dialect or DUCKDB).value(expr.node)


@dataclass
class Writer:
    """Writes nodes; `number` may be infinite or NaN where a node's bound is infinite, `value` is not.

    What is long and needed more than once is bound to a name by a lambda, so that nesting can't blow up.
    """

    dialect: Dialect
    count: int = 0
    bound: dict[Node, str] = field(default_factory=dict)
    zones: dict[str, Offsets] = field(default_factory=dict)

    def number(self, node: Node) -> str:
        if node in self.bound:
            return self.bound[node]
        repeated = [(n, self.value(n)) for n in _repeated(node) if n not in self.bound]
        names = [self.name() for _ in repeated]
        self.bound.update((n, name) for (n, _), name in zip(repeated, names, strict=True))
        write = self.dialect.write.get(node.op)
        if write is None:
            raise ExprError(
                f"{self.dialect.name} has no exact form of the operation {node.op!r}",
                why=f"{node.op}: {OPS[node.op]}",
                fix="compute it in a column of the table, or emit the SQL for DuckDB",
            )
        text = write(self, node)
        for (n, sql), name in reversed(list(zip(repeated, names, strict=True))):
            del self.bound[n]
            text = self.dialect.bind(sql, name, text)
        return text

    def value(self, node: Node) -> str:
        plain = self.number(node)
        if node in self.bound or node.type is not Type.NUMBER or node.bound < math.inf:
            return plain
        return self.let(plain, self.dialect.finite)

    def let(self, sql: str, use: Callable[[str], str]) -> str:
        """Use a text several times."""
        if len(sql) <= _SHORT:
            return use(sql)
        name = self.name()
        return self.dialect.bind(sql, name, use(name))

    def zone(self, zone: str) -> Offsets:
        if zone not in self.zones:
            self.zones[zone] = offsets(zone)
        return self.zones[zone]

    def name(self) -> str:
        self.count += 1
        return f"v{self.count}"


def _bind(sql: str, name: str, use: str) -> str:
    return f"list_transform([{sql}], lambda {name}: {use})[1]"


def _repeated(node: Node) -> list[Node]:
    """Long parts that the node's own text would hold twice, as the subject of `case x when ...` does."""
    near = [n for a in node.args for n in (a, *a.args) if n.size > _SMALL]
    return [n for n, times in Counter(near).items() if times > 1]


Write = Callable[[Writer, Node], str]


def moment(micros: int) -> str:
    """A moment in UTC as a literal."""
    at = datetime(1970, 1, 1) + timedelta(microseconds=micros)
    return f"TIMESTAMP '{at.isoformat(sep=' ')}'"


def double(value: float) -> str:
    """A number that SQL reads as a double, not as a decimal."""
    spelled = repr(value)
    spelled = spelled if "e" in spelled else spelled + "e0"
    return f"({spelled})" if spelled.startswith("-") else spelled


def _spell(w: Writer, kind: Type, value: Param) -> str:
    if value is None:
        return f"CAST(NULL AS {w.dialect.types[kind]})"
    match kind:
        case Type.NUMBER:
            return w.dialect.double(float(str(value)))
        case Type.BOOL:
            return "true" if value else "false"
        case Type.TIME:
            return moment(int(str(value)))
        case Type.TEXT:
            return w.dialect.text(str(value))


def _literal(w: Writer, node: Node) -> str:
    return _spell(w, node.type, node.param)


def _column(w: Writer, node: Node) -> str:
    name = w.dialect.named(str(node.param))
    if node.type is Type.TIME:
        return in_range(w, name)
    return f"CAST({name} AS {w.dialect.types[node.type]})"


def in_range(w: Writer, sql: str) -> str:
    """A time, null outside the years that times have."""
    low, high = moment(MIN_TIME), moment(MAX_TIME)
    return w.let(sql, lambda v: f"CASE WHEN {v} BETWEEN {low} AND {high} THEN {v} END")


def _infix(sign: str) -> Callable[[Writer, Node], str]:
    return lambda w, node: f"({w.number(node.args[0])} {sign} {w.number(node.args[1])})"


def _infix_clean(sign: str) -> Callable[[Writer, Node], str]:
    return lambda w, node: f"({w.value(node.args[0])} {sign} {w.value(node.args[1])})"


def _divide(sign: str) -> Callable[[Writer, Node], str]:
    return lambda w, node: f"({w.number(node.args[0])} {sign} {w.value(node.args[1])})"


def _call(name: str) -> Callable[[Writer, Node], str]:
    return lambda w, node: f"{name}({', '.join(w.value(a) for a in node.args)})"


def _call_number(name: str) -> Callable[[Writer, Node], str]:
    return lambda w, node: f"{name}({w.number(node.args[0])})"


def _guarded(name: str, condition: str) -> Callable[[Writer, Node], str]:
    return lambda w, node: w.let(
        w.value(node.args[0]), lambda v: f"CASE WHEN {v} {condition} 0 THEN {name}({v}) END"
    )


def _round_even(w: Writer, node: Node) -> str:
    return f"round_even({w.value(node.args[0])}, 0)"


def _sign(w: Writer, node: Node) -> str:
    return f"CAST(sign({w.value(node.args[0])}) AS DOUBLE)"


def _not(w: Writer, node: Node) -> str:
    return f"(NOT {w.value(node.args[0])})"


def _is_null(w: Writer, node: Node) -> str:
    return f"({w.value(node.args[0])} IS NULL)"


def _is_true(w: Writer, node: Node) -> str:
    return f"({w.value(node.args[0])} IS NOT DISTINCT FROM true)"


def _case(w: Writer, node: Node) -> str:
    write = w.number if node.type is Type.NUMBER else w.value
    pairs = zip(node.args[:-1:2], node.args[1::2], strict=True)
    branches = " ".join(f"WHEN {w.value(c)} THEN {write(v)}" for c, v in pairs)
    return f"CASE {branches} ELSE {write(node.args[-1])} END"


def _in(w: Writer, node: Node) -> str:
    kind, values = node.args[0].type, node.param if isinstance(node.param, tuple) else ()
    members = ", ".join(_spell(w, kind, v) for v in values)
    return f"({w.value(node.args[0])} IN ({members}))"


def _concat(w: Writer, node: Node) -> str:
    return "(" + " || ".join(w.value(a) for a in node.args) + ")"


def _upper(w: Writer, node: Node) -> str:
    # DuckDB turns ß into ẞ; C's towupper, which the graph uses, keeps it
    pieces = f"string_split({w.value(node.args[0])}, 'ß')"
    return f"array_to_string(list_transform({pieces}, lambda p: upper(p)), 'ß')"


def _match(w: Writer, node: Node) -> str:
    kind, words = node.param if isinstance(node.param, tuple) else ("", "")
    name = {"prefix": "starts_with", "suffix": "ends_with", "contains": "contains"}[str(kind)]
    return f"{name}({w.value(node.args[0])}, {w.dialect.text(str(words))})"


def _parse(w: Writer, node: Node) -> str:
    pattern = sql_text(NUMBER_TEXT)
    return w.let(
        w.value(node.args[0]),
        lambda v: f"CASE WHEN regexp_full_match({v}, {pattern}) THEN TRY_CAST({v} AS DOUBLE) END",
    )


def _words(node: Node) -> tuple[str, str]:
    assert isinstance(node.param, tuple)  # noqa: S101  (made so by every builder of these nodes)
    return str(node.param[0]), str(node.param[1])


def _wall(w: Writer, time: Node, zone: str) -> str:
    """The wall clock's reading as a naive TIMESTAMP."""
    known = w.zone(zone)
    return w.let(w.value(time), lambda v: _moved(w, v, "+", known.moments, known.offsets))


def _utc(w: Writer, wall: str, zone: str) -> str:
    """A naive TIMESTAMP on the wall clock as UTC: the first of two, and in a gap as before it."""
    known = w.zone(zone)
    return w.let(wall, lambda v: _moved(w, v, "-", known.local_moments(), known.offsets))


def _moved(w: Writer, v: str, sign: str, moments: tuple[int, ...], values: tuple[int, ...]) -> str:
    """A TIMESTAMP moved by values[i] seconds, where i of the moments have passed. The zone's own changes, and
    not DuckDB's timezone(), whose history differs from tzdata's in some zones."""
    if values == (0,):
        return v
    name = w.name()

    def tree(low: int, high: int) -> str:
        if low == high:
            return str(values[low])
        middle = (low + high) // 2
        return (
            f"CASE WHEN {name} < {moments[middle]} THEN {tree(low, middle)} ELSE {tree(middle + 1, high)} END"
        )

    seconds = f"(epoch_us({v}) + {_ZERO_MICROS}) // 1000000 - {_ZERO_MICROS // 1_000_000}"
    return f"({v} {sign} to_seconds({_bind(seconds, name, tree(0, len(moments)))}))"


def _part(w: Writer, node: Node) -> str:
    name, zone = _words(node)
    if name == "epoch":
        return f"(CAST(epoch_us({w.value(node.args[0])}) AS DOUBLE) / 1e6)"
    return f"CAST({name}({_wall(w, node.args[0], zone)}) AS DOUBLE)"


def _index(w: Writer, node: Node) -> str:
    unit, zone = _words(node)
    wall = _wall(w, node.args[0], zone)
    if unit in _UNIT_MICROS:
        return f"CAST((epoch_us({wall}) + {_ZERO_MICROS}) // {_UNIT_MICROS[unit]} AS DOUBLE)"
    if unit == "week":
        day = _UNIT_MICROS["day"]
        return f"CAST((epoch_us({wall}) + {_ZERO_MICROS + 2 * day}) // {7 * day} AS DOUBLE)"
    if unit == "year":
        return f"CAST(year({wall}) AS DOUBLE)"
    many = {"quarter": 4, "month": 12}[unit]
    return w.let(wall, lambda v: f"CAST(year({v}) * {many} + {unit}({v}) AS DOUBLE)")


def _start(w: Writer, node: Node) -> str:
    unit, zone = _words(node)
    wall = _wall(w, node.args[0], zone)
    if zone == "UTC":
        return f"CAST(date_trunc('{unit}', {wall}) AS TIMESTAMP)"
    if unit in ("second", "minute", "hour"):
        into = w.let(wall, lambda v: f"({v} - date_trunc('{unit}', {v}))")
        return in_range(w, f"({w.value(node.args[0])} - {into})")
    return in_range(w, _utc(w, f"CAST(date_trunc('{unit}', {wall}) AS TIMESTAMP)", zone))


def _shift(w: Writer, node: Node) -> str:
    return in_range(w, f"({w.value(node.args[0])} + to_microseconds({node.param}))")


def _elapsed(w: Writer, node: Node) -> str:
    first, last = (f"epoch_us({w.value(a)})" for a in node.args)
    return f"(CAST({last} - {first} AS DOUBLE) / 1e6)"


WRITE: dict[str, Write] = {
    "lit": _literal,
    "col": _column,
    "add": _infix("+"),
    "sub": _infix("-"),
    "mul": _infix("*"),
    "div": _divide("/"),
    "mod": _divide("%"),
    "neg": lambda w, node: f"(- {w.number(node.args[0])})",
    "abs": _call_number("abs"),
    "floor": _call_number("floor"),
    "ceil": _call_number("ceil"),
    "trunc": _call_number("trunc"),
    "round": _call_number("round"),
    "round_even": _round_even,
    "sign": _sign,
    "sqrt": _guarded("sqrt", ">="),
    "ln": _guarded("ln", ">"),
    "exp": _call("exp"),
    "pow": _call("pow"),
    "sin": _call("sin"),
    "cos": _call("cos"),
    "greatest": _call("greatest"),
    "least": _call("least"),
    "eq": _infix_clean("="),
    "lt": _infix_clean("<"),
    "le": _infix_clean("<="),
    "same": _infix_clean("IS NOT DISTINCT FROM"),
    "and": _infix_clean("AND"),
    "or": _infix_clean("OR"),
    "not": _not,
    "is_null": _is_null,
    "is_true": _is_true,
    "case": _case,
    "coalesce": _call("coalesce"),
    "in": _in,
    "code": lambda w, node: f"CAST({w.value(node.args[0])} AS DOUBLE)",
    "concat": _concat,
    "lower": _call("lower"),
    "upper": _upper,
    "match": _match,
    "parse": _parse,
    "part": _part,
    "index": _index,
    "start": _start,
    "shift": _shift,
    "elapsed": _elapsed,
}
"""Every operation of `nodes.OPS`."""

DUCKDB = Dialect(
    name="DuckDB",
    types=_TYPES,
    write=WRITE,
    bind=_bind,
    finite=lambda v: f"CASE WHEN isfinite({v}) THEN {v} END",
    double=double,
    text=sql_text,
)
