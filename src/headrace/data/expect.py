"""Expectations: what must hold in the data, as SQL booleans, measured in one scan of each table.

- A condition on a row (`distance > 0`, `weather.temp < 130`) is measured as the number of rows where it is
  false, and must reach 0. Null passes, as in SQL's CHECK constraints.
- `unique(a, b)` is measured as the number of rows that repeat an earlier one; rows with a null in a or b
  are not counted. It must reach 0.
- A comparison of aggregates with a number (`avg(x) > 3`, `max(a) - min(a) <= 10`) is measured as its left
  side: `count(*)`, `count(x)`, `count(distinct x)`, `sum`, `avg`, `min`, `max` skip null as in SQL and take a
  condition as 1 or 0; `share(condition)` is the share of all rows where it is true, `null_share(x)` that of
  null. Aggregates on both sides are measured as their difference, against 0.

Columns without a table are the events'. One expectation speaks of one table. What is inside the aggregates
is the expression language of features: no other function, no file, no subquery.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from headrace.core.errors import ExprError, Problem
from headrace.core.evidence import Rule
from headrace.core.schema import Type
from headrace.core.sql import quoted
from headrace.expr.nodes import Expr
from headrace.expr.parse import parse
from headrace.expr.syntax import ExpressionGrammar, read_syntax, spell
from headrace.expr.to_sql import to_sql

AGGREGATES = ("avg", "count", "max", "min", "null_share", "share", "sum")
_COMPARE = {exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<=", exp.EQ: "=="}
_FLIPPED = {">": "<", ">=": "<=", "<": ">", "<=": ">=", "==": "=="}
_UNIQUE = re.compile(r"\s*unique\s*\(", re.IGNORECASE)
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%\s*$")
ROW = "file_row_number"
"""The column that numbers a file's rows from 0."""


@dataclass(frozen=True)
class Expectation:
    """A planned expectation: `value` is its measure in SQL over the table's rows, `first` finds the first
    row that falls short (empty where no single row does), `columns` are read for both. `unique` are the
    values that no two rows may share; `exact` measures don't depend on the order of adding."""

    text: str
    gate: str
    rule: Rule
    table: str
    columns: tuple[str, ...]
    value: str
    first: str
    unit: str
    exact: bool = True
    unique: tuple[str, ...] = ()


def plan_expectations(
    texts: Sequence[str],
    tables: Mapping[str, Mapping[str, Type]],
    events: str,
    *,
    gate: str = "expectation",
    zone: str = "UTC",
) -> tuple[Expectation, ...]:
    """Check and translate expectations against the tables' columns, in the order given.

    `zone` is that of the wall clock which `hour()` and its like read. The evidence of each is named
    `gate: text`.

    Raises:
        ExprError: with every mistake in any of them.
    """
    problems: list[Problem] = []
    planned = []
    for text in texts:
        reader = _Reader(text, tables, events, gate, zone)
        try:
            planned.append(reader.read())
        except ExprError as error:
            problems += error.problems
    if problems:
        raise ExprError.of(problems)
    return tuple(planned)


