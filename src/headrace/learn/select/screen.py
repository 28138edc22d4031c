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
from headrace.learn.select.blocks import Block, Field, Rows, deal, firsts

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
        self._parts = _parted(field)
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

    def _of(self, one: Binned, order: Rows | None, errors: NDArray[np.float64]) -> float:
        best = -np.inf
        for column in one.whole:
            codes = column if order is None else column[order]
            best = max(best, studentised(self._gains(codes, errors), self._units))
        for folds in one.folds:  # what learns of the target by fold: deal the errors, which is the same
            dealt = errors if order is None else errors[order]
            best = max(best, studentised(self._by_fold(folds, dealt), self._units))
        return best

    def _gains(self, codes: Rows, errors: NDArray[np.float64]) -> NDArray[np.float64]:
        """The squared error that a column's bins explain, by row [rows]; NaN where a row is not scored."""
        if self._parts is None:
            return self._by_fold([(codes[f], codes[t]) for f, t in self._field.folds], errors)
        label, before = self._parts
        width = int(codes.max(initial=0)) + 1
        cells, shape = label * width + codes, (len(before) + 1, width)
        known = ~np.isnan(errors[:, 0])
        counts = np.bincount(cells[known], minlength=shape[0] * width).reshape(shape)
        n = before @ counts
        silent = np.append(n.sum(axis=1) == 0, True)  # nothing is known before them
        gains = np.zeros(len(codes))
        for k in range(errors.shape[1]):
            e = errors[:, k]
            sums = np.bincount(cells[known], weights=e[known], minlength=shape[0] * width).reshape(shape)
            means = np.vstack([(before @ sums) / (n + SHRINK), np.zeros((1, width))])
            told = means.ravel()[cells]
            gains += told * (2 * e - told)
        gains[silent[label]] = np.nan
        return gains

    def _by_fold(self, folds: _Codes, errors: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same, fold by fold."""
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
        return gains


def _parted(field: Field) -> tuple[Rows, NDArray[np.float64]] | None:
    """Which fold scores each row (one more: none does) [rows], and for each fold which of these parts it fits
    on [folds, folds + 1]; None where a fold fits on a part of them only (a gap in time)."""
    count = len(field.folds)
    label = np.full(len(field.y), count, np.int64)
    for i, (_, test) in enumerate(field.folds):
        label[test] = i
    sizes = np.bincount(label, minlength=count + 1)
    before = np.zeros((count, count + 1))
    for i, (fit, _) in enumerate(field.folds):
        held = np.bincount(label[fit], minlength=count + 1)
        if np.any((held > 0) & (held < sizes)):
            return None
        before[i] = held > 0
    return label, before


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
