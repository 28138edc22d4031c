"""Shadows: releases that answer beside the one whose answer is returned, after the caller has it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from headrace.core.answered import Answered
from headrace.core.errors import DataError, HeadraceError
from headrace.core.ports import Log
from headrace.core.routes import Role, Route, shadows
from headrace.serve.desk.chain import Chain, Failed
from headrace.serve.desk.counts import Counts
from headrace.serve.desk.entries import Names, entries_of
from headrace.serve.live import Scene, Served

MOST = 256
"""Rows that wait for a shadow at most; those of more are dropped, and counted."""

_LOG = logging.getLogger("headrace.serve")

Pair = tuple[Mapping[str, Any], Answered]
"""A row as it was sent, and the answer that was returned."""


class Shadows:
    """Has shadows answer. For one event loop."""

    def __init__(self, chain: Chain, counts: Counts, log: Log | None, names: Names) -> None:
        self._chain, self._counts, self._log, self._names = chain, counts, log, names
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = 0

    def follow(self, scene: Scene, route: Route, pairs: Sequence[Pair]) -> None:
        """Have the route's shadows answer rows, later: this returns at once."""
        found: dict[str, list[Pair]] = {}
        for row, entry in pairs:
            for arm in shadows(route, entry.unit or entry.id):
                found.setdefault(arm.release, []).append((row, entry))
        for release, mine in found.items():
            served = scene.served.get(release)
            room = 0 if served is None else MOST - self._waiting
            self._counts.shadows_dropped += len(mine[room:])
            if served is None or room <= 0:
                continue
            taken = mine[:room]
            self._waiting += len(taken)
            task = asyncio.get_running_loop().create_task(self._shade(scene, served, taken))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _shade(self, scene: Scene, served: Served, pairs: Sequence[Pair]) -> None:
        await asyncio.sleep(0)  # the answers that are returned go first
        started = time.perf_counter()
        until = started + served.manifest.plan.deadline_us / 1e6
        try:
            taken = await self._chain.taken(scene, served, [row for row, _ in pairs], until, instead=True)
            answers = await self._chain.tried(served, taken, until)
        except (DataError, Failed):
            self._counts.shadows_dropped += len(pairs)
            return
        finally:
            self._waiting -= len(pairs)
        self._counts.shadows += len(pairs)
        if self._log is not None:
            took = int((time.perf_counter() - started) * 1e6)
            (entries,) = entries_of(
                served,
                taken,
                answers,
                names=self._names,
                route=pairs[0][1].route,
                arm=Role.SHADOW.value,
                release=served.release,
                took_us=took,
                of=[entry.id for _, entry in pairs],
            )
            try:
                self._log.append(entries, partial(_heard, served.release))
            except HeadraceError as error:
                _heard(served.release, error)


def _heard(release: str, error: Exception | None) -> None:
    if error is not None:
        _LOG.warning("the answer of the shadow %s could not be logged: %s", release, error)
