"""The columns of proposed features, in and out of fold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import DataError, SpecError
from headrace.core.spec.features import AUTO, Auto, ExprFeature, FeatureSpec
from headrace.core.task import Task
from headrace.data.rows import Rows
from headrace.engine.cleaning import Cleaning, fit_cleaning
from headrace.engine.compile import Compiled, compile_spec
from headrace.engine.context import Context
from headrace.engine.encoding import InputFile, fit_encoder
from headrace.engine.stages.features import rows_of
from headrace.engine.stages.ingest import snapshots_of
from headrace.engine.training_rows import Training
from headrace.features.compile import feature_graph
from headrace.features.encoder import Encoder
from headrace.features.encoders import encoders_of
from headrace.features.fit import fit_features
from headrace.features.plan import plan_features
from headrace.graph.encode import encode_batch
from headrace.graph.run import Runner
from headrace.learn.candidate import Matrix
from headrace.learn.folds import Fold
from headrace.learn.select.blocks import Block


@dataclass(frozen=True)
class Computed:
    """The blocks of features, by name, and why others have none."""

    blocks: Mapping[str, Block]
    refused: Mapping[str, str]
    late: tuple[str, ...] = ()
    """Those that were not computed because there was no time."""


def compute(
    training: Training,
    specs: Mapping[str, FeatureSpec],
    folds: tuple[Fold, ...] | list[Fold],
    chosen: NDArray[np.int64],
    *,
    spare: Callable[[str], bool] = lambda name: True,
) -> Computed:
    """The columns of features on some training rows: whole where they don't look at the target, else by fold.
    A definition that can't be computed in this project is refused, with the reason. `spare` is asked by name
    before each part of what takes long (encoders) whether there is time for it."""
    ctx, compiled, refused = _compiled(training, specs)
    specs = {n: s for n, s in specs.items() if n not in refused}
    rows = rows_of(ctx, training.made, "train").only(chosen)
    cleaning = fit_cleaning(ctx, compiled, rows)
    blocks = _owned(dict(_expressions(ctx, compiled, cleaning, rows)), specs)
    late = []
    for name, block in _encoders(ctx, compiled, cleaning, rows, training, folds, chosen, spare):
        if block is None:
            late.append(name)
        elif isinstance(block, str):
            refused[name] = block
        else:
            blocks[name] = block
    return Computed(blocks, refused, tuple(late))


def _owned(columns: Mapping[str, Block], specs: Mapping[str, FeatureSpec]) -> dict[str, Block]:
    """The columns of each feature in one block: a history has one for each window, a cycle has two. What
    cleaning adds (flags) stays by itself."""
    several = [n for n, s in specs.items() if not isinstance(s, ExprFeature)]
    found: dict[str, list[Block]] = {}
    for name, block in columns.items():
        of = [n for n in several if name.startswith(f"{n}_")] if name not in specs else [name]
        found.setdefault(max(of, key=len, default=name), []).append(block)
    return {n: joined(n, of) for n, of in found.items()}


def joined(name: str, blocks: list[Block], folds: Sequence[Fold] = ()) -> Block:
    """Columns side by side: whole where all are, else by fold (those that are the same in all `folds` are cut
    into them)."""
    if len(blocks) == 1:
        return replace(blocks[0], name=name)
    features = tuple(f for b in blocks for f in b.features)
    whole = [b.whole for b in blocks if b.whole is not None]
    if len(whole) == len(blocks):
        return Block(name, features, np.concatenate(whole, axis=1))
    parts = [b.folds if b.whole is None else [b.of(i, f) for i, f in enumerate(folds)] for b in blocks]
    return Block(name, features, None, tuple(_beside(fold) for fold in zip(*parts, strict=True)))


def _beside(parts: tuple[tuple[Matrix, Matrix], ...]) -> tuple[Matrix, Matrix]:
    """Of one fold: the rows to fit on, and the rows to score."""
    return np.concatenate([p[0] for p in parts], axis=1), np.concatenate([p[1] for p in parts], axis=1)


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
    spare: Callable[[str], bool],
) -> Iterator[tuple[str, Block | str | None]]:
    """Encoders fitted on the rows: those that look at the target in each fold, the others once. None where
    there was no time, a word where they can't learn."""
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
            yield encoder.name, _block(encoder, inputs, y, units, training.task, ctx.spec.seed, folds, spare)
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
    spare: Callable[[str], bool],
) -> Block | None:
    every = np.arange(len(y))
    if not encoder.supervised and not spare(encoder.name):
        return None
    if not encoder.supervised:
        fitted = fit_encoder(encoder, inputs, y, units, task, seed)
        return Block(encoder.name, fitted.features, fitted.own())
    parts, features = [], None
    for fit, test in folds or [(every, every)]:
        if not spare(encoder.name):
            return None
        fitted = fit_encoder(encoder, {n: v[fit] for n, v in inputs.items()}, y[fit], units[fit], task, seed)
        parts.append((fitted.own(), fitted.values({n: v[test] for n, v in inputs.items()})))
        features = fitted.features
    return Block(encoder.name, features or (), None, tuple(parts))
