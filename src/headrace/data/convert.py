"""From a source's types to headrace's: what each column becomes, and its values in that form."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.core.errors import DataError, Problem, did_you_mean
from headrace.core.schema import NULL_TEXT, Column, Type
from headrace.data.times import BadValue, Format, parse, to_utc
from headrace.graph.buffers import Array, fixed, fixed_array, known, span

MOMENT = pa.timestamp("us")
_PIECE = 1 << 20


@dataclass(frozen=True)
class ColumnPlan:
    """What becomes of one column: its headrace type and its type in the snapshot. `zone` is the zone of
    wall-clock times, empty where the source's times are moments already. `before` is what becomes of a
    column that is hashed or masked first."""

    column: Column
    target: pa.DataType
    format: Format | None = None
    zone: str = ""
    before: ColumnPlan | None = None

    @property
    def name(self) -> str:
        return self.column.name


@dataclass(frozen=True)
class Plan:
    """What becomes of a source: its usable columns in order, and `skipped` ones (name, source type) whose
    type has no place in headrace (lists, structs, blobs, times of day)."""

    columns: tuple[ColumnPlan, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    def schema(self) -> pa.Schema:
        return pa.schema([pa.field(c.name, c.target) for c in self.columns])


def plan_columns(
    table: str,
    schema: pa.Schema,
    formats: Mapping[str, tuple[Format, ...]],
    *,
    zone: str | None,
    times: Collection[str],
    needed: Collection[str],
    where: str,
    mixed: Callable[[str], Problem | None] = lambda _: None,
) -> Plan:
    """Decide what each column becomes.

    `formats` are the spellings that a text column's sample follows; `times` the columns that the spec
    declares as times, `needed` every column that it names; `mixed` finds the place where a text column
    declared as time leaves its format.

    Raises:
        DataError: two columns share a name, a needed column is missing or of an unusable type, a declared
            time is no time, or times without a zone come with no zone declared. All at once.
    """
    problems = _name_problems(schema.names, needed, where)
    plans: list[ColumnPlan] = []
    skipped: list[tuple[str, str]] = []
    local: list[str] = []
    for field in schema:
        planned = _plan(field, formats.get(field.name, ()), zone)
        if planned is None:
            skipped.append((field.name, str(field.type)))
            if field.name in needed:
                problems.append(
                    Problem(f"column {field.name!r} is a {field.type}, which can't be used", where=where)
                )
            continue
        plans.append(planned)
        if field.name in times and planned.column.type is not Type.TIME:
            problems.append(_no_time(field, formats.get(field.name, ()), where, mixed))
        if planned.column.type is Type.TIME and not planned.zone and not _is_moment(field.type, planned):
            local.append(field.name)
    if local:
        problems.append(
            Problem(
                f"times without a zone: {', '.join(local)}",
                where=where,
                why="10:00 is another moment in Berlin than in New York",
                fix=f"declare `zone:` under data, or under data.tables.{table}, such as 'UTC'",
            )
        )
    if problems:
        raise DataError.of(problems)
    return Plan(tuple(plans), tuple(skipped))


def _name_problems(names: list[str], needed: Collection[str], where: str) -> list[Problem]:
    problems = []
    seen: dict[str, str] = {}
    for name in names:
        if name.lower() in seen:
            first = seen[name.lower()]
            same = f"two columns are called {name!r}" if first == name else f"columns {first!r} and {name!r}"
            problems.append(
                Problem(f"{same}: names must differ by more than case", where=where, fix="rename one")
            )
        seen[name.lower()] = name
    problems += [
        Problem(f"there is no column {name!r}", where=where, fix=did_you_mean(name, names))
        for name in needed
        if name not in names
    ]
    return problems


def _no_time(
    field: pa.Field[Any],
    formats: tuple[Format, ...],
    where: str,
    mixed: Callable[[str], Problem | None],
) -> Problem:
    if len(formats) > 1:
        return Problem(
            f"column {field.name!r} is declared as time, and its values may be "
            + " or ".join(f.name for f in formats),
            where=where,
            why="no value tells day and month apart",
            fix="write the dates as YYYY-MM-DD",
        )
    found = mixed(field.name) if _is_text(field.type) else None
    return found or Problem(
        f"column {field.name!r} is declared as time, and is {field.type}",
        where=where,
        fix="write times as ISO 8601 text (2013-01-31 05:00), all in one format, or as timestamps",
    )


def _is_moment(kind: pa.DataType, planned: ColumnPlan) -> bool:
    if pa.types.is_timestamp(kind):
        return kind.tz is not None
    return planned.format is not None and planned.format.zoned


def _plan(field: pa.Field[Any], formats: tuple[Format, ...], zone: str | None) -> ColumnPlan | None:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    t = pa.types

    def made(type_: Type, target: pa.DataType, **more: Any) -> ColumnPlan:
        return ColumnPlan(Column(field.name, type_, str(field.type)), target, **more)

    if t.is_null(kind):
        return made(Type.NUMBER, pa.float64())
    if t.is_boolean(kind):
        return made(Type.BOOL, pa.bool_())
    if t.is_integer(kind):
        widest = pa.int64() if t.is_unsigned_integer(kind) else kind
        return made(Type.NUMBER, widest)
    if t.is_float16(kind):
        return made(Type.NUMBER, pa.float32())
    if t.is_floating(kind):
        return made(Type.NUMBER, kind)
    if t.is_decimal(kind):
        return made(Type.NUMBER, pa.float64())
    if _is_text(kind):
        if len(formats) == 1:
            form = formats[0]
            return made(Type.TIME, MOMENT, format=form, zone="" if form.zoned else zone or "")
        return made(Type.TEXT, pa.string())
    if t.is_timestamp(kind):
        return made(Type.TIME, MOMENT, zone="" if kind.tz else zone or "")
    if t.is_date(kind):
        return made(Type.TIME, MOMENT, zone=zone or "")
    return None


def _is_text(kind: pa.DataType) -> bool:
    t = pa.types
    return t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind)


def convert(values: Array, plan: ColumnPlan) -> Array:
    """The values in the snapshot's form: NaN and infinities are null, times UTC, text free of NUL.

    Raises:
        BadValue: a value has no place in that form.
    """
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if plan.column.type is Type.TIME:
        return _time(values, plan)
    if plan.column.type is Type.TEXT:
        return _text(values)
    if plan.column.type is Type.BOOL:
        return values
    return _number(values, plan.target)


def _number(values: Array, target: pa.DataType) -> Array:
    if values.type != target:
        try:
            values = values.cast(target, safe=not pa.types.is_floating(target))
        except pa.ArrowInvalid:
            raise _first_too_large(values) from None
    if pa.types.is_floating(target):
        # What is not finite is null: the law that makes graph and SQL agree (NaN and infinity never meet
        # an expression).
        numbers = fixed(values)
        finite = np.isfinite(numbers)
        if not finite.all():
            return fixed_array(numbers, target, finite & known(values))
    return values


def _first_too_large(values: Array) -> BadValue:
    limit = 2**63
    for index, value in enumerate(values.to_pylist()):
        if value is not None and value >= limit:
            return BadValue(index, f"holds {value}, beyond 64 bits with sign; write it as text")
    raise AssertionError("a column that failed to convert holds a bad value")


def _text(values: Array) -> Array:
    if values.type != pa.string():
        values = values.cast(pa.string())
    _require_utf8(values)
    if _holds_nul(values):
        held = np.flatnonzero(fixed(pc.match_substring(values, NULL_TEXT)) & known(values))
        if held.size:
            raise BadValue(int(held[0]), "holds a NUL character")
    return values


def _holds_nul(values: Array) -> bool:
    """Whether a NUL is in the texts' bytes (piece by piece: `in` needs a copy)."""
    data = values.buffers()[2]
    if data is None:
        return False
    start, end = span(values)
    pieces = (memoryview(data)[at : min(at + _PIECE, end)] for at in range(start, end, _PIECE))
    return any(b"\0" in piece.tobytes() for piece in pieces)


