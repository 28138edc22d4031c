"""What is live in this process: the routes as the ledger has them, and the releases they name, loaded."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from headrace.core.clock import Clock
from headrace.core.codec import from_json
from headrace.core.errors import NotFound
from headrace.core.ports import OnlineStore, Store
from headrace.core.routes import DEFAULT, Route
from headrace.core.views import ReleaseView
from headrace.release.feeds import ready
from headrace.release.manifest import Manifest
from headrace.serve.answer import Answerer
from headrace.serve.desk.around import Around
from headrace.serve.ledger import Ledger
from headrace.serve.online import Online

EVERY = 0.2
"""Seconds between two looks at the ledger."""
_AGAIN = 5.0
"""Seconds before a release that could not be loaded is tried again."""

_LOG = logging.getLogger("headrace.serve")


@dataclass(frozen=True)
class Served:
    """A release, loaded and warm."""

    release: str
    manifest: Manifest
    answerer: Answerer
    around: Around
    online: Online | None = None


@dataclass(frozen=True)
class Scene:
    """Everything that answering needs, at one moment of the ledger. Never changed: replaced by another.

    number: of the ledger's event up to which it holds. champion: its name; it is in `served`, as is every
    release that an arm of `routes` names. retired: the champion has left service, and what comes after it
    answers in its place.
    """

    champion: str
    served: Mapping[str, Served]
    routes: Mapping[str, Route]
    number: int = 0
    retired: bool = False

    @cached_property
    def known(self) -> frozenset[str]:
        """What may be sent to some release of it, where there are several; else nothing."""
        if len(self.served) == 1:
            return frozenset()
        return frozenset().union(*(s.around.inputs.columns for s in self.served.values()))


Make = Callable[..., Answerer]
Load = Callable[[ReleaseView], Served]
"""Loads a release and answers once with it. Takes as long as that takes; called from a thread of its own."""


def _heedless(_: Iterable[Served]) -> None:
    """Nobody wants to know."""


class Live:
    """Holds the scene. `scene` may be read by any thread at any time: it is replaced as a whole.

    heed: called with a release before it first answers, with all that are loaded once they are, and with them
    again now and then; in the thread that loads releases, so it may take its time. It must not raise.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.heed: Callable[[Iterable[Served]], None] = _heedless

    @classmethod
    def pinned(cls, served: Served) -> Live:
        """One release, whatever the ledger says."""
        return cls(Scene(served.release, {served.release: served}, {DEFAULT: Route()}))

    @property
    def loaded(self) -> tuple[Served, ...]:
        """The releases that answer, and those that may at any moment, as they are kept ready."""
        return tuple(self.scene.served.values())

    @property
    def trouble(self) -> str:
        """Why the scene may be older than the ledger, or lacks a release; empty: it is as the ledger says."""
        return self.told(whys=True)

    def told(self, *, whys: bool) -> str:
        """`trouble`; without `whys` only what it is: reasons may be in the words of the owner's code."""
        return ""

    @property
    def behind(self) -> float:
        """Seconds since the ledger was last read."""
        return 0.0

    def close(self) -> None:
        """Follow the ledger no longer."""


