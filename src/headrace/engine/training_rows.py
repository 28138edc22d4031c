"""The training rows as features are proposed from and tried on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from headrace.core.errors import UserError
from headrace.core.schema import Column, Type
from headrace.core.task import Task
from headrace.data.rows import Rows
from headrace.data.split import DROPPED
from headrace.engine.columns import evenly, join_vectors
from headrace.engine.compile import Compiled
from headrace.engine.context import Context, Made
from headrace.engine.stages.features import TARGET, answer_runner, rows_of, units_of
from headrace.engine.stages.ingest import compiled_of, snapshots_of
from headrace.engine.stages.learn import draw_folds
from headrace.engine.stages.split import load_array, task_of
from headrace.engine.targets import codes
from headrace.graph.encode import encode_batch
from headrace.learn.folds import Fold
from headrace.learn.select.blocks import Field

MOST_ROWS = 10_000
"""Training rows that proposals are tried on, at most."""

FEWEST_FOLDS = 4

LOOKED_AT = 50_000
"""Training rows whose raw columns are looked at for proposals, evenly spaced."""

ANSWER_COLUMN = "__y"
"""The target's codes or values in the table of raw columns."""


@dataclass(frozen=True, eq=False)
class Training:
    """The training rows as proposals are made from and tried on.

    y: codes or values [rows], units [rows]. chosen: the numbers of the rows that proposals are tried on;
    others: those of rows of other units, for finding them. columns: raw columns by the name that expressions
    use. target: the columns that the target reads; named: those that named features read.
    """

    ctx: Context
    made: Made
    task: Task
    y: NDArray[np.float64]
    units: NDArray[np.int64]
    chosen: NDArray[np.int64]
    others: NDArray[np.int64]
    columns: Mapping[str, Type]
    target: frozenset[str]
    named: frozenset[str]

    def field(self) -> Field:
        """The chosen rows with folds as those of cross-validation, `FEWEST_FOLDS` at least: what a proposal
        gains is little, and is seen with most of the rows to fit on."""
        y, units = self.y[self.chosen], self.units[self.chosen]
        spec = self.ctx.spec
        more = spec.cv.model_copy(update={"folds": max(spec.cv.folds, FEWEST_FOLDS)})
        finer = replace(self.ctx.parsed, spec=spec.model_copy(update={"cv": more}))
        drawn: list[Fold]
        try:
            drawn = draw_folds(replace(self.ctx, parsed=finer), self.made, y, units, self.task, self.chosen)
        except UserError:  # so many folds can't be made of these units
            drawn = draw_folds(self.ctx, self.made, y, units, self.task, self.chosen)
        return Field(y, units, drawn, self.task, spec.seed, spec.limits.threads)


def training_of(ctx: Context, made: Made) -> Training:
    """The training rows of a run that came to its split."""
    compiled, train = compiled_of(ctx, made), rows_of(ctx, made, "train")
    task = task_of(made)
    units = units_of(ctx, made, train)
    chosen, others = _dealt(units, ctx.spec.seed)
    types = {c: t for c, t in compiled.types.items() if not c.startswith(("history.", "python."))}
    return Training(
        ctx,
        made,
        task,
        _targets(compiled, task, train),
        units,
        chosen,
        others,
        types,
        frozenset(compiled.target.columns),
        frozenset(c for e in compiled.inputs for c in e.columns),
    )


def _dealt(units: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows that proposals are tried on, of three quarters of the units, and the rows of the others. Of many
    rows some of every unit are taken, evenly spaced: units are what there is to go by."""
    rng = np.random.default_rng([seed & 0xFFFFFFFF, 3])
    names, inverse, counts = np.unique(units, return_inverse=True, return_counts=True)
    order = rng.permutation(len(names))
    taken = order[: int(np.searchsorted(np.cumsum(counts[order]), 0.75 * len(units))) + 1]
    inside = np.isin(inverse, taken)
    parts = (np.flatnonzero(inside), np.flatnonzero(~inside))
    chosen, others = (rows[evenly(len(rows), MOST_ROWS)] for rows in parts)
    return chosen, others


def _targets(compiled: Compiled, task: Task, rows: Rows) -> NDArray[np.float64]:
    alone = replace(compiled, today=None)
    runner = answer_runner(alone)
    wanted = {c: compiled.types[c] for c in compiled.target.columns}
    answers = (runner.run(encode_batch(b, wanted), b.num_rows)[TARGET] for b in rows.batches(list(wanted)))
    return join_vectors(codes(task, compiled.target.type, a) for a in answers)


@contextmanager
def raw_table(training: Training) -> Iterator[tuple[Path, tuple[Column, ...], int]]:
    """A Parquet file of raw training rows that nothing is tried on and those that are, `__y` beside their
    columns, and behind them the rows without a target; its columns, and how many are training rows. The
    target's own columns are not in it."""
    ctx, made = training.ctx, training.made
    snapshot = snapshots_of(made)[ctx.spec.data.events]
    sources = {c.name: c.source_type for c in snapshot.columns}
    names = [c for c in training.columns if c not in training.target]
    columns = (*(Column(c, training.columns[c], sources.get(c, "")) for c in names),
               Column(ANSWER_COLUMN, Type.NUMBER))  # fmt: skip
    some = evenly(len(training.y), LOOKED_AT)
    rows = rows_of(ctx, made, "train").only(some)
    known = pa.Table.from_batches(list(rows.batches(names))).append_column(
        ANSWER_COLUMN, pa.array(training.y[some])
    )
    table = pa.concat_tables([known, _unlabelled(training, names)], promote_options="default")
    file = ctx.store.scratch(".parquet")
    try:
        pq.write_table(table, file)
        yield file, columns, len(some)
    finally:
        file.unlink(missing_ok=True)


def _unlabelled(training: Training, names: list[str]) -> pa.Table:
    """The events that have no target, and so are in no part: without lookups."""
    ctx, made = training.ctx, training.made
    snapshot = snapshots_of(made)[ctx.spec.data.events]
    out = load_array(ctx, made["split"].outputs["parts"]) == DROPPED
    own = [n for n in names if n in snapshot.types()]
    compiled = compiled_of(ctx, made)
    wanted = {c: compiled.types[c] for c in compiled.target.columns}
    runner, found, at = answer_runner(replace(compiled, today=None)), [], 0
    with pq.ParquetFile(ctx.store.get(snapshot.artifact)) as file:
        schema = pa.schema([file.schema_arrow.field(n) for n in own])
        for batch in file.iter_batches(columns=list(dict.fromkeys([*own, *wanted]))):
            mask = np.array(out[at : at + batch.num_rows])
            at += batch.num_rows
            if not mask.any():
                continue
            batch = batch.filter(pa.array(mask))
            answers = runner.run(encode_batch(batch, wanted), batch.num_rows)[TARGET]
            blank = np.isnan(codes(training.task, compiled.target.type, answers))
            found.append(batch.filter(pa.array(blank)).select(own))
    return pa.Table.from_batches(found, schema).slice(0, LOOKED_AT)