def _require_utf8(values: Array) -> None:
    try:
        values.validate(full=True)
    except (pa.ArrowInvalid, UnicodeDecodeError):
        for index in range(len(values)):
            try:
                values.slice(index, 1).validate(full=True)
            except (pa.ArrowInvalid, UnicodeDecodeError):
                raise BadValue(index, "holds bytes that are no UTF-8") from None
        raise


def _time(values: Array, plan: ColumnPlan) -> Array:
    if plan.format is not None:
        values = parse(values.cast(pa.string()), plan.format)
    else:
        values = _microseconds(values)
    return to_utc(values, plan.zone) if plan.zone else values


def _microseconds(values: Array) -> Array:
    if pa.types.is_date(values.type):
        return values.cast(pa.timestamp("s")).cast(MOMENT)
    kind = pa.timestamp("us", values.type.tz)
    try:
        # Nanoseconds are cut, on purpose; coarser units may not fit.
        return values.cast(kind, safe=values.type.unit != "ns").view(pa.int64()).view(MOMENT)
    except pa.ArrowInvalid:
        for index, value in enumerate(values):
            try:
                pa.array([value], values.type).cast(kind)
            except pa.ArrowInvalid:
                # The number alone: Python has no date for such years.
                reason = (
                    f"holds {value.value} {values.type.unit} since 1970, beyond what microseconds can hold"
                )
                raise BadValue(index, reason) from None
        raise
