"""Bins of columns, chosen once on reference rows: what counts of later rows are taken in.

Every column has the same layout of codes, so that counts of all columns lie in one vector:

    0          null (for numbers also NaN and infinities, as in a graph)
    1          a value of another type than the column's
    2          number: below the least; time: long before the first; text and bool: seen, but rare
    3 … k+2    the k bins (number: ascending; time: hours of the day; text and bool: frequent values)
    k+3        number: above the greatest; time: long after the last; text and bool: never seen

Numbers are cut at quantiles of the reference into at most 32 bins; a value that has more than its share of
the rows has a bin of its own, and of at most 32 different values each has. Edges are values of the reference.
A moment moves on whatever happens, so that its place in the reference's range says nothing; what is counted
of times is the hour of the day in the project's zone. Bins of equal mass are those of Mann & Wald (1942).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.core.digest import digest
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type

NULL, WRONG, LOW, FIRST = 0, 1, 2, 3
"""Codes: no value, a value of another type, below (or rare), the first bin."""
EDGES = 4
"""Codes beside the bins: null, wrong, below or rare, above or new."""
UNKNOWN = 255
"""In `codes` of rows: nothing is known of the column for this row (an answer that nobody asked for)."""

MOST_BINS = 32
MOST_CATEGORIES = 60
MOST_SEEN = 300
"""Rare values that are remembered (in a Bloom filter), so that what was never seen can be told."""
LONGEST = 40
"""Characters of a frequent value; longer ones are kept as a digest."""
BUDGET = 800
"""Bytes of JSON that a column's frequent values may take."""
HOURS = 24

_HASHES, _BITS_EACH = 7, 10
_YEAR, _HOUR = 31_557_600_000_000, 3_600_000_000


@dataclass(frozen=True)
class ColumnBins:
    """How one column is binned.

    edges: numbers: where each bin begins, and at the end the greatest value (k + 1 of them; none where the
    reference had no value at all). Times: the earliest and latest moment that can be meant. categories: the
    frequent values of texts and bools; long ones, and those of personal columns (`hashed`), as `#` and a
    digest. seen: the rare ones, a Bloom filter in base64 (Bloom, 1970; one in a hundred new values passes for
    seen). tells_new: whether values that were never seen are told from rare ones; where there were too many
    rare ones both are counted as rare. center, spread: median and standard deviation of the reference's
    numbers; moments are kept in these units. zone: of times.
    """

    name: str
    type: Type
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    seen: str = ""
    tells_new: bool = True
    hashed: bool = False
    center: float = 0.0
    spread: float = 1.0
    zone: str = ""

    @property
    def inner(self) -> int:
        """Bins proper: k."""
        if self.type is Type.NUMBER:
            return max(0, len(self.edges) - 1)
        return HOURS if self.type is Type.TIME else len(self.categories)

    @property
    def width(self) -> int:
        """Codes: k + 4."""
        return self.inner + EDGES

    @property
    def high(self) -> int:
        """The code of what is above, or was never seen."""
        return self.inner + FIRST

    @property
    def ordered(self) -> bool:
        """Whether the order of codes from `LOW` to `high` means anything: that of numbers does."""
        return self.type is Type.NUMBER

    def told(self, code: int) -> str:
        """A code in words, for people.

        >>> ColumnBins("x", Type.NUMBER, edges=(1.0, 2.0, 5.0)).told(4)
        '2 to 5'
        """
        if code == NULL:
            return "null"
        if code == WRONG:
            return f"not {self.type.value}"
        if self.type in (Type.TEXT, Type.BOOL):
            ends = {LOW: "other", self.high: "new"}
            return ends[code] if code in ends else self.categories[code - FIRST]
        if self.type is Type.TIME:
            ends = {LOW: "long before", self.high: "long after"}
            return ends[code] if code in ends else f"{code - FIRST} h"
        if not self.edges:
            return "a number"
        if code == LOW:
            return f"below {self.edges[0]:g}"
        if code == self.high:
            return f"above {self.edges[-1]:g}"
        low, high = self.edges[code - FIRST], self.edges[code - FIRST + 1]
        return f"{low:g}" if low == high else f"{low:g} to {high:g}"


