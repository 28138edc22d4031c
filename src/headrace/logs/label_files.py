"""Files of labels: CSV, Parquet and JSON lines, as rows for `LabelBook.take`."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from headrace.core.errors import DataError, Problem, did_you_mean
from headrace.logs.label_rows import FIELDS, ID, INPUT, LABEL, WEIGHT
from headrace.logs.labels import MOST

Cell = Callable[[str], Any]


def batches(path: Path) -> Iterator[list[dict[str, Any]]]:
    """The rows of a file, some thousand at a time.

    In a CSV an empty cell is null; labels are truths if all are `true` or `false`, numbers if all are
    numbers, else texts; columns of inputs are texts, which match numbers and times all the same.

    Raises:
        DataError: it can't be read, or has other columns than labels have.
    """
    kinds = {".csv": _csv, ".parquet": _parquet, ".jsonl": _lines, ".ndjson": _lines, ".json": _lines}
    reader = kinds.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path.name} is no CSV, Parquet or JSON-lines file", fix="name it .csv, .parquet or .jsonl"
        )
    rows = reader(path)
    try:
        while batch := list(islice(rows, MOST)):
            yield batch
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError("the labels can't be read", where=str(path), why=str(error)) from error


def _columns(path: Path, names: Sequence[str]) -> None:
    """Refuse a table whose columns are not those of labels."""
    problems = [
        Problem(
            f"a column {name!r} that labels don't have",
            where=str(path),
            fix=f"{did_you_mean(name, FIELDS)}; columns of the inputs are called input_NAME",
        )
        for name in names
        if name not in FIELDS and not (name.startswith(INPUT) and name != INPUT)
    ]
    if LABEL not in names:
        problems.append(Problem(f"there is no column {LABEL!r}", where=str(path)))
    if ID not in names and not any(n.startswith(INPUT) for n in names):
        problems.append(Problem("no column says what is labelled", where=str(path), fix="id, or input_NAME"))
    if len(set(names)) < len(names):
        problems.append(Problem("two columns have one name", where=str(path)))
    if problems:
        raise DataError.of(problems)


def _csv(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        _columns(path, list(reader.fieldnames or ()))
        as_label = _kind(row[LABEL] for row in reader if row[LABEL])
    cells: dict[str, Cell] = {LABEL: as_label, WEIGHT: _number}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            if None in row or None in row.values():
                raise DataError("a line has more or fewer cells than the header", where=str(path))
            yield _given({n: cells.get(n, str)(v) if v else None for n, v in row.items()})


def _kind(texts: Iterator[str]) -> Cell:
    """What the labels of a CSV are."""
    truths = numbers = True
    for text in texts:
        truths = truths and text.lower() in ("true", "false")
        numbers = numbers and not isinstance(_number(text), str)
        if not (truths or numbers):
            return str
    return (lambda text: text.lower() == "true") if truths else _number


def _number(text: str) -> int | float | str:
    try:
        value = float(text)
    except ValueError:
        return text
    return int(value) if value.is_integer() and abs(value) < 1 << 53 else value


def _given(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without the empty cells of columns that need not be there."""
    return {n: v for n, v in row.items() if v is not None or n == LABEL or n.startswith(INPUT)}


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _columns(path, file.schema_arrow.names)
            for batch in file.iter_batches(MOST):
                for row in batch.to_pylist():
                    yield _given({n: _plain(v) for n, v in row.items()})
    except pa.ArrowInvalid as error:
        raise DataError("the labels can't be read", where=str(path), why=str(error)) from error


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                yield msgspec.json.decode(line)
            except msgspec.DecodeError as error:
                raise DataError("a line is no JSON", where=f"{path}:{number}", why=str(error)) from error
