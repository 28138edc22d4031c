"""What the training rows held, column by column: the ranges and categories of the input schema."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.schema import NULL_TEXT, NULL_TIME, Type

MOST_CATEGORIES = 200
MOST_COUNTED = 100_000


@dataclass(frozen=True)
class Range:
    """Lowest and highest value seen (microseconds for times), the most frequent texts, the share of nulls."""

    low: float | None
    high: float | None
    categories: tuple[str, ...]
    null_share: float


class Ranges:
    """Adds batches up. Memory is bounded: beyond 100,000 different texts new ones are no longer counted."""

    def __init__(self, types: Mapping[str, Type]) -> None:
        self._types = dict(types)
        self._low: dict[str, float] = {}
        self._high: dict[str, float] = {}
        self._texts: dict[str, Counter[str]] = {n: Counter() for n, t in types.items() if t == Type.TEXT}
        self._nulls = dict.fromkeys(types, 0)
        self._rows = 0

    def add(self, feeds: Mapping[str, NDArray[Any]]) -> None:
        """Take in one batch in raw-column convention."""
        self._rows += len(next(iter(feeds.values()))) if feeds else 0
        for name, kind in self._types.items():
            values = feeds[name]
            if kind == Type.TEXT:
                self._add_texts(name, values)
                continue
            missing = values == NULL_TIME if kind == Type.TIME else np.isnan(values)
            self._nulls[name] += int(missing.sum())
            present = values[~missing]
            if len(present):
                self._low[name] = min(self._low.get(name, np.inf), float(present.min()))
                self._high[name] = max(self._high.get(name, -np.inf), float(present.max()))

    def _add_texts(self, name: str, values: NDArray[Any]) -> None:
        counts = Counter(values.tolist())
        self._nulls[name] += counts.pop(NULL_TEXT, 0)
        known = self._texts[name]
        if len(known) < MOST_COUNTED:
            known.update(counts)
        else:
            known.update({t: c for t, c in counts.items() if t in known})

    def result(self) -> dict[str, Range]:
        """The range of every column."""
        return {n: self._range(n) for n in self._types}

    def _range(self, name: str) -> Range:
        texts = self._texts.get(name, Counter())
        ordered = sorted(texts.items(), key=lambda item: (-item[1], item[0]))[:MOST_CATEGORIES]
        share = self._nulls[name] / self._rows if self._rows else 0.0
        return Range(self._low.get(name), self._high.get(name), tuple(t for t, _ in ordered), share)
