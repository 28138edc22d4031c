"""Fill the feature matrix, in order and in bounded memory, and say what a feature graph's columns are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from headrace.core.codec import from_json
from headrace.core.errors import DataError
from headrace.core.task import MISSING, Feature, FeatureKind
from headrace.features.plan import MATRIX
from headrace.graph.encode import Batch
from headrace.graph.run import Runner


def features_of(model: Runner | bytes | Path) -> tuple[Feature, ...]:
    """The matrix's columns as a feature graph (or a graph joined to one) records them.

    Raises:
        DataError: the graph has no record of features, or can't be loaded.
    """
    runner = model if isinstance(model, Runner) else Runner(model)
    record = runner.metadata.get(MATRIX)
    if record is None:
        raise DataError(
            "this graph has no record of its features",
            where=str(model) if isinstance(model, Path) else "",
            fix="package the model again",
        )
    return from_json(record.encode(), tuple[Feature, ...])


def feature_matrix(
    runner: Runner, batches: Iterable[Batch], rows: int, *, file: Path | None = None
) -> np.ndarray:
    """The features of every row: float32 [rows, features], in the order of the batches.

    `batches` are Arrow or feeds, of `rows` rows altogether. Memory beyond the matrix holds one batch; with
    `file` the matrix itself is a memory-mapped .npy file, and its pages are the system's to keep or drop.

    Raises:
        DataError: the batches hold more or fewer rows than `rows`, or a column is missing or of another type.
    """
    width = len(features_of(runner))
    matrix = _allocate((rows, width), file)
    done = 0
    for outputs in runner.run_batches(batches):
        part = outputs[MATRIX]
        if done + len(part) > rows:
            raise DataError(f"expected {rows} rows, found more", why="the matrix is as long as was declared")
        matrix[done : done + len(part)] = part
        done += len(part)
    if done != rows:
        raise DataError(f"expected {rows} rows, found {done}", why="the matrix is as long as was declared")
    return matrix


def empty_columns(features: tuple[Feature, ...], matrix: np.ndarray) -> tuple[str, ...]:
    """Names of the features that are null in every row of a matrix (none in a matrix without rows)."""
    if not len(matrix):
        return ()
    found = []
    for i, feature in enumerate(features):
        column = matrix[:, i]
        null = column == MISSING if feature.kind is FeatureKind.CATEGORY else np.isnan(column)
        if null.all():
            found.append(feature.name)
    return tuple(found)


def _allocate(shape: tuple[int, int], file: Path | None) -> np.ndarray:
    if file is None or 0 in shape:  # an empty file can't be mapped
        empty = np.empty(shape, dtype=np.float32)
        if file is not None:
            np.save(file, empty)
        return empty
    return np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)
