"""A file to score, as a stream of chunks: columns in snapshot form, and the rows that can't be scored."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.core.errors import DataError, Problem, did_you_mean
from headrace.core.schema import Type
from headrace.data.buffers import Array
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


@dataclass(frozen=True)
class Source:
    """An opened file. `total` is its number of rows where it is known beforehand; `lines` gives the lines
    where these rows (ascending) begin, None where a file has no lines or they can't be told."""

    chunks: Callable[[], Iterator[Chunk]]
    lines: Callable[[Iterable[int]], Iterator[int | None]]
    total: int = 0


def no_lines(rows: Iterable[int]) -> Iterator[int | None]:
    """For files without lines."""
    return (None for _ in rows)


def open_source(path: Path, types: Mapping[str, Type], *, zone: str, keys: frozenset[str]) -> Source:
    """Open a CSV, Parquet or JSON-lines file for the columns `types`; others are not read.

    `zone` is that of wall-clock times, `keys` are columns whose whole numbers keep all their digits.

    Raises:
        DataError: there is no such file, its kind is unknown, it is empty, a column is missing or of a type
            that doesn't fit, or the spelling of its times can't be told.
    """
    _require_file(path)
    bare = re.sub(r"\.(gz|zst)$", "", path.name.lower())
    ending = Path(bare).suffix
    if ending in (".csv", ".tsv"):
        from headrace.serve.source_csv import open_csv_rows

        return open_csv_rows(path, types, zone=zone, keys=keys)
    if ending in (".jsonl", ".ndjson", ".json"):
        from headrace.serve.source_json import open_json_rows

        return open_json_rows(path, types, zone=zone, keys=keys)
    if ending in (".parquet", ".pq") and bare == path.name.lower():
        from headrace.serve.source_parquet import open_parquet_rows

        return open_parquet_rows(path, types, zone=zone)
    raise DataError(
        f"files ending in {''.join(path.suffixes[-2:]) or 'nothing'} can't be scored",
        where=str(path),
        fix="give a .csv, .tsv, .parquet or .jsonl file; text files may be compressed as .gz or .zst",
    )


def _require_file(path: Path) -> None:
    if path.is_dir():
        raise DataError("that is a folder", where=str(path), fix="name one file in it")
    if path.is_file():
        return
    folder = path.parent
    if not folder.is_dir():
        raise DataError("there is no such file", where=str(path), fix=f"there is no folder {folder}")
    here = [p.name for p in folder.iterdir() if p.is_file()]
    raise DataError("there is no such file", where=str(path), fix=did_you_mean(path.name, here))


def require_columns(path: Path, types: Mapping[str, Type], names: Sequence[str]) -> None:
    """Every needed column is there, once.

    Raises:
        DataError: one problem for each that is not.
    """
    problems = [
        Problem(
            f"there is no column {name!r}",
            where=str(path),
            why="the release reads it",
            fix=did_you_mean(name, names),
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
