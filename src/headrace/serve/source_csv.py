"""CSV files to score. The dialect, the nulls and the values are those of ingest (`data.csvfile`)."""

from __future__ import annotations

import csv
import io
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from headrace.core.errors import DataError, Problem
from headrace.core.schema import CSV_NULLS, Type
from headrace.data.times import Format
from headrace.graph.buffers import stream, texts
from headrace.serve.cells import Reasons, from_bytes, from_text, time_format
from headrace.serve.source import SAMPLE, Chunk, Source, empty_columns, require_columns

_BLOCK = 2 << 20
_MOST_RAGGED = 1_000_000


@dataclass(frozen=True)
class _Csv:
    path: Path
    delimiter: str
    header: tuple[str, ...]
    types: Mapping[str, Type]
    formats: Mapping[str, Format | None]
    zone: str
    keys: frozenset[str]
    decimal: str
    nulls: tuple[str, ...]


def open_csv_rows(
    path: Path,
    types: Mapping[str, Type],
    *,
    zone: str,
    keys: frozenset[str],
    decimal: str = ".",
    nulls: Sequence[str] = (),
) -> Source:
    """Open a CSV file: see `source.open_source`."""
    delimiter, header = _dialect(path)
    require_columns(path, types, header)
    spelled = (*CSV_NULLS, *nulls)
    times = [n for n, kind in types.items() if kind is Type.TIME]
    formats = _formats(path, delimiter, times, spelled)
    opened = _Csv(path, delimiter, tuple(header), types, formats, zone, keys, decimal, spelled)
    return Source(lambda: _chunks(opened), lambda rows: _lines(opened, rows))


def _dialect(path: Path) -> tuple[str, list[str]]:
    """Delimiter and header; as `data.csvfile` finds them."""
    try:
        with _text(path) as lines:
            first = next((line for line in lines if line.strip()), "")
        if not first:
            raise DataError("the file is empty", where=str(path), fix="give a file with a header and rows")
        if first.startswith(("\udcff\udcfe", "\udcfe\udcff")):
            raise DataError("the file is UTF-16", where=str(path), fix="save it as UTF-8")
        outside = re.sub(r'"[^"]*"', "", first)
        tabs = re.sub(r"\.(gz|zst)$", "", path.name.lower()).endswith(".tsv")
        delimiter = "\t" if tabs else max(",;\t|", key=outside.count)
        with _text(path) as lines:
            return delimiter, next(row for row in csv.reader(lines, delimiter=delimiter) if row)
    except (OSError, csv.Error) as error:
        raise DataError("the file can't be read", where=str(path), why=str(error)) from error


def _text(path: Path) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedReader(stream(path)), encoding="utf-8-sig", errors="surrogateescape", newline=""
    )


class _Bytes:
    """The file as Arrow reads it, with its quotes counted on the way."""

    closed = False

    def __init__(self, path: Path) -> None:
        self._file = stream(path)
        self.quotes = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.read(size)
        self.quotes += data.count(b'"')
        return data

    def close(self) -> None:
        self._file.close()
        self.closed = True


