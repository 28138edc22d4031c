"""Which release an arm had when: answers that another gave in its place are counted as the arm's own."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from headrace.core.clock import iso_micros
from headrace.core.event import Event
from headrace.core.routes import ROUTE_KINDS, Role, Route, routes

_BATCH = "batch"
_CROWNING = ("release.promoted", "release.rolled_back", "release.retired")


class Arms:
    """Champions and routes over time, from events of `LIVE_KINDS` in their order."""

    def __init__(self, events: Iterable[Event]) -> None:
        self._events: list[Event] = []
        self._moments: list[int] = []
        self._champions: list[str] = []
        self._states: dict[int, dict[str, Route]] = {}
        self._since = 0
        self._in_service: set[str] = set()
        champion = ""
        for e in events:
            if e.kind == "release.retired":
                self._in_service.discard(e.subject)
            elif e.kind in ("release.made", *_CROWNING):
                self._in_service.add(e.subject)
            before, champion = champion, _champion(e, champion)
            if champion != before:
                self._since = iso_micros(e.time)
            if e.kind in ROUTE_KINDS or e.kind in _CROWNING:
                last = self._moments[-1] if self._moments else 0
                self._events.append(e)
                self._moments.append(max(iso_micros(e.time), last))
                self._champions.append(champion)

    def of(self, route: str, arm: str, moment: int) -> str:
        """The release of an arm at a moment (UTC microseconds); empty where none is known, or the arm had
        several."""
        at = bisect_right(self._moments, moment) - 1
        if at < 0:
            return ""
        if arm == Role.CHAMPION:
            return self._champions[at]
        known = self._state(at).get(route)
        found = [a.release for a in known.arms if a.role.value == arm] if known is not None else []
        return found[0] if len(found) == 1 else ""

    @property
    def champion(self) -> str:
        """The present champion; empty where there is none."""
        return self._champions[-1] if self._champions else ""

    @property
    def since(self) -> int:
        """From when on the present champion has been it without a break (UTC microseconds); 0 where there
        was never one."""
        return self._since

    @property
    def live(self) -> frozenset[tuple[str, str]]:
        """Release and arm of all that answer now. Batches are scored by whichever release is named: every one
        that was not retired is in service for them."""
        found = {(release, _BATCH) for release in self._in_service}
        if not self._moments:
            return frozenset(found)
        if self.champion:
            found.add((self.champion, Role.CHAMPION.value))
        routed = self._state(len(self._moments) - 1).values()
        return frozenset(found | {(a.release, a.role.value) for r in routed for a in r.arms})

    def _state(self, at: int) -> dict[str, Route]:
        """The routes after an event: folded when they are first asked for."""
        if at not in self._states:
            self._states[at] = routes(self._events[: at + 1])
        return self._states[at]


def _champion(e: Event, before: str) -> str:
    if e.kind in ("release.promoted", "release.rolled_back"):
        return e.subject
    if e.kind == "release.retired" and e.subject == before:
        return ""
    return before
