"""Training rows that are left out, as declared: duplicates, rows that a condition names, outliers.

Pure: arrays in, a mask and counts out. Validation and test rows are never touched, and nothing of them is
looked at: a model that was cleaned of what it will meet is measured on what it will meet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import DataError
from headrace.data.split import DROPPED, PARTS, TRAIN, Split

Flags = NDArray[np.bool_]

OUTER = 3.0
"""Tukey's outer fences: this many interquartile ranges beyond the quartiles (Exploratory Data Analysis,
1977)."""


@dataclass(frozen=True, eq=False)
class CleanedRows:
    """Which rows are left out: `out` is bool [rows], `reasons` counts them by the first rule that named
    them, `bounds` are the fences of each column that was searched for outliers."""

    out: Flags
    reasons: Mapping[str, int] = field(default_factory=dict)
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def apply(self, split: Split) -> Split:
        """The split without these rows.

        Raises:
            DataError: no training row would be left.
        """
        if not self.out.any():
            return split
        parts = np.where(self.out, np.int8(DROPPED), split.parts)
        counts = {name: int(np.count_nonzero(parts == code)) for code, name in enumerate(PARTS)}
        if not counts[PARTS[TRAIN]]:
            told = ", ".join(f"{n:,} by {reason}" for reason, n in self.reasons.items())
            raise DataError(
                f"cleaning leaves no training row: {told}", where="clean.rows", fix="leave out fewer rows"
            )
        return replace(split, parts=parts, counts=counts, dropped={**split.dropped, **self.reasons})


def clean_rows(
    parts: NDArray[np.int8],
    *,
    names: NDArray[np.uint64] | None = None,
    drop: Mapping[str, Flags] | None = None,
    numbers: Mapping[str, NDArray[np.float64]] | None = None,
) -> CleanedRows:
    """The training rows to leave out. Arrays are of the length of `parts`.

    In this order: duplicates (equal `names`: the first in the table stays), `drop` (by the condition's
    text, True where it holds), outliers of `numbers` (by column, NaN for null, which is no outlier), whose
    quartiles (type 7 of Hyndman & Fan 1996) are of the training rows that are left then. Every column's
    quartiles are of the same rows, so that their order is no matter. A column whose quartiles are equal has
    no outliers: its fences would leave a single value.
    """
    train = parts == TRAIN
    out = np.zeros(len(parts), np.bool_)
    reasons: dict[str, int] = {}

    def leave_out(reason: str, rows: Flags) -> None:
        new = rows & train & ~out
        reasons[reason] = int(np.count_nonzero(new))
        out[new] = True

    if names is not None:
        leave_out("duplicate", _repeated(names, train))
    for text, true in (drop or {}).items():
        leave_out(f"drop: {text}", true)
    left = train & ~out
    bounds = {c: _fences(v[left]) for c, v in (numbers or {}).items()}
    for column, values in (numbers or {}).items():
        low, high = bounds[column]
        leave_out(f"outlier: {column}", (values < low) | (values > high))
    told = {c: b for c, b in bounds.items() if np.isfinite(b).all()}
    return CleanedRows(out, {r: n for r, n in reasons.items() if n}, told)


def _repeated(names: NDArray[np.uint64], train: Flags) -> Flags:
    """Training rows whose name a training row before them has."""
    rows = np.flatnonzero(train)
    _, first = np.unique(names[rows], return_index=True)
    again = np.ones(len(rows), np.bool_)
    again[first] = False
    result = np.zeros(len(names), np.bool_)
    result[rows[again]] = True
    return result


def _fences(values: NDArray[np.float64]) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    if not known.size:
        return -np.inf, np.inf
    first, third = (float(q) for q in np.quantile(known, [0.25, 0.75]))
    if first == third:
        return -np.inf, np.inf
    return first - OUTER * (third - first), third + OUTER * (third - first)
