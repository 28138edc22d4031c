"""The arithmetic of histories: one function, for whole tables and for single requests.

Rows lie in order, and every event has a slice of them. What comes out depends on the rows in the slice and
their order alone, so that batches, single requests and stores elsewhere agree to the last bit:

- sums are numpy's pairwise sums over the rows of the slice; where all values of a table are multiples of one
  power of two and add up to less than 2^53 of it (counts, truths, whole minutes), every order of adding gives
  the same number, and differences of running sums are taken instead;
- `stddev` is the sample's (n - 1), from the deviations from the mean, and null for one row;
- `quantile` is interpolated linearly between order statistics (Hyndman and Fan 1996, type 7; SQL's
  percentile_cont).

This room needs numpy alone: serving imports it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.history import History
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type

Ints = NDArray[np.int64]
Values = NDArray[Any]

CHUNK = 1_000_000
"""Rows gathered at once; a longer slice is gathered whole."""

_EXACT = 2.0**53
_FEW = 1_000
"""Fewer values are added for each slice: that takes less than to find out whether running sums are exact."""


@dataclass(frozen=True, eq=False)
class Past:
    """The rows of a table that can count for a history, each [rows], in order of (key, on, known, position).

    `on` and `known` are UTC microseconds. `values` are in the form of raw columns (`graph.build`): float64
    for numbers and truths, int64 for times, objects for text; none of them null. None: rows themselves.
    """

    on: Ints
    known: Ints
    values: Values | None

    @property
    def held(self) -> Values:
        """The values.

        Raises:
            ValueError: there are none.
        """
        if self.values is None:
            raise ValueError("the rows have no values to aggregate")
        return self.values

    @cached_property
    def running(self) -> NDArray[np.float64] | None:
        """Sums up to each row, [rows + 1]; None where they would not be exact."""
        v = self.values
        if v is None or v.dtype != np.float64 or len(v) < _FEW:
            return None
        scaled = np.ldexp(v, _places(v))
        # Beyond 2^53 a sum is rounded; the bound itself may be, by far less than a half.
        if not np.abs(scaled).sum() < _EXACT / 2 or (scaled != np.rint(scaled)).any():
            return None
        return np.concatenate([[0.0], np.cumsum(v)])


def _places(values: NDArray[np.float64]) -> int:
    """Binary places that make the first few values whole; the rest has to agree."""
    for places in range(11):
        scaled = np.ldexp(values[:1000], places)
        if (scaled == np.rint(scaled)).all():
            return places
    return 0


def aggregate(
    history: History, past: Past, starts: Ints, ends: Ints, moments: Ints, settled: Ints | None = None
) -> Values:
    """The history's value for each event, in the form of a raw column [events].

    Event i has the rows [starts[i], ends[i]) of `past`, all of one key, and of them those that were known
    strictly before moments[i] (UTC microseconds). `settled[i]` says up to where all of them were: rows before
    it are not looked at one by one. None: every row of every slice was known.
    """
    if settled is None:
        return _over(history, past, starts, ends, moments)
    settled = np.clip(settled, starts, ends)
    if (settled == ends).all():
        return _over(history, past, starts, ends, moments)
    simple = _simple(history.function, past)
    parts = []
    for i, j in _chunks(ends - (settled if simple else starts)):
        at = slice(i, j)
        work = _joined if simple else _filtered
        parts.append(work(history, past, starts[at], settled[at], ends[at], moments[at]))
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _simple(function: str, past: Past) -> bool:
    """Whether a slice's value follows from those of its two halves."""
    if function in ("sum", "avg", "share"):
        return past.running is not None
    return function in ("count", "first", "last", "since_last")


def _filtered(history: History, past: Past, starts: Ints, settled: Ints, ends: Ints, moments: Ints) -> Values:
    """Of each slice the rows that were known."""
    del settled
    known, first, last = _known(past, starts, ends, moments)
    return _over(history, known, first, last, moments)


def _known(past: Past, starts: Ints, ends: Ints, moments: Ints) -> tuple[Past, Ints, Ints]:
    """The rows of the slices that were known, one slice behind the other, and where each begins and ends."""
    rows, event = _rows(starts, ends)
    keep = past.known[rows] < moments[event]
    rows = rows[keep]
    last = np.cumsum(np.bincount(event[keep], minlength=len(starts)))
    first = np.concatenate([[0], last[:-1]])
    values = None if past.values is None else past.values[rows]
    return Past(past.on[rows], past.known[rows], values), first, last


def _joined(history: History, past: Past, starts: Ints, settled: Ints, ends: Ints, moments: Ints) -> Values:
    """Slices whose rows were all known up to `settled`; of the rest the rows that were known."""
    known, first, last = _known(past, settled, ends, moments)
    function = history.function
    if function in ("first", "last", "since_last"):
        newer = _over(history, known, first, last, moments)
        older = _over(history, past, starts, settled, moments)
        return np.where((settled > starts) if function == "first" else (last <= first), older, newer)
    counts = (settled - starts) + (last - first)
    if function == "count":
        return counts.astype(np.float64)
    running = past.running
    if running is None:
        raise ValueError("sums that are not exact can't be joined")
    tail = _sums(known.held, first, last)
    return _of_sum(function, running[settled] - running[starts] + tail, counts)


