"""Answers that people are to look at, on their way from the desk to the review queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from numpy.typing import NDArray

from headrace.core.errors import StoreError
from headrace.core.ports import ReviewQueue, Store
from headrace.core.review import Item
from headrace.serve.attention import FAILED, OVER, Attention, Outcome
from headrace.serve.live import Served
from headrace.serve.posting import Poster, Refused

PATIENCE = 0.5
"""Seconds that an answer waits for its item to be on disk; then it says that nobody will look."""


class People(Protocol):
    """Whom the desk asks of every answer of a release that has a plan for reviews."""

    async def look(
        self,
        served: Served,
        names: Sequence[str],
        inputs: Sequence[Mapping[str, Any]],
        answers: Sequence[Mapping[str, Any]],
        by: Sequence[str],
        feeds: Mapping[str, NDArray[Any]],
    ) -> Mapping[str, Outcome]:
        """What callers are to be told, by prediction; nothing of those that nobody has to look at. What a
        person will look at is in the queue."""
        ...


class Reviewers:
    """The review queue of this process. For one loop."""

    def __init__(
        self,
        store: Store,
        reviews: ReviewQueue,
        *,
        holder: str = "",
        loaded: Callable[[], Collection[str]] | None = None,
    ) -> None:
        """loaded: the releases that may answer now; what is remembered of others is forgotten when another
        comes (None: all may)."""
        self._store, self._reviews, self._holder, self._loaded = store, reviews, holder, loaded
        self._of: dict[str, Attention] = {}
        self._poster = Poster(reviews, self._tick)

    async def look(
        self,
        served: Served,
        names: Sequence[str],
        inputs: Sequence[Mapping[str, Any]],
        answers: Sequence[Mapping[str, Any]],
        by: Sequence[str],
        feeds: Mapping[str, NDArray[Any]],
    ) -> Mapping[str, Outcome]:
        """See `People`."""
        attention = self._attention(served)
        if attention is None:
            return {}
        looks = attention.look(names, answers, by, feeds)
        items = [
            attention.item(names[i], inputs[i], answers[i], look) for i, look in enumerate(looks) if look.why
        ]
        why_not = await self._kept(items, attention) if items else {}
        told = zip(names, looks, strict=True)
        return {n: attention.outcome(look, why_not.get(n, "")) for n, look in told if look.why or look.over}

    def close(self) -> None:
        """Write what waits."""
        self._poster.close()

    def _attention(self, served: Served) -> Attention | None:
        plan = served.manifest.review
        if plan is None:
            return None
        found = self._of.get(served.release)
        if found is None:
            task = served.manifest.serving.task
            found = Attention(plan, served.release, task, self._store, holder=self._holder)
            there = self._of if self._loaded is None else self._loaded()
            # Replaced, not changed: the poster's thread goes over it.
            self._of = {n: a for n, a in self._of.items() if n in there} | {served.release: found}
        return found

    async def _kept(self, items: Sequence[Item], attention: Attention) -> Mapping[str, str]:
        """Wait until the queue has them. Returns why, of those that it has not."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Refused | StoreError] = loop.create_future()
        self._poster.post(items, attention.period(), partial(_tell, loop, future))
        await asyncio.wait((future,), timeout=PATIENCE)
        if not future.done():
            future.cancel()
            return {i.id: FAILED for i in items}
        told = future.result()
        if isinstance(told, StoreError):
            return {i.id: FAILED for i in items}
        if told:
            attention.full()
        return dict.fromkeys((i.id for i in items if i.id in told), OVER)

    def _tick(self) -> None:
        for attention in self._of.values():
            attention.tick(self._reviews)


def _tell(
    loop: asyncio.AbstractEventLoop,
    future: asyncio.Future[Refused | StoreError],
    told: Refused | StoreError,
) -> None:
    def done() -> None:
        if not future.done():
            future.set_result(told)

    loop.call_soon_threadsafe(done)
