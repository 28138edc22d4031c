"""A desk over small releases, with whatever plan a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

from serve_releases import EVENTS, PLANES, WEATHER, ZONE, Release

from headrace.core.answered import Answered
from headrace.core.clock import system_clock
from headrace.core.routes import DEFAULT, Arm, Role, Route
from headrace.core.schema import Type
from headrace.core.spec.serve import Rule
from headrace.engine.serve_plan import rule_set
from headrace.expr import compile_exprs, parse
from headrace.release.manifest import Manifest
from headrace.release.plan import Plan, PlannedFallback
from headrace.serve.desk.desk import Asked, Desk
from headrace.serve.live import Live, Scene, Served, load

RAW: Mapping[str, Type] = {n: t for n, t in EVENTS.items() if n != "note"} | WEATHER | PLANES
SPOKEN = {"prediction": Type.BOOL, "probability": Type.NUMBER, "confidence": Type.NUMBER}


class Kept:
    """A log that keeps entries in memory."""

    def __init__(self) -> None:
        self.entries: list[Answered] = []

    def append(self, entries: Sequence[Answered], done: Callable[[Exception | None], None]) -> None:
        self.entries += entries
        done(None)

    def close(self) -> None:
        pass


def planned(
    release: Release,
    plan: Plan | None = None,
    *,
    before: Sequence[Rule] = (),
    after: Sequence[Rule] = (),
    fallback: Sequence[str | float | bool] = (),
    spoken: Mapping[str, Type] | None = None,
) -> Manifest:
    """The release's manifest with this plan. A fallback that is a text is a rule."""
    chain = []
    for given in fallback:
        if isinstance(given, str):
            rule = parse(given, RAW, zone=ZONE)
            graph = release.store.put(compile_exprs({"0": rule})).digest
            chain.append(PlannedFallback(given, graph, reads=rule.columns))
        else:
            chain.append(PlannedFallback(str(given), value=given))
    made = replace(
        plan or Plan(),
        before=rule_set(release.store, before, RAW, ZONE),
        after=rule_set(release.store, after, {**RAW, **(SPOKEN if spoken is None else spoken)}, ZONE),
        fallback=tuple(chain),
    )
    return replace(release.manifest, plan=made)


def served(release: Release, manifest: Manifest | None = None, name: str = "") -> Served:
    """The release, loaded."""
    return load(release.store, name or release.name, manifest or release.manifest, system_clock)


def scene(champion: Served, *others: Served, arms: Sequence[Arm] = (), salt: str = "s") -> Scene:
    """One route with these arms."""
    there = {s.release: s for s in (champion, *others)}
    return Scene(champion.release, there, {DEFAULT: Route(arms=tuple(arms), salt=salt)})


def desk(champion: Served, *others: Served, arms: Sequence[Arm] = (), log: Kept | None = None) -> Desk:
    """A desk over them."""
    return Desk(Live(scene(champion, *others, arms=arms)), log)


def ask(at: Desk, rows: Sequence[Mapping[str, Any]], **asked: Any) -> list[dict[str, Any]]:
    """Answers to one request."""
    return asyncio.run(at.answer(rows, Asked(asked.pop("started", perf_counter()), **asked)))


def canary(release: str, share: float = 1.0) -> Arm:
    """An arm on trial."""
    return Arm(release, share, Role.CANARY)
