"""What learning is given, what it passes on between its steps, and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.evidence import Interval
from headrace.core.task import Feature, Kind, Task
from headrace.learn.calibrate import Calibrator
from headrace.learn.candidate import Candidate, Fitted, Matrix, Vector
from headrace.learn.conformal import Conformal
from headrace.learn.continuing import Memory
from headrace.learn.fold_columns import FoldColumns
from headrace.learn.folds import Fold
from headrace.learn.registry import RESERVED
from headrace.learn.search.record import SearchRecord
from headrace.metrics.record import Metric
from headrace.metrics.threshold import Aim

NAIVE, TODAY = RESERVED

Ints = NDArray[np.int64]

Progress = Callable[[str, int, int], None]
"""Told of what is being done, and how many of how many steps are done (0 of 0: not known)."""

HOLDOUT_PARTS = 5
"""A holdout is parted in so many for all that must not be chosen and measured on the same rows."""


@dataclass(frozen=True)
class Part:
    """Rows to learn from, or to compare on: X float32 [rows, features], y float64 codes or values [rows],
    units int64 [rows] (rows of one unit depend on each other).

    today: what today's rule answers (float64 [rows]): codes for classes, values for regression; NaN where
    it has no answer. None where there is no rule. times: the moments (int64 [rows]) in whose order is
    learned what is learned row by row; None: in the rows' own.
    """

    X: Matrix
    y: Vector
    units: Ints
    today: Vector | None = None
    times: Ints | None = None

    def moments(self, rows: Ints) -> Ints | None:
        """The moments of some rows."""
        return None if self.times is None else self.times[rows]


@dataclass(frozen=True)
class ModelChoice:
    """A candidate as the user asked for it: its name on the leaderboard, what it is, changed parameters.

    candidate: the candidate itself, where `use` is none that the registry knows.
    """

    name: str
    use: str
    params: Mapping[str, Any] = field(default_factory=dict)
    candidate: Candidate | None = None


@dataclass(frozen=True)
class Line:
    """A line of the leaderboard. `mean` and `std` of the metric over `folds`; None where it failed, for the
    reason in `error`. `std` is None where there is one fold only.

    What was chosen on the folds (parameters, weights, calibration, thresholds) is measured on folds that
    took no part in the choice. note: more to know, for people.
    """

    model: str
    mean: float | None
    std: float | None
    folds: tuple[float, ...]
    seconds: float
    params: Mapping[str, Any]
    error: str = ""
    note: str = ""


@dataclass(frozen=True)
class Entry:
    """A candidate with everything it is fitted with. `given`: the parameters that the user set."""

    name: str
    use: str
    candidate: Candidate
    params: Mapping[str, Any]
    given: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Setting:
    """What a fit needs beside its rows."""

    features: tuple[Feature, ...]
    task: Task
    seed: int
    threads: int


@dataclass(frozen=True)
class Job:
    """What every comparison needs. `folds` is None where `scored` is a holdout. aim: what thresholds are
    chosen for. refits: the columns of train that every fold has its own of. memory: what fits go on from."""

    train: Part
    scored: Part
    folds: Sequence[Fold] | None
    setting: Setting
    metric: Metric
    aim: Metric | Aim
    refits: FoldColumns | None = None
    memory: Memory | None = None

    @property
    def task(self) -> Task:
        return self.setting.task

    @property
    def pieces(self) -> list[Ints]:
        """The rows of `scored` that each fold is measured on."""
        return [np.arange(len(self.scored.y))] if self.folds is None else [test for _, test in self.folds]

    @cached_property
    def parts(self) -> list[Ints]:
        """The rows that are chosen for by all the others: the folds, or whole units of a holdout."""
        return self.pieces if self.folds is not None else _dealt(self.scored.units)

    @property
    def fits(self) -> int:
        """How many times each candidate is fitted to compare it."""
        return len(self.folds) if self.folds is not None else 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Of scores of all rows."""
        n = len(self.scored.y)
        return (n, len(self.task.classes)) if self.task.kind is Kind.MULTICLASS else (n,)

    def others(self, part: int) -> Ints:
        """The rows of every part but one."""
        return np.concatenate([rows for i, rows in enumerate(self.parts) if i != part])

    def goodness(self, value: float | None) -> float:
        """More is better; what is undefined is worst."""
        if value is None or not np.isfinite(value):
            return -np.inf
        return float(self.metric.goodness(value))


