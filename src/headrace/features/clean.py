"""Cleaning of raw columns, declared: what a feature reads as `x` becomes an expression over `x`.

There is no cleaning step beside the graph. Every column of a feature's expression that the spec cleans is
replaced by `coalesce(clip(case(x)), constant)` in the typed form, its constants fitted on the training rows
(`fit_clean`), and so travels inside the one packaged graph. Trimming and reading times, which ONNX can't do,
stand in the graph's metadata (`graph.texts`). Target and today's rule see raw columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from headrace.core.schema import Type
from headrace.core.spec.tables import Clean, ColumnCleaning
from headrace.expr.literals import read_moment
from headrace.expr.nodes import Expr, Node, Param, null, number, walk
from headrace.features.plan import Planned
from headrace.graph.texts import Prepare

STEPS = (
    ("trim", "texts that had space at an end, or were nothing else"),
    ("case", "texts in another case"),
    ("parse", "texts read as times"),
    ("unparseable", "texts that don't follow the format: null"),
    ("cap", "values at or beyond the cap: flagged"),
    ("clip low", "values below the lower bound: raised to it"),
    ("clip high", "values above the upper bound: lowered to it"),
    ("missing", "nulls before filling, those that cleaning made among them"),
    ("fill", "nulls that were filled"),
)
"""What can happen to a cell, in order, and what is counted."""


@dataclass(frozen=True)
class CleanedColumn:
    """What was fitted for a column, whose type is that which features see: clip bounds, and what null becomes
    (a time: UTC microseconds). None where nothing was asked for; `note` says why a bound that was asked for
    is not there."""

    column: str
    type: Type
    low: float | None = None
    high: float | None = None
    fill: str | float | bool | int | None = None
    note: str = ""


@dataclass(frozen=True)
class CleanedCells:
    """How many cells of a column a step (of `STEPS`) touched, by part."""

    column: str
    step: str
    train: int
    validation: int


@dataclass(frozen=True)
class CleaningReport:
    """What cleaning did.

    `columns` hold the fitted constants to the last digit, `cells` the counts. `rows` are training rows left
    out, by reason; `row_bounds` between which values a row was kept, by column. (Cells that were filled
    forward are counted by ingest.)
    """

    train_rows: int
    validation_rows: int
    columns: tuple[CleanedColumn, ...] = ()
    cells: tuple[CleanedCells, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    row_bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def flag_name(column: str, what: str) -> str:
    """The feature that says of a column where it was `missing` or `capped`: `weather_temp_missing`.

    >>> flag_name("weather.temp", "missing")
    'weather_temp_missing'
    """
    return f"{column.replace('.', '_')}_{what}"


def prepares_of(clean: Clean, zone: str) -> dict[str, Prepare]:
    """What is done at the graph's door, by text column."""
    return {
        name: Prepare(c.trim, c.parse or "", zone) for name, c in clean.columns.items() if c.trim or c.parse
    }


def cleaned_types(clean: Clean, types: Mapping[str, Type]) -> dict[str, Type]:
    """The types of raw columns as features see them: a text that is parsed is a time."""
    parsed = {n for n, c in clean.columns.items() if c.parse and types.get(n) is Type.TEXT}
    return {n: Type.TIME if n in parsed else t for n, t in types.items()}


def flag_features(clean: Clean, types: Mapping[str, Type], zone: str) -> dict[str, Expr]:
    """The features that cleaning adds, by name: boolean, over the column before clip and fill. `types` are
    those of `cleaned_types`; columns that are not there are passed over."""
    found: dict[str, Expr] = {}
    for name, c in sorted(clean.columns.items()):  # by name: the order of a mapping means nothing
        if name not in types:
            continue
        node = entering(name, c, types[name])
        if c.cap is not None and types[name] is Type.NUMBER:
            capped = Node("le", Type.BOOL, (number(c.cap), node))
            found[flag_name(name, "capped")] = Expr(f"{name} >= {c.cap:g}", capped, Type.BOOL, (name,), zone)
        if c.flag:
            missing = Node("is_null", Type.BOOL, (node,))
            found[flag_name(name, "missing")] = Expr(f"{name} is null", missing, Type.BOOL, (name,), zone)
    return found


def entering(name: str, cleaning: ColumnCleaning, kind: Type) -> Node:
    """The column after trim, case and parse."""
    node = Node("col", kind, param=name)
    if cleaning.case is not None and kind is Type.TEXT:
        return Node(cleaning.case, Type.TEXT, (node,))
    return node


