"""Values of columns as codes of bins: of Arrow columns, of a graph's raw columns, of values of any types.

A column whose type changed is no error: what can't be a value of the column has the code `WRONG`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from headrace.core.clock import micros
from headrace.core.lazy import lazily
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.graph.buffers import Array, fixed, fixed_array, known, text_array, texts
from headrace.graph.zones import Zone
from headrace.summary.bins import FIRST, LOW, NULL, WRONG, ColumnBins, Seen, category, hours
from headrace.summary.grid import Grid, make_grid

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa = lazily("pyarrow")
    pc = lazily("pyarrow.compute")

Codes = NDArray[np.uint8]
Values: TypeAlias = Any
"""An Arrow array, a vector in raw-column form (`graph.build.INPUT_TYPES`), or a list of Python values."""

_MICRO = 1_000_000


@dataclass(frozen=True, eq=False)
class Coder:
    """One column's bins, ready for many values.

    words: the code of each frequent value; plain: those of them that are kept as they stand, and places
    their codes. clocks: the zone of times without an offset.
    """

    column: ColumnBins
    grid: Grid | None
    words: Mapping[str, int]
    plain: Array | None
    places: Codes
    seen: Seen | None
    clocks: Zone

    def code(self, values: Values) -> tuple[Codes, NDArray[np.float64] | None]:
        """Codes [n]; of a number column also the numbers, the column's center where there is none."""
        kind = self.column.type
        if isinstance(values, np.ndarray):
            return self._feed(values)
        if isinstance(values, list):
            return self._mixed(values)
        if pa.types.is_dictionary(values.type):
            return self._dictionary(values)
        if pa.types.is_null(values.type):
            return self._none(np.zeros(len(values), np.bool_))
        if kind is Type.NUMBER and _is_number(values.type):
            return self._feed(_numbers(values))
        if kind is Type.BOOL and pa.types.is_boolean(values.type):
            return self._feed(np.where(known(values), fixed(values).astype(np.float64), np.nan))
        if kind is Type.TEXT and _is_text(values.type):
            return self._texts(values), None
        if kind is Type.TIME and (pa.types.is_timestamp(values.type) or pa.types.is_date(values.type)):
            return self._feed(_times(values))
        if kind is Type.TIME and _is_text(values.type):
            return self._mixed(texts(values.cast(pa.string())))
        return self._none(known(values))

    def _feed(self, values: NDArray[Any]) -> tuple[Codes, NDArray[np.float64] | None]:
        """A vector in raw-column form."""
        kind = self.column.type
        if kind is Type.NUMBER:
            return self._number(values)
        if kind is Type.BOOL:
            there = np.isfinite(values)
            codes = np.where(there, np.where(there, values, 0.0) != 0, 0).astype(np.uint8) + np.uint8(FIRST)
            return np.where(there, codes, np.uint8(NULL)), None
        if kind is Type.TIME:
            return self._time(values), None
        return self._words(values.tolist(), NULL_TEXT), None

    def _none(self, there: NDArray[np.bool_]) -> tuple[Codes, NDArray[np.float64] | None]:
        """Values of another type: `there` says where there are any."""
        codes = np.where(there, WRONG, NULL).astype(np.uint8)
        return codes, np.full(len(codes), self.column.center) if self.column.type is Type.NUMBER else None

    def _number(self, values: NDArray[Any]) -> tuple[Codes, NDArray[np.float64]]:
        values = np.ascontiguousarray(values, dtype=np.float64)
        if self.grid is None:
            codes = np.full(len(values), self.column.high, dtype=np.uint8)
        else:
            codes = self.grid.place(values)
            codes += np.uint8(LOW)
        away = ~np.isfinite(values)
        if away.any():
            codes[away] = NULL
            values = np.where(away, self.column.center, values)
        return codes, values

    def _time(self, values: NDArray[np.int64]) -> Codes:
        there = values != NULL_TIME
        if self.column.edges:
            low, high = self.column.edges
            before, after = there & (values < low), there & (values > high)
        else:
            before, after = np.zeros(len(values), np.bool_), there
        codes = np.zeros(len(values), np.uint8)
        inside = there & ~before & ~after
        codes[inside] = hours(values[inside], self.column.zone) + FIRST
        codes[before], codes[after] = LOW, self.column.high
        return codes

    def _texts(self, values: Array) -> Codes:
        """Of a text column: frequent values by Arrow, the others one by one as far as anything is known of
        them."""
        values = values if pa.types.is_string(values.type) else values.cast(pa.string())
        there = known(values)
        codes = np.where(there, LOW, NULL).astype(np.uint8)
        if self.plain is not None:
            found = pc.index_in(values, value_set=self.plain)
            hit = known(found)
            codes[hit] = self.places[fixed(found)[hit]]
            there = there & ~hit
        if not there.any() or not self.asks:
            return codes
        rest = np.flatnonzero(there)
        others = pc.take(values, fixed_array(rest, pa.int64())).dictionary_encode()
        codes[rest] = self._words(texts(others.dictionary), None)[fixed(others.indices)]
        return codes

    @property
    def asks(self) -> bool:
        """Whether a value that is no frequent one as it stands may be something else than rare."""
        return self.column.tells_new or self.column.hashed or any(w.startswith("#") for w in self.words)

    def _words(self, words: Sequence[str | None], null: str | None) -> Codes:
        memo: dict[str | None, int] = {null: NULL}
        for word in words:
            if word not in memo and word is not None:
                memo[word] = self._word(word)
        return np.array([memo[w] for w in words], dtype=np.uint8)

    def _word(self, word: str) -> int:
        code = self.words.get(category(word, self.column.hashed))
        if code is not None:
            return code
        if not self.column.tells_new:
            return LOW
        return LOW if self.seen is not None and word in self.seen else self.column.high

    def _dictionary(self, values: Array) -> tuple[Codes, NDArray[np.float64] | None]:
        codes, numbers = self.code(values.dictionary)
        there = known(values.indices)
        at = np.where(there, fixed(values.indices), 0)
        if not len(codes):
            return self._none(np.zeros(len(values), np.bool_))
        coded = np.where(there, codes[at], np.uint8(NULL))
        return coded, None if numbers is None else np.where(there, numbers[at], self.column.center)

    def _mixed(self, values: Sequence[Any]) -> tuple[Codes, NDArray[np.float64] | None]:
        """Values one by one: each as its type says."""
        kind = self.column.type
        fed, wrong = raw(values, kind, self.clocks)
        codes, numbers = self._feed(fed)
        codes[wrong] = WRONG
        return codes, numbers


