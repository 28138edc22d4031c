"""Rows by the values of a column, from their codes: as slices and fairness look at them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.core.schema import Type
from headrace.metrics.record import Floats
from headrace.summary.bins import FIRST, Bins

PARTS = 4
"""A number is cut at about the quartiles of the reference."""
_FEW = 8


@dataclass(frozen=True)
class Groups:
    """How codes of a column are grouped. group: of each code, -1 where it is in none; labels: of groups."""

    column: str
    group: NDArray[np.int64]
    labels: tuple[str, ...]

    def of(self, codes: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The group of each row's code."""
        table = np.full(256, -1, np.int64)
        table[: len(self.group)] = self.group
        return np.asarray(table[codes])


def groups_of(bins: Bins, column: str, codes: NDArray[np.uint8]) -> Groups:
    """Every frequent value is a group; of a number with more than eight bins, its quarters are.

    codes: the column's, of the reference's rows [n].
    """
    of = bins.column(column)
    group = np.full(of.width, -1, np.int64)
    if of.type is Type.NUMBER and of.inner > _FEW:
        inner = np.bincount(codes, minlength=256)[FIRST : of.high]
        before = np.cumsum(inner) - inner / 2
        part = np.minimum((before * PARTS / max(inner.sum(), 1)).astype(np.int64), PARTS - 1)
        known, dense = np.unique(part, return_inverse=True)
        group[FIRST : of.high] = dense
        group[FIRST - 1], group[of.high] = 0, len(known) - 1  # below and above belong to the ends
        spans = [np.flatnonzero(dense == i) for i in range(len(known))]
        labels = tuple(f"{of.edges[s[0]]:g} to {of.edges[s[-1] + 1]:g}" for s in spans)
        return Groups(column, group, labels)
    group[FIRST : of.high] = np.arange(of.inner)
    return Groups(column, group, tuple(of.told(FIRST + i) for i in range(of.inner)))


def masks(groups: Groups, codes: NDArray[np.uint8]) -> Mapping[str, NDArray[np.bool_]]:
    """The rows of each group, by its label; groups without a row are left out."""
    found = groups.of(codes)
    return {label: found == i for i, label in enumerate(groups.labels) if (found == i).any()}


def by_group(
    group: NDArray[np.int64], count: int, rows: NDArray[np.float64], values: NDArray[np.float64]
) -> Floats:
    """What each row adds to sums by group: `rows` (1 where it counts), and its value, [n, 2 count]. group: of
    each row, -1 where it is in none."""
    out = np.zeros((len(group), 2 * count))
    inside = np.flatnonzero(group >= 0)
    out[inside, group[inside]] = rows[inside]
    out[inside, count + group[inside]] = values[inside]
    return out
