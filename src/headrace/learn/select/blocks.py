"""The columns of proposals on training rows, as selection takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from headrace.core.task import Feature, Task
from headrace.learn.candidate import Matrix
from headrace.learn.folds import Fold

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Field:
    """The rows that proposals are tried on: y are class codes or values [rows], units number what depends on
    each other [rows], folds are over these rows."""

    y: NDArray[np.float64]
    units: NDArray[np.int64]
    folds: Sequence[Fold]
    task: Task
    seed: int
    threads: int = 1


@dataclass(frozen=True)
class Block:
    """The columns of one proposal. `whole` are its columns for every row [rows, columns]; where it learns of
    the target, `folds` holds them for each fold's rows to fit on and to score instead."""

    name: str
    features: tuple[Feature, ...]
    whole: Matrix | None = None
    folds: tuple[tuple[Matrix, Matrix], ...] = ()

    def of(self, number: int, fold: Fold) -> tuple[Matrix, Matrix]:
        """The columns of a fold's rows to fit on, and of those to score."""
        if self.whole is None:
            return self.folds[number]
        fit, test = fold
        return self.whole[fit], self.whole[test]

    def shuffled(self, field: Field, rng: np.random.Generator) -> Block:
        """A probe: the same columns over other rows. They keep their distribution and what they are to each
        other, and know nothing of the target. Columns that are the same within units are dealt to other
        units, so that the probe is as lumpy as they are."""
        if self.whole is None:
            dealt = tuple((f[rng.permutation(len(f))], t[rng.permutation(len(t))]) for f, t in self.folds)
            return replace(self, folds=dealt)
        return replace(self, whole=self.whole[deal(self.lumpy(field.units), field.units, rng)])

    def lumpy(self, units: NDArray[np.int64]) -> bool:
        """Whether each column is the same in all rows of a unit, and some unit has several rows."""
        first, inverse = firsts(units)
        if self.whole is None or len(first) == len(units):
            return False
        return bool(np.array_equal(self.whole, self.whole[first][inverse], equal_nan=True))


def firsts(units: NDArray[np.int64]) -> tuple[Rows, Rows]:
    """The first row of each unit, and the number of each row's unit."""
    _, first, inverse = np.unique(units, return_index=True, return_inverse=True)
    return first, inverse


def deal(lumpy: bool, units: NDArray[np.int64], rng: np.random.Generator) -> Rows:
    """Rows in another order: any, or such that rows of one unit take the place of one unit's."""
    if not lumpy:
        return rng.permutation(len(units))
    first, inverse = firsts(units)
    order: Rows = first[rng.permutation(len(first))][inverse]
    return order
