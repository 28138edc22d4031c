"""Whole columns of a snapshot, in raw-column convention."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from headrace.core.schema import Type
from headrace.expr import Expr
from headrace.graph.encode import encode_batch
from headrace.graph.run import Runner
from headrace.graph.texts import Prepare

BATCH = 65_536

ANSWER = "="
"""What the outputs of expressions begin with: no column is called so, and a graph may read a column `target`
to answer an expression of that name."""

EXPLAINED = 500
"""So many validation rows, evenly spaced, have the contributions of their trees."""


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """The numbers of at most `most` of `count` rows, evenly spaced."""
    return np.arange(min(count, most)) * count // max(1, min(count, most))


def read_columns(path: Path, types: Mapping[str, Type]) -> dict[str, NDArray[Any]]:
    """These columns of a Parquet file, each as one vector [rows]."""
    parts: dict[str, list[NDArray[Any]]] = {n: [] for n in types}
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH, columns=list(types)):
            for name, vector in encode_batch(batch, types).items():
                parts[name].append(vector)
    return {n: join_vectors(p) for n, p in parts.items()}


def evaluate(
    expressions: Mapping[str, Expr], path: Path, types: Mapping[str, Type]
) -> dict[str, NDArray[Any]]:
    """Expressions over every row of a Parquet file, each as one vector [rows]."""
    runner = answering(expressions)
    needed = {c: types[c] for e in expressions.values() for c in e.columns}
    parts: dict[str, list[NDArray[Any]]] = {n: [] for n in expressions}
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH, columns=list(needed)):
            result = runner.run(encode_batch(batch, needed), batch.num_rows)
            for name in expressions:
                parts[name].append(result[ANSWER + name])
    return {n: join_vectors(p) for n, p in parts.items()}


def answering(expressions: Mapping[str, Expr], prepares: Mapping[str, Prepare] | None = None) -> Runner:
    """A graph whose outputs are the expressions' values, each named `ANSWER` + its name. `prepares` says what
    is done to text columns before they enter."""
    from headrace.expr import compile_exprs

    return Runner(compile_exprs({ANSWER + name: e for name, e in expressions.items()}, prepares))


def join_vectors(parts: Iterable[NDArray[Any]]) -> NDArray[Any]:
    """One vector from several; empty float64 where there are none."""
    listed = list(parts)
    return np.concatenate(listed) if listed else np.empty(0)
