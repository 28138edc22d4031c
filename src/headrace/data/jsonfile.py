"""JSON lines: one object a line. Types come from the file's beginning; what later breaks them is an error
with its line.

A key that first comes up later is a column all the same, and a whole number may turn into a fraction; both
make the reader begin again. Objects and lists in a value are left out; in files that hold them a key that
first comes up later is overlooked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json as pa_json

from headrace.core.errors import DataError, Problem
from headrace.data.raw import Raw, Retyped
from headrace.data.times import formats_of
from headrace.graph.buffers import stream, texts

_SAMPLE = 20_480
_BLOCK = 4 << 20
_MAX_PROBLEMS = 10
_KINDS: Mapping[str, pa.DataType] = {
    "true or false": pa.bool_(),
    "whole numbers": pa.int64(),
    "numbers": pa.float64(),
    "text": pa.string(),
    "nothing": pa.null(),
}


@dataclass(frozen=True)
class _Json:
    """A JSON source: `kinds` says what each key holds, by the names in `_KINDS`; nested keys hold
    `objects or lists`."""

    files: tuple[Path, ...]
    labels: tuple[str, ...]
    kinds: Mapping[str, str]

    def plain(self) -> pa.Schema:
        return pa.schema([(k, _KINDS[v]) for k, v in self.kinds.items() if v in _KINDS])


def open_json(files: Sequence[Path], labels: Sequence[str]) -> Raw:
    """Open JSON-lines files as one source.

    Raises:
        DataError: a file is empty, holds something else than one object a line, or its beginning holds
            values of two types under one key.
    """
    kinds: dict[str, str] = {}
    for path, label in zip(files, labels, strict=True):
        _require_lines(path, label)
        try:
            with pa_json.open_json(stream(path), pa_json.ReadOptions(block_size=_BLOCK)) as reader:
                found = {f.name: _kind_of(f.type) for f in reader.schema}
        except pa.ArrowInvalid as error:
            raise _diagnose(_Json(tuple(files), tuple(labels), {}), label, error, fresh=True) from error
        for key, kind in found.items():
            kinds[key] = _joined(kinds.get(key, "nothing"), kind) or kinds[key]
    return _raw(_Json(tuple(files), tuple(labels), kinds))


def _raw(source: _Json) -> Raw:
    nested = [(k, pa.struct([])) for k, v in source.kinds.items() if v not in _KINDS]
    return Raw(
        name=source.labels[0] if len(source.labels) == 1 else f"{source.labels[0]}, …",
        schema=pa.schema([*source.plain(), *[pa.field(k, t) for k, t in nested]]),
        formats=_formats(source),
        batches=lambda: _batches(source),
        where=lambda row: _where(source, row),
    )


def _require_lines(path: Path, label: str) -> None:
    with stream(path) as file:
        start = file.read(1 << 16).lstrip(b"\xef\xbb\xbf \t\r\n")
    if not start:
        raise DataError("the file is empty", where=label, fix="give a file with one object a line")
    if start[:1] == b"[":
        raise DataError(
            "the file is one JSON list",
            where=f"{label}:1",
            fix="write JSON lines: one object a line, no list",
        )


def _kind_of(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind):
        return "text"
    return next((name for name, t in _KINDS.items() if t == kind), "objects or lists")


def _joined(one: str, other: str) -> str | None:
    """What holds both kinds, None where nothing does."""
    if one == other or other == "nothing":
        return one
    if one == "nothing":
        return other
    return "numbers" if {one, other} == {"whole numbers", "numbers"} else None


def _formats(source: _Json) -> dict[str, Any]:
    words = [k for k, v in source.kinds.items() if v == "text"]
    if not words:
        return {}
    try:
        batch = next(_read(source.files[0], source), None)
    except pa.ArrowInvalid:
        return {}  # told by `batches`, with the line
    if batch is None:
        return {}
    values = {w: [t for t in texts(batch.column(w)[:_SAMPLE]) if t is not None] for w in words}
    return {w: formats_of(given) for w, given in values.items() if given}


def _read(path: Path, source: _Json) -> Iterator[pa.RecordBatch]:
    schema = source.plain()
    nested = len(schema) < len(source.kinds)
    options = pa_json.ParseOptions(
        explicit_schema=schema, unexpected_field_behavior="ignore" if nested else "error"
    )
    with pa_json.open_json(stream(path), pa_json.ReadOptions(block_size=_BLOCK), options) as reader:
        for batch in reader:
            yield batch.select(schema.names)


def _batches(source: _Json) -> Iterator[pa.RecordBatch]:
    for path, label in zip(source.files, source.labels, strict=True):
        try:
            yield from _read(path, source)
        except pa.ArrowInvalid as error:
            raise _diagnose(source, label, error) from error


def _lines(source: _Json) -> Iterator[tuple[str, str]]:
    for path, label in zip(source.files, source.labels, strict=True):
        with stream(path) as file:
            for number, line in enumerate(_split(file), 1):
                if line.strip():
                    yield f"{label}:{number}", line


def _split(file: Any) -> Iterator[str]:
    rest = b""
    while block := file.read(_BLOCK):
        *lines, rest = (rest + block).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in lines)
    if rest:
        yield rest.decode("utf-8", "replace")


def _where(source: _Json, row: int) -> str:
    for i, (where, _) in enumerate(_lines(source)):
        if i == row:
            return where
    return source.labels[-1]


def _diagnose(source: _Json, label: str, error: pa.ArrowInvalid, *, fresh: bool = False) -> Exception:
    """Why the fast reader stopped: a DataError with every mistake (up to ten), or the types to begin
    again with."""
    problems: list[Problem] = []
    kinds = dict(source.kinds)
    broken: set[str] = set()
    for where, line in _lines(source):
        if len(problems) >= _MAX_PROBLEMS:
            break
        try:
            record = json.loads(line)
        except ValueError as bad:
            problems.append(Problem("the line is no JSON", where, str(bad), "write one object a line"))
            continue
        if not isinstance(record, dict):
            problems.append(Problem(f"the line holds {line.strip()[:40]}, no object", where))
            continue
        for key, value in record.items():
            joined = _joined(kinds.get(key, "nothing"), _kind(value))
            if joined is not None:
                kinds[key] = joined
            elif key not in broken:
                broken.add(key)
                problems.append(_retyped(key, kinds[key], value, where))
    if problems:
        return DataError.of(problems)
    if kinds == dict(source.kinds) or fresh:
        return DataError("the file can't be read", where=label, why=str(error))
    return Retyped(_raw(replace(source, kinds=kinds)))


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int):
        return "whole numbers" if -(2**63) <= value < 2**63 else "numbers"
    if isinstance(value, float):
        return "numbers"
    return "text" if isinstance(value, str) else "objects or lists"


def _retyped(key: str, before: str, value: Any, where: str) -> Problem:
    return Problem(
        f"column {key!r} holds {json.dumps(value)[:60]}, and {before} before",
        where,
        fix="correct the value; write null where it is missing",
    )
