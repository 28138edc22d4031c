"""A circuit breaker: a release that fails again and again is not asked for a while, then by one row.

A state machine of its own: it reads no clock; moments are seconds of any clock that doesn't go back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum


class Circuit(StrEnum):
    """closed: asked as usual. open: not asked. half-open: one request tries."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True)
class Limits:
    """failures: so many within `window` seconds open the circuit; for `rest` seconds, twice as long each time
    that the request which tries fails, at most `longest`."""

    failures: int = 5
    window: float = 10.0
    rest: float = 1.0
    longest: float = 30.0


class Breaker:
    """Of one release. Live; for one thread."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._failed: deque[float] = deque(maxlen=self._limits.failures)
        self._rest = self._limits.rest
        self._until = 0.0
        self._tried: float | None = None
        self.circuit = Circuit.CLOSED

    def asks(self, now: float) -> bool:
        """Whether the release may be asked now. Whoever is told so tells `succeeded`, `failed` or `left`.
        A request that tries and never tells is given up after the time of a rest."""
        if self.circuit is Circuit.CLOSED:
            return True
        if self.circuit is Circuit.OPEN:
            if now < self._until:
                return False
            self.circuit = Circuit.HALF_OPEN
        elif self._tried is not None and now < self._tried + self._rest:
            return False
        self._tried = now
        return True

    def succeeded(self) -> None:
        """The release answered in time."""
        if self.circuit is Circuit.HALF_OPEN:
            self.circuit, self._tried, self._rest = Circuit.CLOSED, None, self._limits.rest
            self._failed.clear()

    def left(self) -> None:
        """It was not asked after all."""
        self._tried = None

    def failed(self, now: float) -> None:
        """The release failed, or took too long."""
        if self.circuit is Circuit.HALF_OPEN:
            self._rest = min(2 * self._rest, self._limits.longest)
            self._open(now)
            return
        self._failed.append(now)
        full = len(self._failed) == self._limits.failures
        if self.circuit is Circuit.CLOSED and full and now - self._failed[0] <= self._limits.window:
            self._open(now)

    def _open(self, now: float) -> None:
        self.circuit, self._until, self._tried = Circuit.OPEN, now + self._rest, None
