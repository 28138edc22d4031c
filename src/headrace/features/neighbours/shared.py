"""One search for encoders that look for neighbours at the same places."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from headrace.features.neighbours.asked import Asked
from headrace.features.neighbours.grid import Numbers
from headrace.features.neighbours.search import Ids, Nearest, nearest, nearest_others

MOST_CELLS = 10_000_000
"""Neighbours that are remembered, of all rows together (16 bytes each); beyond, each encoder searches."""

Place = tuple[tuple[str, ...], bool, int | None]


class Shared:
    """The searches of encoders that ask by one distance: the first to ask looks for as many neighbours as any
    of them wants, and the others take the nearest of these, which are theirs.

    Live: remembers what was found until as many have asked as there are encoders. What was asked is told by
    the digests of the places themselves, so that other rows are never taken for these.
    """

    def __init__(self, users: int, widest: int) -> None:
        self._users, self._widest = users, widest if users > 1 else 0
        self._found: dict[bytes, tuple[Nearest, int]] = {}
        self._cells = 0

    def others(self, points: Numbers, units: Ids, places: Numbers, own: Ids, k: int) -> Nearest:
        """As `nearest_others`."""
        outside = len(points) - int(np.unique(units, return_counts=True)[1].max(initial=0))
        wide = max(k, min(self._widest, outside))
        return self._of(
            (points, units, places, own), k, wide, lambda: nearest_others(points, units, places, own, wide)
        )

    def of(self, points: Numbers, places: Numbers, k: int) -> Nearest:
        """As `nearest`."""
        wide = max(k, min(self._widest, len(points)))
        return self._of((points, places), k, wide, lambda: nearest(points, places, wide))

    def _of(
        self, asked: tuple[NDArray[np.generic], ...], k: int, wide: int, search: Callable[[], Nearest]
    ) -> Nearest:
        if self._users == 1:
            return search()
        key = _digest(asked)
        found, left = self._found.pop(key, (None, self._users))
        if found is None:
            found = search()
            self._cells += found.index.size
        if left > 1 and self._cells <= MOST_CELLS:
            self._found[key] = found, left - 1
        else:
            self._cells -= found.index.size
        index, apart = found.index[:, :k], found.apart[:, :k]
        return Nearest(np.ascontiguousarray(index), np.ascontiguousarray(apart))


def _digest(arrays: Iterable[NDArray[np.generic]]) -> bytes:
    told = hashlib.blake2b()
    for array in arrays:
        told.update(f"{array.shape}{array.dtype}".encode())
        told.update(np.ascontiguousarray(array).tobytes())
    return told.digest()


def shared_of(asked: Mapping[str, Asked]) -> dict[str, Shared]:
    """What encoders share, by the encoder's name; each of one place has its own."""
    users: dict[Place, list[str]] = {}
    for name, one in asked.items():
        if one.points_wanted:
            users.setdefault((one.of, one.scale, one.points), []).append(name)
    found: dict[str, Shared] = {}
    for names in users.values():
        both = Shared(len(names), max(max(asked[n].k) for n in names))
        found |= dict.fromkeys(names, both)
    return found
