"""Following the ledger: what it says of champions and routes, read again only where it has grown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.core.event import Event
from headrace.core.ports import Store
from headrace.core.routes import LIVE_KINDS, Route, routes
from headrace.core.views import Releases, releases


@dataclass(frozen=True)
class Told:
    """What the ledger says up to the event `number`. champion: empty where there was none yet; the last one
    where it was `retired`."""

    champion: str
    routes: Mapping[str, Route]
    state: Releases
    number: int
    retired: bool = False

    @property
    def kept(self) -> tuple[str, ...]:
        """The champion, the releases on routes, and the one that a rollback would bring back at once."""
        named = [r for route in self.routes.values() for r in route.releases]
        before = self.state.before_champion()
        return tuple(dict.fromkeys([self.champion, *named, *([before] if before else [])]))


class Ledger:
    """Looks at a store's events, for one thread. A look at an unmoved head costs one row."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._events: list[Event] = []
        self._head: tuple[int, str] = (0, "")

    def look(self) -> Told | None:
        """What it says now; None where nothing that matters was written since the last look.

        Raises:
            StoreError: it can't be read.
        """
        head = self._store.head()
        if head == self._head:
            return None
        events = self._events if head[0] > self._head[0] else []  # less: it was restored from a copy
        after = self._head[0] if events else 0
        new = [e for e in self._store.read(after=after, kinds=LIVE_KINDS) if e.seq <= head[0]]
        self._head = head
        if not new and events:
            return None
        self._events = [*events, *new]
        state = releases(self._events)
        champion = state.reigns[-1].release if state.reigns else ""
        retired = bool(champion) and state.champion is None
        return Told(champion, routes(self._events), state, head[0], retired)
