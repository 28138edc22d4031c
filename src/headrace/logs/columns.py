"""Entries as Arrow tables and back. Columns are typed by what is in them; each table by itself.

Beside `FIXED` there is `input.NAME` for every column that was sent, `filled.NAME` for those that the server
filled in, and `answer.NAME` for what was answered.
A column holds truths, whole numbers, doubles, texts, lists of texts, or numbers by name (a map); where it
holds several of these, or anything else, JSON as text, which the field's metadata says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.core.answered import Answered

if TYPE_CHECKING:
    Field = pa.Field[Any]
    Array = pa.Array[Any]
    Chunked = pa.ChunkedArray[Any]

FIXED: Mapping[str, pa.DataType] = {
    "id": pa.string(),
    "time": pa.timestamp("us"),
    "route": pa.string(),
    "release": pa.string(),
    "arm": pa.string(),
    "unit": pa.string(),
    "by": pa.string(),
    "flags": pa.list_(pa.string()),
    "took_us": pa.int64(),
    "review": pa.bool_(),
    "of": pa.string(),
    "segment": pa.string(),
}
"""The columns that every table has. `segment` is the file that the writer wrote the entry to."""

INPUT, FILLED, ANSWER = "input.", "filled.", "answer."
_OWN = frozenset({"id", "release", "arm", "by", "route"})
_NUMBERS = pa.map_(pa.string(), pa.float64())
_TEXTS = pa.list_(pa.string())
_KIND, _NAME = b"headrace.kind", b"headrace.name"
_JSON = b"json"
_MOST = 1 << 63
_DAY = 86_400_000_000

_encode = msgspec.json.Encoder(enc_hook=str).encode


def to_table(entries: Sequence[Answered], segment: str) -> pa.Table:
    """Entries of a segment, one a row."""
    fields: list[Field] = []
    arrays: list[Array] = []
    for name, kind in FIXED.items():
        values = [segment] * len(entries) if name == "segment" else [getattr(e, name) for e in entries]
        fields.append(pa.field(name, kind))
        arrays.append(pa.array(values, kind))
    for field, array in _named(INPUT, [e.inputs for e in entries]):
        fields.append(field)
        arrays.append(array)
    for field, array in _named(FILLED, [e.filled for e in entries]):
        fields.append(field)
        arrays.append(array)
    told = [{k: v for k, v in e.answer.items() if k not in _OWN} for e in entries]
    for field, array in _named(ANSWER, told):
        fields.append(field)
        arrays.append(array)
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _named(prefix: str, rows: Sequence[Any]) -> Iterable[tuple[Field, Array]]:
    """A column for every name in the rows."""
    names = dict.fromkeys(n for row in rows for n in row)
    seen: dict[str, int] = {}
    for name in names:
        # SQL does not tell A from a: the second of such a pair has a number behind its name.
        count = seen[name.lower()] = seen.get(name.lower(), -1) + 1
        array, as_json = typed([row.get(name) for row in rows])
        meta = {_NAME: name.encode()} | ({_KIND: _JSON} if as_json else {})
        spelled = f"{prefix}{name}~{count}" if count else f"{prefix}{name}"
        yield pa.field(spelled, array.type, metadata=meta), array


def typed(values: Sequence[Any]) -> tuple[Array, bool]:
    """Values as the narrowest kind of column; whether that is JSON."""
    kinds = {type(v) for v in values if v is not None}
    if not kinds:
        return pa.nulls(len(values)), False
    if kinds == {bool}:
        return pa.array(values, pa.bool_()), False
    if kinds == {int} and all(v is None or -_MOST <= v < _MOST for v in values):
        return pa.array(values, pa.int64()), False
    if kinds <= {int, float}:
        return pa.array([None if v is None else float(v) for v in values], pa.float64()), False
    if kinds == {str}:
        return pa.array(values, pa.string()), False
    if kinds <= {list, tuple} and all(isinstance(x, str) for v in values if v is not None for x in v):
        return pa.array(values, _TEXTS), False
    if kinds == {dict} and all(type(x) in (int, float) for v in values if v is not None for x in v.values()):
        # Arrow makes no double of a whole number above 2^53 by itself.
        rows = [None if v is None else [(n, float(x)) for n, x in v.items()] for v in values]
        return pa.array(rows, _NUMBERS), False
    return _as_json(values), True


def _as_json(values: Iterable[Any]) -> Array:
    return pa.array([None if v is None else _encode(v).decode() for v in values], pa.string())


def to_entries(table: pa.Table) -> list[Answered]:
    """What `to_table` was given; what was null there is left out of inputs, filled columns and answers."""
    fixed: dict[str, list[Any]] = {}
    for name in FIXED:
        column = table.column(name)
        fixed[name] = (column.cast(pa.int64()) if name == "time" else column).to_pylist()
    inputs, filled, answers = (_rows(table, part) for part in (INPUT, FILLED, ANSWER))
    found = []
    for i in range(table.num_rows):
        values = {n: fixed[n][i] for n in FIXED if n != "segment"}
        values["flags"] = tuple(values["flags"])
        found.append(Answered(**values, inputs=inputs[i], answer=answers[i], filled=filled[i]))
    return found


def _rows(table: pa.Table, prefix: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{} for _ in range(table.num_rows)]
    for field, column in zip(table.schema, table.columns, strict=True):
        if not field.name.startswith(prefix):
            continue
        name = true_name(field)
        for row, value in zip(rows, plain_values(field, column), strict=True):
            if value is not None:
                row[name] = value
    return rows


def true_name(field: Field) -> str:
    """The name of the raw column or of the part of the answer that a column holds."""
    told = (field.metadata or {}).get(_NAME)
    return told.decode() if told is not None else field.name.partition(".")[2]


def plain_values(field: Field, column: Chunked) -> list[Any]:
    """A column's values as they were before they were a column's."""
    values = column.to_pylist()
    if is_json(field):
        return [None if v is None else msgspec.json.decode(v) for v in values]
    if pa.types.is_map(field.type):
        return [None if v is None else dict(v) for v in values]
    return values


def is_json(field: Field) -> bool:
    """Whether a column holds values of several types, as JSON."""
    return (field.metadata or {}).get(_KIND) == _JSON


def unites(schemas: Iterable[pa.Schema]) -> bool:
    """Whether columns of one name are of one kind in all of these, or whole numbers and doubles."""
    fields: dict[str, list[Field]] = {}
    for schema in schemas:
        for field in schema:
            fields.setdefault(field.name, []).append(field)
    return all(_kinds(found) < 2 or not is_json(_common(found)) for found in fields.values())


def _kinds(fields: Iterable[Field]) -> int:
    return len({(str(f.type), is_json(f)) for f in fields if not pa.types.is_null(f.type)})


def concat(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables one after the other, with the columns of all: whole numbers and doubles become doubles, other
    columns of several kinds JSON. Raises ValueError where there is none."""
    if not tables:
        raise ValueError("no tables")
    fields: dict[str, list[Field]] = {}
    for table in tables:
        for field in table.schema:
            fields.setdefault(field.name, []).append(field)
    schema = pa.schema([_common(found) for found in fields.values()])
    return pa.concat_tables([_cast(table, schema) for table in tables])


