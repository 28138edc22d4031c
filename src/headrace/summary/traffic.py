"""What happened in a span of traffic beside the values: how many answers, how fast, by what, what was odd.

Whole numbers alone, so that the counts of processes and machines add up, in any order, to the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

PER_OCTAVE = 16
"""Bins of latency in which it doubles: each is 4.4% wide."""
BINS = PER_OCTAVE * 36
"""The last bin begins beyond eighteen hours."""
MOST_NAMES = 200
"""Different names that are counted (flags, reasons, columns nobody knows); what comes later is `other`."""
OTHER = "other"
BEAT = 60_000_000
"""Microseconds: an interval of this length had an answer, or it had none."""

Names = dict[str, int]


@dataclass
class Traffic:
    """Counts of a span's answers.

    first, last: times of the oldest and newest (UTC microseconds; 0: there is none). took: answers by the bin
    of their latency (see `bins_of`). slowest: microseconds. by: answers by what gave them: `model`,
    `rule: NAME`, `fallback: CHAIN (why)`. unanswered: those that no release gave. flags: rows by flag, such
    as `range: distance`.
    stale, missing: rows by looked up column whose fact was too old, or not there. reviews: answers that a
    person is to look at. beats: the intervals of `BEAT` since 1970 that had an answer.
    """

    rows: int = 0
    first: int = 0
    last: int = 0
    slowest: int = 0
    unanswered: int = 0
    reviews: int = 0
    took: dict[int, int] = field(default_factory=dict)
    by: Names = field(default_factory=dict)
    flags: Names = field(default_factory=dict)
    stale: Names = field(default_factory=dict)
    missing: Names = field(default_factory=dict)
    beats: set[int] = field(default_factory=set)

    def __add__(self, other: Traffic) -> Traffic:
        """Both together."""
        if not self.rows or not other.rows:
            return other if not self.rows else self
        return Traffic(
            self.rows + other.rows,
            min(self.first, other.first),
            max(self.last, other.last),
            max(self.slowest, other.slowest),
            self.unanswered + other.unanswered,
            self.reviews + other.reviews,
            _sum(self.took, other.took),
            _few(_sum(self.by, other.by)),
            _few(_sum(self.flags, other.flags)),
            _few(_sum(self.stale, other.stale)),
            _few(_sum(self.missing, other.missing)),
            self.beats | other.beats,
        )

    def to_bytes(self) -> bytes:
        """As it is kept: the same counts are the same bytes."""
        plain = [getattr(self, f.name) for f in fields(self)]
        beats = sorted(self.beats)
        plain[-1] = [b - a for a, b in zip([0, *beats], beats, strict=False)]
        return msgspec.msgpack.encode([dict(sorted(v.items())) if isinstance(v, dict) else v for v in plain])

    @staticmethod
    def from_bytes(data: bytes) -> Traffic:
        """`to_bytes` undone. Raises msgspec.ValidationError where it is something else."""
        *plain, gaps = msgspec.msgpack.decode(data, type=_KEPT)
        found = dict(zip((f.name for f in fields(Traffic)), plain, strict=False))
        return Traffic(**found, beats=set(np.cumsum(gaps, dtype=np.int64).tolist()))

    def quantile(self, q: float) -> float | None:
        """The latency that a share `q` of answers does not exceed, microseconds; within 2.2% (the middle of
        its bin, as HdrHistogram's are read). None where there is no answer."""
        if not self.rows:
            return None
        wanted = max(1, int(np.ceil(q * self.rows - 1e-9)))
        upto = 0
        for at in sorted(self.took):
            upto += self.took[at]
            if upto >= wanted:
                return min(float(self.slowest), _middle(at))
        return float(self.slowest)

    def share(self, count: int) -> float:
        """Of the answers."""
        return count / self.rows if self.rows else 0.0


_KEPT: Any = tuple[
    int, int, int, int, int, int,
    dict[int, int], Names, Names, Names, Names,
    list[int],
]  # fmt: skip


def bins_of(took: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bin of each latency in microseconds."""
    found = np.floor(np.log2(np.maximum(took, 1).astype(np.float64)) * PER_OCTAVE + 1e-9)
    return np.minimum(found, BINS - 1).astype(np.int64)


def counted(names: Mapping[str, int]) -> Names:
    """Counts by name with no more than `MOST_NAMES` names: the first in the order of the alphabet, and the
    rest as `OTHER`."""
    return _few(dict(names))


def _middle(at: int) -> float:
    return float(2.0 ** ((at + 0.5) / PER_OCTAVE))


def _sum(one: dict[Any, int], other: dict[Any, int]) -> dict[Any, int]:
    found = dict(one)
    for name, count in other.items():
        found[name] = found.get(name, 0) + count
    return found


def _few(names: Names) -> Names:
    """The alphabet's first, whatever the order in which counts were added: the sum is the same."""
    if len(names) <= MOST_NAMES:
        return names
    kept = sorted(n for n in names if n != OTHER)[: MOST_NAMES - 1]
    found = {n: names[n] for n in kept}
    return found | {OTHER: sum(names.values()) - sum(found.values())}
