"""JSON lines to score: one object a line, typed as in a request; times are spelled as at ingest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from headrace.core.errors import DataError, Problem
from headrace.core.schema import NULL_TEXT, Type
from headrace.data.cells import numbers_array, texts_array, truths_array
from headrace.data.times import Format
from headrace.graph.buffers import Array, stream
from headrace.serve.cells import (
    Reasons,
    from_text,
    mark,
    time_format,
)
from headrace.serve.source import ROWS, SAMPLE, Chunk, Source, require_columns

_BLOCK = 1 << 20
_LONGEST = 32 << 20
_CHUNK_BYTES = 16 << 20

_ALLOWED: Mapping[Type, tuple[frozenset[type], str]] = {
    Type.NUMBER: (frozenset({int, float, type(None)}), "is no number"),
    Type.BOOL: (frozenset({bool, type(None)}), "is not true or false"),
    Type.TEXT: (frozenset({str, type(None)}), "is no text"),
    Type.TIME: (frozenset({str, type(None)}), "is no time"),
}


@dataclass(frozen=True)
class _Json:
    path: Path
    types: Mapping[str, Type]
    formats: Mapping[str, Format | None]
    zone: str
    keys: frozenset[str]


def open_json_rows(path: Path, types: Mapping[str, Type], *, zone: str, keys: frozenset[str]) -> Source:
    """Open a JSON-lines file: see `source.open_source`. A key that a line doesn't have is null there; one
    that none of the first 20,480 lines has is a missing column."""
    times: dict[str, dict[str, None]] = {n: {} for n, kind in types.items() if kind is Type.TIME}
    seen: dict[str, None] = {}
    rows = 0
    for number, line in _lines_of(path):
        if rows == 0 and line.lstrip(b"\xef\xbb\xbf \t").startswith(b"["):
            raise DataError(
                "the file is one JSON list",
                where=f"{path}:{number}",
                fix="write JSON lines: one object a line, no list",
            )
        rows += 1
        record = _object(line)
        if isinstance(record, dict):
            seen.update(dict.fromkeys(record))
            for name, values in times.items():
                if isinstance(value := record.get(name), str):
                    values[value] = None
        if rows >= SAMPLE:
            break
    if not rows:
        raise DataError("the file is empty", where=str(path), fix="give a file with one object a line")
    if seen:
        require_columns(path, types, list(seen))
    formats = {name: time_format(name, values) for name, values in times.items()}
    problems = [f for f in formats.values() if isinstance(f, Problem)]
    if problems:
        raise DataError.of(problems)
    fine = {name: f for name, f in formats.items() if not isinstance(f, Problem)}
    opened = _Json(path, types, fine, zone, keys)
    return Source(lambda: _chunks(opened), lambda wanted: _line_numbers(path, wanted))


_DECODER: Any = msgspec.json.Decoder(dict[str, Any])


def _object(line: bytes) -> dict[str, Any] | str:
    """The line's object, or why it is none."""
    try:
        record: dict[str, Any] = _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return f"the line is no JSON object: {error}"
    return record


def _lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, with their numbers from 1.

    Raises:
        DataError: a line is too long, or the file can't be read.
    """
    number, rest = 0, b"\xef\xbb\xbf"
    try:
        with stream(path) as file:
            while block := file.read(_BLOCK):
                if number == 0 and rest == b"\xef\xbb\xbf":
                    rest, block = b"", block.removeprefix(b"\xef\xbb\xbf")
                *lines, rest = (rest + block).split(b"\n")
                for line in lines:
                    number += 1
                    if line and not line.isspace():
                        yield number, line
                if len(rest) > _LONGEST:
                    raise DataError(
                        f"the line is longer than {_LONGEST >> 20} MB",
                        where=f"{path}:{number + 1}",
                        fix="write one object a line",
                    )
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError("the file can't be read", where=str(path), why=str(error)[:200]) from error
    if rest.removeprefix(b"\xef\xbb\xbf").strip():
        yield number + 1, rest


def _line_numbers(path: Path, rows: Iterable[int]) -> Iterator[int | None]:
    lines = enumerate(_lines_of(path), 1)
    for wanted in rows:
        yield next(line for row, (line, _) in lines if row == wanted)


def _chunks(opened: _Json) -> Iterator[Chunk]:
    numbers: list[int] = []
    records: list[dict[str, Any]] = []
    lost: list[tuple[int, str]] = []
    size = 0
    for row, (_, line) in enumerate(_lines_of(opened.path), 1):
        record = _object(line)
        if isinstance(record, str):
            lost.append((row, record))
        else:
            numbers.append(row)
            records.append(record)
        size += len(line)
        if len(numbers) + len(lost) >= ROWS or size >= _CHUNK_BYTES:
            yield _chunk(opened, numbers, records, lost)
            numbers, records, lost, size = [], [], [], 0
    if numbers or lost:
        yield _chunk(opened, numbers, records, lost)


def _chunk(
    opened: _Json, numbers: list[int], records: list[dict[str, Any]], lost: list[tuple[int, str]]
) -> Chunk:
    bad: Reasons = {}
    columns = {
        name: _column(opened, name, kind, [r.get(name) for r in records], bad)
        for name, kind in opened.types.items()
    }
    return Chunk(np.array(numbers, dtype=np.int64), columns, bad, tuple(lost))


def _column(opened: _Json, name: str, kind: Type, values: list[Any], bad: Reasons) -> Array:
    allowed, said = _ALLOWED[kind]
    if not allowed.issuperset(map(type, values)):
        wrong = {at: v for at, v in enumerate(values) if type(v) not in allowed}
        mark(bad, name, wrong, said)
        values = [None if at in wrong else v for at, v in enumerate(values)]
    if kind is Type.NUMBER:
        return _numbers(name, values, bad, whole=name in opened.keys)
    if kind is Type.BOOL:
        return truths_array(values)
    held = [at for at, v in enumerate(values) if v is not None and NULL_TEXT in v]
    for at in held:
        bad.setdefault(at, []).append(f"{name}: holds a NUL character")
        values[at] = None
    text = texts_array(values)
    return from_text(name, kind, text, bad, form=opened.formats.get(name), zone=opened.zone)


def _numbers(name: str, values: list[Any], bad: Reasons, *, whole: bool) -> Array:
    try:
        return numbers_array(values, whole=whole)
    except OverflowError:
        for at, value in enumerate(values):
            if not _fits_double(value):
                bad.setdefault(at, []).append(f"{name}: the number is larger than a double holds")
                values[at] = None
        return numbers_array(values, whole=whole)


def _fits_double(value: float | None) -> bool:
    try:
        float(value or 0)
    except OverflowError:
        return False
    return True
