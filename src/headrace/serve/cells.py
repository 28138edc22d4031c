"""Columns of a file to score, in the form that snapshots have. What ingest would stop at is marked instead:
a cell that can't be read becomes null, and its row gets a reason.

Values mean what they mean at ingest: the same numbers, truths and times. Over Arrow's buffers, since its own
conversions to Python import pandas.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import Problem
from headrace.core.lazy import lazily
from headrace.core.schema import NULL_TEXT, Type
from headrace.data.times import FORMATS, BadValue, Format, formats_of, parse, to_utc
from headrace.graph.buffers import Array, fixed, fixed_array, known, span, text_array, texts

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa = lazily("pyarrow")
    pc = lazily("pyarrow.compute")

Flags = NDArray[np.bool_]
Reasons = dict[int, list[str]]
"""Position in a batch -> why the row can't be scored."""

_TRUTHS = ("true", "True", "TRUE", "false", "False", "FALSE")
NUMBER = r"^\s*[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?\s*$|^\s*[-+]?(?i:inf|infinity|nan)\s*$"
"""What is read as a number in a text, as at ingest; for RE2, or Python's `re` with ASCII."""
_SHOWN = 60


def mark(reasons: Reasons, name: str, values: Sequence[Any] | Mapping[int, Any], said: str) -> None:
    """Give the rows at these positions the reason `column: 'value' is …`."""
    for at, value in values.items() if isinstance(values, Mapping) else enumerate(values):
        reasons.setdefault(at, []).append(f"{name}: {shown(value)} {said}")


def shown(value: Any) -> str:
    """A value in a reason, cut where it is long."""
    told = repr(value)
    return told if len(told) <= _SHOWN else told[: _SHOWN - 1] + "…"


def from_bytes(name: str, values: Array, reasons: Reasons) -> Array:
    """Raw fields (binary) as text: what is no UTF-8, or holds U+0000, is marked."""
    try:
        text = values.cast(pa.string())
    except (pa.ArrowInvalid, UnicodeDecodeError):
        broken = _undecodable(values)
        for at in broken:
            reasons.setdefault(at, []).append(f"{name}: holds bytes that are no UTF-8")
        text = _without(values, broken).cast(pa.string())
    return without_nul(name, text, reasons)


def without_nul(name: str, values: Array, reasons: Reasons) -> Array:
    """Text without the null sentinel: cells that hold it are marked."""
    data = values.buffers()[2]
    if data is None or NULL_TEXT.encode() not in memoryview(data).tobytes():
        return values
    held = np.flatnonzero(fixed(pc.match_substring(values, NULL_TEXT)) & known(values)).tolist()
    for at in held:
        reasons.setdefault(at, []).append(f"{name}: holds a NUL character")
    return _without(values, held)


def from_text(
    name: str,
    kind: Type,
    values: Array,
    reasons: Reasons,
    *,
    form: Format | None = None,
    zone: str = "UTC",
    whole: bool = False,
    decimal: str = ".",
) -> Array:
    """Text as a column of this type; cells that can't be read are marked.

    `form` is how times are spelled (ISO 8601 where it is None), `zone` that of wall-clock times. `whole`
    keeps whole numbers as int64: keys are compared by all their digits. `decimal` stands before fractions.
    """
    if kind is Type.NUMBER:
        return _numbers(name, values, reasons, whole=whole, decimal=decimal)
    if kind is Type.BOOL:
        return _truths(name, values, reasons)
    if kind is Type.TIME:
        return _times(name, values, reasons, form or FORMATS[0], zone)
    return values


def salvage(values: Array, convert: Callable[[Array], Array]) -> tuple[Array, dict[int, str]]:
    """`convert` (which raises BadValue at the first bad cell) over all that can be converted.

    Returns the converted array, null where a cell is bad, and why each bad one is. Halves what fails, so that
    few bad cells cost little.
    """
    bad: dict[int, str] = {}
    parts: list[Array] = []

    def work(start: int, stop: int) -> None:
        try:
            parts.append(convert(values.slice(start, stop - start)))
        except BadValue as error:
            if stop - start == 1:
                bad[start] = error.reason
                parts.append(None)
                return
            middle = (start + stop) // 2
            work(start, middle)
            work(middle, stop)

    work(0, len(values))
    kind = next((p.type for p in parts if p is not None), None)
    if kind is None:  # nothing but bad cells: what null converts to
        return convert(_without(values, range(len(values)))), bad
    whole = [nulls(1, kind) if p is None else p for p in parts]
    return (whole[0] if len(whole) == 1 else pa.concat_arrays(whole)), bad


