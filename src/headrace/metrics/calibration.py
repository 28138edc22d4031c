"""Whether probabilities mean what they say: reliability by bins, and the expected calibration error.

Bins hold equally many rows (Nguyen & O'Connor 2015; the least biased by Roelofs et al. 2022, AISTATS).
The plain error - the bins' mean gap between what was said and what came true - is above zero by chance
alone, more so with few rows. The debiased one takes chance off each bin's squared gap (Kumar, Liang & Ma
2019, NeurIPS) and so is comparable between sets of rows; it is the root of a mean square, and may be exactly
zero. Intervals resample whole units: the jackknife over units (Efron & Stein 1981) for the bins; a cluster
bootstrap around the plain error.

Several classes: what was said of the decided class (confidence), and whether it was right (Guo et al. 2017).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from headrace.core.errors import UserError
from headrace.core.evidence import Interval
from headrace.core.task import Kind
from headrace.metrics.intervals import MIN_UNITS
from headrace.metrics.record import Floats, Ints, Predictions
from headrace.metrics.resample import Units, draw, find_units

BINS = 15
_FEWEST = 10
"""Rows that a bin holds at least; fewer rows get fewer bins."""


@dataclass(frozen=True)
class Bin:
    """Rows that were told similar probabilities. said: their mean probability; came: the share that came
    true, with its interval (None: too few units). low, high: the probabilities that the bin spans."""

    low: float
    high: float
    rows: int
    said: float
    came: float
    interval: Interval | None


@dataclass(frozen=True)
class Reliability:
    """What a reliability plot shows, lowest probabilities first, and the errors that sum it up.

    ece: mean gap, weighted by rows, with its interval. debiased: root of the mean squared gap less chance
    (None: fewer than two units).
    said, came: of all rows. of: what the probability is of. why_none: why there is no interval.
    """

    bins: tuple[Bin, ...]
    ece: float
    interval: Interval | None
    debiased: float | None
    said: float
    came: float
    rows: int
    units: int
    of: str
    why_none: str = ""


def reliability(
    predictions: Predictions, *, bins: int = BINS, seed: int = 0, level: float = 0.95, resamples: int = 1000
) -> Reliability:
    """Bins of equally many rows; rows of one probability are never parted. The same seed gives the same.

    The interval of `ece` is the bootstrap's basic one around an error corrected for the bias that resampling
    shows (Efron & Tibshirani 1993, section 10): chance pushes the plain error up, and the resamples up once
    more. Its lower end is 0 where chance alone makes as large an error, which resamples of centred gaps say.

    Raises:
        UserError: a regression, or no rows.
    """
    said, came, of = _said_and_came(predictions)
    codes = _bins_of(said, bins)
    count = int(codes.max()) + 1
    rng = np.random.default_rng(seed)
    units = find_units(predictions.units, rng)
    sums = _Sums(said, came, codes, count, units)
    ece = float(sums.error(np.ones((1, units.count)))[0])
    why = (
        "" if units.count >= MIN_UNITS else f"{units.count} independent units; an interval needs {MIN_UNITS}"
    )
    interval = None if why else _interval(sums, ece, units, rng, level, resamples)
    made = tuple(_bin(i, said, came, codes, sums, level, bool(why)) for i in range(count))
    return Reliability(
        made,
        ece,
        interval,
        _debiased(said, came, codes, count, sums, units),
        float(said.mean()),
        float(came.mean()),
        len(said),
        units.declared,
        of,
        why,
    )


def ece(predictions: Predictions, *, bins: int = BINS) -> float:
    """The expected calibration error alone, without interval: mean gap over bins of equally many rows.

    Raises:
        UserError: a regression, or no rows.
    """
    said, came, _ = _said_and_came(predictions)
    codes = _bins_of(said, bins)
    gaps = np.abs(np.bincount(codes, said - came))
    return float(gaps.sum() / len(said))


def _said_and_came(p: Predictions) -> tuple[Floats, Floats, str]:
    if p.task.kind is Kind.REGRESSION:
        raise UserError("a regression has no probabilities whose calibration could be measured")
    if not p.rows:
        raise UserError("there is no row to measure calibration on")
    if p.task.kind is Kind.BINARY:
        return p.score, (p.y == 1).astype(np.float64), f"probability of {p.task.classes[1]}"
    decided = np.argmax(p.score, axis=1) if p.decision is None else p.decision
    said = p.score[np.arange(p.rows), decided]
    return said, (p.y == decided).astype(np.float64), "probability of the decided class"


def _bins_of(said: Floats, wanted: int) -> Ints:
    """The bin of each row, from 0. Equal probabilities share a bin, so that bins don't depend on the order
    of rows."""
    most = max(1, min(wanted, len(said) // _FEWEST))
    _, inverse, counts = np.unique(said, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    codes = np.minimum((middle * most / len(said)).astype(np.int64), most - 1)
    dense: Ints = np.unique(codes, return_inverse=True)[1].astype(np.int64)
    return dense[inverse]


class _Sums:
    """Rows, what was said and what came true in each unit and bin, [units, bins]."""

    def __init__(self, said: Floats, came: Floats, codes: Ints, count: int, units: Units) -> None:
        place, size = units.codes * count + codes, units.count * count
        shape = units.count, count
        self.rows = np.bincount(place, minlength=size).reshape(shape).astype(np.float64)
        self.gap = np.bincount(place, said - came, size).reshape(shape)
        self.came = np.bincount(place, came, size).reshape(shape)

    def error(self, weights: Floats, *, centred: bool = False) -> Floats:
        """The error for weights of units [B, units]: [B]. centred: with each bin's gap taken off, as if
        everything were calibrated."""
        total = weights @ self.rows.sum(axis=1)
        gap = self.gap
        if centred:
            gap = gap - self.rows * (gap.sum(axis=0) / self.rows.sum(axis=0))
        gaps: Floats = np.abs(weights @ gap).sum(axis=1)
        errors: Floats = np.divide(gaps, total, out=np.full(len(weights), np.nan), where=total > 0)
        return errors

    def shares_without(self, number: int) -> Floats:
        """The share that came true in one bin, without each of its units in turn."""
        rows, came = self.rows[:, number], self.came[:, number]
        left, true = rows.sum() - rows[rows > 0], came.sum() - came[rows > 0]
        shares: Floats = true[left > 0] / left[left > 0]
        return shares

    def gap_variances(self) -> Floats:
        """Of each bin's mean gap, by leaving out units in turn."""
        count = len(self.rows)
        rows = self.rows.sum(axis=0)
        mean = self.gap.sum(axis=0) / rows
        off = self.gap - self.rows * mean
        held = (self.rows > 0).sum(axis=0)
        spread: Floats = (off**2).sum(axis=0) / rows**2 * held / np.maximum(held - 1, 1)
        return spread if count > 1 else np.full(len(rows), np.nan)