def clipped(node: Node, fitted: CleanedColumn) -> Node:
    """The value within its bounds; null stays null."""
    low, high = fitted.low, fitted.high
    branches: list[Node] = []
    if low is not None:
        branches += [Node("lt", Type.BOOL, (node, number(low))), number(low)]
    if high is not None:
        branches += [Node("lt", Type.BOOL, (number(high), node)), number(high)]
    return Node("case", node.type, (*branches, node)) if branches else node


def constant(kind: Type, value: str | float | bool | int | None) -> Node:
    """A fitted or declared value as a literal of the column's type."""
    if value is None:
        return null(kind)
    param: Param = float(value) if kind is Type.NUMBER else value
    return number(float(value)) if kind is Type.NUMBER else Node("lit", kind, param=param)


def declared_fill(cleaning: ColumnCleaning, kind: Type, zone: str) -> str | float | bool | int | None:
    """The constant that the spec gives for null; None where it asks for a statistic, or for nothing.

    Raises:
        ValueError: a constant that the type doesn't hold.
    """
    fill = cleaning.fill
    if fill is None or is_statistic(fill):
        return None
    if kind is Type.TIME and isinstance(fill, str):
        moment = read_moment(fill, zone)
        if isinstance(moment, str):
            raise ValueError(moment)
        return moment
    wanted = {Type.NUMBER: float | int, Type.TEXT: str, Type.BOOL: bool, Type.TIME: str}[kind]
    if not isinstance(fill, wanted) or (kind is Type.NUMBER and isinstance(fill, bool)):
        raise ValueError(f"{fill!r} is no {kind.value}")
    return fill


def is_statistic(fill: object) -> bool:
    """Whether a fill is fitted on the training rows."""
    return fill in ("median", "mean", "mode") if isinstance(fill, str) else False


def cleaned_nodes(
    clean: Clean, fitted: tuple[CleanedColumn, ...], types: Mapping[str, Type]
) -> dict[str, Node]:
    """What stands in a feature for each cleaned column."""
    nodes = {}
    for column in fitted:
        kind = types[column.column]
        node = clipped(entering(column.column, clean.columns[column.column], kind), column)
        if column.fill is not None:
            node = Node("coalesce", kind, (node, constant(kind, column.fill)))
        nodes[column.column] = node
    return nodes


def clean_plan(
    plan: tuple[Planned, ...], nodes: Mapping[str, Node], flags: Mapping[str, Expr]
) -> tuple[Planned, ...]:
    """The plan with every cleaned column in its features replaced, but for the flags, which look at it as it
    came."""
    return tuple(p if p.name in flags else replace(p, expr=substitute(p.expr, nodes)) for p in plan)


def substitute(expr: Expr, nodes: Mapping[str, Node]) -> Expr:
    """The expression with its columns replaced; its text stays what the user wrote."""
    made: dict[Node, Node] = {}
    for node in _children_first(expr.node):
        if node.op == "col":
            made[node] = nodes.get(str(node.param), node)
        else:
            made[node] = replace(node, args=tuple(made[a] for a in node.args)) if node.args else node
    return replace(expr, node=made[expr.node])


def _children_first(root: Node) -> list[Node]:
    return sorted(walk(root), key=lambda node: node.depth)


def counted_steps(
    clean: Clean, fitted: tuple[CleanedColumn, ...], types: Mapping[str, Type], zone: str
) -> dict[tuple[str, str], Expr]:
    """A condition for each (column, step) that counts where it is true. What happens at the door (trim,
    parse) is not among them."""
    found: dict[tuple[str, str], Expr] = {}
    for column in fitted:
        name, kind = column.column, types[column.column]
        c = clean.columns[name]
        raw, node = Node("col", kind, param=name), entering(name, c, kind)
        truths: dict[str, Node] = {}
        if c.case is not None:
            truths["case"] = Node("not", Type.BOOL, (Node("eq", Type.BOOL, (raw, node)),))
        if c.cap is not None:
            truths["cap"] = Node("le", Type.BOOL, (number(c.cap), node))
        if column.low is not None:
            truths["clip low"] = Node("lt", Type.BOOL, (node, number(column.low)))
        if column.high is not None:
            truths["clip high"] = Node("lt", Type.BOOL, (number(column.high), node))
        truths["missing"] = Node("is_null", Type.BOOL, (node,))
        if column.fill is not None:
            truths["fill"] = Node("is_null", Type.BOOL, (node,))
        found |= {(name, step): Expr(step, t, Type.BOOL, (name,), zone) for step, t in truths.items()}
    return found
