"""Times written as text: which format a column holds, and reading it. Formats are never guessed twice:
a column has one format, and a value that doesn't follow it is an error with its position."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.core.errors import MissingDependency
from headrace.core.lazy import lazily
from headrace.graph.buffers import Array, fixed, fixed_array, known, texts

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa = lazily("pyarrow")
    pc = lazily("pyarrow.compute")

_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_MONTH = r"(?:0?[1-9]|1[0-2])"
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?"
_ISO = rf"\d{{4}}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?:[ T]{_CLOCK})?"
_ISO_ZONED = (
    rf"\d{{4}}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])[ T]{_CLOCK} ?(?:Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)"
)


class BadValue(ValueError):
    """The value at `index` of an array can't be converted; `reason` says why."""

    def __init__(self, index: int, reason: str) -> None:
        self.index, self.reason = index, reason
        super().__init__(reason)


@dataclass(frozen=True)
class Format:
    """How a text column spells its times. `zoned` values carry their own offset from UTC; `strptime` is
    None for ISO 8601."""

    name: str
    pattern: str
    zoned: bool = False
    strptime: str | None = None

    def fits(self, value: str) -> bool:
        return re.fullmatch(self.pattern, value) is not None


def _formats() -> tuple[Format, ...]:
    dates = [
        ("DD/MM/YYYY", rf"{_DAY}/{_MONTH}/\d{{4}}", "%d/%m/%Y"),
        ("MM/DD/YYYY", rf"{_MONTH}/{_DAY}/\d{{4}}", "%m/%d/%Y"),
        ("YYYY/MM/DD", rf"\d{{4}}/{_MONTH}/{_DAY}", "%Y/%m/%d"),
        ("DD.MM.YYYY", rf"{_DAY}\.{_MONTH}\.\d{{4}}", "%d.%m.%Y"),
        ("DD-MM-YYYY", rf"{_DAY}-{_MONTH}-\d{{4}}", "%d-%m-%Y"),
        ("MM-DD-YYYY", rf"{_MONTH}-{_DAY}-\d{{4}}", "%m-%d-%Y"),
    ]
    hour24, hour12 = r"(?:[01]?\d|2[0-3])", r"(?:0?[1-9]|1[0-2])"
    clocks = [
        ("", "", ""),
        (" HH:MM", rf" {hour24}:[0-5]\d", " %H:%M"),
        (" HH:MM:SS", rf" {hour24}:[0-5]\d:[0-5]\d", " %H:%M:%S"),
        (" HH:MM AM", rf" {hour12}:[0-5]\d [AP]M", " %I:%M %p"),
        (" HH:MM:SS AM", rf" {hour12}:[0-5]\d:[0-5]\d [AP]M", " %I:%M:%S %p"),
    ]
    plain = (Format("ISO 8601", _ISO), Format("ISO 8601 with a zone", _ISO_ZONED, zoned=True))
    return plain + tuple(
        Format(date + clock, pattern + clock_pattern, strptime=code + clock_code)
        for date, pattern, code in dates
        for clock, clock_pattern, clock_code in clocks
    )


FORMATS = _formats()
"""Every spelling that is understood. Two-digit years and names of months are not: they are ambiguous, or
depend on the language."""


def formats_of(values: Iterable[str]) -> tuple[Format, ...]:
    """The formats that every value follows: none, one, or several where day and month can't be told apart."""
    left = FORMATS
    for value in values:
        left = tuple(f for f in left if f.fits(value))
        if not left:
            break
    return left


def spelled(value: str) -> str:
    """A value with the name of the format it follows, for messages."""
    names = " or ".join(f.name for f in FORMATS if f.fits(value))
    return f"{value!r} ({names})" if names else f"{value!r}"


def parse(values: Array, form: Format) -> Array:
    """Read text as timestamp[us]: UTC where the format is zoned, wall-clock time otherwise.

    Digits beyond the microsecond are dropped.

    Raises:
        BadValue: a value doesn't follow the format, or is no date (February 30).
    """
    try:
        parsed = _strptime(values, form) if form.strptime else _iso(values, form.zoned)
    except pa.ArrowInvalid:
        parsed = None
    if parsed is None or parsed.null_count != values.null_count:
        raise _first_bad(values, form)
    return parsed


def _iso(values: Array, zoned: bool) -> Array:
    kind = pa.timestamp("us", "UTC") if zoned else pa.timestamp("us")
    try:
        return _naive(values.cast(kind))
    except pa.ArrowInvalid:
        # The slow path: more than six digits of a second, a zone by name, a space before the offset.
        cleaned = pc.replace_substring_regex(values, r"(\.\d{6})\d+", r"\1")
        if zoned:
            cleaned = pc.replace_substring_regex(cleaned, r" ?(?:UTC|GMT)$", "Z")
            cleaned = pc.replace_substring_regex(cleaned, r" ([+-]\d\d(?::?\d\d)?)$", r"\1")
        return _naive(cleaned.cast(kind))


def _strptime(values: Array, form: Format) -> Array:
    parsed: Array = pc.strptime(values, format=form.strptime or "", unit="us", error_is_null=True)
    # strptime turns 31/02 into March 3: the day that was written has to come back.
    groups = {"%d": r"(?P<d>\d+)", "%m": r"\d+", "%Y": r"\d+"}
    date = re.split(" ", form.strptime or "")[0]
    pattern = re.sub(r"%[dmY]", lambda m: groups[m[0]], date.replace(".", r"\."))
    day = pc.struct_field(pc.extract_regex(values, f"^{pattern}"), "d").cast(pa.int64())
    same = pc.equal(pc.day(parsed), day)
    return fixed_array(fixed(parsed), pa.timestamp("us"), fixed(same) & known(same))


def _naive(values: Array) -> Array:
    return values.view(pa.int64()).view(pa.timestamp("us"))


def _first_bad(values: Array, form: Format) -> BadValue:
    for index, value in enumerate(texts(values)):
        if value is None:
            continue
        if not form.fits(value):
            return BadValue(index, f"holds {spelled(value)} where the values before are {form.name}")
        one = pa.array([value])
        try:
            good = (_strptime(one, form) if form.strptime else _iso(one, form.zoned)).null_count == 0
        except pa.ArrowInvalid:
            good = False
        if not good:
            return BadValue(index, f"holds {value!r}, which is no date")
    raise AssertionError("a column that failed to parse holds a bad value")


def to_utc(values: Array, zone: str) -> Array:
    """Wall-clock times (timestamp[us]) of a zone as UTC (timestamp[us]).

    An hour that happens twice is its first, an hour that is skipped is the moment after the gap.

    Raises:
        MissingDependency: the system's time zone database is not installed.
    """
    if zone == "UTC":
        return values  # as they are: looking every moment up costs more than reading it
    try:
        return _naive(pc.assume_timezone(values, zone, ambiguous="earliest", nonexistent="latest"))
    except pa.ArrowInvalid as error:
        raise MissingDependency(
            f"the time zone {zone!r} can't be loaded",
            why=str(error),
            fix="install the system's zone database: apt-get install tzdata",
        ) from error