@dataclass(frozen=True)
class Bins:
    """Bins of several columns. Codes of column i lie at `offsets[i]` to `offsets[i + 1]` in a vector of
    counts."""

    columns: tuple[ColumnBins, ...]

    @cached_property
    def digest(self) -> str:
        """Counts of the same digest can be added up: 16 hex digits."""
        return digest([msgspec.to_builtins(c) for c in self.columns])[:16]

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Where each column's codes begin; at the end the number of all codes."""
        return tuple(accumulate((c.width for c in self.columns), initial=0))

    @property
    def width(self) -> int:
        """Codes of all columns together."""
        return self.offsets[-1]

    @cached_property
    def widths(self) -> NDArray[np.int64]:
        """Codes of each column."""
        return np.array([c.width for c in self.columns], dtype=np.int64)

    @cached_property
    def _at(self) -> Mapping[str, int]:
        return {c.name: i for i, c in enumerate(self.columns)}

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(c.name for c in self.columns)

    def index(self, name: str) -> int:
        """A column's number. Raises KeyError."""
        return self._at[name]

    def span(self, name: str) -> slice:
        """Where a column's counts lie. Raises KeyError."""
        i = self._at[name]
        return slice(self.offsets[i], self.offsets[i + 1])

    def column(self, name: str) -> ColumnBins:
        """A column's bins. Raises KeyError."""
        return self.columns[self._at[name]]


def make_bins(
    columns: Mapping[str, NDArray[Any]],
    types: Mapping[str, Type],
    *,
    zone: str = "UTC",
    hashed: Sequence[str] = (),
) -> Bins:
    """Bins from reference rows in raw-column form (`graph.build.INPUT_TYPES`), in the order of `types`.

    columns: vectors by name; a column that is not there had no value. hashed: columns whose values are
    personal, and kept as digests.
    """
    return Bins(
        tuple(
            column_bins(name, kind, columns.get(name), zone=zone, hashed=name in hashed)
            for name, kind in types.items()
        )
    )


