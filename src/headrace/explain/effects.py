"""Contributions of many rows, told by column: how far each one moves answers, and which way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from headrace.explain.record import Dot, Effect

Floats = NDArray[np.float64]


def effects(
    names: Sequence[str], contributions: Floats, errors: Floats | None, values: Mapping[str, Floats]
) -> tuple[Effect, ...]:
    """One effect a column, the largest mean size first.

    contributions, errors: [rows, columns]; errors None where they are exact. values: by name [rows], of the
    numbers that may be shown: they colour the dots by rank.
    """
    found = []
    for j, name in enumerate(names):
        own = contributions[:, j]
        ranks = _ranks(values[name]) if name in values else np.full(len(own), np.nan)
        dots = tuple(
            Dot(_short(c), None if np.isnan(r) else round(float(r), 3))
            for c, r in zip(own.tolist(), ranks.tolist(), strict=True)
        )
        error = 0.0 if errors is None else float(errors[:, j].mean())
        found.append(Effect(name, float(np.abs(own).mean()), float(own.mean()), error, dots))
    return tuple(sorted(found, key=lambda e: (-e.size, e.name)))


def _ranks(values: Floats) -> Floats:
    """Where each value lies among the known ones, 0 to 1; equal values share a rank. NaN where unknown."""
    known = np.isfinite(values)
    distinct, place, counts = np.unique(values[known], return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts + 1) / 2
    found = np.full(len(values), np.nan)
    if len(distinct):
        found[known] = middle[place] / max(1, int(known.sum()) - 1)
    return found


def _short(value: float) -> float:
    """Six digits: a plot needs no more."""
    return float(f"{value:.6g}")
