"""The reference rows that a release keeps to explain with: few, and without what is personal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.explain.shapley import Floats, is_null
from headrace.graph.encode import Feeds

SHARED = 20
"""A value of a personal column is kept where at least so many training rows share it."""

Cell = float | int | str | None


@dataclass(frozen=True)
class Reference:
    """Some training rows by raw column: numbers, truths as 0 and 1, text, times as UTC microseconds, null.

    `personal` columns hold only values that many training rows share, else null. `of` is how many training
    rows they were drawn from.
    """

    columns: Mapping[str, tuple[Cell, ...]]
    rows: int
    personal: tuple[str, ...] = ()
    of: int = 0


def choose(answers: Floats, count: int) -> NDArray[np.int64]:
    """Rows that stand for all: evenly spaced in the order of their answers, [rows, answers] -> numbers.

    A systematic sample of ordered rows (Cochran 1977, Sampling Techniques, chapter 8): the mean answer of
    few rows lies close to that of all. Several answers are ordered by the highest one, then by its size.
    """
    rows = len(answers)
    top = answers.argmax(axis=1)
    order = np.lexsort((answers[np.arange(rows), top], top))
    take = min(count, rows)
    return np.sort(order[((np.arange(take) + 0.5) * rows / take).astype(np.int64)]) if take else order


def kept(feeds: Feeds, types: Mapping[str, Type], rows: NDArray[np.int64], personal: set[str]) -> Reference:
    """The reference of these rows out of `feeds`. What is personal is null unless `SHARED` rows share it."""
    columns = {}
    for name, kind in types.items():
        cells = [_cell(kind, v) for v in feeds[name][rows].tolist()]
        if name in personal:
            often = Counter(_cell(kind, v) for v in feeds[name].tolist())
            cells = [c if often[c] >= SHARED else None for c in cells]
        columns[name] = tuple(cells)
    total = len(next(iter(feeds.values()))) if feeds else 0
    return Reference(columns, len(rows), tuple(sorted(personal & set(types))), total)


def feeds_of(reference: Reference, types: Mapping[str, Type]) -> dict[str, NDArray[np.generic]]:
    """The reference rows as graph feeds."""
    found: dict[str, NDArray[np.generic]] = {}
    for name, kind in types.items():
        cells = reference.columns[name]
        if kind is Type.TEXT:
            texts = np.empty(len(cells), dtype=object)
            texts[:] = [NULL_TEXT if c is None else c for c in cells]
            found[name] = texts
        elif kind is Type.TIME:
            found[name] = np.array([NULL_TIME if c is None else c for c in cells], dtype=np.int64)
        else:
            found[name] = np.array([np.nan if c is None else c for c in cells], dtype=np.float64)
    return found


def _cell(kind: Type, value: object) -> Cell:
    if is_null(kind, value):
        return None
    return value  # type: ignore[return-value]  # a text, whole number or double, as tolist gives them
