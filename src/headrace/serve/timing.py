"""How fast a release answers on this machine: requests through the desk, from the bytes of each to those of
its answer, one after the other, without a socket."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import perf_counter, process_time
from typing import Any

import msgspec
import numpy as np

from headrace.core.clock import Clock
from headrace.core.errors import DataError, HeadraceError
from headrace.core.ports import Store
from headrace.release.manifest import Serving, bare
from headrace.release.plan import Plan, Speed
from headrace.serve.desk.desk import Asked, Desk
from headrace.serve.live import Live, load

ROUNDS = 3
"""The fastest counts: what holds up a machine for a moment is not the release."""
WARM = 20
_LONG_US = 3_600_000_000


def time_release(
    store: Store,
    serving: Serving,
    plan: Plan,
    rows: Sequence[Mapping[str, Any]],
    clock: Clock,
    *,
    together: int,
    requests: int,
    seconds: float,
) -> Speed:
    """Time a release that is not served yet, rules included; what it falls back to is not asked.

    together: rows in each request; requests: in each of three rounds, which take no longer than `seconds`
    each.

    Raises:
        DataError: a row does not fit.
        HeadraceError: the release failed.
    """
    patient = replace(plan, fallback=(), deadline_us=_LONG_US)
    desk = Desk(Live.pinned(load(store, "timed", bare(serving, patient), clock)))
    if not rows:
        raise DataError("there are no rows to send")
    bodies = [
        msgspec.json.encode([rows[(i + k) % len(rows)] for k in range(together)])
        for i in range(0, max(len(rows), together), together)
    ]
    # In a thread of its own: the caller may have a loop that runs, as notebooks have.
    with ThreadPoolExecutor(1, thread_name_prefix="headrace-timing") as thread:
        try:
            best, busy = thread.submit(asyncio.run, _rounds(desk, bodies, requests, seconds)).result()
        finally:
            desk.close()
    p50, p99 = np.percentile(best, (50, 99)) * 1e6
    return Speed(
        p50_us=round(float(p50), 1),
        p99_us=round(float(p99), 1),
        capacity=round(together / busy, 1),
        rows=together,
        requests=len(best),
    )


async def _rounds(
    desk: Desk, bodies: Sequence[bytes], requests: int, seconds: float
) -> tuple[Sequence[float], float]:
    """The seconds that each request of the fastest round took, and the processor's seconds for a request,
    which depend little on what else the machine does."""
    for i in range(WARM):
        await _once(desk, bodies[i % len(bodies)])
    found: list[list[float]] = []
    busy = math.inf
    for _ in range(ROUNDS):
        took: list[float] = []
        until, spent = perf_counter() + seconds, process_time()
        while len(took) < requests and (perf_counter() < until or not took):
            took.append(await _once(desk, bodies[len(took) % len(bodies)]))
        busy = min(busy, (process_time() - spent) / len(took))
        found.append(took)
    return min(found, key=lambda t: float(np.percentile(t, 99))), max(busy, 1e-6)


async def _once(desk: Desk, body: bytes) -> float:
    started = perf_counter()
    answers = await desk.answer(msgspec.json.decode(body), Asked(started))
    msgspec.json.encode(answers)
    took = perf_counter() - started
    if answers[0]["fallback"]:
        raise HeadraceError("the release did not answer")
    return took