class Following(Live):
    """A scene that follows the ledger.

    Two threads: one looks at the ledger and replaces the scene, so that a rollback waits for nothing; the
    other loads releases, which answer from when they are warm. Until then an arm's units get the champion,
    and a new champion's those of the one before. Releases that nothing names any more are let go.
    What can't be read or loaded changes nothing: the scene stays, and `trouble` says why.
    """

    def __init__(self, store: Store, load: Load, *, every: float = EVERY) -> None:
        """Reads the ledger, and loads what it names before this returns.

        Raises:
            NotFound: no release is champion.
            HeadraceError: the ledger can't be read, or the champion can't be loaded.
        """
        self._ledger = Ledger(store)
        self._load = load
        self._every = every
        self._loaded: dict[str, Served] = {}
        self._failed: dict[str, tuple[str, float]] = {}
        self._unread = ""
        self._looked = time.monotonic()
        self._lock = threading.Lock()  # of the three above and the swap
        self._stop, self._wanting = threading.Event(), threading.Event()
        told = self._ledger.look()
        if told is None or not told.champion:
            raise NotFound("no release is champion", fix="run `headrace run`, or promote one")
        self._told = told
        first = told.state.releases[told.champion]
        served = load(first)
        self._loaded[first.release] = served
        super().__init__(Scene(first.release, self._loaded, {DEFAULT: Route()}))
        self._load_missing()
        self._swap()
        self._threads = [
            threading.Thread(target=self._follow, name="headrace-live", daemon=True),
            threading.Thread(target=self._loading, name="headrace-load", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def loaded(self) -> tuple[Served, ...]:
        """See `Live.loaded`."""
        with self._lock:
            return tuple(self._loaded.values())

    def told(self, *, whys: bool) -> str:
        """See `Live.told`."""
        failed = [f"{name}: {why if whys else 'not loaded'}" for name, (why, _) in dict(self._failed).items()]
        unread = f"the ledger can't be followed{f': {self._unread}' if whys else ''}" if self._unread else ""
        return "; ".join([*([unread] if unread else []), *failed])

    @property
    def behind(self) -> float:
        """See `Live.behind`."""
        return time.monotonic() - self._looked

    def close(self) -> None:
        """See `Live.close`."""
        self._stop.set()
        self._wanting.set()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout=5)

    def _follow(self) -> None:
        while not self._stop.wait(self._every):
            try:
                told = self._ledger.look()
            except Exception as error:  # noqa: BLE001  whatever it is, answering goes on with what is there
                if not self._unread:
                    _LOG.warning("the ledger can't be followed: %s", error)
                self._unread = _line(error)
                continue
            self._unread = ""
            self._looked = time.monotonic()
            if told is not None:
                with self._lock:
                    if told.champion:
                        self._told = told
                    self._failed = {n: f for n, f in self._failed.items() if n in self._told.kept}
                    self._swap()
                self._wanting.set()

    def _loading(self) -> None:
        while not self._stop.is_set():
            # Woken by a change, and now and then for what could not be loaded before.
            self._wanting.wait(timeout=_AGAIN)
            self._wanting.clear()
            if not self._stop.is_set():
                self.heed(self.loaded)
                self._load_missing()

    def _load_missing(self) -> None:
        """Load what is wanted and not there, the champion first; let go of the rest."""
        tried: set[str] = set()
        while not self._stop.is_set():
            with self._lock:
                now = time.monotonic()
                told = self._told
                missing = [
                    n
                    for n in told.kept
                    if n not in self._loaded and n not in tried and self._failed.get(n, ("", 0.0))[1] <= now
                ]
            if not missing:
                break
            tried.add(missing[0])
            self._load_one(told.state.releases[missing[0]])
        with self._lock:
            self._let_go()

    def _load_one(self, view: ReleaseView) -> None:
        try:
            served = self._load(view)
        except Exception as error:  # noqa: BLE001  a release's own code may raise anything: serving goes on
            _LOG.warning("release %s can't be loaded: %s", view.release, error)
            with self._lock:
                self._failed[view.release] = (_line(error), time.monotonic() + _AGAIN)
            return
        self.heed([served])
        with self._lock:
            self._loaded[view.release] = served
            self._failed.pop(view.release, None)
            self._swap()
        self.heed(self.loaded)

    def _swap(self) -> None:
        """Put the newest scene that can be. With the lock held."""
        self.scene = self._scene()
        self._let_go()

    def _let_go(self) -> None:
        kept = {*self._told.kept, *self.scene.served}
        self._loaded = {n: s for n, s in self._loaded.items() if n in kept}

    def _scene(self) -> Scene:
        """What the ledger asks for, as far as it is loaded."""
        told, loaded = self._told, self._loaded
        champion = told.champion if told.champion in loaded else self.scene.champion
        there = {name: _there(route, loaded, champion) for name, route in told.routes.items()}
        named = {champion, *(r for route in there.values() for r in route.releases)}
        retired = told.retired and champion == told.champion
        return Scene(champion, {n: loaded[n] for n in named}, there, told.number, retired)


def _line(error: Exception) -> str:
    """What an error says first; its kind, where it says nothing."""
    return str(error).split("\n")[0] or type(error).__name__


def _there(route: Route, loaded: Mapping[str, Served], champion: str) -> Route:
    """A route without the arms whose releases are not there yet."""
    arms = tuple(a for a in route.arms if a.release in loaded and a.release != champion)
    return route if arms == route.arms else replace(route, arms=arms)


def loader(
    store: Store,
    clock: Clock,
    online: OnlineStore | None = None,
    *,
    threads: int = 1,
    make: Make = Answerer,
) -> Load:
    """Loads releases of a store; with `online`, each looks up there what of it was materialised."""

    def load_view(view: ReleaseView) -> Served:
        manifest = from_json(store.get(view.manifest).read_bytes(), Manifest)
        held = online if online is not None and ready(online, manifest.serving) else None
        return load(store, view.release, manifest, clock, held, threads=threads, make=make)

    return load_view


def load(
    store: Store,
    release: str,
    manifest: Manifest,
    clock: Clock,
    online: OnlineStore | None = None,
    *,
    threads: int = 1,
    make: Make = Answerer,
) -> Served:
    """Load a release's graph and tables, and answer once, so that no caller waits for what the first does.
    make: makes its `Answerer`, of the same arguments."""
    live = None if online is None else Online(online, manifest.serving, clock)
    answerer = make(store, manifest.serving, release, threads=threads, online=live)
    answerer.warm()
    return Served(release, manifest, answerer, Around(store, manifest, answerer), live)


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