def _interval(
    sums: _Sums, value: float, units: Units, rng: np.random.Generator, level: float, resamples: int
) -> Interval:
    drawn, chance = [], []
    for weights in draw(units.count, resamples, rng):
        drawn.append(sums.error(weights))
        chance.append(sums.error(weights, centred=True))
    errors, nothing = np.concatenate(drawn), np.concatenate(chance)
    mean = float(np.nanmean(errors))
    low, high = np.nanquantile(errors - mean, [(1 - level) / 2, (1 + level) / 2])
    centre = value - (mean - value)
    # as large an error as chance alone makes is no proof of any
    bottom = 0.0 if value <= np.nanquantile(nothing, level) else max(0.0, centre - float(high))
    return Interval(bottom, max(bottom, centre - float(low)), level)


def _bin(number: int, said: Floats, came: Floats, codes: Ints, sums: _Sums, level: float, bare: bool) -> Bin:
    mine = codes == number
    interval = None
    held = int((sums.rows[:, number] > 0).sum())
    if not bare and held >= MIN_UNITS:
        interval = _share_interval(sums, number, float(came[mine].mean()), int(mine.sum()), held, level)
    return Bin(
        float(said[mine].min()),
        float(said[mine].max()),
        int(mine.sum()),
        float(said[mine].mean()),
        float(came[mine].mean()),
        interval,
    )


def _share_interval(sums: _Sums, number: int, share: float, rows: int, held: int, level: float) -> Interval:
    """Wilson's interval (1927) for as many rows as the units' spread says that the bin is worth."""
    from scipy.stats import t

    known = sums.shares_without(number)
    variance = (len(known) - 1) / len(known) * float(((known - known.mean()) ** 2).sum())
    binomial = share * (1 - share) / rows
    worth = rows if variance <= 0 or binomial <= 0 else min(float(rows), rows * binomial / variance)
    z2 = float(t.ppf((1 + level) / 2, held - 1)) ** 2
    centre = (share + z2 / (2 * worth)) / (1 + z2 / worth)
    half = math.sqrt(z2 * share * (1 - share) / worth + z2**2 / (4 * worth**2)) / (1 + z2 / worth)
    return Interval(max(0.0, centre - half), min(1.0, centre + half), level)


def _debiased(said: Floats, came: Floats, codes: Ints, count: int, sums: _Sums, units: Units) -> float | None:
    if units.count < 2:
        return None
    rows = np.bincount(codes, minlength=count).astype(np.float64)
    gaps = np.bincount(codes, said - came, count) / rows
    chance = sums.gap_variances()
    return math.sqrt(max(0.0, float((rows * (gaps**2 - chance)).sum() / rows.sum())))
