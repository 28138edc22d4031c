"""The target itself: cut off at an end, or rare and judged by a metric that does not see it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from headrace.checks.lint.alone import Alone
from headrace.checks.lint.record import Dataset, Finding, Floats, Severity

CAPPED, IMBALANCE = "capped-target", "imbalance"
SHARE = 0.01
"""Share of rows at one end from which values may be cut off there."""

FEWEST_VALUES = 20
TIMES = 3
"""How many times more rows stand at the end than at the most frequent of its three neighbours."""

MAJORITY = 0.9
"""Share of the most frequent class from which accuracy says little."""

ALMOST_ALL = 0.95
"""Share from which such a metric blocks the run."""

_BLIND = frozenset(["accuracy"])


@dataclass(frozen=True)
class Cap:
    """A pile at an end: its value, whether it is the largest, its rows, and the neighbours'."""

    value: float
    largest: bool
    rows: int
    near: int


def capped(values: Floats) -> Cap | None:
    """A pile of rows at the largest or smallest of `values` [n] (no nulls), where neighbours are rare.

    Zero and one are the natural beginning of counts and amounts and no pile at the lower end.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) < FEWEST_VALUES:
        return None
    for end, near in ((-1, counts[-4:-1]), (0, counts[1:4])):
        if end == 0 and distinct[0] in (0, 1):
            continue
        rows = int(counts[end])
        if rows >= max(SHARE * len(values), 4) and rows >= TIMES * int(near.max()):
            return Cap(float(distinct[end]), end == -1, rows, int(near.max()))
    return None


def find_capped(data: Dataset, alone: Alone) -> Iterator[Finding]:
    """A quantity that its source cut off."""
    del alone
    if data.classes:
        return
    cap = capped(data.fit.y)
    if cap is None:
        return
    n = int(data.train.sum())
    end = "largest" if cap.largest else "smallest"
    yield Finding(
        CAPPED,
        "",
        Severity.WARNS,
        f"{cap.rows / n:.1%} of the training rows hold the target's {end} value {cap.value:.12g}: it was cut "
        "off there, and predictions will not go beyond it either",
        "leave the rows out of training (clean.rows.drop), or say in the frame where values end",
        {"value": cap.value, "rows": cap.rows, "most rows at a neighbouring value": cap.near},
    )


def find_imbalance(data: Dataset, alone: Alone) -> Iterator[Finding]:
    """Classes so uneven that the metric is won by always answering the most frequent."""
    del alone
    if not data.classes or data.metric not in _BLIND:
        return
    shares = np.bincount(data.y.astype(np.int64), minlength=data.classes) / max(data.rows, 1)
    most, least = int(shares.argmax()), int(shares.argmin())
    if shares[most] < MAJORITY:
        return
    names = data.task.classes
    yield Finding(
        IMBALANCE,
        "",
        Severity.BLOCKS if shares[most] >= ALMOST_ALL else Severity.WARNS,
        f"always answering {names[most]!r} has {data.metric} {shares[most]:.3f}: the metric does not see "
        f"{names[least]!r} ({shares[least]:.2%} of the rows)",
        "choose a metric that does: f1, average_precision or balanced accuracy; or the worth of outcomes",
        {"most frequent": float(shares[most]), "rarest": float(shares[least]), "rows": data.rows},
    )
