"""The records of a fitted feature matrix: what was learned for each column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

from headrace.core.schema import Type
from headrace.core.task import Feature
from headrace.expr.nodes import Expr
from headrace.features.encoder import FittedEncoder
from headrace.features.plan import Planned, column_types

KEPT = 100_000
"""Distinct values that a category remembers."""


@dataclass(frozen=True)
class Fitted:
    """A column of the feature matrix with what was learned for it.

    `rare` are values seen in training that have no code of their own. For a category `rows`, `nulls` and
    `distinct` are counts of the training rows; `capped` says that there were more than `KEPT` distinct
    values: then counts are lower bounds, and a rare value that was let go is coded as unseen.
    """

    planned: Planned
    vocabulary: tuple[str, ...] = ()
    rare: tuple[str, ...] = ()
    rows: int = 0
    nulls: int = 0
    distinct: int = 0
    capped: bool = False

    @property
    def feature(self) -> Feature:
        """The record that learners and releases see."""
        return Feature(self.planned.name, self.planned.kind, self.vocabulary, self.planned.expr.text)

    @property
    def empty(self) -> bool:
        """Whether the training rows were counted and held nothing but nulls."""
        return self.rows > 0 and self.rows == self.nulls


@dataclass(frozen=True, eq=False)
class Encoded:
    """A fitted encoder with what it reads of a row, columns cleaned, by the text of the expression."""

    encoder: FittedEncoder
    inputs: Mapping[str, Expr]


@dataclass(frozen=True)
class FittedFeatures:
    """The feature matrix, fitted: all that the feature graph is made from. Its columns are those of
    expressions, then those of encoders."""

    columns: tuple[Fitted, ...]
    encoded: tuple[Encoded, ...] = ()

    @property
    def features(self) -> tuple[Feature, ...]:
        """The matrix's columns, in order."""
        return (*(c.feature for c in self.columns), *(f for e in self.encoded for f in e.encoder.features))

    @property
    def types(self) -> dict[str, Type]:
        """The raw columns that the features read."""
        inputs = chain.from_iterable(e.inputs.values() for e in self.encoded)
        return column_types([*(c.planned.expr for c in self.columns), *inputs])
