"""The port of what learns several columns of the feature matrix together: neighbours, encodings.

An expression is a feature of one row. An encoder is fitted on training rows: on their inputs and, where it is
`supervised`, on the target. It makes its columns in three ways that must agree: for the rows that it was
fitted on (`own`: no row has seen itself), for other rows (`values`), and as nodes of the graph (`emit`).
A supervised encoder is fitted anew on the rows of every fold, so that no fold's score has seen its own rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from headrace.core.task import Feature, Task
from headrace.expr.nodes import Expr
from headrace.graph.build import GraphBuilder

Inputs = Mapping[str, NDArray[Any]]
"""By the text of the SQL expression: float64 with NaN for null (numbers and booleans), or object with
`NULL_TEXT` (texts), [rows] each: raw-column convention."""
Columns = NDArray[np.float32]
"""[rows, the encoder's features]; NaN is null."""


class FittedEncoder(Protocol):
    """What was learned of training rows."""

    @property
    def features(self) -> tuple[Feature, ...]:
        """The columns that it makes; of a supervised encoder they have the same names in every fit."""
        ...

    def own(self) -> Columns:
        """The columns of the rows that it was fitted on, in their order; no row counts for itself."""
        ...

    def values(self, inputs: Inputs) -> Columns:
        """The columns of other rows."""
        ...

    def emit(self, builder: GraphBuilder, inputs: Mapping[str, str]) -> str:
        """Add nodes; the name of their double tensor [rows, features]. It equals `values`, once rounded to
        float32 and infinities made NaN. `inputs` are the tensors [rows] of the inputs in the convention of
        raw columns."""
        ...


class Encoder(Protocol):
    """How columns are learned. Frozen, made of its declaration alone."""

    @property
    def name(self) -> str:
        """The feature's name in the spec; its columns' names begin with it."""
        ...

    @property
    def inputs(self) -> Mapping[str, Expr]:
        """What it reads of a row, by the text of the SQL expression; columns as the tables have them (whoever
        computes them puts the cleaned ones in their place)."""
        ...

    @property
    def supervised(self) -> bool:
        """Whether `fit` looks at the target."""
        ...

    def fit(
        self,
        inputs: Inputs,
        y: NDArray[np.float64],
        *,
        units: NDArray[np.int64],
        task: Task,
        seed: int,
    ) -> FittedEncoder:
        """Learn of training rows; y are class codes or values, units say which rows depend on each other
        (a random split's are all different), [rows] each. A task's classes may be absent from `y`.

        Raises:
            DataError: the rows can't be learned from (an input without a value, say).
        """
        ...
