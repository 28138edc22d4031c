"""Collects what is wrong with a spec while it is walked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from headrace.core.errors import HeadraceError, Problem
from headrace.core.schema import Column
from headrace.core.spec import ParsedSpec

T = TypeVar("T")
Tables = Mapping[str, tuple[Column, ...]]


@dataclass
class Checker:
    """Collects problems while the spec is walked; each check adds what it finds and goes on."""

    parsed: ParsedSpec
    tables: Tables
    problems: list[Problem] = field(default_factory=list)

    def add(self, what: str, *path: str | int, why: str = "", fix: str = "") -> None:
        self.problems.append(Problem(what, where=self.parsed.where(*path), why=why, fix=fix))

    def attempt(self, work: Callable[[], T], *path: str | int) -> T | None:
        """Run `work`; its problems are added under the place of `path`."""
        try:
            return work()
        except HeadraceError as error:
            place = self.parsed.where(*path)
            self.problems += [
                Problem(p.what, where=f"{place}: {p.where}" if p.where else place, why=p.why, fix=p.fix)
                for p in error.problems
            ]
            return None

    def refuse_target(self, name: str, columns: Iterable[str], target: Iterable[str]) -> None:
        """Add a problem where a feature reads a column of the target."""
        leaked = sorted(set(columns) & set(target))
        if leaked:
            self.add(
                f"feature {name!r} uses the target's column {leaked[0]!r}",
                *("features", name),
                why="the target is not known when the prediction is made",
                fix="remove the feature, or build it from other columns",
            )
