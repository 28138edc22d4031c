"""What texts look like: numbers and dates among them, stray spaces, several spellings of one thing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.data.profile.hashing import take_rows, text_lengths
from headrace.graph.buffers import Array, fixed

_SPACE = r"[ \t\r\n\x{a0}]"
_NUMBER = rf"^{_SPACE}*[+-]?(\d+|\d{{1,3}}(,\d{{3}})+|\d*[.,]\d+|\d+[.,])([eE][+-]?\d+)?{_SPACE}*%?{_SPACE}*$"
_DATE = (
    rf"^{_SPACE}*(\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}|\d{{1,2}}[-/.]\d{{1,2}}[-/.](\d{{4}}|\d{{2}}))"
    rf"([T ]\d{{1,2}}:\d{{2}}.*)?{_SPACE}*$"
)
_LONGEST = 2**62
_BEGINS = np.zeros(256, np.bool_)
_BEGINS[list(b"0123456789+-.,")] = True
_BLANK = np.zeros(256, np.bool_)
_BLANK[list(b" \t\r\n")] = True


class Spelling:
    """Counts over texts. `add` is given different texts with the numbers of their rows."""

    def __init__(self) -> None:
        self.rows = self.empty = self.spaced = self.numbers = self.dates = 0
        self.shortest: int | None = None
        self.longest: int | None = None
        self._characters = 0

    def add(self, values: Array, counts: NDArray[np.int64]) -> None:
        """Add texts (Arrow strings); those of no rows may be null."""
        there = counts > 0
        if not there.any():
            return
        self.rows += int(counts.sum())
        lengths = text_lengths(values)
        low, high = int(lengths.min(initial=_LONGEST, where=there)), int(lengths.max(where=there, initial=0))
        self.shortest = low if self.shortest is None else min(low, self.shortest)
        self.longest = high if self.longest is None else max(high, self.longest)
        self._characters += int((lengths * counts).sum())
        offsets = np.frombuffer(values.buffers()[1], np.int32, len(values) + 1, values.offset * 4)
        some = np.flatnonzero(there & (np.diff(offsets) > 0))
        self.empty += int(counts.sum() - counts[some].sum())
        if not some.size:
            return
        data = np.frombuffer(values.buffers()[2], np.uint8)
        begin, end = data[offsets[:-1][some]], data[offsets[1:][some] - 1]
        blank = _BLANK[begin] | _BLANK[end]
        self.spaced += int(counts[some][blank].sum())
        likely = some[_BEGINS[begin] | blank]
        if not likely.size:
            return
        chosen, weight = take_rows(values, likely), counts[likely]
        self.numbers += _matching(chosen, _NUMBER, weight)
        self.dates += _matching(chosen, _DATE, weight)

    @property
    def mean_length(self) -> float | None:
        """Mean length in characters; None of no texts."""
        return self._characters / self.rows if self.rows else None


def _matching(values: Array, pattern: str, weight: NDArray[np.int64]) -> int:
    found: Any = pc.match_substring_regex(values, pattern=pattern)
    return int(weight[fixed(found)].sum())


def variants(values: Iterable[tuple[str, int]]) -> list[tuple[tuple[str, int], ...]]:
    """Groups of texts that differ by case and spaces alone, each with the numbers of their rows.

    >>> variants([("Paris", 5), ("paris ", 1), ("Rome", 2)])
    [(('Paris', 5), ('paris ', 1))]
    """
    groups: dict[str, list[tuple[str, int]]] = {}
    for text, count in values:
        groups.setdefault(" ".join(text.split()).casefold(), []).append((text, count))
    found = [tuple(sorted(g, key=lambda v: (-v[1], v[0]))) for g in groups.values() if len(g) > 1]
    return sorted(found, key=lambda g: (-sum(n for _, n in g), g[0][0]))
