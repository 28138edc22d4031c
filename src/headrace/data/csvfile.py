"""CSV files: dialect and types from a sample, rows as Arrow batches, and every mistake with its line.

A file has a header. Empty fields and `NA`, `N/A`, `null`, `NULL`, `NaN`, `nan` are null, quoted or not. The
delimiter is the one of `,` `;` tab `|` that the header holds most of. Types come from the first 20,480 rows
(further down for a column that is empty there); a value that later breaks its column's type is an error
with its line, never a silent column of text. An integer column that later holds fractions becomes a column
of fractions. A table's `decimal` and `nulls` say where a file differs from this.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from headrace.core.errors import DataError, Problem
from headrace.core.schema import CSV_NULLS
from headrace.data.raw import Raw, Retyped
from headrace.data.times import formats_of
from headrace.graph.buffers import stream, text_array, texts

SAMPLE = 20_480
_BLOCK = 1 << 20
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
_INTEGER = re.compile(r"\s*-?\d+\s*")
_MAX_PROBLEMS = 10


@dataclass(frozen=True)
class _Csv:
    """A CSV source: files of one header. `types` holds a type for every column of the header."""

    files: tuple[Path, ...]
    labels: tuple[str, ...]
    delimiter: str
    header: tuple[str, ...]
    types: tuple[pa.DataType, ...] = ()
    decimal: str = "."
    nulls: tuple[str, ...] = CSV_NULLS

    def names(self) -> list[str]:
        """Column names; a column without one is called by its place, as `column0`."""
        return [name or f"column{i}" for i, name in enumerate(self.header)]

    def stream(self, path: Path, types: Sequence[pa.DataType]) -> pa_csv.CSVStreamingReader:
        return pa_csv.open_csv(
            stream(path),
            read_options=pa_csv.ReadOptions(block_size=_BLOCK),
            parse_options=pa_csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict(zip(self.header, types, strict=True)),
                null_values=list(self.nulls),
                decimal_point=self.decimal,
                strings_can_be_null=True,
                true_values=list(_TRUE),
                false_values=list(_FALSE),
            ),
        )


def open_csv(
    files: Sequence[Path], labels: Sequence[str], *, decimal: str = ".", nulls: Sequence[str] = ()
) -> Raw:
    """Open CSV files of one header as one source. `labels` are the files' names for messages, `decimal` is
    what stands before fractions, `nulls` are spellings of null beside `CSV_NULLS`.

    Raises:
        DataError: a file is empty, has another header than the first, is no UTF-8, or its sample is ragged.
    """
    headers = [_header(path, label) for path, label in zip(files, labels, strict=True)]
    delimiter, header = headers[0]
    for (_, other), label in zip(headers[1:], labels[1:], strict=True):
        if other != header:
            raise DataError(
                f"the header differs from that of {labels[0]}: {', '.join(other)}",
                where=f"{label}:1",
                fix=f"give every file the columns {', '.join(header)}",
            )
    spelled = (*CSV_NULLS, *nulls)
    source = _Csv(tuple(files), tuple(labels), delimiter, tuple(header), decimal=decimal, nulls=spelled)
    if len({h.lower() for h in source.names()}) < len(header):
        # Left to the plan of columns, which names them.
        return _raw(replace(source, types=(pa.string(),) * len(header)), {})
    samples = _sample(source)
    types = tuple(infer(values, decimal) for values in samples)
    return _raw(replace(source, types=types), dict(zip(source.names(), samples, strict=True)))


def _raw(source: _Csv, samples: Mapping[str, Sequence[str]]) -> Raw:
    names = source.names()
    text = {n for n, t in zip(names, source.types, strict=True) if t == pa.string()}
    return Raw(
        name=source.labels[0] if len(source.labels) == 1 else f"{source.labels[0]}, …",
        schema=pa.schema(list(zip(names, source.types, strict=True))),
        formats={n: formats_of(v) for n, v in samples.items() if n in text and v},
        batches=lambda: _batches(source, samples),
        where=lambda row: _where(source, row),
    )


def infer(values: Sequence[str], decimal: str = ".") -> pa.DataType:
    """The type that all of these texts can be read as: null (no values), bool, int64, double or text.

    Integers beyond 64 bits are text: they are names, and a double would merge neighbours.
    """
    if not values:
        return pa.null()
    if all(v in _TRUE or v in _FALSE for v in values):
        return pa.bool_()
    if all(_INTEGER.fullmatch(v) for v in values):
        return pa.int64() if all(-(2**63) <= int(v) < 2**63 for v in values) else pa.string()
    return pa.float64() if _are_numbers(values, decimal) else pa.string()


def _are_numbers(texts: Sequence[str], decimal: str = ".") -> bool:
    if decimal != ".":
        if any("." in t for t in texts):
            return False
        texts = [t.replace(decimal, ".") for t in texts]
    try:
        text_array([t.strip() for t in texts]).cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _is_number(text: str, decimal: str = ".") -> bool:
    return _are_numbers([text], decimal)


def _text(path: Path) -> io.TextIOWrapper:
    """The file as text, decompressed; bytes that are no UTF-8 come as surrogates."""
    return io.TextIOWrapper(
        io.BufferedReader(stream(path)), encoding="utf-8-sig", errors="surrogateescape", newline=""
    )


def _header(path: Path, label: str) -> tuple[str, list[str]]:
    with stream(path) as file:
        start = file.read(4)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError("the file is UTF-16", where=label, fix="save it as UTF-8")
    with _text(path) as lines:
        first = next((line for line in lines if line.strip()), "")
    if not first:
        raise DataError("the file is empty", where=label, fix="give a file with a header and rows")
    outside = re.sub(r'"[^"]*"', "", first)
    delimiter = "\t" if _bare(path).endswith(".tsv") else max(",;\t|", key=outside.count)
    with _text(path) as lines:
        header = next(row for row in csv.reader(lines, delimiter=delimiter) if row)
    if any("\udc80" <= letter <= "\udcff" for name in header for letter in name):
        raise DataError(
            "the first line holds bytes that are no UTF-8", where=f"{label}:1", fix="save the file as UTF-8"
        )
    if all(name.strip() and _is_number(name) for name in header):
        raise DataError(
            f"the first line holds numbers ({', '.join(header[:3])}), not the columns' names",
            where=f"{label}:1",
            fix="add a header line",
        )
    return delimiter, header


def _bare(path: Path) -> str:
    return re.sub(r"\.(gz|zst)$", "", path.name.lower())


def _sample(source: _Csv) -> list[list[str]]:
    """Values of every column that are not null: those of the first rows, or the first ones there are."""
    found: list[list[str]] = [[] for _ in source.header]
    rows = 0
    for path, label in zip(source.files, source.labels, strict=True):
        try:
            for batch in source.stream(path, [pa.string()] * len(source.header)):
                for values, column in zip(found, batch.columns, strict=True):
                    if len(values) < SAMPLE:
                        start = column.slice(0, SAMPLE)
                        seen = column if start.null_count == len(start) else start
                        values += [v for v in texts(pc.unique(seen)) if v is not None]
                rows += batch.num_rows
                if rows >= SAMPLE and all(found):
                    return found
        except pa.ArrowInvalid as error:
            raise _diagnose(source, [pa.string()] * len(source.header), {}, label, error) from error
    return found


def _batches(source: _Csv, samples: Mapping[str, Sequence[str]]) -> Iterator[pa.RecordBatch]:
    for path, label in zip(source.files, source.labels, strict=True):
        try:
            last = None
            for batch in source.stream(path, source.types):
                last = batch.slice(batch.num_rows - 1) if batch.num_rows else last
                yield batch.rename_columns(source.names())
            if last is not None and _spans_lines(last):
                # A quote that is never closed swallows the rest of the file without an error.
                for _ in _records(replace(source, files=(path,), labels=(label,))):
                    pass
        except pa.ArrowInvalid as error:
            raise _diagnose(source, source.types, samples, label, error) from error


def _spans_lines(row: pa.RecordBatch) -> bool:
    return any("\n" in (texts(c)[0] or "") for c in row.columns if pa.types.is_string(c.type))


def _records(source: _Csv) -> Iterator[tuple[str, int, list[str]]]:
    """Every record with its file's label and the line where it begins. For messages: slow, and exact."""
    for path, label in zip(source.files, source.labels, strict=True):
        with _text(path) as lines:
            reader = csv.reader(lines, delimiter=source.delimiter, strict=True)
            header_seen, begins = False, 1
            try:
                for record in reader:
                    if record and header_seen:
                        yield label, begins, record
                    header_seen = header_seen or bool(record)
                    begins = reader.line_num + 1
            except csv.Error as error:
                raise DataError(
                    f"a field that begins here can't be read: {error}",
                    where=f"{label}:{begins}",
                    fix="look for a quote that is opened and never closed",
                ) from error


