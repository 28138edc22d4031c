"""How much history to learn from: by rolling origin, on the newest rows of the training part.

Each length is fitted up to several origins and measured on the rows behind each (Tashman 2000, International
Journal of Forecasting 16), the same rows for every length. The origins lie at the end of the training rows,
so that neither validation nor test has a say. More history lessens noise, and outlives the world that it is
of: which weighs more is what is measured here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import MissingDependency, UserError
from headrace.core.task import Kind
from headrace.learn.candidate import Vector, resolve_params
from headrace.learn.compare import fit_entry, score_entry
from headrace.learn.fold_columns import FoldColumns, rows_of_fold
from headrace.learn.folds import Fold
from headrace.learn.measure import Ints, decide
from headrace.learn.records import Entry, Member, Part, Setting
from headrace.learn.registry import load_candidate
from headrace.metrics.measure import measure
from headrace.metrics.record import Metric, Predictions

ORIGINS = 3
SHARE = 0.06
"""Of the training rows, in each of the spans behind the origins."""
FEWEST = 50
"""Rows that a length has to hold before the first origin, to be compared at all."""


@dataclass(frozen=True)
class Length:
    """A length of history (microseconds; None: all there is), the metric behind each origin, and how many
    rows the last fit was on. why_none: why it could not be measured."""

    micros: int | None
    values: tuple[float, ...]
    rows: int
    why_none: str = ""

    @property
    def mean(self) -> float:
        """The mean of the metric; NaN where there is none."""
        return float(np.mean(self.values)) if self.values else float("nan")


def origins(units: Ints, times: NDArray[np.int64]) -> list[tuple[int, Ints]]:
    """The moment of each origin and the numbers of the rows behind it, oldest first. Whole units (such as
    days) lie on one side.

    Raises:
        UserError: there are too few units of training rows.
    """
    order = np.argsort(times, kind="stable")
    names, first = np.unique(units[order], return_index=True)
    by_time = names[np.argsort(first, kind="stable")]
    counts = {int(n): int(c) for n, c in zip(*np.unique(units, return_counts=True), strict=True)}
    wanted, spans, at = SHARE * len(units), [], len(by_time)
    for _ in range(ORIGINS):
        rows, end = 0, at
        while at > 0 and rows < wanted:
            at -= 1
            rows += counts[int(by_time[at])]
        spans.append(by_time[at:end])
    if at < 1:
        raise UserError(
            f"{len(by_time)} units of training rows are too few to compare lengths of history",
            where="policy.windows",
            fix="leave policy.windows out, or make split.block shorter",
        )
    found = []
    for span in reversed(spans):
        rows_of = np.flatnonzero(np.isin(units, span)).astype(np.int64)
        found.append((int(times[rows_of].min()), rows_of))
    return found


def folds_of(times: NDArray[np.int64], behind: Sequence[tuple[int, Ints]], length: int | None) -> list[Fold]:
    """The rows to fit on, and those to measure on, for each origin."""
    drawn: list[Fold] = []
    for origin, tested in behind:
        fit = times < origin if length is None else (times < origin) & (times >= origin - length)
        drawn.append((np.flatnonzero(fit).astype(np.int64), tested))
    return drawn


def measured(
    setting: Setting,
    metric: Metric,
    member: Member,
    train: Part,
    folds: Sequence[Fold],
    length: int | None,
    refits: FoldColumns | None = None,
) -> Length:
    """A length's metric behind each origin; without any where a fold holds too few rows or lacks a class."""
    rows = len(folds[-1][0])
    classes = len(setting.task.classes)
    for fit, _ in folds:
        if len(fit) < FEWEST or (classes and len(np.unique(train.y[fit])) < classes):
            return Length(length, (), rows, "it holds too few rows, or not every class")
    candidate = load_candidate(member.use)
    values = []
    try:
        shape = train.X.shape
        params = resolve_params(candidate, setting.task, shape[0], shape[1], dict(member.params))
        entry = Entry(member.name, member.use, candidate, params, frozenset(member.params))
        for number, fold in enumerate(folds):
            X, others = rows_of_fold(train.X, fold, number, refits)
            fitted = fit_entry(setting, entry, X, train.y[fold[0]], train.moments(fold[0]))
            answers = _answers(setting, metric, train, fold[1], score_entry(entry, fitted, others))
            values.append(float(measure(metric, answers)))
    except (UserError, MissingDependency) as error:
        return Length(length, (), rows, error.problems[0].what)
    return Length(length, tuple(values), rows)


def _answers(setting: Setting, metric: Metric, train: Part, rows: Ints, scores: Vector) -> Predictions:
    decision = None
    if setting.task.kind is not Kind.REGRESSION:
        halves = np.array_split(np.arange(len(rows)), 2)
        decision = decide(setting.task, metric, train.y[rows], [scores, scores], halves)
    return Predictions(setting.task, train.y[rows], scores, train.units[rows], decision)


def best(metric: Metric, lengths: Sequence[Length]) -> Length | None:
    """The length with the best mean; of equals the longest. None where none was measured."""
    known = [n for n in lengths if np.isfinite(n.mean)]
    endless = float("inf")
    goodness = {id(n): float(metric.goodness(n.mean)) for n in known}
    return max(known, key=lambda n: (goodness[id(n)], n.micros or endless), default=None)
