"""Items on their way to the review queue: one thread of a process writes them, as many at once as came while
it wrote the ones before."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from headrace.core.errors import StoreError
from headrace.core.ports import ReviewQueue
from headrace.core.review import Item, Period

_LOG = logging.getLogger("headrace.serve")
Refused = frozenset[str]
Done = Callable[[Refused | StoreError], None]
"""Told the ids that there is no room for, or why none could be kept."""

MOST = 512
"""Items that wait for the thread at most; more are refused at once."""


@dataclass(frozen=True)
class _Post:
    items: Sequence[Item]
    period: Period
    done: Done


class Poster:
    """Keeps items in a queue, from a thread of its own. `tick` is called there about once in `every` seconds.

    An item is on disk when its `done` is called. What could not be written is told, never dropped in silence.
    """

    def __init__(
        self, reviews: ReviewQueue, tick: Callable[[], None] | None = None, *, every: float = 1.0
    ) -> None:
        self.reviews = reviews
        self._tick, self._every = tick, every
        self._waiting: queue.Queue[_Post | None] = queue.Queue(MOST)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.failed = 0

    def post(self, items: Sequence[Item], period: Period, done: Done) -> None:
        """Keep items; `done` is called from the thread when they are on disk, or are not to be."""
        self._start()
        try:
            self._waiting.put_nowait(_Post(items, period, done))
        except queue.Full:
            self.failed += len(items)
            done(StoreError("more is sent to people than the queue's disk can take", fix="try again"))

    def close(self) -> None:
        """Write what waits, and end the thread."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._waiting.put(None)
            thread.join()

    def _start(self) -> None:
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="reviews", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        ticked = time.monotonic()
        while True:
            over = False
            try:
                first = self._waiting.get(timeout=self._every if self._tick else None)
            except queue.Empty:
                pass
            else:
                posts, over = self._drained(first)
                self._write(posts)
            if over:
                return
            if time.monotonic() - ticked >= self._every:
                self._ticked()
                ticked = time.monotonic()

    def _drained(self, first: _Post | None) -> tuple[list[_Post], bool]:
        """All that waits, and whether the end is among it."""
        posts: list[_Post] = []
        found = first
        while found is not None:
            posts.append(found)
            try:
                found = self._waiting.get_nowait()
            except queue.Empty:
                return posts, False
        return posts, True

    def _write(self, posts: Sequence[_Post]) -> None:
        """One transaction for posts of the same period."""
        groups: dict[Period, list[_Post]] = {}
        for post in posts:
            groups.setdefault(post.period, []).append(post)
        for period, mine in groups.items():
            told: Refused | StoreError
            items = [i for post in mine for i in post.items]
            try:
                told = self.reviews.put(items, period=period)
            except StoreError as error:
                told = error
                self.failed += len(items)
            except Exception as error:  # noqa: BLE001  whoever waits is told, and the next items are kept
                _LOG.warning("items could not be kept for people", exc_info=error)
                told = StoreError("the review queue failed", why=f"{type(error).__name__}: {error}")
                self.failed += len(items)
            for post in mine:
                _tell(post.done, told)

    def _ticked(self) -> None:
        if self._tick is not None:
            try:
                self._tick()
            except Exception as error:  # noqa: BLE001  the queue can't be read now: what was known goes on
                _LOG.info("the review queue can't be read: %s", error)
                self.failed += 1


def _tell(done: Done, told: Refused | StoreError) -> None:
    """Whatever one does with it, the others are told, too."""
    try:
        done(told)
    except Exception as error:  # noqa: BLE001  a loop that was closed while this was written, say
        _LOG.warning("nobody could be told of items for people", exc_info=error)
