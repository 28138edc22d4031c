"""Rows by the values of a column, from their codes: as slices and fairness look at them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.core.schema import Type
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


def groups_of(bins: Bins, column: str, counts: NDArray[np.int64]) -> Groups:
    """Every frequent value is a group; of a number with more than eight bins, its quarters are.

    counts: of the column's codes in the reference.
    """
    of = bins.column(column)
    group = np.full(of.width, -1, np.int64)
    if of.type is Type.NUMBER and of.inner > _FEW:
        inner = counts[FIRST : of.high]
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