def _where(source: _Csv, row: int) -> str:
    found = next(itertools.islice(_records(source), row, None), None)
    return f"{found[0]}:{found[1]}" if found else f"{source.labels[-1]}: row {row + 1}"


def _diagnose(
    source: _Csv,
    types: Sequence[pa.DataType],
    samples: Mapping[str, Sequence[str]],
    label: str,
    error: pa.ArrowInvalid,
) -> Exception:
    """Why the fast reader stopped: a DataError with every mistake (up to ten), or the types to begin
    again with."""
    problems: list[Problem] = []
    wider = list(types)
    names = source.names()
    is_number: Callable[[str], bool] = partial(_is_number, decimal=source.decimal)
    known_tests: Mapping[str, Callable[[str], bool]] = {**_TESTS, "double": is_number}
    tests = [known_tests.get(str(t), _always) for t in types]
    broken: set[int] = set()
    late: dict[int, list[str]] = {}
    for file, line, record in _records(source):
        if len(problems) >= _MAX_PROBLEMS:
            break
        if len(record) != len(names):
            problems.append(_ragged(len(record), len(names), f"{file}:{line}"))
            continue
        for i, value in enumerate(record):
            if i in broken or value in source.nulls:
                continue
            if not value.isascii() and re.search("[\udc80-\udcff]", value):
                broken.add(i)
                problems.append(
                    Problem(
                        f"column {names[i]!r} holds bytes that are no UTF-8",
                        where=f"{file}:{line}",
                        fix="save the file as UTF-8",
                    )
                )
            elif types[i] == pa.null():
                late.setdefault(i, [])
                if len(late[i]) < SAMPLE:
                    late[i].append(value)
            elif not tests[i](value):
                if types[i] == pa.int64() and is_number(value) and not _INTEGER.fullmatch(value):
                    wider[i], tests[i] = pa.float64(), is_number
                else:
                    broken.add(i)
                    problems.append(_retyped(names[i], types[i], value, f"{file}:{line}"))
    if problems:
        return DataError.of(problems)
    known = {name: list(values) for name, values in samples.items()}
    for i, values in late.items():
        wider[i], known[names[i]] = infer(values, source.decimal), values
    if wider == list(types):
        return DataError("the file can't be read", where=label, why=str(error))
    return Retyped(_raw(replace(source, types=tuple(wider)), known))


def _ragged(got: int, expected: int, where: str) -> Problem:
    return Problem(
        f"the row has {got} fields, the header has {expected}",
        where=where,
        fix="quote fields that hold the delimiter, and write empty fields for what is missing",
    )


def _retyped(name: str, kind: pa.DataType, value: str, where: str) -> Problem:
    said = {"int64": "whole numbers", "double": "numbers", "bool": "true or false"}[str(kind)]
    return Problem(
        f"column {name!r} holds {value[:60]!r}, and {said} before",
        where=where,
        fix="correct the value; if it means 'missing', leave it empty, or name it in the table's `nulls:`",
    )


def _always(_: str) -> bool:
    return True


def _is_int64(text: str) -> bool:
    return _INTEGER.fullmatch(text) is not None and -(2**63) <= int(text) < 2**63


_TESTS: Mapping[str, Callable[[str], bool]] = {
    "int64": _is_int64,
    "bool": lambda text: text in _TRUE or text in _FALSE,
}