class _Ragged:
    """Rows that have another number of fields than the header, as Arrow meets them."""

    def __init__(self, fields: int) -> None:
        self.fields = fields
        self._rows, self._found = array("q"), array("q")

    def __call__(self, row: Any) -> str:
        self._rows.append(row.number - 1)  # Arrow counts the header
        self._found.append(row.actual_columns)
        return "skip" if len(self._rows) <= _MOST_RAGGED else "error"

    def numbers(self, first: int, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The numbers of the next `count` whole rows, from row `first` on."""
        numbers = np.arange(first, first + count + len(self._rows))
        return numbers[~np.isin(numbers, np.array(self._rows))][:count]

    def before(self, row: int | None) -> tuple[tuple[int, str], ...]:
        """Take out those before this row (None: all)."""
        stop = len(self._rows) if row is None else int(np.searchsorted(np.array(self._rows), row))
        taken = tuple(
            (number, f"the row has {found} fields, the header has {self.fields}")
            for number, found in zip(self._rows[:stop], self._found[:stop], strict=True)
        )
        del self._rows[:stop], self._found[:stop]
        return taken


def _stream(delimiter: str, columns: Sequence[str], nulls: Sequence[str], source: Any, ragged: Any) -> Any:
    return pa_csv.open_csv(
        source,
        # One thread: only then does Arrow know the numbers of ragged rows.
        read_options=pa_csv.ReadOptions(block_size=_BLOCK, use_threads=False),
        parse_options=pa_csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=ragged
        ),
        convert_options=pa_csv.ConvertOptions(
            include_columns=list(columns),
            # Bytes, because text would stop at the first byte that is no UTF-8.
            column_types=dict.fromkeys(columns, pa.binary()),
            null_values=list(nulls),
            strings_can_be_null=True,
        ),
    )


def _formats(
    path: Path, delimiter: str, times: Sequence[str], nulls: Sequence[str]
) -> dict[str, Format | None]:
    """How each column of times is spelled, by its first values."""
    if not times:
        return {}
    found: dict[str, list[str]] = {name: [] for name in times}
    rows = 0
    try:
        for batch in _stream(delimiter, times, nulls, stream(path), lambda _: "skip"):
            for name, values in found.items():
                if len(values) < SAMPLE:
                    text = from_bytes(name, pc.unique(batch.column(name).slice(0, SAMPLE)), {})
                    values += [v for v in texts(text) if v is not None]
            rows += batch.num_rows
            if rows >= SAMPLE and all(found.values()):
                break
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path, delimiter, error) from error
    formats = {name: time_format(name, values) for name, values in found.items()}
    problems = [f for f in formats.values() if isinstance(f, Problem)]
    if problems:
        raise DataError.of(problems)
    return {name: f for name, f in formats.items() if not isinstance(f, Problem)}


def _chunks(opened: _Csv) -> Iterator[Chunk]:
    path, columns = opened.path, list(opened.types)
    ragged, source = _Ragged(len(opened.header)), _Bytes(path)
    first = 1
    try:
        # A release that reads no column of the file still wants its rows counted.
        wanted = columns or opened.header[:1]
        for batch in _stream(opened.delimiter, wanted, opened.nulls, source, ragged):
            if batch.num_rows:
                rows = ragged.numbers(first, batch.num_rows)
                first = int(rows[-1]) + 1
                bad: Reasons = {}
                cells = {n: _cells(opened, n, batch.column(n), bad) for n in columns}
                yield Chunk(rows, cells, bad, ragged.before(first))
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path, opened.delimiter, error) from error
    if source.quotes % 2:
        _require_closed(path, opened.delimiter)
    lost = ragged.before(None)
    if lost:
        yield Chunk(np.zeros(0, np.int64), empty_columns(opened.types), {}, lost)


def _cells(opened: _Csv, name: str, values: Any, bad: Reasons) -> Any:
    return from_text(
        name,
        opened.types[name],
        from_bytes(name, values, bad),
        bad,
        form=opened.formats.get(name),
        zone=opened.zone,
        whole=name in opened.keys,
        decimal=opened.decimal,
    )


def _require_closed(path: Path, delimiter: str) -> None:
    """A quote that is never closed swallows the rest of the file; Arrow doesn't mind.

    Raises:
        DataError: with the line where the quote opens.
    """
    with _text(path) as lines:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        begins = 1
        try:
            for _ in reader:
                begins = reader.line_num + 1
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise _never_closed(path, begins) from None
            # Other looseness (a quote amid a field, a huge field) is no mistake of the file's.


def _unreadable(path: Path, delimiter: str, error: Exception) -> DataError:
    if "straddling" in str(error):
        _require_closed(path, delimiter)
        return DataError(f"a row is longer than {_BLOCK >> 20} MB", where=str(path))
    if "invalid" in str(error).lower() and "columns" in str(error):
        return DataError(
            f"more than {_MOST_RAGGED:,} rows in a row have another number of fields than the header",
            where=str(path),
            why=f"the delimiter was taken to be {delimiter!r}, after the header",
            fix="write the header as the rows are written",
        )
    return DataError("the file can't be read to its end", where=str(path), why=str(error)[:200])


def _never_closed(path: Path, line: int) -> DataError:
    return DataError(
        "a quote that is opened here is never closed",
        where=f"{path}:{line}",
        why="it swallows the rest of the file",
        fix='close it, or write "" for a quote inside a quoted field',
    )


def _lines(opened: _Csv, rows: Iterable[int]) -> Iterator[int | None]:
    """The lines where these rows begin. Read anew: a file without rejects never pays for it."""
    with _text(opened.path) as lines:
        reader = csv.reader(lines, delimiter=opened.delimiter)
        number, begins, lost = -1, 1, False  # the header is row 0
        for wanted in rows:
            while not lost and number < wanted:
                start = begins
                try:
                    record = next(reader, None)
                except csv.Error:
                    record = None
                lost = record is None
                begins = reader.line_num + 1
                number += bool(record)
            yield None if lost else start
