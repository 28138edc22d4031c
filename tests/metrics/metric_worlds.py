"""Populations to draw samples from, whose true metric values are known by drawing a very large one.

In a world of days, each day shifts the base rate, how well the score tells the classes apart, the errors
and their number, so that rows of a day move together. In a world of rows nothing does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headrace.core.task import Kind, Task
from headrace.metrics.catalog import METRICS
from headrace.metrics.measure import measure
from headrace.metrics.record import Predictions

BINARY = Task(Kind.BINARY, ("no", "yes"))
REGRESSION = Task(Kind.REGRESSION)
BINARY_METRICS = ("f1", "accuracy", "roc_auc", "average_precision")
REGRESSION_METRICS = ("rmse", "mae")


@dataclass(frozen=True)
class World:
    """`units` units of about `size` rows. Sizes differ by about a third where there is more than one row."""

    units: int
    size: int = 1

    @property
    def clustered(self) -> bool:
        return self.size > 1

    def _units(self, rng: np.random.Generator, units: int) -> tuple[np.ndarray, np.ndarray]:
        if not self.clustered:
            return np.arange(units), np.zeros(units)
        sizes = np.maximum(1, rng.poisson(self.size * rng.lognormal(-0.045, 0.3, units)))
        owner = np.repeat(np.arange(units), sizes)
        return owner, rng.normal(size=units)[owner]

    def binary(self, rng: np.random.Generator, units: int | None = None) -> Predictions:
        owner, day = self._units(rng, units or self.units)
        x = rng.normal(0, 1.2, len(owner))
        y = rng.random(len(owner)) < 1 / (1 + np.exp(1.3 - 0.8 * day - x * (1 + 0.6 * day)))
        score = 1 / (1 + np.exp(1.0 - x + rng.normal(0, 0.3, len(owner))))
        return Predictions(BINARY, y.astype(float), score, owner, (score >= 0.35).astype(np.int64))

    def regression(self, rng: np.random.Generator, units: int | None = None) -> Predictions:
        owner, day = self._units(rng, units or self.units)
        x = rng.normal(0, 1.0, len(owner))
        error = (rng.normal(size=len(owner)) + 0.5 * day) * np.exp(0.1 * x)
        return Predictions(REGRESSION, x + error, x, owner)

    def truth(self, rows: int) -> dict[str, float]:
        rng = np.random.default_rng(99)
        binary, regression = (draw(rng, rows // self.size) for draw in (self.binary, self.regression))
        found = {name: measure(METRICS[name], binary) for name in BINARY_METRICS}
        return found | {name: measure(METRICS[name], regression) for name in REGRESSION_METRICS}
