"""The decision threshold that a metric likes best, or that a goal asks for."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from headrace.core.errors import UserError
from headrace.core.task import Kind
from headrace.metrics.margin import SAFE, safe_ends, unit_counts
from headrace.metrics.record import Bools, Floats, Ints, Metric, Sums

MIDDLE = 0.5
"""The threshold of metrics that look at scores and not at decisions, and of data that say nothing."""
_FEWEST_FLAGGED, _FEWEST_SHARE = 10, 0.01
_MOST_CUTS = 200  # whose certainty is looked at; more are thinned evenly
_MEETS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


@dataclass(frozen=True, eq=False)
class Need:
    """A limit that a threshold has to keep: `metric op number`, or `number` times what today's rule reaches
    on the same rows."""

    metric: Metric
    op: str
    number: float
    relative: bool = False

    @property
    def side(self) -> str:
        """The end of an interval that is held to the limit."""
        return "low" if self.op in (">=", ">") else "high"

    def __str__(self) -> str:
        return f"{self.metric.name} {self.op} {self.number:g}" + (" * today" if self.relative else "")


@dataclass(frozen=True, eq=False)
class Aim:
    """What a threshold is chosen for: `metric` as good as can be, among thresholds that keep every need.

    level: needs are to hold at the one-sided end of this level, by units (see `margin.planned_level`).
    """

    metric: Metric
    needs: tuple[Need, ...] = ()
    level: float = SAFE


@dataclass(frozen=True)
class Cut:
    """A threshold and how the aim stands at it, on the rows that it was chosen on.

    kept: how well the needs hold: "planned" (at the aim's level), "safe" (at the safe end), "here" (on these
    rows, not beyond noise), "none" (no threshold keeps them: this is the nearest), or "" without needs.
    reached: each needed metric's value. bounds: the number that each is held to (today's value worked in).
    """

    threshold: float
    value: float
    kept: str = ""
    reached: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, float] = field(default_factory=dict)


def choose_threshold(
    aim: Metric | Aim, y: Floats, score: Floats, *, units: Ints | None = None, today: Floats | None = None
) -> float:
    """The threshold t for which deciding "positive when score >= t" serves the metric, or the aim, best.

    y: 0.0 or 1.0, [n]. score: probability of the positive class, [n]. Every cut between two distinct
    scores is tried in one sorted pass, together with flagging all rows (0.0, or the lowest score if that is
    below) and flagging none (2.0, or one above the highest score). A cut lies midway between its two
    scores. Among equally good cuts the one that flags fewest rows is taken.

    `precision` alone is best with a single sure row, so at least 10 rows, or 1% of them if that is more,
    have to be flagged. `recall` alone is best by flagging as much as finds all positives; `specificity` and
    `fpr` by flagging none: ask for `f1` or `value` where that is not meant. 0.5 where the metric
    looks at scores, where there are no rows, and where no cut has a defined value.

    units and today are for an aim with needs: see `choose_cut`.

    Raises:
        UserError: the metric does not fit a binary task, or lengths disagree.
    """
    return choose_cut(aim, y, score, units=units, today=today).threshold


def choose_cut(
    aim: Metric | Aim, y: Floats, score: Floats, *, units: Ints | None = None, today: Floats | None = None
) -> Cut:
    """The cut behind `choose_threshold`, with how the aim's needs stand at it.

    units: the independent unit of each row, [n] (default: each its own). today: 1.0 where today's rule
    acts, else 0.0, [n], for relative needs.

    Of the cuts that keep every need on these rows, those are preferred that keep it at `aim.level`, then
    those that keep it at the safe end; among them the best for the metric. (At most 200 cuts that keep the
    needs are looked at for this, evenly by rank.) Where no cut keeps them, the one that falls short least,
    as a share of the bounds.

    Raises:
        UserError: a metric does not fit a binary task, lengths disagree, a need's metric does not look at
            decisions, or a need is relative and today's answers are missing.
    """
    if isinstance(aim, Metric):
        aim = Aim(aim)
    statistic = _sums(aim.metric)
    if len(y) != len(score):
        raise UserError(f"{len(y)} true values and {len(score)} scores: one of each a row was expected")
    if (statistic is None and not aim.needs) or len(y) == 0:
        return Cut(MIDDLE, float("nan"), "none" if aim.needs else "")
    ranking = _rank(y, score)
    good = np.full(len(ranking.counts), np.nan)
    if statistic is not None:
        good = np.asarray(aim.metric.goodness(statistic.finish(ranking.counts)), dtype=np.float64)
    if aim.metric.name == "precision":
        good[ranking.flagged < min(max(_FEWEST_FLAGGED, _FEWEST_SHARE * len(y)), len(y))] = np.nan
    if np.isnan(good).all():
        return Cut(MIDDLE, float("nan"), "none" if aim.needs else "")
    if not aim.needs:
        best = int(np.nanargmax(good))  # the first of equals: fewest flagged
        return Cut(_between(ranking.levels, best), float(good[best]))
    return _constrained(aim, good, ranking, y, units, today)


@dataclass(frozen=True, eq=False)
class _Ranking:
    """Every cut of a set of rows: outcomes [cuts, 4] and rows flagged [cuts]; cut i flags the i highest of
    `levels` (distinct scores, falling). position: each row's place, highest score first, [n]."""

    counts: Floats
    flagged: Floats
    levels: Floats
    position: Ints