def _dealt(units: Ints) -> list[Ints]:
    """Whole units in their order, in parts; rows, where there are fewer units than two."""
    names, codes = np.unique(units, return_inverse=True)
    if len(names) < 2:
        return [rows.astype(np.int64) for rows in np.array_split(np.arange(len(units)), 2)]
    count = min(HOLDOUT_PARTS, len(names))
    label = codes * count // len(names)
    return [np.flatnonzero(label == i).astype(np.int64) for i in range(count)]


@dataclass(frozen=True)
class Crossed:
    """Scores by models that were not fitted on the rows, of something that may have been chosen.

    own: the scores of what is chosen when all parts are looked at, [rows] or [rows, classes]; NaN where a
    row is in no test fold. by_part: for each part of the job the scores of what is chosen when that part is
    not looked at. Where nothing was chosen all of them are `own`.
    """

    own: Vector
    by_part: tuple[Vector, ...]

    @staticmethod
    def plain(job: Job, scores: Vector) -> Crossed:
        """Scores of something that was not chosen."""
        return Crossed(scores, (scores,) * len(job.parts))

    def honest(self, job: Job) -> Vector:
        """Each row's scores by what was chosen without looking at its part."""
        out = np.full(job.shape, np.nan)
        for rows, scores in zip(job.parts, self.by_part, strict=True):
            out[rows] = scores[rows]
        return out


@dataclass(frozen=True)
class Result:
    """A line with its scores (None where it failed), and decisions [rows] of the honest ones (None for
    regression). fitted: its fit, where that may be the last one. entry: what to fit it with."""

    line: Line
    crossed: Crossed | None = None
    decisions: Ints | None = None
    fitted: Fitted | None = None
    entry: Entry | None = None


@dataclass(frozen=True)
class Scored:
    """A line with its scores and decisions of rows that took no part in any choice (see `Learned`)."""

    line: Line
    scores: Vector
    decisions: Ints | None


@dataclass(frozen=True)
class Member:
    """A candidate of the chosen model: what to fit, with which parameters, and its weight (1 where it is
    alone)."""

    name: str
    use: str
    params: Mapping[str, Any]
    weight: float = 1.0


@dataclass(frozen=True)
class EnsembleRecord:
    """What combining candidates was worth.

    weights: of each line, fitted on all rows out of fold; bias: a stack's own constants. gain: by how much
    the combination is better than the line `against`, each part combined by weights of the others, with its
    interval by units; None where it could not be measured. kept: whether the interval lies above zero.
    """

    method: str
    weights: Mapping[str, float]
    bias: tuple[float, ...]
    against: str
    gain: float | None
    interval: Interval | None
    kept: bool
    why: str


@dataclass(frozen=True)
class Learned:
    """What came out.

    leaderboard: best first, failed candidates last; with `naive` always and `today` where there is a rule.
    best: the line that the graph stands for. threshold: of the positive class's probability (binary only).
    graph: see `model_graph`.
    scores: for every line that did not fail, float64 scores of rows by models that were not fitted on them,
    [rows] or [rows, classes]; NaN where a row is in no test fold. The rows are those of train, or of the
    validation part where candidates were compared on a holdout.
    decisions: the same for decided class codes (0 where there is no score); without regressions.
    own: the model's own scores of rows that it was not fitted on; the threshold was chosen on them.
    procedure: line, scores and decisions where the choice of the line, too, was made on the other parts: what
    gates compare where nothing was searched, so that having had several to choose from is no advantage.
    judged: the same of rows that took no part in anything, under `best` and the baselines' names; empty
    where `learn` was given none.
    native: the chosen model's own scores of the probe matrices (what the graph has to reproduce).
    recipe: the candidates that the chosen model is made of. trial_seconds: of each candidate's trials.
    choice: why this line, in words. contributions: TreeSHAP of the rows that `learn` was to explain, as
    `Explained` gives them; None where the model is no ensemble of trees by itself.
    """

    leaderboard: tuple[Line, ...]
    best: str
    threshold: float | None
    graph: bytes
    scores: Mapping[str, Vector]
    decisions: Mapping[str, Ints]
    own: Vector
    procedure: Scored
    judged: Mapping[str, Scored]
    native: Mapping[str, Vector]
    calibrator: Calibrator | None = None
    conformal: Conformal | None = None
    recipe: tuple[Member, ...] = ()
    search: SearchRecord | None = None
    trial_seconds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    ensemble: EnsembleRecord | None = None
    choice: str = ""
    contributions: Vector | None = None
