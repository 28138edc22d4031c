"""What is asked of the neighbours, and the names of the columns that answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from headrace.core.task import FIRST_CODE, MISSING, Feature, FeatureKind, Kind, Task

Stat = Literal["mean", "weighted", "min", "max", "std", "linear", "difference", "distance"]

OF_CLASSES: tuple[Stat, ...] = ("mean", "weighted", "linear")
"""What can be asked of a class: a share. Least, largest and spread of zeros and ones are no news."""
OF_TARGET: tuple[Stat, ...] = ("mean", "weighted", "min", "max", "std", "linear")
OF_COLUMNS: tuple[Stat, ...] = ("mean", "weighted", "min", "max", "std", "difference")


@dataclass(frozen=True)
class Asked:
    """of, columns: texts of the expressions. k and bandwidths ascend."""

    of: tuple[str, ...]
    columns: tuple[str, ...]
    k: tuple[int, ...]
    stats: tuple[Stat, ...]
    target: bool
    bandwidths: tuple[float, ...] = ()
    clusters: int = 0
    scale: bool = True
    points: int | None = None

    def of_target(self, kind: Kind) -> tuple[Stat, ...]:
        """What is asked of the target, in the order of the declaration."""
        able = OF_TARGET if kind is Kind.REGRESSION else OF_CLASSES
        return tuple(s for s in self.stats if s in able) if self.target else ()

    @property
    def of_columns(self) -> tuple[Stat, ...]:
        """What is asked of inputs."""
        return tuple(s for s in self.stats if s in OF_COLUMNS) if self.columns else ()

    @property
    def points_wanted(self) -> bool:
        """Whether training rows are kept: clusters need none."""
        return self.target or bool(self.columns) or "distance" in self.stats

    def features(self, name: str, task: Task) -> tuple[Feature, ...]:
        """The columns, in the order in which `statistics` makes them."""
        near = f"rows nearest by {', '.join(self.of)}"
        found: list[Feature] = []

        def add(end: str, told: str) -> None:
            found.append(Feature(f"{name}_{end}", FeatureKind.NUMBER, expression=told))

        truth = "the target" if task.kind is Kind.REGRESSION else "the class"
        if self.points_wanted:
            for stat in self.of_target(task.kind):
                for k in self.k:
                    for end, label in _classes(task):
                        add(f"{stat}_{k}{end}", f"{stat} of {truth}{label} of the {k} {near}")
            for width in self.bandwidths if self.target else ():
                for end, label in _classes(task):
                    add(f"kernel_{width:g}{end}", f"mean of {truth}{label} within about {width:g}, {near}")
            for stat in self.of_columns:
                for k in self.k:
                    for word, text in zip(words(self.columns), self.columns, strict=True):
                        add(f"{word}_{stat}_{k}", f"{stat} of {text} of the {k} {near}")
            for k in self.k if "distance" in self.stats else ():
                add(f"distance_{k}", f"distance to number {k} of the {near}")
        for i in range(self.clusters):
            add(f"centre_{i}", f"distance to the centre of cluster {i} by {', '.join(self.of)}")
        if self.clusters:
            told = f"nearest cluster by {', '.join(self.of)}"
            codes = tuple(str(i) for i in range(self.clusters))
            found.append(Feature(f"{name}_cluster", FeatureKind.CATEGORY, codes, told))
        return tuple(found)


def nulls_of(features: Sequence[Feature]) -> list[float]:
    """What stands where a row has no place: NaN, and the code of null for a category."""
    return [float(MISSING) if f.kind is FeatureKind.CATEGORY else float("nan") for f in features]


CLUSTER_CODE = float(FIRST_CODE)


def words(columns: Sequence[str]) -> tuple[str, ...]:
    """A short name of each expression, all different.

    >>> words(("income", "rooms / households", "rooms * households"))
    ('income', 'rooms_households', 'rooms_households_2')
    """
    found: list[str] = []
    for text in columns:
        word = re.sub(r"\W+", "_", text).strip("_") or "x"
        same = [w for w in found if w == word or w.startswith(f"{word}_")]
        found.append(f"{word}_{len(same) + 1}" if word in found else word)
    return tuple(found)


def _classes(task: Task) -> list[tuple[str, str]]:
    """The ends of names and of descriptions, one a column of the target."""
    if task.kind is not Kind.MULTICLASS:
        positive = f" {_word(task.classes[1])}" if len(task.classes) == 2 else ""
        return [("", positive)]
    return [(f"_{_word(c)}", f" {_word(c)}") for c in task.classes]


def _word(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
