"""Proposals put to the training rows: their columns, in and out of fold, and which are kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from headrace.core.digest import digest
from headrace.core.errors import DataError, NotFound, SpecError
from headrace.core.schema import Column, Type
from headrace.core.spec.features import AUTO, Auto, ExprFeature, FeatureSpec
from headrace.core.task import Task
from headrace.core.views import RunView
from headrace.data.rows import Rows
from headrace.data.split import DROPPED
from headrace.engine.cleaning import Cleaning, fit_cleaning
from headrace.engine.columns import evenly, join_vectors
from headrace.engine.compile import Compiled, compile_spec
from headrace.engine.context import Context, Made
from headrace.engine.encoding import InputFile, fit_encoder
from headrace.engine.naming import tables_of
from headrace.engine.pins import output_of
from headrace.engine.stages.features import TARGET, answer_runner, rows_of, units_of
from headrace.engine.stages.ingest import compiled_of, snapshots_of
from headrace.engine.stages.learn import draw_folds
from headrace.engine.stages.split import load_array, task_of
from headrace.engine.targets import codes
from headrace.features.compile import feature_graph
from headrace.features.encoder import Encoder
from headrace.features.encoders import encoders_of
from headrace.features.fit import fit_features
from headrace.features.plan import plan_features
from headrace.graph.encode import encode_batch
from headrace.graph.run import Runner
from headrace.learn.folds import Fold
from headrace.learn.select.blocks import Block, Field
from headrace.learn.select.forward import Rules, Selection, select

MOST_ROWS = 10_000
"""Training rows that proposals are tried on, at most."""

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
        """The chosen rows with the folds of cross-validation."""
        y, units = self.y[self.chosen], self.units[self.chosen]
        drawn: list[Fold] = draw_folds(self.ctx, self.made, y, units, self.task, self.chosen)
        spec = self.ctx.spec
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


def asked(ctx: Context) -> str:
    """The digest of what proposals answer to: target, time, split and cleaning."""
    spec = ctx.spec
    return digest(
        spec.model_dump(
            mode="json",
            include={
                "problem": {"task", "target", "positive"},
                "data": {"events", "time", "lead", "zone"},
                "split": True,
                "clean": True,
                "seed": True,
            },
        )
    )


def data_digest(made: Made) -> str:
    """The digest of the tables' contents."""
    return digest({n: t.content for n, t in tables_of(snapshots_of(made)).items()})


def stale(ctx: Context, run: RunView) -> str:
    """What has changed since the lock of this run's spec was made; empty where nothing has, or where the run
    read no table."""
    lock = ctx.parsed.lock
    if lock is None:
        return ""
    if lock.lock.made.asked != asked(ctx):
        return "was made for another target, time, split or cleaning"
    try:
        made = {"ingest": output_of(ctx.store, run, "ingest")}
    except NotFound:
        return ""
    return "" if lock.lock.made.data == data_digest(made) else "was made of other data"


# --- the table that proposals are drafted from ---------------------------------------------------------


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
    return pa.Table.from_batches(found[:], schema).slice(0, LOOKED_AT)


# --- columns -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Computed:
    """The blocks of features, by name, and why others have none."""

    blocks: Mapping[str, Block]
    refused: Mapping[str, str]


def compute(
    training: Training,
    specs: Mapping[str, FeatureSpec],
    folds: tuple[Fold, ...] | list[Fold],
    chosen: NDArray[np.int64],
) -> Computed:
    """The columns of features on some training rows: whole where they don't look at the target, else by fold.
    A definition that can't be computed in this project is refused, with the reason."""
    ctx, compiled, refused = _compiled(training, specs)
    specs = {n: s for n, s in specs.items() if n not in refused}
    rows = rows_of(ctx, training.made, "train").only(chosen)
    cleaning = fit_cleaning(ctx, compiled, rows)
    blocks = _owned(dict(_expressions(ctx, compiled, cleaning, rows)), specs)
    for name, block in _encoders(ctx, compiled, cleaning, rows, training, folds, chosen):
        if isinstance(block, str):
            refused[name] = block
        else:
            blocks[name] = block
    return Computed(blocks, refused)


def _owned(columns: Mapping[str, Block], specs: Mapping[str, FeatureSpec]) -> dict[str, Block]:
    """The columns of each feature in one block: a history has one for each window, a cycle has two. What
    cleaning adds (flags) stays by itself."""
    several = [n for n, s in specs.items() if not isinstance(s, ExprFeature)]
    found: dict[str, list[Block]] = {}
    for name, block in columns.items():
        of = [n for n in several if name.startswith(f"{n}_")] if name not in specs else [name]
        found.setdefault(max(of, key=len, default=name), []).append(block)
    return {n: _joined(n, of) for n, of in found.items()}


def _joined(name: str, blocks: list[Block]) -> Block:
    """Whole columns side by side."""
    if len(blocks) == 1:
        return replace(blocks[0], name=name)
    whole = np.concatenate([b.whole for b in blocks if b.whole is not None], axis=1)
    return Block(name, tuple(f for b in blocks for f in b.features), whole)


