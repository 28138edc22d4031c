"""What is wrong with a declaration of neighbours, before any work."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.core.schema import Type
from headrace.core.spec.features import NeighboursFeature
from headrace.engine.checking.checker import Checker
from headrace.expr import Expr
from headrace.features.neighbours.asked import OF_CLASSES, OF_TARGET


def check_neighbours(
    check: Checker, name: str, feature: NeighboursFeature, inputs: Mapping[str, Expr]
) -> None:
    """Distances are of numbers; what is asked of the target fits the task."""
    asked, path = feature.neighbours, ("features", name)
    for text, expr in inputs.items():
        if expr.type not in (Type.NUMBER, Type.BOOL, Type.TIME):  # of times it is told elsewhere
            check.add(
                f"feature {name!r}: neighbours are of numbers; {text} is {expr.type.value}",
                *path,
                why="between texts there is no distance and no mean",
                fix="name a number, or count it by hand: case when x = 'a' then 1 else 0 end",
            )
    if check.parsed.spec.problem.task == "regression" or not asked.target:
        return
    only_values = [s for s in asked.stats if s in OF_TARGET and s not in OF_CLASSES]
    if only_values and not asked.columns:
        check.add(
            f"feature {name!r}: {only_values[0]} of a class says nothing: it is 0 or 1",
            *path,
            fix=f"leave it out ({', '.join(OF_CLASSES)} are shares), or name columns to ask it of",
        )
