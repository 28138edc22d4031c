"""How often a value, or several together, is among the training rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.core.task import Feature, FeatureKind, Task
from headrace.expr.nodes import Expr
from headrace.features.encode.keys import NONE, Keys, looked_up
from headrace.features.encoder import Columns, Inputs
from headrace.features.fitted import KEPT
from headrace.graph.build import GraphBuilder

_NEVER = np.zeros(1)


@dataclass(frozen=True)
class CountEncoder:
    """`encode: count`. One column; 0 for a value that was not seen, and for null."""

    name: str
    inputs: Mapping[str, Expr]
    supervised: bool = False

    def fit(
        self,
        inputs: Inputs,
        y: NDArray[np.float64],
        *,
        units: NDArray[np.int64],
        task: Task,
        seed: int,
    ) -> FittedCount:
        """Count the values; at most 100,000 are kept, the most frequent, and the others count as not seen."""
        del y, units, task, seed
        keys, ids = Keys.fit(inputs, tuple(self.inputs), KEPT)
        counts = np.bincount(ids[ids != NONE], minlength=len(keys)).astype(np.float64)
        told = f"rows with the same {', '.join(self.inputs)}"
        return FittedCount((Feature(self.name, FeatureKind.NUMBER, expression=told),), keys, counts, ids)


@dataclass(frozen=True, eq=False)
class FittedCount:
    """Rows of each value; ids: whose value the fitted rows have."""

    features: tuple[Feature, ...]
    keys: Keys
    counts: NDArray[np.float64]
    ids: NDArray[np.int64]

    def own(self) -> Columns:
        """How many other rows there are: a new row doesn't count itself either."""
        return looked_up(self.ids, self.counts[:, None] - 1.0, _NEVER).astype(np.float32)

    def values(self, inputs: Inputs) -> Columns:
        """How many rows there are."""
        return looked_up(self.keys.find(inputs), self.counts[:, None], _NEVER).astype(np.float32)

    def emit(self, builder: GraphBuilder, inputs: Mapping[str, str]) -> str:
        """A look-up of the value."""
        return self.keys.emit(builder, inputs, self.counts[:, None], _NEVER)
