"""Not falling asleep between two requests of a caller who asks one after the other: to be woken takes a sixth
of a row's answer, and finds the processor's caches cold."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from time import perf_counter

LONGEST = 50e-6
"""Seconds after an answer: so much of a processor an answer may cost beside its own work."""
_give_way = getattr(os, "sched_yield", None)


class Awake:
    """Has a loop look for requests again and again for a moment after each answer. For one loop.

    A loop that has something to call does not sleep. Whoever else wants the processor has it meanwhile, and
    while an answer waits for another thread of this process (`waiting`), that thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, waiting: Callable[[], int]) -> None:
        self._loop = loop
        self._waiting = waiting
        self._until = 0.0
        self._on = False

    def stay(self, now: float) -> None:
        """An answer was sent. now: `perf_counter`."""
        self._until = now + LONGEST
        if not self._on and _give_way is not None:
            self._on = True
            self._loop.call_soon(self._again)

    def _again(self) -> None:
        self._on = perf_counter() < self._until and not self._waiting()
        if self._on and _give_way is not None:
            _give_way()
            self._loop.call_soon(self._again)
