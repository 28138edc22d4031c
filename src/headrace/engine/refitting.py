"""Encoders that learned of the target, fitted anew: on the rows of every fold, and of every share of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.core.task import Task
from headrace.data.read import workspace
from headrace.engine.context import Context, Made
from headrace.engine.encoder_columns import encoder_columns
from headrace.engine.encoding import InputFile, fit_encoder
from headrace.engine.stages.ingest import compiled_of
from headrace.engine.stages.split import load_array, task_of
from headrace.features.encoder import Columns, Encoder, Inputs
from headrace.features.encoders import encoders_of
from headrace.learn.fold_columns import FoldColumns
from headrace.learn.folds import Fold


@dataclass(frozen=True, eq=False)
class Supervised:
    """The encoders of a run that learned of the target, with all that fitting them anew takes. columns:
    their numbers in the matrix."""

    encoders: tuple[Encoder, ...]
    columns: NDArray[np.int64]
    inputs: Inputs
    y: NDArray[np.float64]
    units: NDArray[np.int64]
    task: Task
    seed: int

    @classmethod
    def of(cls, ctx: Context, made: Made) -> Supervised | None:
        """Those of a run; None where there are none."""
        places = [e for e in encoder_columns(made) if e.supervised]
        if not places:
            return None
        outputs, compiled = made["features"].outputs, compiled_of(ctx, made)
        names = {e.name for e in places}
        found = [e for e in encoders_of(ctx.spec.feature_specs(), compiled.encoded) if e.name in names]
        return cls(
            tuple(found),
            np.concatenate([np.arange(e.first, e.first + e.count) for e in places]),
            InputFile.of(compiled.encoded).read(ctx.store.get(outputs["inputs_train"])),
            np.array(load_array(ctx, outputs["y_train"])),
            np.array(load_array(ctx, outputs["units_train"])),
            task_of(made),
            ctx.spec.seed,
        )

    def renewed(self, rows: NDArray[np.int64], others: Inputs) -> tuple[Columns, Columns]:
        """The columns learned of these training rows alone: their own, and those of the other rows."""
        own, told = [], []
        mine = {t: v[rows] for t, v in self.inputs.items()}
        for encoder in self.encoders:
            fitted = fit_encoder(encoder, mine, self.y[rows], self.units[rows], self.task, self.seed)
            own.append(fitted.own())
            told.append(fitted.values({t: others[t] for t in encoder.inputs}))
        return np.concatenate(own, axis=1), np.concatenate(told, axis=1)


@contextmanager
def fold_columns(ctx: Context, made: Made, folds: Sequence[Fold] | None) -> Iterator[FoldColumns | None]:
    """The columns that every fold has its own of, mapped from files that are gone at the end; None where
    there are none."""
    supervised = Supervised.of(ctx, made) if folds else None
    if supervised is None or folds is None:
        yield None
        return
    tell = ctx.tell("learn")
    with workspace(ctx.store.scratch()) as folder:
        own: list[Columns] = []
        tested: list[Columns] = []
        for number, (rows, others) in enumerate(folds):
            tell(f"learning encoders of fold {number + 1} of {len(folds)} anew", 0, 0)
            parts = supervised.renewed(rows, {t: v[others] for t, v in supervised.inputs.items()})
            for kept, name, columns in zip((own, tested), ("own", "tested"), parts, strict=True):
                path = folder / f"{name}{number}.npy"
                np.save(path, columns)
                kept.append(np.load(path, mmap_mode="r"))
        yield FoldColumns(supervised.columns, own, tested)


def renewing(ctx: Context, made: Made) -> Callable[[NDArray[np.int64]], FoldColumns] | None:
    """For the learning curve: given training rows, the columns learned of these alone, of them and of the
    validation rows. None where nothing is learned of the target."""
    supervised = Supervised.of(ctx, made)
    if supervised is None:
        return None
    path = ctx.store.get(made["features"].outputs["inputs_validation"])
    validation = InputFile.of(compiled_of(ctx, made).encoded).read(path)

    def renew(rows: NDArray[np.int64]) -> FoldColumns:
        own, told = supervised.renewed(rows, validation)
        return FoldColumns(supervised.columns, [own], [told])

    return renew