def _rank(y: Floats, score: Floats) -> _Ranking:
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    last = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True])  # the last row of each distinct score
    hits = np.cumsum(y[order] == 1)[last]
    flagged = np.r_[0, last + 1].astype(np.float64)
    tp = np.r_[0, hits].astype(np.float64)
    fp = flagged - tp
    position = np.empty(len(y), np.int64)
    position[order] = np.arange(len(y))
    return _Ranking(np.stack([tp, fp, fp[-1] - fp, tp[-1] - tp], axis=-1), flagged, ranked[last], position)


def _constrained(
    aim: Aim, good: Floats, ranking: _Ranking, y: Floats, units: Ints | None, today: Floats | None
) -> Cut:
    bounds = {str(n): _bound(n, y, today) for n in aim.needs}
    values = {str(n): _needed(n.metric).finish(ranking.counts) for n in aim.needs}
    defined = np.isfinite(good)
    here = defined.copy()
    for need in aim.needs:
        here &= _MEETS[need.op](values[str(need)], bounds[str(need)])

    def cut(best: int, kept: str) -> Cut:
        reached = {name: float(v[best]) for name, v in values.items()}
        return Cut(_between(ranking.levels, best), float(good[best]), kept, reached, bounds)

    if not here.any():
        short = np.max([_shortfall(n, values[str(n)], bounds[str(n)]) for n in aim.needs], axis=0)
        short[~defined | np.isnan(short)] = np.inf
        nearest = np.flatnonzero(short <= short.min() + 1e-12)
        return cut(int(nearest[np.argmax(np.nan_to_num(good[nearest], nan=-np.inf))]), "none")
    looked = np.flatnonzero(here)
    if len(looked) > _MOST_CUTS:
        looked = looked[np.linspace(0, len(looked) - 1, _MOST_CUTS).astype(np.int64)]
    sure = _sure(aim, ranking, looked, y, units, today, bounds)
    for kept, holds in zip(("planned", "safe"), sure, strict=True):
        if holds.any():
            return cut(int(looked[holds][np.argmax(good[looked[holds]])]), kept)
    return cut(int(np.argmax(np.where(here, good, -np.inf))), "here")


def _sure(
    aim: Aim,
    ranking: _Ranking,
    looked: Ints,
    y: Floats,
    units: Ints | None,
    today: Floats | None,
    bounds: Mapping[str, float],
) -> Bools:
    """At which of these cuts every need holds at the aim's level, and at the safe end, [2, cuts]."""
    labels = np.arange(len(y)) if units is None else units
    flagged = ranking.flagged[looked].astype(np.int64)
    positive = (y == 1).astype(np.float64)
    counted = unit_counts(positive, flagged, ranking.position, labels, today)
    holds = np.ones((2, len(looked)), np.bool_)
    for need in aim.needs:
        levels = (min(aim.level, SAFE), SAFE)
        factor = need.number if need.relative else None
        ends = safe_ends(need.metric, counted, side=need.side, factor=factor, levels=levels)
        holds &= _MEETS[need.op](ends, 0.0 if need.relative else bounds[str(need)])
    return holds


def _bound(need: Need, y: Floats, today: Floats | None) -> float:
    if not need.relative:
        return need.number
    if today is None or len(today) != len(y):
        raise UserError(f"'{need}' needs what today's rule answers on every row")
    positive = y == 1
    acts = today == 1
    outcomes = [positive & acts, ~positive & acts, ~positive & ~acts, positive & ~acts]
    counts = np.array([np.count_nonzero(o) for o in outcomes], dtype=np.float64)
    return need.number * float(_needed(need.metric).finish(counts))


def _shortfall(need: Need, value: Floats, bound: float) -> Floats:
    """By how much the limit is missed, as a share of the bound."""
    short = bound - value if need.side == "low" else value - bound
    return np.asarray(np.maximum(short, 0.0) / (abs(bound) or 1.0), dtype=np.float64)


def _needed(metric: Metric) -> Sums:
    statistic = _sums(metric)
    if statistic is None:
        raise UserError(
            f"metric {metric.name!r} is the same at every threshold: none can be chosen for it",
            fix="put it in problem.ship_at",
        )
    return statistic


def _sums(metric: Metric) -> Sums | None:
    """How the metric follows from counts of outcomes; None where it looks at scores."""
    statistic = metric.how.get(Kind.BINARY)
    if statistic is None:
        raise UserError(
            f"metric {metric.name!r} has no threshold to choose", why="it does not fit a binary task"
        )
    return statistic if metric.needs == "decision" and isinstance(statistic, Sums) else None


def _between(levels: Floats, flagged: int) -> float:
    """A threshold that flags the first `flagged` of `levels` (distinct, falling) and no more."""
    if flagged == 0:
        return max(2.0, float(levels[0]) + 1)
    if flagged == len(levels):
        return min(0.0, float(levels[-1]))
    above, below = float(levels[flagged - 1]), float(levels[flagged])
    middle = below + (above - below) / 2
    return middle if middle > below else above  # neighbours among floats have nothing between them
