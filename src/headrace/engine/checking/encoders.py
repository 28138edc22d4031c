"""What encoders read, typed against the tables' columns, and what is wrong with it before any work."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from headrace.core.schema import Type
from headrace.core.spec.features import EncodeFeature, NeighboursFeature
from headrace.engine.checking.checker import Checker
from headrace.engine.checking.neighbours import check_neighbours
from headrace.expr import Expr, parse

Inputs = Mapping[str, Mapping[str, Expr]]
"""By feature: what its encoder reads of a row, by the text of the expression."""


def type_encoders(
    check: Checker, seen: Mapping[str, Type], target: Expr | None
) -> dict[str, dict[str, Expr]]:
    """The inputs of every encoder, by name. An encoder with a mistake is left out."""
    found: dict[str, dict[str, Expr]] = {}
    for name, feature in sorted(check.parsed.spec.feature_specs().items()):
        if isinstance(feature, EncodeFeature | NeighboursFeature) and not is_cycle(feature):
            before = len(check.problems)
            inputs = _typed(check, name, feature.reads, seen)
            _check_inputs(check, name, inputs, target)
            if isinstance(feature, EncodeFeature):
                _check_encode(check, name, feature)
            else:
                check_neighbours(check, name, feature, inputs)
            if len(check.problems) == before:
                found[name] = inputs
    return found


def is_cycle(feature: object) -> bool:
    """Whether it is sine and cosine, which are expressions and learn nothing."""
    return isinstance(feature, EncodeFeature) and feature.encode == "cycle"


def add_cycles(check: Checker, features: dict[str, Expr], seen: Mapping[str, Type]) -> None:
    """Add sine and cosine of every `encode: cycle`, `NAME_sin` and `NAME_cos`; a name that is taken is a
    problem."""
    spec = check.parsed.spec
    declared, zone = spec.feature_specs(), spec.data.zone or "UTC"
    for name, feature in sorted(declared.items()):
        if not isinstance(feature, EncodeFeature) or not is_cycle(feature):
            continue
        place, of = ("features", name), feature.reads[0]
        _check_encode(check, name, feature)
        expr = check.attempt(partial(parse, of, seen, zone=zone), *place)
        if expr is None:
            continue
        if expr.type is not Type.NUMBER:
            what = f"feature {name!r}: a cycle is of a number; {of} is {expr.type.value}"
            hint = "write a part of it, such as of: hour(t), period: 24" if expr.type is Type.TIME else ""
            check.add(what, *place, fix=hint or "name a number")
            continue
        for turn in ("sin", "cos"):
            made = f"{name}_{turn}"
            if made in declared:
                check.add(
                    f"feature {name!r} makes {made!r}, and there is a feature of that name",
                    *place,
                    fix="rename one of them",
                )
                continue
            text = f"{turn}(2 * pi() * ({of}) / {feature.period!r})"
            features[made] = parse(text, seen, zone=zone)


def check_grouping(check: Checker, features: Mapping[str, Expr]) -> None:
    """Add what says of a number how its rare values are grouped."""
    for name, feature in check.parsed.spec.expressions().items():
        if name not in features or feature.kind == "category" or features[name].type is Type.TEXT:
            continue
        for key in ("min_count", "max_categories"):
            if getattr(feature, key) is not None:
                check.add(
                    f"feature {name!r} is {features[name].type.value}: it has no rare values to group",
                    *("features", name, key),
                    fix=f"remove {key}, or read it as a category with kind: category",
                )


def _typed(check: Checker, name: str, texts: tuple[str, ...], seen: Mapping[str, Type]) -> dict[str, Expr]:
    zone = check.parsed.spec.data.zone or "UTC"
    typed = {t: check.attempt(partial(parse, t, seen, zone=zone), "features", name) for t in texts}
    return {t: e for t, e in typed.items() if e is not None}


def _check_inputs(check: Checker, name: str, inputs: Mapping[str, Expr], target: Expr | None) -> None:
    for text, expr in inputs.items():
        if expr.type is Type.TIME:
            check.add(
                f"feature {name!r} reads a time: {text}",
                *("features", name),
                why="a model that learns from absolute time knows nothing about tomorrow",
                fix="use a part of it, such as hour(t), or a difference of two times",
            )
        if not expr.columns:
            check.add(
                f"feature {name!r} reads no column: {text}",
                *("features", name),
                why="a constant is the same in every row: there is nothing to learn from",
                fix="name a column of the events table, or a lookup as table.column",
            )
        check.refuse_target(name, expr.columns, target.columns if target else ())


def _check_encode(check: Checker, name: str, feature: EncodeFeature) -> None:
    several = len(feature.reads) > 1
    if several and feature.encode not in ("target", "count"):
        check.add(
            f"feature {name!r}: {feature.encode} is of one expression, not of {len(feature.reads)}",
            *("features", name),
            fix="make a feature of each, or one expression such as a || ' ' || b",
        )
