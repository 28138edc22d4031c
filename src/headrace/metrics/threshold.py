"""The decision threshold that a metric likes best."""

from __future__ import annotations

import numpy as np

from headrace.core.errors import UserError
from headrace.core.task import Kind
from headrace.metrics.record import Floats, Metric, Sums

MIDDLE = 0.5
"""The threshold of metrics that look at scores and not at decisions, and of data that say nothing."""
_FEWEST_FLAGGED, _FEWEST_SHARE = 10, 0.01


def choose_threshold(metric: Metric, y: Floats, score: Floats) -> float:
    """The threshold t for which deciding "positive when score >= t" makes `metric` best.

    y: 0.0 or 1.0, [n]. score: probability of the positive class, [n]. Every cut between two distinct
    scores is tried in one sorted pass, together with flagging all rows (0.0, or the lowest score if that is
    below) and flagging none (2.0, or one above the highest score). A cut lies midway between its two
    scores. Among equally good cuts the one that flags fewest rows is taken.

    `precision` alone is best with a single sure row, so at least 10 rows, or 1% of them if that is more,
    have to be flagged. `recall` alone is best by flagging as much as finds all positives; `specificity` and
    `fpr` by flagging none: ask for `f1` or `value` where that is not meant. 0.5 where the metric
    looks at scores, where there are no rows, and where no cut has a defined value.

    Raises:
        UserError: the metric does not fit a binary task, or lengths disagree.
    """
    statistic = metric.how.get(Kind.BINARY)
    if statistic is None:
        raise UserError(
            f"metric {metric.name!r} has no threshold to choose", why="it does not fit a binary task"
        )
    if len(y) != len(score):
        raise UserError(f"{len(y)} true values and {len(score)} scores: one of each a row was expected")
    if metric.needs != "decision" or not isinstance(statistic, Sums) or len(y) == 0:
        return MIDDLE
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    last = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True])  # the last row of each distinct score
    hits = np.cumsum(y[order] == 1)[last]
    flagged = np.r_[0, last + 1].astype(np.float64)
    tp = np.r_[0, hits].astype(np.float64)
    fp = flagged - tp
    counts = np.stack([tp, fp, fp[-1] - fp, tp[-1] - tp], axis=-1)
    good = np.asarray(metric.goodness(statistic.finish(counts)), dtype=np.float64)
    if metric.name == "precision":
        good[flagged < min(max(_FEWEST_FLAGGED, _FEWEST_SHARE * len(y)), len(y))] = np.nan
    if np.isnan(good).all():
        return MIDDLE
    best = int(np.nanargmax(good))  # the first of equals: fewest flagged
    return _between(ranked[last], best)


def _between(levels: Floats, flagged: int) -> float:
    """A threshold that flags the first `flagged` of `levels` (distinct, falling) and no more."""
    if flagged == 0:
        return max(2.0, float(levels[0]) + 1)
    if flagged == len(levels):
        return min(0.0, float(levels[-1]))
    above, below = float(levels[flagged - 1]), float(levels[flagged])
    middle = below + (above - below) / 2
    return middle if middle > below else above  # neighbours among floats have nothing between them
