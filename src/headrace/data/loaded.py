"""Tables in memory that several readers share: what one has loaded and sorted, the next one finds."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(eq=False)
class _Place:
    """One value, and the lock under which it is made. Live."""

    lock: Lock = field(default_factory=Lock)
    made: bool = False
    value: Any = None


class Loaded:
    """Keeps what is made once under a key. Live; threads may share it.

    Whoever makes one says how long it lives: nothing leaves it but by `drop`, so that its memory is that of
    the distinct tables and columns asked for since. A key has to tell all that its value depends on; a file
    is told by its path, and must not change meanwhile (an artifact never does).
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._places: dict[Hashable, _Place] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value under a key; `make` is called where there is none yet. Others who ask for the same key
        wait for it, those who ask for other keys don't. What `make` raises is raised, and nothing is kept."""
        with self._lock:
            place = self._places.setdefault(key, _Place())
        with place.lock:
            if not place.made:
                place.value, place.made = make(), True
            value: T = place.value
            return value

    def drop(self) -> None:
        """Forget everything. Who holds a value goes on holding it."""
        with self._lock:
            self._places.clear()
