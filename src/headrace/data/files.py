"""Files by their ending: which reader reads them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from headrace.core.errors import DataError
from headrace.data.raw import Raw

_KINDS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
}


def kind_of(name: str) -> str:
    """`csv`, `parquet` or `json`.

    Raises:
        DataError: files of that ending can't be read.
    """
    bare = re.sub(r"\.(gz|zst)$", "", name.lower())
    ending = Path(bare).suffix
    if ending not in _KINDS:
        raise DataError(
            f"{name!r}: files ending in {ending or 'nothing'} can't be read",
            fix=f"write one of {', '.join(_KINDS)}, or a Python function as sources.py:name",
        )
    if bare != name.lower() and _KINDS[ending] == "parquet":
        raise DataError(f"{name!r} is a compressed Parquet file", fix="Parquet compresses itself: unpack it")
    return _KINDS[ending]


def open_files(
    kind: str,
    files: Sequence[Path],
    labels: Sequence[str],
    times: Sequence[str],
    *,
    decimal: str = ".",
    nulls: Sequence[str] = (),
) -> Raw:
    """Open files of one kind as one source; `times` are the columns declared as times, `decimal` and
    `nulls` those of CSV files.

    Raises:
        DataError: see `open_csv`, `open_parquet`, `open_json`.
    """
    # Each imported where it is read: a profile of one file waits for no other reader.
    if kind == "csv":
        from headrace.data.csvfile import open_csv

        return open_csv(files, labels, decimal=decimal, nulls=nulls)
    if kind == "json":
        from headrace.data.jsonfile import open_json

        return open_json(files, labels)
    from headrace.data.parquet import open_parquet

    return open_parquet(files, labels, times)
