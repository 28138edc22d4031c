"""A loop stays awake after an answer: for a moment, and not where another thread has to work."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any, cast

from headrace.serve.http.awake import Awake

LATER = 3600.0


class Loop:
    """What is to be called."""

    def __init__(self) -> None:
        self.ready: list[Callable[[], Any]] = []

    def call_soon(self, call: Callable[[], Any]) -> None:
        self.ready.append(call)

    def turn(self) -> None:
        now, self.ready = self.ready, []
        for call in now:
            call()


def awake(waiting: Callable[[], int]) -> tuple[Loop, Awake]:
    loop = Loop()
    return loop, Awake(cast(Any, loop), waiting)


def test_a_loop_has_one_thing_to_call_until_the_moment_is_over() -> None:
    loop, it = awake(lambda: 0)
    it.stay(perf_counter() + LATER)
    it.stay(perf_counter() + LATER)
    for _ in range(3):
        assert len(loop.ready) == 1
        loop.turn()
    it.stay(perf_counter() - LATER)
    loop.turn()
    assert loop.ready == []


def test_where_an_answer_waits_for_a_thread_the_loop_sleeps() -> None:
    waiting = 1
    loop, it = awake(lambda: waiting)
    it.stay(perf_counter() + LATER)
    loop.turn()
    assert loop.ready == []
    waiting = 0
    it.stay(perf_counter() + LATER)
    loop.turn()
    assert len(loop.ready) == 1, "the next answer begins anew"
