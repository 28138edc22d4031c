"""Answering by route."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from headrace.core.answered import MODEL, Answered
from headrace.core.ports import Log
from headrace.core.routes import DEFAULT, Role, pick
from headrace.serve.live import Live, Scene, Served, require

FEW_ROWS = 8
"""Up to so many rows are answered at once: handing them to a thread would take longer than answering."""


@dataclass(frozen=True)
class Asked:
    """What a caller wants beside the rows. release: a certain one (operators); started: `perf_counter` when
    the request came; explain: how many contributions are told."""

    started: float
    route: str = DEFAULT
    release: str = ""
    explain: int = 0


class Desk:
    """Answers rows by the routes of the moment."""

    def __init__(self, live: Live, log: Log | None = None) -> None:
        self.live = live
        self._log = log

    async def answer(self, rows: Sequence[Mapping[str, Any]], asked: Asked) -> list[dict[str, Any]]:
        """One answer a row, in their order; kept in the log before they are returned, if it is durable.

        Raises:
            DataError: rows that don't fit.
            StoreError: the log takes nothing.
        """
        scene = self.live.scene
        groups = self._drawn(scene, rows, asked)
        answers: list[dict[str, Any]] = [{}] * len(rows)
        entries: list[Answered] = []
        for (release, arm), spots in groups.items():
            served = require(scene, release)
            mine = [rows[i] for i in spots] if len(groups) > 1 else rows
            work = partial(served.answerer.answer, mine, explain=asked.explain)
            few = len(mine) <= FEW_ROWS and not asked.explain
            told = work() if few else await asyncio.to_thread(work)
            for i, row, answer in zip(spots, mine, told, strict=True):
                entry = self._entry(asked, served, arm, row, answer)
                answers[i] = {"id": entry.id, **answer, "arm": arm, "by": entry.by}
                entries.append(entry)
        if self._log is not None and entries:
            await kept(self._log, entries)
        return answers

    def _drawn(
        self, scene: Scene, rows: Sequence[Mapping[str, Any]], asked: Asked
    ) -> dict[tuple[str, str], list[int]]:
        """Rows by the release and arm that answer them."""
        everything = list(range(len(rows)))
        if asked.release:
            return {(asked.release, "asked"): everything}
        route = scene.routes[asked.route]
        champion = scene.champion, Role.CHAMPION.value
        if not route.arms or not rows:
            return {champion: everything}
        unit = scene.served[scene.champion].manifest.plan.unit
        groups: dict[tuple[str, str], list[int]] = {}
        for i, row in enumerate(rows):
            arm = pick(route, str(row.get(unit, "")) if unit else new_id())
            key = champion if arm is None else (arm.release, arm.role.value)
            groups.setdefault(key, []).append(i)
        return groups

    def _entry(
        self, asked: Asked, served: Served, arm: str, row: Mapping[str, Any], answer: Mapping[str, Any]
    ) -> Answered:
        unit = served.manifest.plan.unit
        return Answered(
            id=new_id(),
            time=time.time_ns() // 1000,
            route=asked.route,
            release=served.release,
            arm=arm,
            unit=str(row.get(unit, "")) if unit else "",
            by=MODEL,
            inputs=row,
            answer=answer,
            took_us=int((time.perf_counter() - asked.started) * 1e6),
        )


def new_id() -> str:
    """A name for a prediction: 12 hex digits of milliseconds, then 20 of chance."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


async def kept(log: Log, entries: Sequence[Answered]) -> None:
    """Wait until the log has the entries as safe as its mode says."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    log.append(entries, partial(_tell, loop, future))
    await future


def _tell(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None], error: Exception | None) -> None:
    def done() -> None:
        if not future.done():
            future.set_exception(error) if error is not None else future.set_result(None)

    loop.call_soon_threadsafe(done)


Enqueue = Callable[[Answered], None]
