"""Columns of the matrix that were learned of the target, and are made anew for every fold.

A matrix of all training rows has such columns as learned of all of them: a fold that scored with these would
score rows whose targets are in their own columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.learn.candidate import Matrix
from headrace.learn.folds import Fold


@dataclass(frozen=True, eq=False)
class FoldColumns:
    """What takes the place of some columns in each fold.

    columns: their numbers in the matrix. own: of the rows that a fold is fitted on, learned of these alone,
    no row counting for itself; tested: of the rows that it scores, learned of the same. One float32
    [rows, columns] a fold, each.
    """

    columns: NDArray[np.int64]
    own: Sequence[Matrix]
    tested: Sequence[Matrix]


def rows_of_fold(X: Matrix, fold: Fold, number: int, refits: FoldColumns | None) -> tuple[Matrix, Matrix]:
    """The rows to fit on and the rows to score of fold `number` (from 0)."""
    fit, tested = X[fold[0]], X[fold[1]]
    if refits is not None:
        fit[:, refits.columns] = refits.own[number]
        tested[:, refits.columns] = refits.tested[number]
    return fit, tested
