"""How sure a metric is at many thresholds at once: safe ends that resample units, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from headrace.core.task import Kind, Task
from headrace.metrics.intervals import MIN_UNITS
from headrace.metrics.record import Floats, Ints, Metric, Predictions, Sums
from headrace.metrics.resample import find_units
from headrace.metrics.scale import pivot_of

SAFE = 0.025
"""The one-sided level of a safe end."""
_POWER = 0.9
_BLOCKS = 300  # more units are merged into so many: a threshold's margin needs no finer error
_SEED = 0  # of the merging


def planned_level(units_here: float, units_ahead: float) -> float:
    """The one-sided level at which a bound has to hold here, so that a later test with `units_ahead`
    independent units reaches it at its own safe end nine times in ten.

    Both estimates are noisy: with standard errors s here and k·s there, k² = here / ahead, the margin that
    does it is (z(0.975)·k + z(0.9)·sqrt(1 + k²))·s, as in planning the size of a confirming study (Chow,
    Shao & Wang 2008, Sample Size Calculations, section 3.2).

    >>> planned_level(100, 100) < planned_level(100, 400) < 0.025
    True
    """
    ratio = units_here / max(units_ahead, 1.0)
    z = NormalDist()
    margin = z.inv_cdf(1 - SAFE) * ratio**0.5 + z.inv_cdf(_POWER) * (1 + ratio) ** 0.5
    return max(min(z.cdf(-margin), SAFE), 1e-300)


@dataclass(frozen=True, eq=False)
class UnitCounts:
    """Outcomes in each unit at each of several cuts: float64 [units, cuts, 4] (`binary.OUTCOMES`);
    `today` those of today's rule on the same rows, [units, 4]."""

    counts: Floats
    today: Floats | None = None

    @property
    def total(self) -> Floats:
        """The outcomes over all units, [cuts, 4]."""
        total: Floats = self.counts.sum(axis=0)
        return total


def unit_counts(
    positive: Floats, flagged: Ints, position: Ints, units: Ints, today: Floats | None
) -> UnitCounts:
    """Count outcomes by unit at cuts that flag the first `flagged` rows (rising, [cuts]) of a ranking.

    positive: 1.0 or 0.0, [n]. position: each row's place in the ranking, [n]. units: [n]. today: what
    today's rule decides, 1.0 or 0.0, [n].
    """
    codes, count = _blocks(units)
    shape = (count, len(flagged) + 1)
    cell = codes * shape[1] + np.searchsorted(flagged, position, side="right")
    size = shape[0] * shape[1]
    hits = np.bincount(cell, positive, minlength=size).reshape(shape)
    rest = np.bincount(cell, 1 - positive, minlength=size).reshape(shape)
    tp, fp = np.cumsum(hits, axis=1)[:, :-1], np.cumsum(rest, axis=1)[:, :-1]
    counts = np.stack(
        [tp, fp, rest.sum(axis=1, keepdims=True) - fp, hits.sum(axis=1, keepdims=True) - tp], axis=-1
    )
    by_rule = None
    if today is not None:
        outcomes = (positive * today, (1 - positive) * today, (1 - positive) * (1 - today))
        columns = (*outcomes, positive * (1 - today))
        by_rule = np.stack([np.bincount(codes, c, minlength=count) for c in columns], axis=-1).astype(
            np.float64
        )
    return UnitCounts(counts, by_rule)


def _blocks(units: Ints) -> tuple[Ints, int]:
    """Each row's unit, or the block that it is merged into at random (see `resample.find_units`)."""
    rng = np.random.default_rng(_SEED)
    found = find_units(units, rng)
    if found.count <= _BLOCKS:
        return found.codes, found.count
    return (rng.permutation(found.count) % _BLOCKS)[found.codes], _BLOCKS


def safe_ends(
    metric: Metric, counted: UnitCounts, *, side: str, factor: float | None, levels: Sequence[float]
) -> Floats:
    """The metric's one-sided ends at each cut, [levels, cuts]; NaN where none can be computed.

    With `factor`, of the metric less `factor` times today's on the same rows, both over the same units.
    Standard errors are the delete-one-unit jackknife's (as in `metrics.intervals`), tails are t's.
    """
    statistic = metric.how[Kind.BINARY]
    if not isinstance(statistic, Sums):
        raise TypeError(f"{metric.name} is no function of counts")
    n, cuts = counted.counts.shape[:2]
    ends = np.full((len(levels), cuts), np.nan)
    if n < MIN_UNITS:
        return ends
    total = counted.total
    value, left_out = statistic.finish(total), statistic.finish(total - counted.counts)
    if factor is not None and counted.today is not None:
        whole = counted.today.sum(axis=0)
        value = value - factor * statistic.finish(whole)
        left_out = left_out - factor * statistic.finish(whole - counted.today)[:, None]
    se = np.sqrt((n - 1) / n * np.nansum((left_out - np.nanmean(left_out, axis=0)) ** 2, axis=0))
    se[se <= 1e-12 * np.abs(value)] = 0.0
    effective, holders = _carried(metric, counted)
    for i in np.flatnonzero(np.isfinite(value) & (holders >= MIN_UNITS)):
        pivot = pivot_of(
            metric.scale,
            float(value[i]),
            float(se[i]),
            max(float(effective[i]) - 1, 1.0),
            int(holders[i]),
            difference=factor is not None,
            identical=False,
        )
        if pivot is not None:
            ends[:, i] = [pivot.end("low" if side == "low" else "high", level) for level in levels]
    return ends


def _carried(metric: Metric, counted: UnitCounts) -> tuple[Floats, Ints]:
    """How many equal units the metric rests on at each cut (Kish), and how many hold any of its rows."""
    # One row of each outcome tells which outcomes the metric rests on.
    each = Predictions(
        Task(Kind.BINARY, (0.0, 1.0)),
        np.array([1.0, 0.0, 0.0, 1.0]),
        np.zeros(4),
        np.arange(4),
        np.array([1, 1, 0, 0]),
    )
    effective, holders = [], []
    for rests in metric.support(each):
        held = counted.counts[..., rests].sum(axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            effective.append(np.nan_to_num(held.sum(axis=0) ** 2 / (held**2).sum(axis=0)))
        holders.append(np.count_nonzero(held, axis=0))
    return np.min(effective, axis=0), np.min(holders, axis=0)