class _Reader:
    """Reads one expectation."""

    def __init__(
        self, text: str, tables: Mapping[str, Mapping[str, Type]], events: str, gate: str, zone: str
    ) -> None:
        self._text, self._gate, self._zone, self._events = text, gate, zone, events
        self._where = f"{gate} `{text if len(text) <= 60 else text[:57] + '...'}`"
        self._types = {f"{t}.{c}": kind for t, columns in tables.items() for c, kind in columns.items()}
        self._types |= tables.get(events, {})
        self._used: set[str] = set()
        self._floats = False

    def read(self) -> Expectation:
        percent = _PERCENT.sub(lambda m: repr(float(m[1]) / 100), self._text)
        tree = read_syntax(_UNIQUE.sub("unique_(", percent), self._where)
        if isinstance(tree, Problem):
            raise ExprError.of([tree])
        tree = tree.unnest()
        if _name(tree) == "unique_":
            return self._unique(tree)
        if any(_is_aggregate(node) for node in tree.walk()):
            return self._comparison(tree)
        condition = self._condition(tree)
        wrong = f"NOT {condition}"
        return self._made(
            Rule("==", 0.0),
            f"count(*) FILTER (WHERE {wrong})",
            f"min({ROW}) FILTER (WHERE {wrong})",
            "rows",
        )

    def _made(
        self, rule: Rule, value: str, first: str, unit: str, unique: tuple[str, ...] = ()
    ) -> Expectation:
        own = [(self._events, c) if c in self._own else tuple(c.split(".", 1)) for c in self._used]
        tables = sorted({t for t, _ in own}) or [self._events]
        if len(tables) > 1:
            raise self._wrong(
                f"it speaks of several tables: {', '.join(tables)}",
                fix="write one expectation a table; lookups are for features",
            )
        return Expectation(
            self._text,
            f"{self._gate}: {self._text}",
            rule,
            tables[0],
            tuple(sorted({c for _, c in own})),
            value,
            first,
            unit,
            exact=not self._floats,
            unique=unique,
        )

    @property
    def _own(self) -> set[str]:
        return {c for c in self._types if f"{self._events}.{c}" in self._types}

    def _wrong(self, what: str, fix: str = "") -> ExprError:
        return ExprError(what, where=self._where, fix=fix)

    def _expression(self, tree: exp.Expr) -> Expr:
        parsed = parse(_whole(tree), self._types, zone=self._zone, where=self._where)
        self._used |= set(parsed.columns)
        return parsed

    def _condition(self, tree: exp.Expr) -> str:
        parsed = self._expression(tree)
        if parsed.type is not Type.BOOL:
            raise self._wrong(
                f"`{spell(tree)}` is {parsed.type}, no condition",
                fix="compare it, as in distance > 0, or wrap it: unique(...), avg(...) > 0",
            )
        return f"({to_sql(parsed)})"

    def _unique(self, tree: exp.Expr) -> Expectation:
        arguments = tree.expressions
        if not arguments:
            raise self._wrong("unique() needs a column", fix="write unique(flight_id)")
        values = [self._raw(a) for a in arguments]
        known = " AND ".join(f"({v}) IS NOT NULL" for v in values)
        row = values[0] if len(values) == 1 else f"({', '.join(values)})"
        value = f"count(*) FILTER (WHERE {known}) - count(DISTINCT {row}) FILTER (WHERE {known})"
        return self._made(Rule("==", 0.0), value, "", "rows", tuple(values))

    def _raw(self, tree: exp.Expr) -> str:
        """A column as it is stored (whole numbers beyond 2^53 stay apart), or an expression's value."""
        parsed = self._expression(tree)
        return quoted(str(parsed.node.param)) if parsed.node.op == "col" else to_sql(parsed)

    def _comparison(self, tree: exp.Expr) -> Expectation:
        sign = next((s for kind, s in _COMPARE.items() if isinstance(tree, kind)), None)
        if sign is None:
            raise self._wrong(
                f"`{spell(tree)}` mixes aggregates with something else than one comparison",
                fix="compare aggregates with a number by one of > >= < <= =, one expectation each",
            )
        left, right = tree.this.unnest(), tree.expression.unnest()
        if not any(_is_aggregate(n) for n in left.walk()):
            left, right, sign = right, left, _FLIPPED[sign]
        bound = _number(right)
        if bound is None:
            left, bound = exp.Sub(this=exp.paren(left), expression=exp.paren(right)), 0.0
        found: dict[str, str] = {}
        first = self._first(left, sign in ("<", "<=") or (sign == "==" and bound < 0.5))
        outer = left.copy().transform(lambda node: self._replaced(node, found))
        types = dict.fromkeys(found, Type.NUMBER)
        parsed = parse(_whole(outer), types, zone=self._zone, where=self._where)
        if parsed.type is not Type.NUMBER:
            raise self._wrong(f"`{spell(left)}` is {parsed.type}, no number")
        value = to_sql(parsed)
        for name, aggregate in found.items():
            value = value.replace(quoted(name), f"({aggregate})")
        return self._made(Rule(sign, bound), value, first, "share" if self._is_share(left) else "")

    @staticmethod
    def _is_share(tree: exp.Expr) -> bool:
        return _name(tree) in ("share", "null_share")

    def _first(self, tree: exp.Expr, few: bool) -> str:
        """The first row that counts against a share, of which there should be few or many."""
        arguments = tree.expressions if self._is_share(tree) else []
        if len(arguments) != 1:
            return ""
        if _name(tree) == "null_share":
            wanted = f"({self._raw(arguments[0])}) IS NULL"
        else:
            wanted = f"{self._condition(arguments[0])} IS TRUE"
        wrong = wanted if few else f"NOT ({wanted})"
        return f"min({ROW}) FILTER (WHERE {wrong})"

    def _replaced(self, node: exp.Expr, found: dict[str, str]) -> exp.Expr:
        if not _is_aggregate(node):
            return node
        name = f"aggregate_{len(found)}"
        found[name] = self._aggregate(node)
        return exp.column(name)

    def _aggregate(self, node: exp.Expr) -> str:
        name = _name(node)
        arguments = node.expressions
        if name == "count" and len(arguments) == 1 and isinstance(arguments[0], exp.Star):
            return "count(*)"
        distinct = len(arguments) == 1 and isinstance(arguments[0], exp.Distinct)
        inner = arguments[0].expressions if distinct else arguments
        if len(inner) != 1 or (distinct and name != "count"):
            raise self._wrong(f"`{spell(node)}`: {name}() takes one value", fix=f"write {name}(column)")
        if name == "share":
            return f"count(*) FILTER (WHERE {self._condition(inner[0])}) / count(*)"
        if name == "null_share":
            return f"count(*) FILTER (WHERE ({self._raw(inner[0])}) IS NULL) / count(*)"
        if name == "count":
            return f"count({'DISTINCT ' if distinct else ''}{self._raw(inner[0])})"
        parsed = self._expression(inner[0])
        if parsed.type is Type.BOOL:
            return f"{name}(CAST(({to_sql(parsed)}) AS INTEGER))"
        if parsed.type is not Type.NUMBER:
            raise self._wrong(
                f"{name}() of {parsed.type}: `{spell(node)}`",
                fix="aggregate a number or a condition; for times and texts write share(condition)",
            )
        self._floats |= name in ("sum", "avg")
        return f"{name}({to_sql(parsed)})"


def _whole(tree: exp.Expr) -> str:
    """A part of an expression as text, whole."""
    return tree.sql(dialect=ExpressionGrammar, normalize_functions=False)


def _name(node: exp.Expr) -> str:
    return str(node.this).lower() if isinstance(node, exp.Anonymous) else ""


def _is_aggregate(node: exp.Expr) -> bool:
    return _name(node) in AGGREGATES


def _number(tree: exp.Expr) -> float | None:
    if isinstance(tree, exp.Neg):
        inner = _number(tree.this.unnest())
        return None if inner is None else -inner
    if isinstance(tree, exp.Literal) and not tree.is_string:
        return float(tree.this)
    return None
