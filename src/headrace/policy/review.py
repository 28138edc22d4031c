"""From which confidence on answers may be given without a person, so that no more than a stated share of them
is wrong.

Selective classification with guaranteed risk (Geifman & El-Yaniv 2017, NeurIPS), by Learn then Test
(Angelopoulos, Bates, Candès, Jordan & Lei 2021/2025, Annals of Applied Statistics 19): each confidence of a
grid is a hypothesis, "among the answers at least so sure, more than `risk` are wrong". A fifth of the units
says which confidences to ask about and where to begin; on the others the hypotheses are tested one after
the other, from there down, until one can't be refused (split fixed-sequence testing: no correction for
their number is needed). The lowest refused one is the threshold: with probability `level` over the rows at
hand, the share of wrong answers among new rows above it is at most `risk`, whatever the model and the data,
where new rows are exchangeable with these. Nothing holds under drift: what reviewers find in the random
share is the proof.

Where every row is a unit of its own the test is the exact binomial one, and the guarantee holds at any number
of rows. Where rows depend on each other (days, customers), units are what was drawn: the test is that of the
mean of the units' sums, with Student's t at their effective number, counted as if one more unit had come, as
bad as the worst (rare bad days would pull the t test's error rate to twice its level); and the exact binomial
test has to agree, which alone sees that "none was wrong" is little where there are few rows. This is no
theorem at a given number of units: simulated with 30 to 365 units, with bad days and without, it held in 96.5
to 100% of cases. It asks for 20 units at least.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from headrace.core.review import RiskControl
from headrace.core.task import Kind, Task
from headrace.metrics.record import Bools, Floats, Ints, Predictions
from headrace.metrics.resample import effective

PILOT = 0.2
"""The share of units that says where to look."""
STEPS = 100
"""Confidences that are asked about, at most."""
LEAST_UNITS = 20
"""Dependent rows: the fewest units above a threshold that can say anything."""


def confidence(task: Task, score: Floats, decision: Ints) -> Floats:
    """The probability of the decided class, [rows]. score: of code 1 [rows], or [rows, classes].

    Raises:
        ValueError: a regression has no such thing.
    """
    if task.kind is Kind.REGRESSION:
        raise ValueError("a value has no confidence")
    if task.kind is Kind.BINARY:
        return np.asarray(np.where(decision == 1, score, 1.0 - score), np.float64)
    return np.asarray(score[np.arange(len(score)), decision], np.float64)


def control_predictions(p: Predictions, *, risk: float, level: float, seed: int) -> RiskControl:
    """`control` over answers whose truth is known, and that took no part in fitting.

    Raises:
        ValueError: nothing was decided (a regression).
    """
    if p.decision is None:
        raise ValueError("values are not right or wrong")
    sure = confidence(p.task, p.score, p.decision)
    return control(sure, p.decision != p.y.astype(np.int64), p.units, risk=risk, level=level, seed=seed)


def control(sure: Floats, wrong: Bools, units: Ints, *, risk: float, level: float, seed: int) -> RiskControl:
    """The confidence from which answers may be given without a person.

    sure: of each answer [rows]; wrong: whether it was [rows]; units: which rows depend on each other [rows].
    """
    _, codes, sizes = np.unique(units, return_inverse=True, return_counts=True)
    alone = bool((sizes == 1).all())
    method = f"Learn then Test, fixed sequence, {'exact binomial' if alone else 't of units'}"
    told = _Told(risk, level, method, len(sure), len(sizes))
    most = (LEAST_UNITS if not alone else needed(risk, level)) / (1 - PILOT)
    if len(sizes) < most:
        of = "rows" if alone else "independent units"
        return told.nothing(f"{len(sizes)} {of}; a risk of {risk:g} at {level:g} needs {math.ceil(most)}")
    order = np.random.default_rng(seed).permutation(len(sizes))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    pilot = rank[codes] < PILOT * len(order)
    asked = _asked(sure[pilot], wrong[pilot], risk)
    rest = _Rows(sure[~pilot], wrong[~pilot], codes[~pilot], alone)
    found = None
    for threshold in asked:
        if rest.chance(threshold, risk) > 1.0 - level:
            break
        found = threshold
    if found is None:
        return told.nothing("no confidence could be shown to be enough: too often wrong, or too few rows")
    above = sure >= found
    return RiskControl(
        risk,
        level,
        method,
        float(found),
        len(sure),
        len(sizes),
        float(above.mean()),
        float(wrong[above].mean()),
    )


def needed(risk: float, level: float) -> int:
    """The fewest rows that can show a risk: with none of them wrong, (1 - risk)^n ≤ 1 - level."""
    return math.ceil(math.log(1.0 - level) / math.log(1.0 - risk))


@dataclass(frozen=True)
class _Told:
    """What is said where there is no threshold."""

    risk: float
    level: float
    method: str
    rows: int
    units: int

    def nothing(self, why: str) -> RiskControl:
        return RiskControl(self.risk, self.level, self.method, None, self.rows, self.units, 0.0, None, why)


def _asked(sure: Floats, wrong: Bools, risk: float) -> Floats:
    """The confidences to ask about, falling, from the one whose refusal is likeliest by these rows."""
    steps = np.unique(np.quantile(sure, np.linspace(0.0, 1.0, STEPS + 1), method="lower"))[::-1]
    order = np.argsort(-sure, kind="stable")
    counts = np.searchsorted(-sure[order], -steps, side="right")
    bad = np.cumsum(wrong[order])[counts - 1]
    # half a mistake more: nothing wrong among three is no proof
    share = (bad + 0.5) / (counts + 1.0)
    lead = (risk - share) * np.sqrt(counts)
    return np.asarray(steps[int(np.argmax(lead)) :], np.float64)


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows that hypotheses are tested on. alone: each is a unit of its own."""

    sure: Floats
    wrong: Bools
    codes: Ints
    alone: bool

    def chance(self, threshold: float, risk: float) -> float:
        """The chance of no more mistakes than there were, were more than `risk` wrong above a threshold."""
        from scipy.special import bdtr, stdtr

        above = self.sure >= threshold
        rows, bad = int(above.sum()), int(self.wrong[above].sum())
        if not rows:
            return 1.0
        exact = float(bdtr(bad, rows, risk))
        if self.alone:
            return exact
        _, mine = np.unique(self.codes[above], return_inverse=True)
        sizes = np.bincount(mine).astype(np.float64)
        if len(sizes) < LEAST_UNITS:
            return 1.0
        # the mean of sums is at most zero where the share is at least `risk`
        sums = risk * sizes - np.bincount(mine, weights=self.wrong[above])
        sums = np.append(sums, sums.min())  # as if one more unit had come, as bad as the worst
        spread = float(sums.std(ddof=1)) / math.sqrt(len(sums))
        if not spread > 0.0:
            return exact
        held = effective(sizes)
        return max(exact, float(stdtr(max(held - 1.0, 1.0), -float(sums.mean()) / spread)))
