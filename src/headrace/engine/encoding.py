"""Encoders fitted on a run's training rows: what the features stage asks of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from headrace.core.errors import SpecError
from headrace.core.schema import NULL_TEXT, Type
from headrace.core.task import Task
from headrace.data.rows import Rows
from headrace.engine.cleaning import Cleaning
from headrace.engine.columns import ANSWER, answering, read_columns
from headrace.engine.compile import Compiled
from headrace.engine.context import Context, Made
from headrace.engine.encoder_columns import EncoderColumns
from headrace.engine.stages.split import task_of
from headrace.expr import Expr
from headrace.features.encoder import Columns, Encoder, FittedEncoder, Inputs
from headrace.features.encoders import encoders_of
from headrace.features.fitted import Encoded
from headrace.features.neighbours.encoder import FittedNeighbours
from headrace.features.plan import column_types
from headrace.graph.encode import encode_batch


@dataclass(frozen=True)
class InputFile:
    """What encoders read of a part's rows: a Parquet file with a column `i0`, `i1`, … for each of the
    expressions `texts`, in the rows' order, and the types of its columns."""

    texts: Mapping[str, Type]

    @classmethod
    def of(cls, inputs: Mapping[str, Mapping[str, Expr]]) -> InputFile:
        """For these encoders' inputs."""
        every = {text: expr.type for read in inputs.values() for text, expr in read.items()}
        return cls(dict(sorted(every.items())))

    def write(
        self, rows: Rows, exprs: Mapping[str, Expr], cleaning: Cleaning, raw: Mapping[str, Type], path: Path
    ) -> None:
        """Compute the expressions (over cleaned columns, by their text) of all rows, batch by batch. `raw`
        are the types of the tables' columns."""
        runner = answering({t: exprs[t] for t in self.texts}, cleaning.prepares(exprs.values()))
        wanted = {c: raw[c] for c in column_types(exprs.values())}
        schema = pa.schema([(f"i{i}", _arrow(kind)) for i, kind in enumerate(self.texts.values())])
        with pq.ParquetWriter(path, schema) as out:
            for batch in rows.batches(list(wanted)):
                told = runner.run(encode_batch(batch, wanted), batch.num_rows)
                arrays = [_stored(told[ANSWER + text], kind) for text, kind in self.texts.items()]
                out.write_batch(pa.record_batch(arrays, schema=schema))

    def read(self, path: Path) -> dict[str, NDArray[Any]]:
        """The inputs by the text of their expression, in raw-column convention."""
        kinds = {
            f"i{i}": Type.TEXT if k is Type.TEXT else Type.NUMBER for i, k in enumerate(self.texts.values())
        }
        columns = read_columns(path, kinds)
        return {text: columns[f"i{i}"] for i, text in enumerate(self.texts)}


def _arrow(kind: Type) -> pa.DataType:
    return pa.string() if kind is Type.TEXT else pa.float64()


def _stored(values: NDArray[Any], kind: Type) -> pa.Array[Any]:
    if kind is not Type.TEXT:
        return pa.array(values.astype(np.float64), pa.float64())
    return pa.array([None if v == NULL_TEXT else v for v in values.tolist()], pa.string())


@dataclass(frozen=True, eq=False)
class FittedEncoders:
    """The encoders of a run, fitted on all training rows. own: their columns for these, float32
    [rows, columns]. files: what they read, of training and validation rows, by the artifact's role."""

    encoded: tuple[Encoded, ...] = ()
    own: Columns | None = None
    columns: tuple[EncoderColumns, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


def fit_encoders(
    ctx: Context,
    made: Made,
    compiled: Compiled,
    cleaning: Cleaning,
    parts: Mapping[str, Rows],
    y: Callable[[], NDArray[np.float64]],
    units: NDArray[np.int64],
    first: int,
) -> FittedEncoders:
    """Fit every encoder on the training rows, whose targets `y` gives; its columns begin at number `first` of
    the matrix.

    Raises:
        DataError: an encoder can't learn from these rows.
        SpecError: two columns of the matrix would have one name.
    """
    encoders = encoders_of(ctx.spec.feature_specs(), compiled.encoded)
    if not encoders:
        return FittedEncoders()
    exprs = cleaning.inputs(e for read in compiled.encoded.values() for e in read.values())
    file, files = InputFile.of(compiled.encoded), {}
    for part, rows in parts.items():
        path = ctx.store.scratch(".parquet")
        try:
            file.write(rows, exprs, cleaning, compiled.types, path)
            files[f"inputs_{part}"] = ctx.store.put(path).digest
        finally:
            path.unlink(missing_ok=True)
    inputs = file.read(ctx.store.get(files["inputs_train"]))
    task, truth, at = task_of(made), y(), first
    encoded, own, columns = [], [], []
    for encoder in encoders:
        ctx.tell("features")(f"learning {encoder.name}", 0, len(truth))
        fitted = fit_encoder(encoder, inputs, truth, units, task, ctx.spec.seed)
        encoded.append(Encoded(fitted, {text: exprs[text] for text in encoder.inputs}))
        own.append(fitted.own())
        reads = tuple(sorted({c for e in encoder.inputs.values() for c in e.columns}))
        width, compared = len(fitted.features), 0
        if isinstance(fitted, FittedNeighbours):
            compared = len(fitted.points)
        columns.append(EncoderColumns(encoder.name, at, width, reads, encoder.supervised, compared))
        at += width
    _check_names([*compiled.features, *(f.name for e in encoded for f in e.encoder.features)])
    return FittedEncoders(tuple(encoded), np.concatenate(own, axis=1), tuple(columns), files)


def _check_names(names: Sequence[str]) -> None:
    twice = sorted(n for n, count in Counter(names).items() if count > 1)
    if twice:
        raise SpecError(
            f"two columns of the feature matrix would be called {twice[0]!r}",
            where="features",
            why="an encoder makes several, whose names begin with its own",
            fix="rename one of the features",
        )


def fit_encoder(
    encoder: Encoder,
    inputs: Inputs,
    y: NDArray[np.float64],
    units: NDArray[np.int64],
    task: Task,
    seed: int,
) -> FittedEncoder:
    return encoder.fit({t: inputs[t] for t in encoder.inputs}, y, units=units, task=task, seed=seed)
