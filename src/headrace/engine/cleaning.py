"""Cleaning, fitted on the training rows of a run: what the features stage asks of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.core.schema import Type
from headrace.data.read import workspace
from headrace.data.rows import Rows
from headrace.engine.compile import Compiled
from headrace.engine.context import Context
from headrace.expr import Expr
from headrace.features.clean import (
    CleanedColumn,
    CleaningReport,
    clean_plan,
    cleaned_nodes,
    cleaned_types,
    flag_features,
    prepares_of,
    substitute,
)
from headrace.features.fit_clean import CellCounter, columns_to_fit, fit_clean
from headrace.features.plan import Planned, column_types
from headrace.graph.encode import Feeds, encode_batch
from headrace.graph.texts import SPACE, Prepare

_ODD_TEXTS = ("  a  b  ", f"{SPACE}a{SPACE}", SPACE, "\u200bkept\ufeff", "MiXeD ß İ é", "É ÀÇ Σς")
_MOMENTS = (
    ("31", "02"),  # no such day
    ("29", "02"),
    ("1", "1"),
    ("01", "13"),
    ("10", "03"),
)
_PARTS = {"Y": "2024", "y": "24", "b": "Feb", "B": "February", "H": "2", "I": "12", "p": "PM", "M": "30",
          "S": "05", "f": "5", "a": "Mon", "A": "Monday", "z": "-0430"}  # fmt: skip


@dataclass(frozen=True)
class Cleaning:
    """What was fitted, and the counter that goes along while the matrix is computed."""

    ctx: Context
    types: Mapping[str, Type]
    fitted: tuple[CleanedColumn, ...]
    flags: Mapping[str, Expr]
    counter: CellCounter

    def plan(self, plan: tuple[Planned, ...]) -> tuple[Planned, ...]:
        """The features over cleaned columns."""
        return clean_plan(plan, cleaned_nodes(self.ctx.spec.clean, self.fitted, self.types), self.flags)

    def inputs(self, exprs: Iterable[Expr]) -> dict[str, Expr]:
        """Expressions over cleaned columns, by their text."""
        nodes = cleaned_nodes(self.ctx.spec.clean, self.fitted, self.types)
        return {e.text: substitute(e, nodes) for e in exprs}

    def prepares(self, exprs: Iterable[Expr]) -> dict[str, Prepare]:
        """What is done to the text columns that these read, before the graph."""
        read = column_types(exprs)
        return {n: p for n, p in prepares_of(self.ctx.spec.clean, self.ctx.zone).items() if n in read}

    def count(self, part: str, feeds: Feeds, rows: int) -> None:
        """Count what cleaning does to this batch of a part."""
        self.counter.add(part, feeds, rows)

    def report(self, cleaned_rows: Mapping[str, Any], train: int, validation: int) -> CleaningReport:
        """What was done; `cleaned_rows` is what the split says of the rows it left out."""
        return CleaningReport(
            train_rows=train,
            validation_rows=validation,
            columns=self.fitted,
            cells=self.counter.cells(),
            rows=cleaned_rows.get("rows", {}),
            row_bounds={c: (low, high) for c, (low, high) in cleaned_rows.get("bounds", {}).items()},
        )

    def edges(self) -> dict[str, list[Any]]:
        """Values on the edges of what cleaning does, by column, for the parity gate."""
        clean = self.ctx.spec.clean.columns
        found: dict[str, list[Any]] = {}
        for column in self.fitted:
            c = clean[column.column]
            bounds = [b for b in (column.low, column.high, c.cap) if b is not None]
            found[column.column] = [v for b in bounds for v in _around(b)]
            if c.trim or c.case or c.parse:
                found[column.column] += _ODD_TEXTS
            if c.parse:
                found[column.column] += _odd_moments(c.parse)
        return found


def _around(bound: float) -> Iterator[float]:
    yield from (
        bound,
        math.nextafter(bound, -math.inf),
        math.nextafter(bound, math.inf),
        bound - 1,
        bound + 1,
    )
    yield from (math.floor(bound), math.ceil(bound))


def _odd_moments(form: str) -> Iterator[str]:
    """Texts that follow a format, and some that nearly do."""
    for day, month in _MOMENTS:
        text = form
        for directive, value in {**_PARTS, "d": day, "m": month}.items():
            text = text.replace(f"%{directive}", value)
        yield text
        yield f" {text} "
        yield f"{text}x"


def fit_cleaning(ctx: Context, compiled: Compiled, train: Rows) -> Cleaning:
    """Fit the spec's cleaning of columns on the training rows.

    Raises:
        DataError: a column is null in every training row, and a statistic of it was asked for.
    """
    clean, raw = ctx.spec.clean, compiled.types
    types = cleaned_types(clean, {n: raw[n] for n in clean.columns})
    wanted = columns_to_fit(clean)
    needed = {n: raw[n] for n in wanted}
    with workspace(ctx.store.scratch()) as folder:
        fitted = fit_clean(
            clean,
            types,
            (encode_batch(batch, needed) for batch in train.batches(wanted)) if wanted else (),
            zone=ctx.zone,
            folder=folder,
            threads=ctx.spec.limits.threads,
        )
    flags = flag_features(clean, types, ctx.zone)
    read = {c for e in compiled.inputs for c in e.columns}
    counted = tuple(c for c in fitted if c.column in read)
    counter = CellCounter(clean, counted, types, zone=ctx.zone, threads=ctx.spec.limits.threads)
    return Cleaning(ctx, types, fitted, flags, counter)
