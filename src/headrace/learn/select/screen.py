"""A cheap look at what a proposal may add: does it tell the errors of the model without it?

For each column the errors of rows out of fold are averaged by bins of the column on the rows that a fold
fits on, and the averages are held against the rows that it scores. How much of the squared error they
explain, over its standard error between units, is the column's statistic; of several columns the largest.

What noise reaches is learnt of probes: the same columns dealt to other rows, all by one permutation, whose
largest statistic over all proposals is one draw of what nothing reaches (maxT; Westfall and Young,
Resampling-Based Multiple Testing, 1993). Above the largest of B draws, the chance that any of the proposals
passes where none of them means anything is at most 1 / (B + 1), however many they are and however they hang
together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from headrace.core.task import FeatureKind
from headrace.learn.select.blocks import Block, Field, deal, firsts

BINS = 24
LEVELS = 64
"""Codes of a category that are told apart."""

SHRINK = 10.0
"""Rows without an error that every bin's mean is shrunk by."""

CLASSES = 4
"""So many classes' errors are looked at, the most frequent."""

_Codes = list[tuple[NDArray[np.int64], NDArray[np.int64]]]
"""Bins of a column by fold: of the rows to fit on, of the rows to score."""


@dataclass(frozen=True)
class Binned:
    """A proposal's columns in bins. `whole` are [rows] each; `folds` are given where they differ by fold."""

    name: str
    whole: tuple[NDArray[np.int64], ...]
    folds: tuple[_Codes, ...]
    lumpy: bool


def binned(block: Block, field: Field) -> Binned:
    """The bins of a proposal's columns: quantiles of a number, codes of a category, null a bin of its own."""
    kinds = [f.kind for f in block.features]
    if block.whole is not None:
        whole = tuple(_bins(block.whole[:, j], block.whole[:, j], k) for j, k in enumerate(kinds))
        return Binned(block.name, whole, (), block.lumpy(field.units))
    folds = tuple(
        [(_bins(fit[:, j], fit[:, j], kind), _bins(fit[:, j], test[:, j], kind)) for fit, test in block.folds]
        for j, kind in enumerate(kinds)
    )
    return Binned(block.name, (), folds, lumpy=False)


def _bins(known: NDArray[np.float32], values: NDArray[np.float32], kind: FeatureKind) -> NDArray[np.int64]:
    """The bin of each of `values`, by the quantiles of `known`; 0 is null."""
    if kind is FeatureKind.CATEGORY:
        return np.minimum(values.astype(np.int64), LEVELS - 1)
    there = known[np.isfinite(known)]
    if not len(there):
        return np.zeros(len(values), np.int64)
    edges = np.unique(np.quantile(there, np.linspace(0, 1, BINS + 1)[1:-1]))
    found = np.searchsorted(edges, values, side="right") + 1
    return np.where(np.isfinite(values), found, 0)


class Screen:
    """Measures every proposal against the errors of a model. Live: `against` sets the errors."""

    def __init__(self, blocks: Sequence[Block], field: Field) -> None:
        self._field = field
        self._binned = {b.name: binned(b, field) for b in blocks}
        self._units = firsts(field.units)[1]
        self._errors: tuple[NDArray[np.float64], ...] = ()

    def against(self, *errors: NDArray[np.float64]) -> None:
        """Take these errors, each [rows, outputs]; NaN where a row was never scored."""
        kept = []
        for one in errors:
            most = np.argsort(-np.nanvar(one, axis=0), kind="stable")[:CLASSES]
            kept.append(one[:, np.sort(most)])
        self._errors = tuple(kept)

    def statistics(self, names: Sequence[str]) -> dict[str, tuple[float, ...]]:
        """The statistic of each of these proposals, against each of the errors."""
        return {n: tuple(self._of(self._binned[n], None, e) for e in self._errors) for n in names}

    def bar(self, names: Sequence[str], level: float) -> float:
        """What none of these proposals passes but with the chance `level` where they mean nothing, by the
        first of the errors: where nothing is to be found, the model is a constant and all of them are one."""
        field, rng = self._field, np.random.default_rng([field_seed(self._field), 1])
        highest = 0.0  # what does not lessen the error at all passes no bar
        for _ in range(ceil(1 / level) - 1):
            rows, lumps = (deal(lumpy, field.units, rng) for lumpy in (False, True))
            for name in names:
                one = self._binned[name]
                order = lumps if one.lumpy else rows
                highest = max(highest, self._of(one, order, self._errors[0]))
        return highest

    def _of(self, one: Binned, order: NDArray[np.int64] | None, errors: NDArray[np.float64]) -> float:
        best = -np.inf
        for column in one.whole:
            codes = column if order is None else column[order]
            pairs = [(codes[fit], codes[test]) for fit, test in self._field.folds]
            best = max(best, self._statistic(pairs, errors))
        for folds in one.folds:  # what learns of the target by fold: deal the errors, which is the same
            best = max(best, self._statistic(folds, errors if order is None else errors[order]))
        return best

    def _statistic(self, folds: _Codes, errors: NDArray[np.float64]) -> float:
        gains = np.full(len(errors), np.nan)
        for (fit, test), (seen, asked) in zip(self._field.folds, folds, strict=True):
            width = int(max(seen.max(initial=0), asked.max(initial=0))) + 1
            known = ~np.isnan(errors[fit, 0])
            if not known.any():
                continue
            counts = np.bincount(seen[known], minlength=width) + SHRINK
            total = np.zeros(len(test))
            for k in range(errors.shape[1]):
                e = errors[fit, k]
                means = np.bincount(seen[known], weights=e[known], minlength=width) / counts
                told = means[asked]
                total += told * (2 * errors[test, k] - told)
            gains[test] = total
        return studentised(gains, self._units)


def studentised(gains: NDArray[np.float64], units: NDArray[np.int64]) -> float:
    """The mean gain over its standard error between units; rows without a gain (NaN) are left out."""
    kept = ~np.isnan(gains)
    if not kept.any():
        return float("-inf")
    n = int(units.max()) + 1
    sums = np.bincount(units[kept], weights=gains[kept], minlength=n)
    there = np.bincount(units[kept], minlength=n) > 0
    sums = sums[there]
    spread = float(np.sqrt(((sums - sums.mean()) ** 2).sum()))
    return float(sums.sum()) / spread if spread > 0 and len(sums) > 1 else float("-inf")


def field_seed(field: Field) -> int:
    """A seed that numpy takes: not below zero."""
    return field.seed & 0xFFFFFFFF