def column_bins(
    name: str, kind: Type, values: NDArray[Any] | None, *, zone: str = "UTC", hashed: bool = False
) -> ColumnBins:
    """Bins of one column from its reference values in raw-column form."""
    if kind is Type.BOOL:
        return ColumnBins(name, kind, categories=("false", "true"))
    if kind is Type.TIME:
        times = np.zeros(0, np.int64) if values is None else values[values != NULL_TIME]
        return ColumnBins(name, kind, edges=_meant(times), zone=zone)
    if kind is Type.TEXT:
        words = [] if values is None else [w for w in values.tolist() if w != NULL_TEXT]
        return _text(name, words, hashed)
    known = np.zeros(0) if values is None else np.asarray(values, np.float64)
    known = np.sort(known[np.isfinite(known)])
    if not len(known):
        return ColumnBins(name, kind)
    with np.errstate(over="ignore", invalid="ignore"):
        spread = float(known.std())
    return ColumnBins(
        name,
        kind,
        edges=quantile_edges(known),
        center=float(known[(len(known) - 1) // 2]),
        spread=spread if 0 < spread < np.inf else 1.0,
    )


def quantile_edges(ordered: NDArray[np.float64], most: int = MOST_BINS) -> tuple[float, ...]:
    """Where at most `most` bins of about equal mass begin, and the greatest value. `ordered`: ascending,
    finite, at least one. A value with at least a bin's share of what is left is a bin by itself."""
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    values = ordered[starts]
    if len(values) <= most:
        return (*(float(v) for v in values), float(values[-1]))
    before = np.append(starts, len(ordered))  # rows before each value
    found: list[float] = []
    at = 0
    while at < len(values):
        found.append(float(values[at]))
        share = (len(ordered) - before[at]) / (most - len(found) + 1)
        if len(found) == most:
            break
        # The bin ends before the value with which it would be fuller than its share, but holds one.
        end = max(at + 1, int(np.searchsorted(before, before[at] + share + 1e-9, "right")) - 1)
        mass = np.diff(before[at : end + 1])
        heavy = np.flatnonzero(mass >= share)
        if len(heavy) and heavy[0] > 0:
            end = at + int(heavy[0])
        at = end
    return (*found, float(values[-1]))


def _meant(times: NDArray[np.int64]) -> tuple[float, ...]:
    """The earliest and latest moment that can be meant: before the first by the reference's length, but a
    year at least, and ten years after the last."""
    if not len(times):
        return ()
    low, high = int(times.min()), int(times.max())
    return float(low - max(high - low, _YEAR)), float(high + 10 * _YEAR)


def _text(name: str, words: Sequence[str], hashed: bool) -> ColumnBins:
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    categories: list[str] = []
    room = BUDGET
    for word, count in ranked[:MOST_CATEGORIES]:
        spelling = category(word, hashed)
        room -= len(msgspec.json.encode(spelling)) + 1
        if room < 0 or (count < 2 and len(ranked) > MOST_BINS):
            break
        categories.append(spelling)
    rare = [word for word, _ in ranked[len(categories) :]]
    tells = len(rare) <= MOST_SEEN
    seen = _bloom(rare) if tells and rare else ""
    return ColumnBins(
        name, Type.TEXT, categories=tuple(categories), seen=seen, tells_new=tells, hashed=hashed
    )


def category(word: str, hashed: bool = False) -> str:
    """A value as `ColumnBins.categories` has it: itself, or `#` and a digest where it is long or personal.

    >>> category("JFK"), category("JFK", hashed=True)
    ('JFK', '#af0fb9961fb8')
    """
    if hashed or len(word) > LONGEST or word.startswith("#"):
        return "#" + hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    return word


def _spots(word: str, bits: int) -> list[int]:
    """The bits of a word (Kirsch & Mitzenmacher, 2006: two hashes stand for seven)."""
    made = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    one, two = int.from_bytes(made[:8], "little"), int.from_bytes(made[8:], "little") | 1
    return [(one + i * two) % bits for i in range(_HASHES)]


def _bloom(words: Sequence[str]) -> str:
    size = -(-len(words) * _BITS_EACH // 8)
    filled = bytearray(size)
    for word in words:
        for spot in _spots(word, size * 8):
            filled[spot // 8] |= 1 << spot % 8
    return base64.b64encode(bytes(filled)).decode()


class Seen:
    """A column's Bloom filter, ready to be asked."""

    def __init__(self, column: ColumnBins) -> None:
        self._filled = base64.b64decode(column.seen)

    def __contains__(self, word: str) -> bool:
        bits = len(self._filled) * 8
        return bool(bits) and all(self._filled[s // 8] >> s % 8 & 1 for s in _spots(word, bits))


def hours(times: NDArray[np.int64], zone: str) -> NDArray[np.int64]:
    """The hour of the day of UTC microseconds in a zone: 0 to 23. Nothing of `times` is null."""
    if not len(times):
        return np.zeros(0, np.int64)
    at = times // _HOUR
    if zone in ("", "UTC"):
        return np.asarray(at % HOURS)
    known, spots = np.unique(at, return_inverse=True)
    shift = np.array([_offset(int(h), zone) for h in known], dtype=np.int64)[spots]
    return np.asarray((times + shift) // _HOUR % HOURS)


def _offset(hour: int, zone: str) -> int:
    """What a zone's clocks are ahead of UTC in an hour since 1970, microseconds; 0 beyond the years that
    are known."""
    from datetime import UTC, datetime, timedelta
    from zoneinfo import ZoneInfo

    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
        ahead = moment.astimezone(ZoneInfo(zone)).utcoffset()
    except (OverflowError, ValueError):
        return 0
    return 0 if ahead is None else ahead // timedelta(microseconds=1)
