"""What is live in this process: the routes as the ledger has them, and the releases they name, loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from headrace.core.clock import Clock
from headrace.core.errors import NotFound
from headrace.core.ports import OnlineStore, Store
from headrace.core.routes import DEFAULT, Route
from headrace.release.manifest import Manifest
from headrace.serve.answer import Answerer
from headrace.serve.online import Online


@dataclass(frozen=True)
class Served:
    """A release, loaded and warm."""

    release: str
    manifest: Manifest
    answerer: Answerer
    online: Online | None = None


@dataclass(frozen=True)
class Scene:
    """Everything that answering needs, at one moment of the ledger. Never changed: replaced by another.

    number: of the ledger's event up to which it holds. champion: its name; it is in `served`.
    """

    champion: str
    served: Mapping[str, Served]
    routes: Mapping[str, Route]
    number: int = 0


class Live:
    """Holds the scene. `scene` may be read by any thread at any time."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    @classmethod
    def pinned(cls, served: Served) -> Live:
        """One release, whatever the ledger says."""
        return cls(Scene(served.release, {served.release: served}, {DEFAULT: Route()}))

    def close(self) -> None:
        """Follow the ledger no longer."""


def load(
    store: Store,
    release: str,
    manifest: Manifest,
    clock: Clock,
    online: OnlineStore | None = None,
    *,
    threads: int = 1,
) -> Served:
    """Load a release's graph and tables, and answer once, so that no caller waits for what the first does."""
    live = None if online is None else Online(online, manifest.serving, clock)
    answerer = Answerer(store, manifest.serving, release, threads=threads, online=live)
    answerer.warm()
    return Served(release, manifest, answerer, live)


Load = Callable[[str], Served]


def require(scene: Scene, release: str) -> Served:
    """A release that is loaded.

    Raises:
        NotFound: no route names it.
    """
    if release not in scene.served:
        raise NotFound(
            f"the release {release!r} answers on no route", fix=f"loaded: {', '.join(scene.served)}"
        )
    return scene.served[release]
