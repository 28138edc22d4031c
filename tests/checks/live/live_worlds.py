"""Worlds whose answers are right, drift, or stop being right; with as many windows as are wanted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.checks.live.labelled import Baseline, Labelled
from headrace.core.schema import Type
from headrace.core.task import Kind, Task
from headrace.metrics.record import Predictions
from headrace.summary.bins import Bins, make_bins
from headrace.summary.counts import Counter

BINARY = Task(Kind.BINARY, (0.0, 1.0))
THREE = Task(Kind.MULTICLASS, ("a", "b", "c"))
NUMBER = Task(Kind.REGRESSION)
TYPES = {"x": Type.NUMBER, "where": Type.TEXT}


@dataclass(frozen=True)
class Shift:
    """What is otherwise than in the reference. covariate: added to x. concept: how far truth leaves what the
    model learned. at: only where `where` has this value."""

    covariate: float = 0.0
    concept: float = 0.0
    at: str = ""


class World:
    """Rows of a model that is calibrated by construction. days: rows of one day share an effect of this size,
    and are its unit."""

    def __init__(self, task: Task, seed: int, *, per_day: int = 1, day_effect: float = 0.0) -> None:
        self.task = task
        self.rng = np.random.default_rng(seed)
        self.per_day = per_day
        self.day_effect = day_effect
        self.bins: Bins = make_bins(self._columns(4000, Shift()), TYPES)
        self._counter = Counter(self.bins)
        self._day = 0

    def _columns(self, n: int, shift: Shift) -> dict[str, NDArray[np.generic]]:
        words = np.array(["EWR", "JFK", "LGA"], object)
        return {
            "x": self.rng.normal(0, 1, n) + shift.covariate,
            "where": self.rng.choice(words, n, p=[0.5, 0.3, 0.2]),
        }

    def rows(self, n: int, shift: Shift = Shift()) -> Labelled:
        columns = self._columns(n, shift)
        x = columns["x"].astype(np.float64)
        days = self._day + np.arange(n) // self.per_day
        self._day = int(days[-1]) + 1
        effect = self.rng.normal(0, self.day_effect, days[-1] - days[0] + 1)[days - days[0]]
        there = (columns["where"] == shift.at) if shift.at else np.ones(n, bool)
        truth = x + effect + shift.concept * there * np.where(x > 0, -1.0, 1.0)
        codes = self._counter.codes(columns, n)
        return Labelled(self._answered(x, truth, days), self.bins, codes, np.zeros(n, np.int64))

    def _answered(
        self, x: NDArray[np.float64], truth: NDArray[np.float64], days: NDArray[np.int64]
    ) -> Predictions:
        if self.task.kind is Kind.REGRESSION:
            noise = self.rng.normal(0, 1 + (x > 1), len(x))
            return Predictions(self.task, truth + noise, x, days)
        if self.task.kind is Kind.BINARY:
            score = _sigmoid(1.5 * x - 0.5)
            y = (self.rng.random(len(x)) < _sigmoid(1.5 * truth - 0.5)).astype(np.float64)
            return Predictions(self.task, y, score, days, (score >= 0.5).astype(np.int64))
        told = _softmax(np.stack([x, 0.5 - x, np.zeros(len(x))], axis=1))
        real = _softmax(np.stack([truth, 0.5 - truth, np.zeros(len(x))], axis=1))
        y = (self.rng.random(len(x))[:, None] > np.cumsum(real, axis=1)).sum(axis=1).clip(0, 2)
        return Predictions(self.task, y.astype(np.float64), told, days, told.argmax(axis=1))

    def baseline(self, n: int = 6000) -> Baseline:
        return Baseline(self.rows(n))


def _sigmoid(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-z)))


def _softmax(z: NDArray[np.float64]) -> NDArray[np.float64]:
    e = np.exp(z)
    return np.asarray(e / e.sum(axis=1, keepdims=True))
