"""Is a metric worse on some rows than on the rest? By what each row adds to the metric.

The influence of a row is the slope of the metric in that row's weight (Hampel 1974, Journal of the American
Statistical Association 69). Rows that pull the metric down together are a place where the model is worse.
The search for slices asks this of thousands of sets of rows, so it costs one sum a set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from headrace.core.errors import UserError
from headrace.metrics.measure import measure
from headrace.metrics.record import Bools, Floats, Ints, Metric, Predictions, Ranks, Sums
from headrace.metrics.resample import effective

FEWEST = 5
"""With fewer independent units there is no test."""
_GROUPS = 256  # of equal rows, in which the slopes of a rank metric are taken


@dataclass(frozen=True)
class Contrast:
    """Whether a set of rows is worse than the rest.

    z: the set's sum of influences in standard errors, below zero where it is worse. p: the one-sided chance
    of so low a sum where the set is no worse than the rest; NaN where it can't be judged. df: degrees of
    freedom of the t distribution that p comes from.
    """

    z: float
    p: float
    df: float


def blocked(predictions: Predictions, *, seed: int, most: int = 200) -> Predictions:
    """The same predictions with their units merged at random into at most `most` blocks of about equally
    many units: what keeps hundreds of intervals cheap (see `resample.find_units` for why that is right)."""
    names, codes = np.unique(predictions.units, return_inverse=True)
    if len(names) <= most:
        return predictions
    block = np.empty(len(names), np.int64)
    block[np.random.default_rng(seed).permutation(len(names))] = np.arange(len(names)) % most
    return replace(predictions, units=block[codes])


def take(predictions: Predictions, rows: Bools | Ints) -> Predictions:
    """Some rows of the predictions, by mask or by number."""
    decided = predictions.decision
    return replace(
        predictions,
        y=predictions.y[rows],
        score=predictions.score[rows],
        units=predictions.units[rows],
        decision=None if decided is None else decided[rows],
    )


def influence(metric: Metric, predictions: Predictions) -> Floats:
    """How much each row adds to how good the metric is, float64 [rows]: its mean is 0, and the metric of
    reweighted rows is about the metric plus the weighted mean of these. Zeros where the metric is undefined.

    Exact slopes for metrics of sums and for medians (up to the density, which is the same for all rows);
    rank metrics in 256 groups of equal rows.

    Raises:
        UserError: the metric does not fit the kind of task.
    """
    statistic = metric.how.get(predictions.task.kind)
    if statistic is None:
        raise UserError(f"metric {metric.name!r} does not fit a {predictions.task.kind} task")
    n = predictions.rows
    value = measure(metric, predictions) if n else math.nan
    if math.isnan(value):
        return np.zeros(n)
    if isinstance(statistic, Sums):
        slopes = _of_sums(statistic, predictions)
    elif isinstance(statistic, Ranks):
        slopes = np.zeros(n)
        problems = statistic.problems(predictions)
        for score, positive in problems:
            slopes += _of_ranks(statistic, score, positive) / len(problems)
    else:
        values = statistic.values(predictions)
        slopes = (values > np.median(values)).astype(np.float64)
    toward = -math.copysign(1.0, value) if metric.best_at_zero else 1.0 if metric.higher_is_better else -1.0
    slopes = toward * np.nan_to_num(slopes, posinf=0.0, neginf=0.0)
    centred: Floats = slopes - slopes.mean()
    return centred


def _of_sums(statistic: Sums, p: Predictions) -> Floats:
    columns = statistic.columns(p)
    means = columns.mean(axis=0)  # the metrics are ratios: means give the same value as sums
    step = 1e-6 * np.maximum(np.abs(means), 1e-3)
    up, down = means + np.diag(step), means - np.diag(step)
    with np.errstate(all="ignore"):
        slope = (statistic.finish(up) - statistic.finish(down)) / (2 * step)
    found: Floats = columns @ np.nan_to_num(slope, posinf=0.0, neginf=0.0)
    return found


def _of_ranks(statistic: Ranks, score: Floats, positive: Bools) -> Floats:
    order = np.argsort(score, kind="stable")
    ranked = score[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    place = np.zeros(len(score), np.int64)
    place[starts[1:]] = 1
    place = np.cumsum(place)
    if len(starts) > _GROUPS:
        place = ((starts * _GROUPS) // len(score))[place]
    group = np.empty(len(score), np.int64)
    group[order] = place
    levels = int(place[-1]) + 1
    hits = np.bincount(group, positive, minlength=levels).astype(np.float64)
    misses = np.bincount(group, ~positive, minlength=levels).astype(np.float64)
    step = 0.01 * len(score) / levels
    more = np.eye(levels) * step
    base = statistic.finish(hits[None], misses[None])[0]
    of_hits = (statistic.finish(hits + more, np.broadcast_to(misses, more.shape)) - base) / step
    of_misses = (statistic.finish(np.broadcast_to(hits, more.shape), misses + more) - base) / step
    found: Floats = len(score) * np.where(positive, of_hits[group], of_misses[group])
    return found


def contrast(slopes: Floats, rows: Bools, units: Ints) -> Contrast:
    """Test whether the marked rows are worse than the rest.

    slopes: influences [n]. rows: the set, bool [n]. units: int64 codes from 0, [n]; whole units are what
    varies. The variance is the larger of two: of the set's own unit totals (right where rows of a unit, or
    of the set, vary together or more than others), and of a random set of as many rows (right where the set
    holds too few rows to show its own variance, as when none of five positives was found).
    p comes from t with as many degrees of freedom as the set has effective units, less one.
    """
    n, size = len(slopes), int(np.count_nonzero(rows))
    holding = np.bincount(units[rows], minlength=1).astype(np.float64)
    held = int(np.count_nonzero(holding))
    if held < FEWEST or size == n:
        return Contrast(math.nan, math.nan, 0.0)
    count = int(units.max()) + 1
    share = size / n
    own = np.bincount(units[rows], slopes[rows], minlength=count)
    totals = own - share * np.bincount(units, slopes, minlength=count)
    clustered = float(np.sum(totals**2)) * held / (held - 1)
    drawn = size * (1 - share) * float(np.mean(slopes**2))
    spread = math.sqrt(max(clustered, drawn))
    if spread == 0:
        return Contrast(math.nan, math.nan, 0.0)
    from scipy.special import stdtr

    df = max(effective(holding) - 1, 1.0)
    z = float(own.sum()) / spread
    return Contrast(z, float(stdtr(df, z)), df)
