"""Rows into groups by a column: categories, booleans, numbers cut at the training rows' quartiles."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.schema import NULL_TEXT, Type
from headrace.metrics.record import Bools, Ints

FEW = 8
"""A number with at most so many distinct values is grouped by value; one with more, at its quartiles."""
NULL, OTHER = "is null", "other values"


@dataclass(frozen=True)
class Cuts:
    """How a column is grouped, as the training rows say.

    edges: numbers fall into `<= edges[0]`, `<= edges[1]`, …, `> edges[-1]`. values: each known value is a
    group (numbers with few, booleans, texts, most frequent first), and `shares` says how frequent it was.
    """

    name: str
    kind: Type
    edges: tuple[float, ...] = ()
    values: tuple[str | float | bool, ...] = ()
    shares: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Grouping:
    """Rows by group. codes: int32 [rows], an index into `labels`. own: whether a group has a name of its own
    in the data; the group of values too rare for one has none."""

    name: str
    labels: tuple[str, ...]
    codes: NDArray[np.int32]
    own: tuple[bool, ...]

    def rows(self, code: int) -> Bools:
        """The mask of a group's rows."""
        found: Bools = self.codes == code
        return found


def cuts_of(name: str, kind: Type, values: NDArray[Any]) -> Cuts:
    """How to group a column, from training values in raw-column convention (see `graph.build`).

    Raises:
        ValueError: the column is a time; parts of it make groups, itself it has none.

    >>> cuts_of("x", Type.NUMBER, np.arange(100.0)).edges
    (24.75, 49.5, 74.25)
    """
    if kind == Type.TIME:
        raise ValueError(f"{name} is a time, which has no groups")
    if kind == Type.TEXT:
        known = values[values != np.array(NULL_TEXT, dtype=object)].astype(object)
    else:
        known = values[~np.isnan(values)]
    found, counts = np.unique(known, return_counts=True)
    if kind == Type.NUMBER and len(found) > FEW:
        edges = np.unique(np.quantile(known, [0.25, 0.5, 0.75]))
        edges = edges[edges < found[-1]]  # a group above the highest value would always be empty
        return Cuts(name, kind, edges=tuple(float(e) for e in edges))
    order = np.argsort(-counts, kind="stable") if kind == Type.TEXT else np.arange(len(found))
    return Cuts(
        name,
        kind,
        values=tuple(_plain(kind, found[i]) for i in order),
        shares=tuple(float(counts[i]) / len(values) for i in order),
    )


def _plain(kind: Type, value: Any) -> str | float | bool:
    return str(value) if kind == Type.TEXT else bool(value) if kind == Type.BOOL else float(value)


class Coder:
    """Adds up the codes of one column batch by batch; `result` makes the grouping. Live."""

    def __init__(self, cuts: Cuts) -> None:
        self._cuts = cuts
        self._parts: list[NDArray[np.int32]] = []
        self._known: dict[Any, int] = {v: i for i, v in enumerate(cuts.values)}

    def add(self, values: NDArray[Any]) -> None:
        """Take in a batch in raw-column convention."""
        if self._cuts.kind == Type.TEXT:
            found, inverse = np.unique(values.astype(object), return_inverse=True)
            self._parts.append(np.array([self._code(v) for v in found], np.int32)[inverse])
        elif self._cuts.edges:
            codes = np.searchsorted(np.array(self._cuts.edges), values, side="left").astype(np.int32)
            self._parts.append(np.where(np.isnan(values), np.int32(-1), codes))
        else:
            found, inverse = np.unique(values, return_inverse=True)
            codes = np.array([-1 if np.isnan(v) else self._code(float(v)) for v in found], np.int32)
            self._parts.append(codes[inverse])

    def _code(self, value: Any) -> int:
        return -1 if value == NULL_TEXT else self._known.setdefault(value, len(self._known))

    def result(self, *, min_rows: int, most: int, fold: bool = True) -> Grouping:
        """The grouping of all rows that were added.

        A value is a group of its own where it has `min_rows` rows, or where the training rows let one expect
        twice as many (then its absence is worth telling). The rest, and what comes behind the `most` most
        frequent, are one group, unless `fold` is False: then every value is a group.
        """
        codes = np.concatenate(self._parts) if self._parts else np.zeros(0, np.int32)
        names = self._names()
        counts = np.bincount(codes[codes >= 0], minlength=len(names))
        if self._cuts.edges:
            kept = [i for i in range(len(names)) if counts[i]]
        else:
            shares = np.zeros(len(names))
            shares[: len(self._cuts.shares)] = self._cuts.shares
            own = (counts >= min_rows) | (shares * len(codes) >= 2 * min_rows) | (not fold)
            frequent = np.argsort(-counts, kind="stable")
            kept = sorted(int(i) for i in frequent[own[frequent] & ((counts > 0) | fold)[frequent]][:most])
        place = np.full(len(names) + 1, len(kept), np.int32)  # the last is null's, reached as -1
        place[kept] = np.arange(len(kept))
        place[-1] = len(kept) + 1
        placed = place[codes]
        labels = [*(names[i] for i in kept), f"{self._cuts.name}: {OTHER}", f"{self._cuts.name} {NULL}"]
        used = [i for i in range(len(labels)) if i < len(kept) or np.any(placed == i)]
        final = np.zeros(len(labels), np.int32)
        final[used] = np.arange(len(used))
        return Grouping(
            self._cuts.name,
            tuple(labels[i] for i in used),
            final[placed].astype(np.int32),
            tuple(i != len(kept) for i in used),
        )

    def _names(self) -> list[str]:
        name, edges = self._cuts.name, [f"{e:g}" for e in self._cuts.edges]
        if edges:
            middle = [f"{a} < {name} <= {b}" for a, b in pairwise(edges)]
            return [f"{name} <= {edges[0]}", *middle, f"{name} > {edges[-1]}"]
        return [f"{name} = {_shown(self._cuts.kind, v)}" for v in self._known]


def _shown(kind: Type, value: Any) -> str:
    if kind == Type.BOOL:
        return "true" if value else "false"
    return str(value) if kind == Type.TEXT else f"{value:g}"


def one_group(name: str, true: NDArray[np.float64]) -> Grouping:
    """The rows where a boolean expression holds, as one group; null does not hold."""
    return Grouping(name, (name, f"not ({name})"), np.where(true == 1, 0, 1).astype(np.int32), (True, False))


def codes_of_units(units: Ints) -> Ints:
    """Units as codes from 0."""
    return np.asarray(np.unique(units, return_inverse=True)[1], np.int64)
