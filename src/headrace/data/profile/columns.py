"""One accumulator a type of column. Each is given the column's batches in order, and returns row names."""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from headrace.core.schema import Column, Type
from headrace.data.profile.days import Days
from headrace.data.profile.distinct import Distinct
from headrace.data.profile.frequent import Frequent
from headrace.data.profile.hashing import NULL, hash_numbers, hash_texts, take_rows
from headrace.data.profile.histogram import at_levels, bars
from headrace.data.profile.moments import Ends, Moments
from headrace.data.profile.notes import masses, notes
from headrace.data.profile.quantiles import Quantiles
from headrace.data.profile.record import LEVELS, ColumnProfile, Common, Histogram, Link, Texts
from headrace.data.profile.spelling import Spelling, variants
from headrace.data.profile.values import end_of
from headrace.graph.buffers import Array, fixed, known

TOP = 10
_VARIANTS = 20


class Seen(Protocol):
    """What is known of a column so far."""

    def add(self, values: Array) -> NDArray[np.uint64]:
        """Add the next rows; returns their values' names, uint64 [rows]."""
        ...

    def finish(self, link: Link | None) -> ColumnProfile:
        """The column's profile."""
        ...


def seen_of(column: Column, zone: str) -> Seen:
    """The accumulator for a column."""
    if column.type is Type.TEXT:
        return SeenTexts(column)
    if column.type is Type.BOOL:
        return SeenFlags(column)
    return SeenNumbers(column, zone)


class SeenNumbers:
    """Numbers, and times as UTC microseconds."""

    def __init__(self, column: Column, zone: str) -> None:
        self._column = column
        self.rows = self.missing = 0
        self._time = column.type is Type.TIME
        self._distinct, self._sketch, self._moments, self._ends = Distinct(), Quantiles(), Moments(), Ends()
        self._frequent: Frequent | None = None
        self._whole = True
        self.days = Days(zone) if self._time else None

    def add(self, values: Array) -> NDArray[np.uint64]:
        numbers = self._numbers(values)
        self.rows += numbers.size
        self.missing += values.null_count
        names = hash_numbers(numbers)
        if values.null_count:
            flags = known(values)
            numbers, own = numbers[flags], names[flags]
            names[~flags] = NULL
        else:
            own = names
        if numbers.size:
            self._look(numbers, own)
        return names

    @staticmethod
    def _numbers(values: Array) -> NDArray[Any]:
        found = fixed(values)
        if found.dtype.kind == "f":
            return found.astype(np.float64, copy=False) + 0.0  # -0 + 0 is 0
        return found.astype(np.int64, copy=False)

    def _look(self, numbers: NDArray[Any], names: NDArray[np.uint64]) -> None:
        if not self._time:
            self._moments.add(numbers)
        ordered = np.sort(numbers)
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        different = ordered if starts.size == ordered.size else ordered[starts]
        counts = np.diff(starts, append=ordered.size)
        if self._whole and numbers.dtype.kind == "f":
            self._whole = bool((np.floor(different) == different).all())
        if self._frequent is None:
            self._frequent = Frequent(numbers.dtype.type)
        self._frequent.add(different, counts)
        self._distinct.add(names if different.size * 2 > names.size else hash_numbers(different))
        self._ends.add(different, counts)
        self._sketch.add(ordered)
        if self.days is not None:
            self.days.add(different, counts)

    def finish(self, link: Link | None) -> ColumnProfile:
        kind = self._column.type
        low = self._ends.low[0][0] if self._ends.low else None
        high = self._ends.high[0][0] if self._ends.high else None
        histogram = None
        if low is not None and high is not None:
            histogram = Histogram(
                *bars(self._sketch, float(low), float(high), whole=self._whole and not self._time)
            )
        most = self._frequent.most(TOP) if self._frequent else []
        top_error = self._frequent.error if self._frequent else 0
        found = ColumnProfile(
            self._column.name,
            kind,
            self._column.source_type,
            self.rows,
            self.missing,
            min(self._distinct.count, self.rows - self.missing),
            self._distinct.error,
            end_of(low, kind),
            end_of(high, kind),
            self._moments.mean,
            self._moments.std,
            at_levels(self._sketch, LEVELS),
            self._sketch.error,
            histogram,
            tuple(Common(_shown(v, kind), n) for v, n in most if n > 1 or not top_error),
            top_error,
            () if self._time else masses(self._ends),
            None,
            link,
        )
        return notes(found)