def time_format(name: str, sample: Iterable[str]) -> Format | Problem | None:
    """How a column of text spells its times, chosen from a sample as ingest does: the format that every value
    follows. Where some follow none, the format of most (the others' rows will be marked). None where there
    is no value. A Problem where nothing tells day from month, or values tell both orders.
    """
    values = list(sample)
    if not values:
        return None
    fitting = formats_of(values)
    if len(fitting) == 1:
        return fitting[0]
    if len(fitting) > 1:
        return Problem(
            f"the times may be {' or '.join(f.name for f in fitting)}",
            where=name,
            why="no value tells day and month apart",
            fix="write the dates as YYYY-MM-DD",
        )
    best = max(FORMATS, key=lambda f: sum(f.fits(v) for v in values))
    swapped = next((f for f in FORMATS if f is not best and _swapped(best) == f.strptime), None)
    if swapped is None:
        return best
    only = [
        next((v for v in values if f.fits(v) and not other.fits(v)), None)
        for f, other in ((best, swapped), (swapped, best))
    ]
    if (only[0] is None) == (only[1] is None):
        told = f", such as {only[0]!r} and {only[1]!r}" if only[0] is not None else ""
        return Problem(
            f"the times are {best.name} or {swapped.name}{told}",
            where=name,
            why="a value that fits both would be read wrongly in one of them",
            fix="write the dates as YYYY-MM-DD",
        )
    return best if only[1] is None else swapped


def _swapped(form: Format) -> str | None:
    """The same spelling with day and month changed round."""
    code = form.strptime
    return code and code.replace("%d", "%.").replace("%m", "%d").replace("%.", "%m")


def nulls(count: int, kind: Any) -> Array:
    """Nothing but nulls, of an Arrow type."""
    return pa.nulls(count, kind)


def _numbers(name: str, given: Array, reasons: Reasons, *, whole: bool, decimal: str) -> Array:
    values = given if decimal == "." else _with_points(given, decimal)
    if whole:
        try:
            return values.cast(pa.int64())
        except pa.ArrowInvalid:
            pass
    try:
        doubles = values.cast(pa.float64())
    except pa.ArrowInvalid:
        readable = fixed(pc.match_substring_regex(values, NUMBER)) | ~known(values)
        bad = np.flatnonzero(~readable).tolist()
        mark(reasons, name, dict(zip(bad, texts(_picked(given, bad)), strict=True)), "is no number")
        # blanks around a number are no mistake, as in ingest
        doubles = pc.ascii_trim_whitespace(_without(values, bad)).cast(pa.float64())
    flags = known(doubles) & np.isfinite(fixed(doubles))
    return fixed_array(fixed(doubles), pa.float64(), flags)


def _with_points(values: Array, decimal: str) -> Array:
    """Numbers with a point before their fraction; one that has a point already becomes none."""
    turned: Array = pc.replace_substring(values, ".", "no number")
    return pc.replace_substring(turned, decimal, ".")


def _truths(name: str, values: Array, reasons: Reasons) -> Array:
    places = pc.index_in(values, value_set=text_array(_TRUTHS))
    flags = known(places)
    bad = np.flatnonzero(~flags & known(values)).tolist()
    mark(reasons, name, dict(zip(bad, texts(_picked(values, bad)), strict=True)), "is not true or false")
    return fixed_array(flags & (fixed(places) < 3), pa.bool_(), flags)


def _times(name: str, values: Array, reasons: Reasons, form: Format, zone: str) -> Array:
    bad: list[int] = []
    try:
        moments = parse(values, form)
    except BadValue:
        fits = fixed(pc.match_substring_regex(values, f"^(?:{form.pattern})$")) | ~known(values)
        bad = np.flatnonzero(~fits).tolist()
        moments, impossible = salvage(_without(values, bad), lambda part: parse(part, form))
        bad = sorted([*bad, *impossible])
    told = dict(zip(bad, texts(_picked(values, bad)), strict=True))
    mark(reasons, name, told, f"is no time ({form.name})")
    return moments if form.zoned else to_utc(moments, zone)


def _picked(values: Array, rows: Sequence[int]) -> Array:
    return pc.take(values, fixed_array(np.array(rows, dtype=np.int64), pa.int64()))


def _without(values: Array, rows: Collection[int]) -> Array:
    """The same array with null at these positions."""
    flags = known(values).copy()
    flags[list(rows)] = False
    return pc.take(values, fixed_array(np.arange(len(values), dtype=np.int64), pa.int64(), flags))


def _undecodable(values: Array) -> list[int]:
    """Positions of a binary array that hold no UTF-8."""
    start, end = span(values)
    offsets = np.frombuffer(values.buffers()[1], np.int32, len(values) + 1, values.offset * 4) - start
    data = memoryview(values.buffers()[2])[start:end].tobytes()
    cuts, flags, broken = offsets.tolist(), known(values).tolist(), []
    for at, (a, b) in enumerate(pairwise(cuts)):
        try:
            data[a:b].decode()
        except UnicodeDecodeError:
            if flags[at]:
                broken.append(at)
    return broken