def raw(values: Sequence[Any], kind: Type, clocks: Zone) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Values of any type as a vector in raw-column form [n], and which of them are of another type than the
    column's: null there."""
    take, (null, dtype) = _TAKES[kind], _RAW[kind]
    taken = [None if v is None else take(v, clocks) for v in values]
    wrong = [t is None and v is not None for t, v in zip(taken, values, strict=True)]
    fed = np.empty(len(taken), dtype)
    fed[:] = [null if t is None else t for t in taken]
    return fed, np.array(wrong, np.bool_)


def make_coder(column: ColumnBins) -> Coder:
    """A column's bins, made ready."""
    grid = None
    if column.type is Type.NUMBER and column.edges:
        edges = np.array(column.edges)
        edges[-1] = np.nextafter(edges[-1], np.inf) if edges[-1] < np.finfo(np.float64).max else np.inf
        grid = make_grid(edges[np.isfinite(edges)])
    words = {w: FIRST + i for i, w in enumerate(column.categories)}
    plain = [] if column.hashed else [w for w in words if not w.startswith("#")]
    return Coder(
        column,
        grid,
        words,
        text_array(plain) if plain and column.type is Type.TEXT else None,
        np.array([words[w] for w in plain], dtype=np.uint8),
        Seen(column) if column.seen else None,
        Zone(column.zone or "UTC"),
    )


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _numbers(values: Array) -> NDArray[np.float64]:
    if pa.types.is_decimal(values.type):
        values = values.cast(pa.float64())
    numbers = fixed(values).astype(np.float64, copy=False)
    return numbers if values.null_count == 0 else np.where(known(values), numbers, np.nan)


def _times(values: Array) -> NDArray[np.int64]:
    """UTC microseconds; what 64 bits don't hold is null."""
    if pa.types.is_date(values.type):
        values = values.cast(pa.timestamp("ms"))
    unit = values.type.unit
    ticks = fixed(values).astype(np.int64, copy=False)
    factor = {"s": _MICRO, "ms": 1000, "us": 1, "ns": 1}[unit]
    there = known(values) & (np.abs(ticks // _MICRO) < 2**63 // _MICRO // factor - 1)
    moments = ticks // 1000 if unit == "ns" else np.where(there, ticks, 0) * factor
    return np.where(there, moments, np.int64(NULL_TIME))


def _take_number(value: Any, _: Zone) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _take_bool(value: Any, _: Zone) -> float | None:
    return float(value) if isinstance(value, bool) else None


def _take_text(value: Any, _: Zone) -> str | None:
    return value if isinstance(value, str) else None


def _take_time(value: Any, clocks: Zone) -> int | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        if not isinstance(value, date):
            return None
        value = datetime(value.year, value.month, value.day)
    if value.tzinfo is not None:
        return micros(value)
    return int(clocks.to_utc(np.array([micros(value.replace(tzinfo=UTC))]))[0])


_TAKES: Mapping[Type, Callable[[Any, Zone], Any]] = {
    Type.NUMBER: _take_number,
    Type.BOOL: _take_bool,
    Type.TEXT: _take_text,
    Type.TIME: _take_time,
}
_RAW: Mapping[Type, tuple[Any, Any]] = {
    Type.NUMBER: (math.nan, np.float64),
    Type.BOOL: (math.nan, np.float64),
    Type.TEXT: (NULL_TEXT, object),
    Type.TIME: (NULL_TIME, np.int64),
}
"""What stands for null in raw-column form, and its type."""