def _compiled(
    training: Training, specs: Mapping[str, FeatureSpec]
) -> tuple[Context, Compiled, dict[str, str]]:
    """A context whose spec has these features; what the checks refuse is taken out, told by name."""
    refused: dict[str, str] = {}
    columns = {n: s.columns for n, s in snapshots_of(training.made).items()}
    left = dict(specs)
    while True:
        spec = training.ctx.spec.model_copy(update={"features": {AUTO: Auto(lock=dict(left))}})
        parsed = replace(training.ctx.parsed, spec=spec, lines={}, lock=None)
        try:
            return replace(training.ctx, parsed=parsed), compile_spec(parsed, columns), refused
        except SpecError as error:
            named = {}
            for problem in error.problems:
                told = re.search(r"\(features\.([^.)]+)", problem.where)
                if told and told[1] in left:
                    named[told[1]] = problem.what
            if not named:
                raise
            refused |= named
            left = {n: s for n, s in left.items() if n not in named}


def _expressions(
    ctx: Context, compiled: Compiled, cleaning: Cleaning, rows: Rows
) -> Iterator[tuple[str, Block]]:
    if not compiled.features:
        return
    kinds = {n: f.kind for n, f in ctx.spec.expressions().items()}
    plan = cleaning.plan(plan_features(compiled.features, kinds))
    doors = cleaning.prepares(compiled.features.values())
    wanted = {
        c: compiled.types[c] for c in sorted({c for e in compiled.features.values() for c in e.columns})
    }
    feeds = [(encode_batch(b, wanted), b.num_rows) for b in rows.batches(list(wanted))]
    fitted = fit_features(plan, (f for f, _ in feeds), prepares=doors)
    runner = Runner(feature_graph(fitted, doors), threads=ctx.spec.limits.threads)
    X = np.concatenate([runner.run(f, n)["features"] for f, n in feeds])
    for i, feature in enumerate(fitted.features):
        yield feature.name, Block(feature.name, (feature,), np.ascontiguousarray(X[:, [i]]))


def _encoders(
    ctx: Context,
    compiled: Compiled,
    cleaning: Cleaning,
    rows: Rows,
    training: Training,
    folds: tuple[Fold, ...] | list[Fold],
    chosen: NDArray[np.int64],
) -> Iterator[tuple[str, Block | str]]:
    """Encoders fitted on the rows: those that look at the target in each fold, the others once."""
    encoders = encoders_of(ctx.spec.feature_specs(), compiled.encoded)
    if not encoders:
        return
    exprs = cleaning.inputs(e for read in compiled.encoded.values() for e in read.values())
    file, path = InputFile.of(compiled.encoded), ctx.store.scratch(".parquet")
    try:
        file.write(rows, exprs, cleaning, compiled.types, path)
        inputs = file.read(path)
    finally:
        path.unlink(missing_ok=True)
    y, units = training.y[chosen], training.units[chosen]
    for encoder in encoders:
        try:
            yield encoder.name, _block(encoder, inputs, y, units, training.task, ctx.spec.seed, folds)
        except DataError as error:
            yield encoder.name, error.problems[0].what


def _block(
    encoder: Encoder,
    inputs: Mapping[str, NDArray[Any]],
    y: NDArray[np.float64],
    units: NDArray[np.int64],
    task: Task,
    seed: int,
    folds: tuple[Fold, ...] | list[Fold],
) -> Block:
    every = np.arange(len(y))
    if not encoder.supervised:
        fitted = fit_encoder(encoder, inputs, y, units, task, seed)
        return Block(encoder.name, fitted.features, fitted.own())
    parts, features = [], None
    for fit, test in folds or [(every, every)]:
        fitted = fit_encoder(encoder, {n: v[fit] for n, v in inputs.items()}, y[fit], units[fit], task, seed)
        parts.append((fitted.own(), fitted.values({n: v[test] for n, v in inputs.items()})))
        features = fitted.features
    return Block(encoder.name, features or (), None, tuple(parts))


# --- the choice ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """What was chosen, on how many rows, and what could not be computed, by name with the reason."""

    selection: Selection
    refused: Mapping[str, str]
    rows: int
    folds: int


def choose(
    training: Training,
    base: Mapping[str, FeatureSpec],
    proposals: Mapping[str, FeatureSpec],
    rules: Rules,
    *,
    groups: Mapping[str, str],
    left: Callable[[], float],
) -> Choice:
    """Keep of the proposals what helps beside the base. `groups` are those of proposals that are kept
    together or not at all, by name."""
    field, tell = training.field(), training.ctx.tell("features")
    tell("computing proposals", 0, len(proposals))
    found = compute(training, {**base, **proposals}, tuple(field.folds), training.chosen)
    blocks, members = _grouped([found.blocks[n] for n in proposals if n in found.blocks], groups)
    beside = [b for n, b in found.blocks.items() if n not in proposals]
    selection = select(beside, blocks, field, rules, left=left, progress=tell)
    each = [replace(v, name=n) for v in selection.verdicts for n in members[v.name]]
    selection = replace(selection, verdicts=tuple(each))
    return Choice(selection, found.refused, len(field.y), len(field.folds))


def _grouped(
    blocks: list[Block], groups: Mapping[str, str]
) -> tuple[list[Block], dict[str, tuple[str, ...]]]:
    """One block for each group, and the names of its members; groups are of whole columns."""
    made: dict[str, list[Block]] = {}
    for block in blocks:
        made.setdefault(groups.get(block.name) or block.name, []).append(block)
    joined = [of[0] if len(of) == 1 else _joined(name, of) for name, of in made.items()]
    return joined, {b.name: tuple(m.name for m in made[n]) for b, n in zip(joined, made, strict=True)}