def _common(fields: Sequence[Field]) -> Field:
    known = [f for f in fields if not pa.types.is_null(f.type)]
    if not known:
        return fields[0]
    if all(f.type == known[0].type and is_json(f) == is_json(known[0]) for f in known):
        return known[0]
    if all(f.type in (pa.int64(), pa.float64()) for f in known):
        return known[0].with_type(pa.float64())
    return known[0].with_type(pa.string()).with_metadata({_NAME: true_name(known[0]).encode(), _KIND: _JSON})


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = []
    for field in schema:
        at = table.schema.get_field_index(field.name)
        if at < 0 or pa.types.is_null(table.schema.field(at).type):
            columns.append(pa.chunked_array([pa.nulls(table.num_rows, field.type)]))
        elif is_json(field) and not is_json(table.schema.field(at)):
            columns.append(
                pa.chunked_array([_as_json(plain_values(table.schema.field(at), table.column(at)))])
            )
        else:
            columns.append(table.column(at).cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def in_order(table: pa.Table) -> pa.Table:
    """Rows by time, then id."""
    return table.sort_by([("time", "ascending"), ("id", "ascending")])


def by_day_and_route(table: pa.Table) -> dict[tuple[str, str], pa.Table]:
    """A table for each UTC day and route."""
    days = times(table) // _DAY
    routes = np.array(table.column("route").to_pylist(), dtype=object)
    found = {}
    for day, route in sorted(set(zip(days.tolist(), routes.tolist(), strict=True))):
        mine = table.filter(pa.array((days == day) & (routes == route)))
        found[str(np.datetime64(day, "D")), route] = mine
    return found


def times(table: pa.Table) -> NDArray[np.int64]:
    """The rows' times, UTC microseconds."""
    return np.asarray(table.column("time").cast(pa.int64()).to_numpy(), dtype=np.int64)


def only(table: pa.Table, start: int | None, end: int | None, equal: Mapping[str, str | None]) -> pa.Table:
    """The rows with `start <= time < end` (UTC microseconds) and these values, where given."""
    asked = {name: value for name, value in equal.items() if value is not None}
    if start is None and end is None and not asked:
        return table
    at = times(table)
    keep = np.ones(len(at), dtype=bool)
    if start is not None:
        keep &= at >= start
    if end is not None:
        keep &= at < end
    for name, value in asked.items():
        keep &= np.array(table.column(name).to_pylist(), dtype=object) == value
    return table.filter(pa.array(keep))


def of_segments(table: pa.Table, names: Collection[str]) -> pa.Table:
    """The rows that were written to these segments."""
    return table.filter(pa.array([s in names for s in table.column("segment").to_pylist()], pa.bool_()))
