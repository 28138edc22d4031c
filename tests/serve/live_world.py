"""A ledger with three releases of one graph: aaaa is champion, bbbb and cccc are approved challengers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from serve_releases import make_release

from headrace.core.clock import iso
from headrace.core.codec import to_json
from headrace.core.event import Draft
from headrace.core.routes import DEFAULT, Arm, Role, routes
from headrace.stores import EmbeddedStore


@dataclass(frozen=True)
class World:
    """The ledger, and what happens in it: written as the engine writes it."""

    folder: Path
    store: EmbeddedStore

    def clock(self) -> datetime:
        return datetime.now(UTC)

    def write(self, kind: str, subject: str, **payload: object) -> None:
        self.store.append([Draft(kind, subject, iso(self.clock()), "me", payload)])

    def promote(self, release: str) -> None:
        self.write("release.promoted", release)

    def restore(self, release: str, instead_of: str) -> None:
        self.write("release.rolled_back", release, **{"from": instead_of, "reason": "told so"})

    def set_route(
        self,
        canary: tuple[str, float] | None = None,
        shadows: tuple[tuple[str, float], ...] = (),
        **ramp: object,
    ) -> None:
        old = routes(self.store.read())[DEFAULT]
        arms = [Arm(*canary, Role.CANARY)] if canary else [a for a in old.arms if a.role is Role.CANARY]
        arms += [Arm(n, s, Role.SHADOW) for n, s in shadows]
        told = [{"release": a.release, "share": a.share, "role": a.role.value} for a in arms]
        self.write("route.set", DEFAULT, arms=told, salt="salt", ramp=ramp or dict(old.ramp))

    def roll_back(self) -> None:
        canary = routes(self.store.read())[DEFAULT].canary
        assert canary is not None
        self.write("route.rolled_back", DEFAULT, release=canary.release, share=canary.share, reason="told so")


def world(folder: Path) -> World:
    made = make_release(folder)
    store = made.store
    assert isinstance(store, EmbeddedStore)
    manifest = store.put(to_json(made.manifest)).digest
    found = World(folder, store)
    for name in ("aaaa", "bbbb", "cccc"):
        found.write("release.made", name, manifest=manifest, run="run")
        found.write("release.challenged", name, against="")
        found.write("release.approved", name)
    found.promote("aaaa")
    return found
