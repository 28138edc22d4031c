"""The feature matrices that a script learns from: the spine up to `inspect`, and no test row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.core.codec import from_plain
from headrace.core.task import Feature, Task
from headrace.engine.context import Context
from headrace.engine.plan import SPINE
from headrace.engine.result import Trail
from headrace.engine.run import run_step
from headrace.engine.stages.split import load_array, task_of

LAST = "inspect"


@dataclass(frozen=True, eq=False)
class Rows:
    """A part's rows. X: float32 [rows, features], NaN for null, categories as codes; y: float64 [rows], class
    codes or values; units: int64 [rows], rows of one unit depend on each other."""

    X: NDArray[np.float32]
    y: NDArray[np.float64]
    units: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Matrices:
    """What a script may learn from and look at. The test rows are sealed."""

    train: Rows
    validation: Rows
    features: tuple[Feature, ...]
    task: Task

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of X."""
        return tuple(f.name for f in self.features)


def prepare(ctx: Context) -> Trail:
    """Run the spine's first stages, to the end of `inspect`, with their gates.

    Raises:
        GateBlocked: a gate blocks; the problems say which.
        HeadraceError: what a stage raised.
    """
    trail = Trail()
    for step in SPINE:
        run_step(ctx, step, trail)
        if step.stage.name == LAST:
            break
    return trail


def matrices(ctx: Context, trail: Trail) -> Matrices:
    """The matrices that the stages made."""
    outputs = trail.made["features"].outputs

    def rows(part: str) -> Rows:
        X, y, units = (np.array(load_array(ctx, outputs[f"{n}_{part}"])) for n in ("X", "y", "units"))
        return Rows(X, y, units)

    features = tuple(from_plain(f, Feature) for f in trail.made["features"].facts["features"])
    return Matrices(rows("train"), rows("validation"), features, task_of(trail.made))
