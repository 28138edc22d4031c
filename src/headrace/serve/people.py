"""People in the loop, as the desk has them: one queue, one thread that writes to it, each release's plan."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from headrace.core.errors import StoreError
from headrace.core.ports import ReviewQueue, Store
from headrace.core.review import AUDIT, Item, ReviewPlan
from headrace.core.task import Task
from headrace.serve.attention import Attention, Look
from headrace.serve.posting import Poster, Refused

OVER = "review: the reviewers' capacity is used up"
FAILED = "review: the queue takes nothing"
"""What an answer's flags say where a person should look, and none will."""


class People:
    """Sends what people are to look at. Safe for several threads; `send` belongs to an event loop."""

    def __init__(self, reviews: ReviewQueue, store: Store) -> None:
        self.reviews, self._store = reviews, store
        self._holder = f"{socket.gethostname()}:{os.getpid()}"
        self._known: dict[str, Attention] = {}
        self._poster = Poster(reviews, self._tick)

    def attend(self, release: str, plan: ReviewPlan, task: Task) -> Attention:
        """A release's plan at work; made once a release."""
        found = self._known.get(release)
        if found is None:
            holder = f"{self._holder}:{release}"
            found = self._known.setdefault(
                release, Attention(plan, release, task, self._store, holder=holder)
            )
        return found

    async def send(self, attention: Attention, items: Sequence[Item]) -> dict[str, str]:
        """Keep items; returns when they are on disk. Of those that nobody will look at: why, by id."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Refused | StoreError] = loop.create_future()

        def tell(told: Refused | StoreError) -> None:
            loop.call_soon_threadsafe(lambda: None if future.done() else future.set_result(told))

        self._poster.post(items, attention.period(), tell)
        told = await future
        if isinstance(told, StoreError):
            return {i.id: FAILED for i in items}
        return {i.id: OVER for i in items if i.id in told}

    def close(self) -> None:
        """Write what waits."""
        self._poster.close()

    def _tick(self) -> None:
        for attention in tuple(self._known.values()):
            attention.tick(self.reviews)


def told(answer: Mapping[str, Any], look: Look, plan: ReviewPlan, why_not: str = "") -> dict[str, Any]:
    """An answer as its caller has it: `review` says whether a person will look, `flags` why none will who
    should; where the plan has no answer stand without a person, there is none."""
    missed = OVER if look.over else why_not
    asked = bool(look.why) and not why_not
    made = {**answer, "review": asked}
    if missed:
        made["flags"] = [*answer.get("flags", ()), missed]
    if plan.fallback == "none" and (asked or missed) and look.why != AUDIT:
        made["prediction"] = None
    return made
