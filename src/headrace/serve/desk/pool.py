"""Threads for what may block: a function of the release's owner, a large batch. They end with the process,
whatever they hang in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import Any


class Pool:
    """At most `size` threads, started as they are needed. Safe for use by several threads.

    No executor of the standard library: those wait at exit for work that hangs.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size, self._name = size, name
        self._waiting: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._busy = 0

    def submit(self, work: Callable[[], Any]) -> Future[Any]:
        """Have work done. Whoever no longer waits for it cancels: what has not begun is left."""
        future: Future[Any] = Future()
        with self._lock:
            self._busy += 1
            if self._busy > self._threads and self._threads < self._size:
                self._threads += 1
                name = f"headrace-{self._name}-{self._threads}"
                threading.Thread(target=self._run, name=name, daemon=True).start()
        # With the caller's context: what is traced there is traced here.
        self._waiting.put((future, partial(copy_context().run, work)))
        return future

    @property
    def busy(self) -> int:
        """How many works run or wait."""
        return self._busy

    def close(self) -> None:
        """End the threads that are idle, and the others when they are done."""
        with self._lock:
            threads, self._size = self._threads, 0
        for _ in range(threads):
            self._waiting.put(None)

    def _run(self) -> None:
        while (found := self._waiting.get()) is not None:
            future, work = found
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work())
                except BaseException as error:  # noqa: BLE001  # handed to whoever waits
                    future.set_exception(error)
            with self._lock:
                self._busy -= 1
            del found, future, work
