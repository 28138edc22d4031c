"""A metric of predictions, and of the same predictions with their units weighted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import UserError
from headrace.metrics.record import Bools, Floats, Ints, Metric, Middle, Predictions, Ranks, Sums

EXACT_ROWS = 20_000
"""Up to so many rows, resampled ranks are exact; beyond, scores are taken in `BINS` bins of equal rows."""
BINS = 4096
_CELLS = 1_000_000  # of a working matrix: 8 MB each

Evaluate = Callable[[Floats], Floats]
"""Weights of units [B, U] -> the metric under each [B], NaN where it is undefined."""


@dataclass(frozen=True, eq=False)
class Measured:
    """The metric's exact value, and how to compute it again with units weighted. `approximated` says
    how far the weighted form is from exact at weight one (0.0 where it is exact)."""

    value: float
    evaluate: Evaluate
    approximated: float = 0.0


def measure(metric: Metric, predictions: Predictions) -> float:
    """The metric of the predictions. NaN where it is undefined: no rows; no row flagged (precision), no
    positive row (recall, average precision), no negative row (fpr, specificity), neither (f1), a class
    absent (roc_auc, mcc, balanced accuracy of two classes); a true value of 0 (mape); a constant truth (r2).

    Raises:
        UserError: the metric does not fit the kind of task.
    """
    codes = np.zeros(predictions.rows, np.int64)
    return prepare(metric, predictions, codes, 1, exact_only=True).value


def prepare(metric: Metric, p: Predictions, units: Ints, count: int, *, exact_only: bool = False) -> Measured:
    """Sum up or sort once what every resample needs. `units` are codes from 0 to `count` - 1, int64 [n].

    Raises:
        UserError: the metric does not fit the kind of task.
    """
    statistic = metric.how.get(p.task.kind)
    if statistic is None:
        raise UserError(f"metric {metric.name!r} does not fit a {p.task.kind} task")
    if p.rows == 0:
        return Measured(float("nan"), lambda w: np.full(len(w), np.nan))
    if isinstance(statistic, Sums):
        return _prepare_sums(statistic, p, units, count)
    if isinstance(statistic, Ranks):
        return _prepare_ranks(statistic, p, units, count, exact_only=exact_only)
    return _prepare_middle(statistic, p, units, count, exact_only=exact_only)


def _prepare_sums(statistic: Sums, p: Predictions, units: Ints, count: int) -> Measured:
    columns = statistic.columns(p)
    sums = np.stack([np.bincount(units, c, minlength=count) for c in columns.T], axis=-1)
    value = float(statistic.finish(columns.sum(axis=0)))
    return Measured(value, lambda w: statistic.finish(w @ sums))


def _prepare_ranks(
    statistic: Ranks, p: Predictions, units: Ints, count: int, *, exact_only: bool
) -> Measured:
    problems = statistic.problems(p)
    bins = max(256, BINS // len(problems))
    parts = [
        _rank_problem(statistic, score, positive, units, count, bins, exact_only)
        for score, positive in problems
    ]

    def evaluate(w: Floats) -> Floats:
        total = np.zeros(len(w))
        for part in parts:
            total += part.evaluate(w)
        return total / len(parts)

    value = float(np.mean([part.value for part in parts]))
    return Measured(value, evaluate, float(np.mean([part.approximated for part in parts])))


def _rank_problem(
    statistic: Ranks, score: Floats, positive: Bools, units: Ints, count: int, bins: int, exact_only: bool
) -> Measured:
    # Not stable, which takes five times as long: rows of one score are counted together in any order.
    order = np.argsort(score)
    ranked = score[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    hits = positive[order].astype(np.float64)
    of_groups = np.add.reduceat(np.stack([hits, 1 - hits]), starts, axis=-1)
    value = float(statistic.finish(of_groups[:1], of_groups[1:])[0])
    if exact_only:
        return Measured(value, lambda w: np.full(len(w), value))
    if len(score) <= EXACT_ROWS:
        return Measured(value, _ranked_rows(statistic, hits, units[order], starts))
    group = np.zeros(len(score), np.int64)
    group[starts[1:]] = 1
    group = np.cumsum(group)
    levels = len(starts)
    if levels > bins:
        # Equal scores stay together: a group of ties goes where its first row falls.
        edges = (starts * bins) // len(score)
        group, levels = edges[group], bins
    return _binned(statistic, hits, units[order] * levels + group, count, levels, value)


def _ranked_rows(statistic: Ranks, hits: Floats, units: Ints, starts: Ints) -> Evaluate:
    tied = len(starts) < len(hits)
    step = max(1, _CELLS // len(hits))

    def evaluate(w: Floats) -> Floats:
        out = np.empty(len(w))
        for at in range(0, len(w), step):
            rows = w[at : at + step][:, units]
            positive = rows * hits
            negative = rows - positive
            if tied:
                positive = np.add.reduceat(positive, starts, axis=1)
                negative = np.add.reduceat(negative, starts, axis=1)
            out[at : at + step] = statistic.finish(positive, negative)
        return out

    return evaluate


def _binned(statistic: Ranks, hits: Floats, cell: Ints, count: int, levels: int, exact: float) -> Measured:
    """Histograms of scores by unit and class. What binning adds at weight one is taken off everywhere."""
    # float32 holds counts exactly up to 2^24, more rows than any unit's bin has.
    both = np.bincount(cell, minlength=count * levels)
    positive = np.bincount(cell, hits, minlength=count * levels).astype(np.float32).reshape(count, levels)
    negative = both.astype(np.float32).reshape(count, levels) - positive
    step = max(1, _CELLS // levels)
    add_positive, add_negative = _adding(positive), _adding(negative)

    def raw(w: Floats) -> Floats:
        out = np.empty(len(w))
        for at in range(0, len(w), step):
            part = w[at : at + step]
            out[at : at + step] = statistic.finish(add_positive(part), add_negative(part))
        return out

    offset = exact - float(raw(np.ones((1, count)))[0])
    return Measured(exact, lambda w: raw(w) + offset, abs(offset))


def _adding(table: NDArray[np.float32]) -> Evaluate:
    """Counts by unit and bin [U, G] -> their sums under weights of units, [B, U] -> [B, G]."""
    total = table.sum(axis=0)
    exact = float(total.max(initial=0.0)) < 2.0**24

    def add(w: Floats) -> Floats:
        left_out = _left_out(w) if exact else None
        sums = w.astype(np.float32) @ table if left_out is None else total - table[left_out]
        return sums.astype(np.float64)

    return add


def _left_out(w: Floats) -> Ints | None:
    """The one unit that each row of weights leaves out, as the jackknife's do; None where other weights than
    that are among them."""
    zeros = w == 0
    if (zeros.sum(axis=1) == 1).all() and (zeros | (w == 1)).all():
        return np.asarray(zeros.argmax(axis=1), np.int64)
    return None


def _prepare_middle(
    statistic: Middle, p: Predictions, units: Ints, count: int, *, exact_only: bool
) -> Measured:
    values = statistic.values(p)
    value = float(np.median(values))
    if exact_only:
        return Measured(value, lambda w: np.full(len(w), value))
    order = np.argsort(values, kind="stable")
    ranked, owner = values[order], units[order]
    if len(values) <= EXACT_ROWS:
        return Measured(value, _weighted_median(ranked, owner))
    return _binned_median(ranked, owner, count, value)


def _weighted_median(ranked: Floats, units: Ints) -> Evaluate:
    """The median of values each repeated as often as its unit's weight says (whole weights)."""
    step = max(1, _CELLS // len(ranked))

    def evaluate(w: Floats) -> Floats:
        out = np.empty(len(w))
        for at in range(0, len(w), step):
            upto = np.cumsum(w[at : at + step][:, units], axis=1)
            half = upto[:, -1:] / 2
            low = (upto < half).sum(axis=1)
            high = np.minimum((upto <= half).sum(axis=1), len(ranked) - 1)
            out[at : at + step] = (ranked[low] + ranked[high]) / 2
        return out

    return evaluate


def _binned_median(ranked: Floats, units: Ints, count: int, exact: float) -> Measured:
    """The median of grouped values: `BINS` bins of equal rows, linear inside a bin."""
    n = len(ranked)
    levels = min(BINS, n)
    group = (np.arange(n) * levels) // n
    edges = np.r_[ranked[np.searchsorted(group, np.arange(levels))], ranked[-1]]
    table = np.bincount(units * levels + group, minlength=count * levels)
    counts = table.astype(np.float32).reshape(count, levels)
    step = max(1, _CELLS // levels)

    def raw(w: Floats) -> Floats:
        out = np.empty(len(w))
        for at in range(0, len(w), step):
            weight = (w[at : at + step].astype(np.float32) @ counts).astype(np.float64)
            upto = np.cumsum(weight, axis=1)
            half = upto[:, -1] / 2
            bin_ = np.minimum((upto < half[:, None]).sum(axis=1), levels - 1)
            row = np.arange(len(weight))
            inside = weight[row, bin_]
            part = np.divide(
                half - (upto[row, bin_] - inside), inside, out=np.zeros_like(half), where=inside > 0
            )
            out[at : at + step] = edges[bin_] + part * (edges[bin_ + 1] - edges[bin_])
        return out

    offset = exact - float(raw(np.ones((1, count)))[0])
    return Measured(exact, lambda w: raw(w) + offset, abs(offset))
