"""Open a file to score: which reader reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from headrace.core.errors import DataError, did_you_mean
from headrace.core.schema import Type
from headrace.serve.source import Groups, Source
from headrace.serve.source_csv import open_csv_rows
from headrace.serve.source_json import open_json_rows
from headrace.serve.source_parquet import open_parquet_rows


def open_source(
    path: Path,
    types: Mapping[str, Type],
    *,
    zone: str,
    keys: frozenset[str],
    decimal: str = ".",
    nulls: Sequence[str] = (),
    groups: Groups | None = None,
    keep: Sequence[str] = (),
) -> Source:
    """Open a CSV, Parquet or JSON-lines file for the columns `types`; others are not read.

    `zone` is that of wall-clock times, `keys` are columns whose whole numbers keep all their digits.
    `decimal` and `nulls` are how CSV files spell fractions and what is missing, as the events' table did.
    `groups` are those of a Parquet file that are read (None: all), `keep`
    its columns that go through as they are.

    Raises:
        DataError: there is no such file, its kind is unknown, it is empty, a column is missing or of a type
            that doesn't fit, or the spelling of its times can't be told.
    """
    _require_file(path)
    bare = re.sub(r"\.(gz|zst)$", "", path.name.lower())
    ending = Path(bare).suffix
    if keep and ending not in (".parquet", ".pq"):
        raise DataError(
            "columns are kept of Parquet files and databases alone",
            where=str(path),
            why="elsewhere they have no types of their own",
            fix="leave --keep out: `source` and `row` say which row an answer is of",
        )
    if ending in (".csv", ".tsv"):
        return open_csv_rows(path, types, zone=zone, keys=keys, decimal=decimal, nulls=nulls)
    if ending in (".jsonl", ".ndjson", ".json"):
        return open_json_rows(path, types, zone=zone, keys=keys)
    if ending in (".parquet", ".pq") and bare == path.name.lower():
        return open_parquet_rows(path, types, zone=zone, groups=groups, keep=keep)
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
