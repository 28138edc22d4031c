"""JSON rows to graph feeds: what a request holds, strictly typed, every mistake named by its field.

Equal values give the very feeds that `graph.encode.encode_batch` gives for a snapshot, time zones included.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date
from functools import cached_property
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from headrace.core.errors import DataError, Problem, did_you_mean
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.graph.moments import parse_time, told_micros
from headrace.graph.zones import DAY, Zone

_WANTED = {
    Type.NUMBER: "a number, such as 12.5",
    Type.BOOL: "true or false",
    Type.TEXT: "a string",
    Type.TIME: "a time, such as 2013-06-01T05:15:00-04:00",
}


def encode_rows(
    rows: Sequence[Mapping[str, Any]],
    types: Mapping[str, Type],
    *,
    zone: str,
    required: Collection[str] = (),
    where: str = "",
) -> dict[str, np.ndarray]:
    """Rows of a request as graph feeds: `RowEncoder(types, zone=zone, required=required).encode(rows)`.

    Whoever encodes many requests keeps a `RowEncoder`, which remembers the clocks of days it has seen.
    """
    return RowEncoder(types, zone=zone, required=required).encode(rows, where=where)


class RowEncoder:
    """Encodes JSON-like rows against one schema. Holds no rows; safe for use by several threads.

    - number: int or float, not a bool, not a string
    - bool: true or false
    - text: a string without U+0000
    - time: an RFC 3339 string; without an offset, or a date alone, it is local time of `zone`, the earlier
      moment where clocks show it twice, the end of the gap where they never show it (as ingest does).
      Python's `datetime` and `date` are taken likewise. Digits beyond microseconds are dropped.
    - null and an absent field are null; a field in `required` has to be there, though it may be null

    hidden: columns of personal data, whose values no message shows.
    """

    def __init__(
        self,
        types: Mapping[str, Type],
        *,
        zone: str,
        required: Collection[str] = (),
        hidden: Collection[str] = (),
    ) -> None:
        """Raises DataError for a zone that is not known."""
        self._types = dict(types)
        self._hidden = frozenset(hidden)
        self._zone = Zone(zone)
        self._required = tuple(n for n in self._types if n in set(required))
        self._names = tuple(self._types)
        of = {kind: [n for n in self._names if self._types[n] is kind] for kind in Type}
        self.order = (*of[Type.NUMBER], *of[Type.BOOL], *of[Type.TEXT], *of[Type.TIME])
        self._pick = itemgetter(*self.order) if len(self.order) > 1 else None
        numbers, floats = len(of[Type.NUMBER]), len(of[Type.NUMBER]) + len(of[Type.BOOL])
        self.floats = floats
        self._cuts = (numbers, floats, floats + len(of[Type.TEXT]))
        self._seen: set[tuple[type, ...]] = set()  # what the types of rows' values were, where they are sound

    def encode(self, rows: Sequence[Mapping[str, Any]], *, where: str = "") -> dict[str, np.ndarray]:
        """Feeds for `rows`, in order; every column of the schema is there, also for no rows at all.

        Raises:
            DataError: every unknown field, missing required field and wrong value of every row, at once; a
                problem's `where` is the field, below the given one ("rows[3].dep"; just "dep" for one row).
        """
        feeds = self.plain(rows)
        return self.thorough(rows, where=where) if feeds is None else feeds

    def plain(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray] | None:
        """As `encode`, where every row is complete and nothing else is in it; None where anything is out of
        the ordinary, or wrong."""
        if len(rows) == 1:
            row = self.row(rows[0])
            return None if row is None else row.arrays()
        wide = len(self._names)
        if self._pick is None or {*map(type, rows)} != {dict} or {*map(len, rows)} != {wide}:
            return None
        try:
            columns = list(zip(*map(self._pick, rows), strict=True))
        except KeyError:
            return None
        number, boolean, text = self._cuts
        if not (
            _NUMBERS.issuperset(map(type, chain.from_iterable(columns[:number])))
            and _BOOLS.issuperset(map(type, chain.from_iterable(columns[number:boolean])))
            and _TEXTS.issuperset(map(type, chain.from_iterable(columns[boolean:text])))
            and not any(NULL_TEXT in "".join([v for v in c if v is not None]) for c in columns[boolean:text])
        ):
            return None
        for at in range(text, wide):
            columns[at] = tuple([self._moment(v) for v in columns[at]])
            if None in columns[at]:
                return None
        try:
            floats = np.array(columns[:boolean], dtype=np.float64)
        except OverflowError:
            return None
        return None if np.isinf(floats).any() else self.arrays(columns, floats)

    def row(self, row: Any) -> Row | None:
        """One complete, well-typed row in microseconds; None where anything is out of the ordinary."""
        if type(row) is not dict or len(row) != len(self._names) or self._pick is None:
            return None
        try:
            values = self._pick(row)
        except KeyError:
            return None
        number, boolean, text = self._cuts
        kinds = tuple(map(type, values))
        if kinds not in self._seen:
            if not (
                _NUMBERS.issuperset(kinds[:number])
                and _BOOLS.issuperset(kinds[number:boolean])
                and _TEXTS.issuperset(kinds[boolean:text])
            ):
                return None
            if len(self._seen) < _MOST_SEEN:
                self._seen.add(kinds)
        for value in values[:number]:
            if value is not None and (value > _LARGEST or value < -_LARGEST):
                return None
        for value in values[boolean:text]:
            if value is not None and NULL_TEXT in value:
                return None
        if text < len(values):
            moments = [self._moment(v) for v in values[text:]]
            if None in moments:
                return None
            values = (*values[:text], *moments)
        return Row(self, values)

    def arrays(self, columns: Sequence[Sequence[Any]], floats: np.ndarray) -> dict[str, np.ndarray]:
        """Columns of checked values, in this encoder's order, as feeds. floats: the values of numbers and
        truths, column after column (None becomes NaN)."""
        _, boolean, text = self._cuts
        rows = len(columns[0])
        # One array a type, its rows as the columns: an array a column would cost four times as much.
        feeds = [*floats.reshape(-1, rows)]
        for column in columns[boolean:text]:
            texts = np.empty(rows, dtype=object)
            texts[:] = [NULL_TEXT if v is None else v for v in column] if None in column else column
            feeds.append(texts)
        if text < len(columns):
            feeds += [*np.array(columns[text:], dtype=np.int64)]
        return dict(zip(self.order, feeds, strict=True))

    def refilled(self, cells: Sequence[Any]) -> dict[str, np.ndarray]:
        """See `Row.lent`."""
        floats, texts, times, feeds = self._lent
        _, boolean, text = self._cuts
        floats[:] = cells[:boolean]  # None becomes NaN
        if boolean < text:
            texts[:] = [NULL_TEXT if v is None else v for v in cells[boolean:text]]
        if text < len(cells):
            times[:] = cells[text:]
        return feeds

    @cached_property
    def _lent(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        _, boolean, text = self._cuts
        floats, texts = np.empty(boolean), np.empty(text - boolean, dtype=object)
        times = np.empty(len(self.order) - text, dtype=np.int64)
        cells = chain(*(a.reshape(-1, 1) for a in (floats, texts, times)))
        return floats, texts, times, dict(zip(self.order, cells, strict=True))

    def _moment(self, value: Any) -> int | None:
        """UTC microseconds of a plain time; None where the slow path has to look."""
        if value is None:
            return NULL_TIME
        parsed = parse_time(value)
        if parsed is None:
            return None
        told = told_micros(parsed)
        if parsed.tzinfo is not None:
            return told
        offset = self._zone.offset(told // DAY)
        return None if offset is None else told + offset

    def thorough(self, rows: Sequence[Mapping[str, Any]], *, where: str = "") -> dict[str, np.ndarray]:
        """As `encode`, for who knows that `plain` gives nothing: it is not tried again."""
        problems: list[tuple[int, Problem]] = []
        good: list[Mapping[str, Any]] = []
        for i, row in enumerate(rows):
            spot = _Spot(where, i if len(rows) > 1 else None)
            if isinstance(row, Mapping):
                problems += [(i, p) for p in self._misfits(row, spot)]
                good.append(row)
            else:
                problems.append(
                    (i, Problem(f"a row has to be an object, not {sort_of(row)}", where=spot.row()))
                )
                good.append({})
        feeds: dict[str, np.ndarray] = {}
        for name, kind in self._types.items():
            tell = sort_of if name in self._hidden else _shown
            column, wrong = self._column(kind, [row.get(name) for row in good], tell)
            feeds[name] = column
            for i, problem in wrong:
                spot = _Spot(where, i if len(rows) > 1 else None)
                problems.append((i, Problem(problem.what, spot.field(name), problem.why, problem.fix)))
        if problems:
            raise DataError.of([p for _, p in sorted(problems, key=lambda pair: pair[0])])
        return feeds

    def _misfits(self, row: Mapping[str, Any], spot: _Spot) -> list[Problem]:
        missing = [
            Problem(
                "the field is missing", where=spot.field(n), fix=f"send {_WANTED[self._types[n]]}, or null"
            )
            for n in self._required
            if n not in row
        ]
        unknown = [
            Problem("unknown field", where=spot.field(str(n)), fix=did_you_mean(str(n), self._names))
            for n in row
            if n not in self._types
        ]
        return missing + unknown

    def _column(
        self, kind: Type, values: list[Any], tell: Callable[[Any], str]
    ) -> tuple[np.ndarray, list[tuple[int, Problem]]]:
        """Values as a feed, and what is wrong with some; tell: what a message says of a value."""
        if kind is Type.TIME:
            return self._time_column(values, tell)
        check = {Type.NUMBER: _check_number, Type.BOOL: _check_bool, Type.TEXT: _check_text}[kind]
        wrong = [(i, p) for i, v in enumerate(values) if v is not None and (p := check(v, tell)) is not None]
        if kind is Type.TEXT:
            column = np.empty(len(values), dtype=object)
            column[:] = [NULL_TEXT if v is None else v for v in values]
            return column, wrong
        if wrong:
            return np.empty(0), wrong
        floats = np.array([np.nan if v is None else float(v) for v in values], dtype=np.float64)
        return np.where(np.isinf(floats), np.nan, floats), wrong

    def _time_column(
        self, values: list[Any], tell: Callable[[Any], str]
    ) -> tuple[np.ndarray, list[tuple[int, Problem]]]:
        wrong: list[tuple[int, Problem]] = []
        column = np.full(len(values), NULL_TIME, dtype=np.int64)
        naive = np.zeros(len(values), dtype=bool)
        for i, value in enumerate(values):
            if value is None:
                continue
            parsed = parse_time(value)
            if parsed is None:
                wrong.append((i, _wrong(Type.TIME, value, tell)))
                continue
            column[i] = told_micros(parsed)
            naive[i] = parsed.tzinfo is None
        if naive.any():
            column[naive] = self._zone.to_utc(column[naive])
        return column, wrong


class Row(Mapping[str, np.ndarray]):
    """A plain row as feeds, which become arrays when one is asked for: those of rows that are answered
    together are made together."""

    __slots__ = ("_encoder", "_made", "cells")

    def __init__(self, encoder: RowEncoder, cells: tuple[Any, ...]) -> None:
        self.cells = cells
        self._encoder = encoder
        self._made: dict[str, np.ndarray] | None = None

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._encoder.order)

    def __len__(self) -> int:
        return len(self.cells)

    def arrays(self) -> dict[str, np.ndarray]:
        """The feeds."""
        if self._made is None:
            floats = np.array(self.cells[: self._encoder.floats], dtype=np.float64)
            self._made = self._encoder.arrays([(c,) for c in self.cells], floats)
        return self._made

    def lent(self) -> dict[str, np.ndarray]:
        """The feeds in arrays that the next row which asks for such fills again: for one thread, and for who
        keeps nothing of them. Half of what new ones cost."""
        return self._encoder.refilled(self.cells)

    @staticmethod
    def joined(rows: Sequence[Row]) -> dict[str, np.ndarray]:
        """The feeds of several rows of one encoder."""
        encoder = rows[0]._encoder
        columns = list(zip(*[r.cells for r in rows], strict=True))
        return encoder.arrays(columns, np.array(columns[: encoder.floats], dtype=np.float64))


_LARGEST = sys.float_info.max
_MOST_SEEN = 1024
_NUMBERS = frozenset({int, float, type(None)})
_BOOLS = frozenset({bool, type(None)})
_TEXTS = frozenset({str, type(None)})
_SORTS: Mapping[type, str] = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    Mapping: "an object",
    date: "a time",
}


class _Spot:
    """Where in a request: a prefix, and a row unless there is but one."""

    def __init__(self, where: str, row: int | None) -> None:
        self._parts = [p for p in (where, "" if row is None else f"rows[{row}]") if p]

    def row(self) -> str:
        return ".".join(self._parts)

    def field(self, name: str) -> str:
        return ".".join([*self._parts, name])


def sort_of(value: Any) -> str:
    """What kind of JSON a value is, for messages that must not show it.

    >>> sort_of("ann@example.org"), sort_of([1])
    ('text', 'a list')
    """
    return next((told for kind, told in _SORTS.items() if isinstance(value, kind)), type(value).__name__)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _wrong(kind: Type, value: Any, tell: Callable[[Any], str]) -> Problem:
    return Problem(f"expected {kind.value}, found {tell(value)}", fix=f"send {_WANTED[kind]}, or null")


def _check_number(value: Any, tell: Callable[[Any], str]) -> Problem | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return _wrong(Type.NUMBER, value, tell)
    try:
        float(value)
    except OverflowError:
        return Problem("the number is larger than a double holds", fix="send null, or a number below 1.8e308")
    return None


def _check_bool(value: Any, tell: Callable[[Any], str]) -> Problem | None:
    return None if isinstance(value, bool) else _wrong(Type.BOOL, value, tell)


def _check_text(value: Any, tell: Callable[[Any], str]) -> Problem | None:
    if not isinstance(value, str):
        return _wrong(Type.TEXT, value, tell)
    if NULL_TEXT in value:
        return Problem(
            "the text holds the character U+0000",
            why="it stands for null inside a model graph",
            fix="send the text without it, or null",
        )
    return None
