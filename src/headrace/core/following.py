"""A fold of the ledger that goes on where it stopped: what pages ask again and again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from headrace.core.event import GENESIS, Event
from headrace.core.ports import Store

T = TypeVar("T")


class Fold(Protocol):
    """What is known after the events so far."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The events that it takes."""
        ...

    def take(self, event: Event) -> None:
        """One event more, in the ledger's order."""
        ...


F = TypeVar("F", bound=Fold)


class Followed(Generic[F]):
    """A fold of one ledger, kept in memory. For any number of threads; one waits for another."""

    def __init__(self, store: Store, begin: Callable[[], F]) -> None:
        """begin: the fold before the first event."""
        self._store = store
        self._begin = begin
        self._lock = threading.Lock()
        self._fold = begin()
        self._at = (0, GENESIS)

    def ask(self, look: Callable[[F], T]) -> T:
        """What `look` finds in the fold as the ledger stands.

        Raises:
            StoreError: the ledger can't be read.
        """
        with self._lock:
            self._go_on()
            return look(self._fold)

    def _go_on(self) -> None:
        head = self._store.head()
        if head == self._at:
            return
        if not self._same(head):
            self._fold, self._at = self._begin(), (0, GENESIS)
        fold, after = self._fold, self._at[0]
        self._at = (-1, "")  # what fails on the way is folded anew
        for event in self._store.read(after=after, kinds=fold.kinds):
            if event.seq > head[0]:
                break
            fold.take(event)
        self._at = head

    def _same(self, head: tuple[int, str]) -> bool:
        """Whether the line that the fold came to is still that line."""
        seq, digest = self._at
        if seq <= 0:
            return seq == 0
        if seq > head[0]:
            return False
        return next((e.digest == digest for e in self._store.read(after=seq - 1)), False)
