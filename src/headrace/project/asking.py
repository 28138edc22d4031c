"""How a release that is not served yet is asked: through the code that will serve it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headrace.core.clock import Clock
from headrace.core.ports import OnlineStore, Store

if TYPE_CHECKING:
    from headrace.engine.skew import Ask, Ways
    from headrace.engine.speed import Timed
    from headrace.release.manifest import Serving
    from headrace.release.plan import Plan, Speed


def ways_of(store: Store, online: Callable[[], OnlineStore], clock: Clock) -> Ways:
    """With lookups and histories from the release's own snapshots, and from the online store where that
    holds one of its tables."""
    from headrace.engine.skew import ONLINE, REQUESTS

    def from_snapshots(serving: Serving) -> Ask:
        from headrace.serve.answer import Answerer

        answerer = Answerer(store, serving, "")
        return lambda row: answerer.seen([row])

    def from_online(serving: Serving) -> Ask | None:
        from headrace.release.feeds import ready
        from headrace.serve.answer import Answerer
        from headrace.serve.online import Online

        held = online()
        if not ready(held, serving):
            return None
        answerer = Answerer(store, serving, "", online=Online(held, serving, clock))
        return lambda row: answerer.seen([row])

    return {REQUESTS: from_snapshots, ONLINE: from_online}


def timer_of(store: Store, clock: Clock) -> Timed:
    """How a release is timed: with lookups and histories from its own snapshots."""

    def timed(
        serving: Serving,
        plan: Plan,
        rows: Sequence[Mapping[str, Any]],
        *,
        together: int,
        requests: int,
        seconds: float,
    ) -> Speed:
        from headrace.serve.timing import time_release

        return time_release(
            store, serving, plan, rows, clock, together=together, requests=requests, seconds=seconds
        )

    return timed
