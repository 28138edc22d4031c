"""What each column of the feature matrix is: number, bool or category, by its expression's type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from headrace.core.errors import Problem, SpecError, did_you_mean
from headrace.core.schema import Type
from headrace.core.task import FeatureKind
from headrace.expr.nodes import Expr, walk

MATRIX = "features"
"""Name of the feature graph's output, and so of no raw column."""


@dataclass(frozen=True)
class Planned:
    """A column of the feature matrix before anything is learned for it."""

    name: str
    kind: FeatureKind
    expr: Expr


def plan_features(
    exprs: Mapping[str, Expr], kinds: Mapping[str, str | None] | None = None
) -> tuple[Planned, ...]:
    """The columns of the feature matrix, in the order of `exprs`.

    Numbers stay numbers, booleans booleans, text becomes a category. `kinds` overrides that by name: a
    number or boolean may be read as "category", a boolean as "number".

    Raises:
        SpecError: a feature is a time, a text is called a number, a kind is unknown or of no feature, there
            are no features, or a raw column bears the matrix's own name. All at once.
    """
    kinds = kinds or {}
    problems = [
        Problem(f"kind given for an unknown feature {name!r}", where=name, fix=did_you_mean(name, exprs))
        for name in kinds
        if name not in exprs
    ]
    if not exprs:
        problems.append(Problem("there are no features", fix="name at least one, such as `hour: hour(time)`"))
    if any(MATRIX in e.columns for e in exprs.values()):
        problems.append(
            Problem(
                f"a raw column is called {MATRIX!r}",
                where=MATRIX,
                why="the graph's matrix of features bears that name",
                fix="rename the column where it is read",
            )
        )
    planned = []
    for name, expr in exprs.items():
        kind = _kind(name, expr.type, kinds.get(name))
        if isinstance(kind, Problem):
            problems.append(kind)
        else:
            planned.append(Planned(name, kind, expr))
    if problems:
        raise SpecError.of(problems)
    return tuple(planned)


def raw_types(planned: tuple[Planned, ...]) -> dict[str, Type]:
    """The raw columns that the features read, by name, with their types."""
    return column_types(p.expr for p in planned)


def column_types(exprs: Iterable[Expr]) -> dict[str, Type]:
    """The raw columns that expressions read, by name, with their types."""
    found = {str(node.param): node.type for e in exprs for node in walk(e.node) if node.op == "col"}
    return dict(sorted(found.items()))


def _kind(name: str, kind: Type, override: str | None) -> FeatureKind | Problem:
    if kind is Type.TIME:
        return Problem(
            f"feature {name!r} is a time",
            where=name,
            why="time never travels as raw seconds: a model that learns from absolute time knows nothing "
            "about tomorrow",
            fix="use parts of it (hour(t), dayofweek(t)) or a difference of two times",
        )
    if override is None:
        return {
            Type.NUMBER: FeatureKind.NUMBER,
            Type.BOOL: FeatureKind.BOOL,
            Type.TEXT: FeatureKind.CATEGORY,
        }[kind]
    if override not in ("number", "category"):
        return Problem(
            f"feature {name!r} has an unknown kind {override!r}", where=name, fix="choose number or category"
        )
    if override == "number" and kind is Type.TEXT:
        return Problem(
            f"feature {name!r} is text, not a number",
            where=name,
            fix="convert it, such as cast(x as double), or drop the kind",
        )
    return FeatureKind(override)
