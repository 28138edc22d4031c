"""What a file to score becomes: chunks of columns in snapshot form, and the rows that can't be scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.core.errors import DataError, Problem, did_you_mean
from headrace.core.schema import Type
from headrace.graph.buffers import Array
from headrace.serve.cells import Reasons, nulls

ROWS = 32_768
"""Rows of a chunk, about: large enough to hide the cost of a call, small enough for several in flight."""

SAMPLE = 20_480
"""Rows that are looked at before the first is scored, as at ingest."""


@dataclass(frozen=True)
class Chunk:
    """Some rows of the file, in order.

    `rows` are their numbers (from 1), `columns` their cells. `bad` says, by position in `rows`, what is
    wrong with a row's cells; `lost` are rows that have no cells at all, as (number, reason).
    """

    rows: NDArray[np.int64]
    columns: Mapping[str, Array]
    bad: Reasons = field(default_factory=dict)
    lost: tuple[tuple[int, str], ...] = ()
    kept: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """An opened file. `total` is its number of rows where it is known beforehand; `lines` gives the lines
    where these rows (ascending) begin, None where a file has no lines or they can't be told. `kept` are the
    types of columns that go through as they are, in `Chunk.kept`."""

    chunks: Callable[[], Iterator[Chunk]]
    lines: Callable[[Iterable[int]], Iterator[int | None]]
    total: int = 0
    kept: Mapping[str, pa.DataType] = field(default_factory=dict)


@dataclass(frozen=True)
class Groups:
    """Some of a Parquet file's row groups, one after the other. row: the number of their first row, from 1;
    rows: how many they hold."""

    first: int
    count: int
    row: int
    rows: int


def no_lines(rows: Iterable[int]) -> Iterator[int | None]:
    """For files without lines."""
    return (None for _ in rows)


def require_columns(path: Path, types: Mapping[str, Type], names: Sequence[str]) -> None:
    """Every needed column is there, once.

    Raises:
        DataError: one problem for each that is not.
    """
    torn = any("\udc80" <= letter <= "\udcff" for name in names for letter in name)
    problems = [
        Problem(
            f"there is no column {name!r}",
            where=str(path),
            why="the release reads it",
            fix="save the file as UTF-8: its header is none" if torn else did_you_mean(name, names),
        )
        if name not in names
        else Problem(f"two columns are called {name!r}", where=str(path), fix="rename or remove one")
        for name in types
        if list(names).count(name) != 1
    ]
    if problems:
        raise DataError.of(problems)


def empty_columns(types: Mapping[str, Type]) -> dict[str, Array]:
    """No rows of every column."""
    return {name: nulls(0, SNAPSHOT_TYPES[kind]) for name, kind in types.items()}


SNAPSHOT_TYPES: Mapping[Type, pa.DataType] = {
    Type.NUMBER: pa.float64(),
    Type.BOOL: pa.bool_(),
    Type.TEXT: pa.string(),
    Type.TIME: pa.timestamp("us"),
}