def _over(history: History, past: Past, starts: Ints, ends: Ints, moments: Ints) -> Values:
    """The history over all rows of each slice."""
    function, counts = history.function, ends - starts
    if function == "count":
        return counts.astype(np.float64)
    if function == "since_last":
        newest = past.on[np.maximum(ends - 1, 0)] if len(past.on) else np.zeros(len(ends), np.int64)
        return np.where(counts > 0, (moments - newest) / 1e6, np.nan)
    values = past.held
    if function in ("first", "last"):
        return _picked(history.type, values, starts if function == "first" else ends - 1, counts > 0)
    if function in ("sum", "avg", "share") and past.running is not None:
        return _of_sum(function, past.running[ends] - past.running[starts], counts)
    parts = []
    for i, j in _chunks(counts):
        packed, first = _packed(values, starts[i:j], ends[i:j])
        parts.append(_reduced(history, packed, first, counts[i:j]))
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _picked(kind: Type, values: Values, at: Ints, found: NDArray[np.bool_]) -> Values:
    """The value at a row of each slice, null where the slice is empty."""
    null: Any = {Type.TEXT: NULL_TEXT, Type.TIME: np.int64(NULL_TIME)}.get(kind, np.nan)
    if not len(values):
        column = np.empty(len(at), dtype=values.dtype)
        column[:] = null
        return column
    picked = values[np.where(found, at, 0)]
    picked[~found] = null
    return picked


def _reduced(history: History, packed: Values, first: Ints, counts: Ints) -> Values:
    """What needs every row of the slices, which lie one behind the other."""
    function = history.function
    if function in ("min", "max"):
        worst = np.minimum if function == "min" else np.maximum
        full = counts > 0
        found = np.full(len(counts), np.nan) if packed.dtype == np.float64 else _no_times(len(counts))
        if full.any():
            found[full] = worst.reduceat(packed, first[full])
        return found
    if function in ("sum", "avg", "share"):
        return _of_sum(function, _sums(packed, first, first + counts), counts)
    if function == "stddev":
        return _stddev(packed, first, counts)
    event = np.repeat(np.arange(len(counts)), counts)
    if function == "distinct":
        codes = packed if packed.dtype != np.object_ else np.unique(packed, return_inverse=True)[1]
        order = np.lexsort((codes, event))
        codes, event = codes[order], event[order]
        new = np.ones(len(codes), np.bool_)
        new[1:] = (codes[1:] != codes[:-1]) | (event[1:] != event[:-1])
        return np.bincount(event[new], minlength=len(counts)).astype(np.float64)
    return _quantile(packed[np.lexsort((packed, event))], first, counts, history.argument or 0.0)


def _no_times(count: int) -> Ints:
    return np.full(count, NULL_TIME, np.int64)


def _of_sum(function: str, sums: NDArray[np.float64], counts: Ints) -> NDArray[np.float64]:
    """A sum or a mean; null without rows. Beyond the range of doubles it is null, as everywhere."""
    sums = np.where(counts > 0, sums + 0.0, np.nan)  # minus zero is zero
    found = sums if function == "sum" else sums / np.maximum(counts, 1)
    return np.where(np.isinf(found), np.nan, found)


def _sums(packed: NDArray[np.float64], first: Ints, last: Ints) -> NDArray[np.float64]:
    """The sum of each slice; slices lie one behind the other and cover everything."""
    sums = np.zeros(len(first))
    full = last > first
    if full.any():
        with np.errstate(over="ignore", invalid="ignore"):
            sums[full] = np.add.reduceat(packed, first[full])
    return sums


def _stddev(packed: NDArray[np.float64], first: Ints, counts: Ints) -> NDArray[np.float64]:
    with np.errstate(over="ignore", invalid="ignore"):
        means = _sums(packed, first, first + counts) / np.maximum(counts, 1)
        squares = np.square(packed - np.repeat(means, counts))
        found = np.sqrt(_sums(squares, first, first + counts) / np.maximum(counts - 1, 1))
    return np.where((counts > 1) & np.isfinite(found), found, np.nan)


def _quantile(ordered: NDArray[np.float64], first: Ints, counts: Ints, q: float) -> NDArray[np.float64]:
    if not len(ordered):
        return np.full(len(counts), np.nan)
    place = q * np.maximum(counts - 1, 0)
    below = np.floor(place).astype(np.int64)
    last = len(ordered) - 1
    low = ordered[np.minimum(first + below, last)]
    high = ordered[np.minimum(first + np.minimum(below + 1, np.maximum(counts - 1, 0)), last)]
    return np.where(counts > 0, low + (high - low) * (place - below), np.nan)


def _packed(values: Values, starts: Ints, ends: Ints) -> tuple[Values, Ints]:
    """The values of all slices one behind the other, and where each begins."""
    if len(starts) == 1:
        return values[starts[0] : ends[0]], np.zeros(1, np.int64)
    counts = ends - starts
    return values[_rows(starts, ends)[0]], np.cumsum(counts) - counts


def _rows(starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """The rows of all slices, and the event of each."""
    counts = ends - starts
    before = np.cumsum(counts) - counts
    event = np.repeat(np.arange(len(starts)), counts)
    return np.arange(int(counts.sum())) + (starts - before)[event], event


def _chunks(counts: Ints) -> Iterator[tuple[int, int]]:
    """Cut the events where their rows reach `CHUNK`."""
    if len(counts) == 1:
        yield 0, 1
        return
    total = np.cumsum(counts)
    at = 0
    while at < len(counts):
        done = int(total[at - 1]) if at else 0
        to = max(at + 1, int(np.searchsorted(total, done + CHUNK, side="right")))
        yield at, to
        at = to
    if not len(counts):
        yield 0, 0