def _shown(value: Any, kind: Type) -> float | str:
    shown = end_of(value, kind)
    return "" if shown is None else shown


class SeenFlags:
    """Booleans."""

    def __init__(self, column: Column) -> None:
        self._column = column
        self.rows = self.missing = self._true = 0

    def add(self, values: Array) -> NDArray[np.uint64]:
        flags, there = fixed(values).astype(np.bool_), known(values)
        self.rows += flags.size
        self.missing += values.null_count
        self._true += int((flags & there).sum())
        names = hash_numbers(flags.astype(np.int64))
        names[~there] = NULL
        return names

    def finish(self, link: Link | None) -> ColumnProfile:
        there = self.rows - self.missing
        counts = [(True, self._true), (False, there - self._true)]
        some = sorted(((v, n) for v, n in counts if n), key=lambda v: -v[1])
        share = self._true / there if there else None
        found = ColumnProfile(
            self._column.name,
            self._column.type,
            self._column.source_type,
            self.rows,
            self.missing,
            len(some),
            mean=share,
            top=tuple(Common(v, n) for v, n in some),
            target=link,
        )
        return notes(found)


class SeenTexts:
    """Texts. What is costly is done once for the different values of a batch."""

    def __init__(self, column: Column) -> None:
        self._column = column
        self.rows = self.missing = 0
        self._distinct, self._frequent, self._spelling = Distinct(), Frequent(np.uint64), Spelling()
        self._mostly_different = False

    def add(self, values: Array) -> NDArray[np.uint64]:
        self.rows += len(values)
        self.missing += values.null_count
        return self._one_by_one(values) if self._mostly_different else self._by_codes(values)

    def _by_codes(self, values: Array) -> NDArray[np.uint64]:
        encoded = values.dictionary_encode()
        different, codes = encoded.dictionary, fixed(encoded.indices)
        self._mostly_different = len(different) * 2 > len(values) - values.null_count
        if values.null_count:
            codes = np.where(known(values), codes, len(different))
        counts = np.bincount(codes, minlength=len(different) + 1)[: len(different)]
        own = hash_texts(different)
        self._distinct.add(own)
        self._frequent.add(own, counts, partial(take_rows, different))
        self._spelling.add(different, counts)
        names: NDArray[np.uint64] = np.append(own, NULL)[codes]
        return names

    def _one_by_one(self, values: Array) -> NDArray[np.uint64]:
        """The same where most texts differ: naming every text is quicker than finding the different ones."""
        names = hash_texts(values)
        own, counts = names, np.ones(names.size, np.int64)
        flags = None
        if values.null_count:
            flags = known(values)
            counts, own = flags.astype(np.int64), names[flags]
            names[~flags] = NULL
        if not own.size:
            return names
        self._spelling.add(values, counts)
        ordered = np.sort(own)
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        different, counts = ordered[starts], np.diff(starts, append=ordered.size)
        self._mostly_different = different.size * 2 > own.size
        self._distinct.add(different)

        def spelled(which: NDArray[np.int64]) -> Array:
            rows = np.argsort(own)[starts[which]]
            return take_rows(values, rows if flags is None else np.flatnonzero(flags)[rows])

        self._frequent.add(different, counts, spelled)
        return names

    def finish(self, link: Link | None) -> ColumnProfile:
        top_error = self._frequent.error
        found = ColumnProfile(
            self._column.name,
            self._column.type,
            self._column.source_type,
            self.rows,
            self.missing,
            min(self._distinct.count, self.rows - self.missing),
            self._distinct.error,
            top=tuple(Common(v, n) for v, n in self._frequent.most(TOP) if n > 1 or not top_error),
            top_error=top_error,
            texts=self._texts(),
            target=link,
        )
        return notes(found)

    def _texts(self) -> Texts | None:
        look = self._spelling
        if look.shortest is None or look.longest is None or look.mean_length is None:
            return None
        groups = variants(self._frequent.most(len(self._frequent)))
        return Texts(
            look.shortest,
            look.mean_length,
            look.longest,
            look.empty,
            look.spaced,
            look.numbers,
            look.dates,
            tuple(tuple(Common(v, n) for v, n in g) for g in groups[:_VARIANTS]),
            self._frequent.error == 0,
        )


def is_numeric(column: Column) -> bool:
    """Whether correlations speak of the column."""
    return column.type in (Type.NUMBER, Type.BOOL)
