"""What the arms of a route did: in a window, and in their newest rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headrace.policy.bets import Floats

KEPT = 2000
"""Newest rows of an arm that shares and distributions are read from."""
KEPT_TIMES = 500
"""And quantiles of time: fewer, so that slow answers of a start, or of a burst, soon count no more."""
LEAST = 200
"""Rows of the champion before anything is compared with it; rows of the canary before its ramp goes on."""


@dataclass(frozen=True)
class Seen:
    """What one arm did in a window, a row a unit (the worst of it). failed, fell_back: 0 or 1. took:
    microseconds. score: the number that its answer rests on; NaN where a release gave none. value: what
    decisions were worth whose truth became known in this window, a row a decision."""

    failed: Floats
    fell_back: Floats
    took: Floats
    score: Floats
    value: Floats

    @classmethod
    def nothing(cls) -> Seen:
        """No row at all."""
        none = np.empty(0)
        return cls(none, none, none, none, none)

    def __len__(self) -> int:
        return len(self.took)


class Newest:
    """The newest finite numbers of a stream. `count`: of all that there were."""

    def __init__(self, most: int = KEPT) -> None:
        self._kept = np.empty(most)
        self._at = 0
        self.count = 0

    def add(self, values: Floats) -> None:
        """Take some; what is older makes place."""
        if not len(values):
            return
        values = values[np.isfinite(values)]
        self.count += len(values)
        values = values[-len(self._kept) :]
        room = len(self._kept) - self._at
        self._kept[self._at : self._at + len(values)] = values[:room]
        self._kept[: max(len(values) - room, 0)] = values[room:]
        self._at = (self._at + len(values)) % len(self._kept)

    def values(self) -> Floats:
        """They, in no stated order."""
        return self._kept[: len(self)]

    def __len__(self) -> int:
        return min(self.count, len(self._kept))


class ArmSeen:
    """The newest rows of an arm, by what is measured of them."""

    def __init__(self) -> None:
        self.error_share, self.fallback_share = Newest(), Newest()
        self.took, self.score, self.value = Newest(KEPT_TIMES), Newest(), Newest()

    def add(self, seen: Seen) -> None:
        """Take a window."""
        self.error_share.add(seen.failed)
        self.fallback_share.add(seen.fell_back)
        self.took.add(seen.took)
        self.score.add(seen.score)
        self.value.add(seen.value)
