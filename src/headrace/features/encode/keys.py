"""The distinct values of one input, or of several together, numbered; and the table that holds a row of
numbers for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from headrace.core.schema import NULL_TEXT
from headrace.features.encoder import Inputs
from headrace.graph.build import GraphBuilder

Ids = NDArray[np.int64]
"""[rows]: a value's number; `NONE` where it is null or was not seen."""
NONE = -1


MOST_CELLS = 2_000_000
"""Numbers that a table of keys holds at most."""


@dataclass(frozen=True, eq=False)
class _Values:
    """What is numbered: texts or numbers, ascending, none of them null."""

    values: NDArray[Any]

    @classmethod
    def fit(cls, column: NDArray[Any]) -> _Values:
        if column.dtype == np.object_:
            distinct = sorted({*column.tolist()} - {NULL_TEXT})
            found = np.empty(len(distinct), dtype=object)
            found[:] = distinct
            return cls(found)
        return cls(np.unique(column[~np.isnan(column)] + 0.0))  # minus zero is zero

    def __len__(self) -> int:
        return len(self.values)

    def find(self, column: NDArray[Any]) -> Ids:
        if self.values.dtype == np.object_:
            numbers = {v: i for i, v in enumerate(self.values.tolist())}
            return np.fromiter((numbers.get(v, NONE) for v in column.tolist()), np.int64, len(column))
        if not len(self):
            return np.full(len(column), NONE, np.int64)
        place = np.minimum(np.searchsorted(self.values, column), len(self) - 1)
        return np.where(self.values[place] == column, place, NONE)

    def emit(self, g: GraphBuilder, tensor: str, told: NDArray[np.float64] | None, other: float) -> str:
        """Double [rows]: what is told of each value (its number, counted from 1); `other` of none of them."""
        keys = self.values.tolist() or [NULL_TEXT if self.values.dtype == np.object_ else np.nan]
        numbers = np.arange(1.0, len(self) + 1) if told is None else told
        return g.lookup(tensor, keys, numbers.tolist() or [other], other)


@dataclass(frozen=True, eq=False)
class Keys:
    """Numbered values of the inputs `names`: of one, or of all of them together.

    parts: the values of each input. pairs: for each input after the first the numbered pairs of what came
    before it and its own value, as whole numbers in doubles. A row has a number where none of its inputs is
    null and all of them were seen together.
    """

    names: tuple[str, ...]
    parts: tuple[_Values, ...]
    pairs: tuple[_Values, ...]

    @classmethod
    def fit(cls, inputs: Inputs, names: Sequence[str], most: int) -> tuple[Keys, Ids]:
        """The `most` frequent keys of these rows (of equals the first in order), and each row's number."""
        parts = tuple(_Values.fit(inputs[n]) for n in names)
        ids = parts[0].find(inputs[names[0]])
        pairs: list[_Values] = []
        for name, part in zip(names[1:], parts[1:], strict=True):
            both = _paired(ids, part.find(inputs[name]), len(part))
            pairs.append(_Values.fit(both))
            ids = pairs[-1].find(both)
        keys = cls(tuple(names), parts, tuple(pairs))
        if len(keys) <= most:
            return keys, ids
        counts = np.bincount(ids[ids != NONE], minlength=len(keys))
        chosen = np.sort(np.argsort(-counts, kind="stable")[:most])
        kept = keys._only(chosen)
        renamed = np.full(len(counts) + 1, NONE, np.int64)  # the last is that of NONE
        renamed[chosen] = np.arange(most)
        return kept, renamed[ids]

    def _only(self, chosen: Ids) -> Keys:
        last = (self.pairs or self.parts)[-1]
        left = _Values(last.values[chosen])
        if self.pairs:
            return replace(self, pairs=(*self.pairs[:-1], left))
        return replace(self, parts=(left,))

    def __len__(self) -> int:
        return len((self.pairs or self.parts)[-1])

    def find(self, inputs: Inputs) -> Ids:
        """The number of each row's key."""
        ids = self.parts[0].find(inputs[self.names[0]])
        for name, part, pairs in zip(self.names[1:], self.parts[1:], self.pairs, strict=True):
            ids = pairs.find(_paired(ids, part.find(inputs[name]), len(part)))
        return ids

    def emit(
        self,
        g: GraphBuilder,
        inputs: Mapping[str, str],
        table: NDArray[np.float64],
        other: NDArray[np.float64],
    ) -> str:
        """Double [rows, numbers]: the row of `table` [keys, numbers] of each row's key; `other` [numbers]
        where it has none."""
        told = table[:, 0] if len(other) == 1 else None
        default = float(other[0]) if len(other) == 1 else 0.0
        last = len(self.parts) - 1
        found = self.parts[0].emit(g, inputs[self.names[0]], *((None, 0.0) if last else (told, default)))
        for i, (name, part, pairs) in enumerate(
            zip(self.names[1:], self.parts[1:], self.pairs, strict=True), start=1
        ):
            size = g.constant(float(len(part) + 1), np.float64)
            own = part.emit(g, inputs[name], None, 0.0)
            both = g.node("Add", g.node("Mul", found, size), own)
            found = pairs.emit(g, both, *((None, 0.0) if i < last else (told, default)))
        if len(other) == 1:
            return g.node("Reshape", found, g.constant([-1, 1], np.int64))
        rows = g.constant(np.concatenate([other[None, :], table]), np.float64)
        return g.node("Gather", rows, g.node("Cast", found, to=TensorProto.INT64), axis=0)


def _paired(first: Ids, second: Ids, size: int) -> NDArray[np.float64]:
    """Two numbers as one; NaN where either is none. `size`: how many there are of the second."""
    both = (first + 1.0) * (size + 1.0) + (second + 1.0)
    return np.where((first == NONE) | (second == NONE), np.nan, both)


def looked_up(ids: Ids, table: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """What `Keys.emit` computes, of numbers that are known: [rows, numbers]."""
    return np.concatenate([table, other[None, :]])[ids]
