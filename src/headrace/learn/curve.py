"""Fit one recipe again on growing shares of the training rows, and a richer one on all of them.

Knows nothing of what the curve says: predictions out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from headrace.core.errors import MissingDependency, UserError
from headrace.core.task import Kind
from headrace.learn.candidate import Matrix, Vector, resolve_params
from headrace.learn.compare import fit_entry, score_entry
from headrace.learn.fold_columns import FoldColumns
from headrace.learn.measure import Ints, decide
from headrace.learn.records import Entry, Member, Part, Setting
from headrace.learn.registry import load_candidate
from headrace.metrics.record import Metric, Predictions

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
REPEATS = 3
"""Each share below all rows is drawn so often; the shares of one repeat lie inside each other."""
FEWEST_ROWS, FEWEST_UNITS = 30, 5

Renew = Callable[[Ints], FoldColumns]
"""Given training rows: the columns learned of these, of them and of all rows to score, as one fold's."""


@dataclass(frozen=True, eq=False)
class Refit:
    """A fit on a share of the training rows: what it answers for them, and for the rows to score."""

    share: float
    repeat: int
    rows: int
    units: int
    seen: Predictions
    scored: Predictions


@dataclass(frozen=True, eq=False)
class Refits:
    """Every fit, smallest share first. richer: the answers of `reference`, a more flexible candidate, fitted
    on all training rows; None where there is none, or it failed, for the reason in `why_none`."""

    model: str
    fits: tuple[Refit, ...]
    reference: str
    richer: Predictions | None
    why_none: str = ""


def refit(
    train: Part,
    scored: Part,
    member: Member,
    *,
    setting: Setting,
    metric: Metric,
    renew: Renew | None = None,
    progress: Callable[[str, int, int], None] = lambda text, done, total: None,
) -> Refits:
    """Fit `member` on shares of whole units of `train`, and score the rows of `scored`. `renew` makes the
    columns anew that were learned of the target of all training rows.

    Parameters that follow the number of rows by default are taken as the member has them. Decisions (binary)
    are those of the metric's best threshold on the other half of the rows in question. Shares with fewer
    than 30 rows, 5 units, or without a class are left out.

    Raises:
        UserError: the member can't be fitted on all rows.
        MissingDependency: its library is not installed.
    """
    entry = _entry(setting, member.use, member.name, dict(member.params), train)
    names, codes = np.unique(train.units, return_inverse=True)
    drawn = [(s, r) for s in SHARES for r in range(REPEATS if s < 1 else 1)]
    fits = []
    for done, (share, repeat) in enumerate(drawn, start=1):
        order = np.random.default_rng([setting.seed, repeat]).permutation(len(names))
        chosen = np.zeros(len(names), bool)
        chosen[order[: max(1, round(share * len(names)))]] = True
        rows = np.flatnonzero(chosen[codes])
        if share == 1 or _enough(setting, train, rows, int(chosen.sum())):
            fits.append(_one(setting, metric, entry, train, scored, rows, share, repeat, renew))
        progress("learning curve", done, len(drawn) + 1)
    reference = "forest" if member.use in ("boosting", "xgboost", "catboost") else "boosting"
    richer, why = None, ""
    try:
        other = _entry(setting, reference, reference, {}, train)
        richer = _one(setting, metric, other, train, scored, np.arange(len(train.y)), 1.0, 0).scored
    except (MissingDependency, UserError) as error:
        why = f"{reference} could not be fitted: {error}"
    progress("learning curve", len(drawn) + 1, len(drawn) + 1)
    return Refits(member.name, tuple(fits), reference, richer, why)


def _entry(setting: Setting, use: str, name: str, given: dict[str, object], train: Part) -> Entry:
    candidate = load_candidate(use)
    rows, width = train.X.shape
    params = resolve_params(candidate, setting.task, rows, width, given)
    return Entry(name, use, candidate, params, frozenset(given))


def _enough(setting: Setting, train: Part, rows: Ints, units: int) -> bool:
    classes = len(setting.task.classes)
    every = classes == 0 or len(np.unique(train.y[rows])) == classes
    return every and len(rows) >= FEWEST_ROWS and units >= FEWEST_UNITS


def _one(
    setting: Setting,
    metric: Metric,
    entry: Entry,
    train: Part,
    scored: Part,
    rows: Ints,
    share: float,
    repeat: int,
    renew: Renew | None = None,
) -> Refit:
    X: Matrix = train.X if share == 1 else train.X[rows]
    if renew is not None and share != 1:
        renewed, X, others = renew(rows), np.array(X), np.array(scored.X)
        X[:, renewed.columns], others[:, renewed.columns] = renewed.own[0], renewed.tested[0]
        scored = replace(scored, X=others)
    y, units = train.y[rows], train.units[rows]
    fitted = fit_entry(setting, entry, X, y, train.moments(rows))
    seen = _answers(setting, metric, y, score_entry(entry, fitted, X), units)
    told = _answers(setting, metric, scored.y, score_entry(entry, fitted, scored.X), scored.units)
    return Refit(share, repeat, len(rows), len(np.unique(units)), seen, told)


def _answers(setting: Setting, metric: Metric, y: Vector, scores: Vector, units: Ints) -> Predictions:
    decision = None
    if setting.task.kind is not Kind.REGRESSION:
        halves = np.array_split(np.arange(len(y)), 2)
        decision = decide(setting.task, metric, y, [scores, scores], halves)
    return Predictions(setting.task, y, scores, units, decision)
