"""Rows of a table as facts of an online store: the same way from a snapshot and from what arrives.

A fact's values are computed once, here, by the graph that training uses. What a fact is called, and what it
says, depends on its values alone, never on how a file or a request spells them: 3 is 3.0.

This room needs numpy, pyarrow, msgspec and onnxruntime alone: serving imports it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.core.feed import Feed, Newest, Window
from headrace.core.lazy import lazily
from headrace.core.online import Fact, Place
from headrace.core.schema import NULL_TIME, Type
from headrace.data.cells import Value
from headrace.data.feed import feed as raw_column
from headrace.data.feed import there
from headrace.data.history.index import OUTPUT
from headrace.data.lookup import moments_of
from headrace.graph.buffers import Array, fixed, known, texts
from headrace.graph.run import Runner

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = lazily("pyarrow")

Codes = Callable[[Sequence[str]], list[int]]

_encode = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
_NUMBER = struct.Struct("<d")
_WHOLE = struct.Struct("<q")
_LARGEST = 2**63


class Facts:
    """Makes facts of one feed's rows. `graph` is the feed's, `codes` gives numbers for texts in cells
    (`OnlineStore.codes`). Safe for use by several threads."""

    def __init__(self, feed: Feed, graph: bytes | None, codes: Codes) -> None:
        self.feed = feed
        self._runner = None if graph is None else Runner(graph)
        self._codes = codes
        inputs = {} if self._runner is None else self._runner.inputs
        newest = () if feed.newest is None else feed.newest.columns
        self.reads = tuple(
            dict.fromkeys([*([feed.id] if feed.id else []), *feed.keys, *feed.times, *newest, *inputs])
        )
        """The columns that it reads."""
        self.names = (feed.id,) if feed.id else tuple(dict.fromkeys([*feed.keys, *feed.times]))
        """The columns that name a fact, where nothing else does."""
        # What facts say can be compared only where the same columns were read.
        self._make = blake2b(_encode(sorted(self.reads)), digest_size=2).digest()

    def of(
        self,
        columns: Mapping[str, Array],
        rows: int,
        *,
        names: Sequence[bytes] | None = None,
        bodies: Sequence[bytes] | None = None,
    ) -> list[Fact]:
        """The facts of rows in snapshot form; `columns` hold all of `reads`. `names` are the facts' names
        where they are given (by their columns `names` otherwise)."""
        values = {n: plain_values(columns[n], self.feed.columns[n]) for n in self.reads}
        names = names or _names([values[n] for n in self.names])
        content = self._content(values)
        moments = np.full(rows, NULL_TIME, np.int64)
        places: list[list[Place]] = [[] for _ in range(rows)]
        if self.feed.newest is not None:
            np.maximum(moments, _put_newest(self.feed.newest, columns, values, places), out=moments)
        computed = self._computed(columns, rows)
        for window in self.feed.windows:
            seen = self._put_window(window, columns, values, computed, places)
            np.maximum(moments, seen, out=moments)
        told = bodies or [b""] * rows
        return [
            Fact(*f) for f in zip(names, content, moments.tolist(), map(tuple, places), told, strict=True)
        ]

    def names_of(self, columns: Mapping[str, Array]) -> list[bytes]:
        """Names of rows by the columns `names`."""
        return _names([plain_values(columns[n], self.feed.columns[n]) for n in self.names])

    def _content(self, values: Mapping[str, Sequence[Value]]) -> list[bytes]:
        ordered = [_told(values[n], self.feed.columns[n]) for n in sorted(self.reads)]
        rest = [blake2b(_encode(row), digest_size=6).digest() for row in zip(*ordered, strict=True)]
        return [self._make + r for r in rest]

    def _computed(self, columns: Mapping[str, Array], rows: int) -> dict[str, NDArray[Any]]:
        """The expressions' values, by their text."""
        if self._runner is None or not rows:
            return {}
        feeds = {n: raw_column(columns[n], kind) for n, kind in self._runner.inputs.items()}
        return {n.removeprefix(OUTPUT): v for n, v in self._runner.run(feeds, rows).items()}

    def _put_window(
        self,
        window: Window,
        columns: Mapping[str, Array],
        values: Mapping[str, Sequence[Value]],
        computed: Mapping[str, NDArray[Any]],
        places: list[list[Place]],
    ) -> NDArray[np.int64]:
        """Places in a history's stream of the rows that count for it; when each row was known."""
        rows = len(places)
        on, seen = moments_of([columns[t] for t in window.times], rows)
        counts = seen != NULL_TIME
        if window.where is not None and rows:
            counts &= computed[window.where] == 1.0
        held = None if window.value is None or not rows else computed[window.value]
        if held is not None:
            counts &= there(held, window.value_type or Type.NUMBER)
        chosen = np.flatnonzero(counts)
        cells = self._cells(window.value_type, held, chosen)
        keys = keys_of([values[k] for k in window.by], rows)
        stream = window.stream.name
        for row, cell, o, s in zip(
            chosen.tolist(), cells, on[chosen].tolist(), seen[chosen].tolist(), strict=True
        ):
            key = keys[row]
            if key is not None:
                places[row].append(Place(stream, key, o, s, cell))
        return seen

    def _cells(self, kind: Type | None, held: NDArray[Any] | None, chosen: NDArray[np.int64]) -> list[bytes]:
        """Values as eight bytes each: doubles and times as they are, texts as their numbers."""
        if held is None:
            return [bytes(8)] * len(chosen)
        if kind is Type.TEXT:
            return [_WHOLE.pack(c) for c in self._codes(held[chosen].tolist())]
        if kind is Type.TIME:
            return [_WHOLE.pack(v) for v in held[chosen].tolist()]
        return [_NUMBER.pack(v) for v in (held[chosen] + 0.0).tolist()]  # minus zero is zero


def _put_newest(
    newest: Newest,
    columns: Mapping[str, Array],
    values: Mapping[str, Sequence[Value]],
    places: list[list[Place]],
) -> NDArray[np.int64]:
    """Places in a lookup's stream; when each row was known."""
    on, seen = moments_of([columns[t] for t in newest.times], len(places))
    keys = keys_of([values[k] for k in newest.by], len(places))
    stream = newest.stream.name
    payloads = zip(*(values[c] for c in newest.columns), strict=True)
    for at, key, payload, o, s in zip(places, keys, payloads, on.tolist(), seen.tolist(), strict=True):
        if key is not None and s != NULL_TIME:
            at.append(Place(stream, key, o, s, _pack(payload)))
    return seen


def _names(columns: Sequence[Sequence[Value]]) -> list[bytes]:
    return [name_of(parts) for parts in zip(*columns, strict=True)]


def name_of(parts: Sequence[Value]) -> bytes:
    """A fact's name by these values."""
    return blake2b(_encode([_plain(p) for p in parts]), digest_size=16).digest()


def key_of(parts: Sequence[Value]) -> bytes | None:
    """The key that rows with these values lie under; None where one of them is null."""
    if None in parts:
        return None
    for part in parts:
        if type(part) is float:
            return _encode([_plain(p) for p in parts])
    return _encode(parts)


def keys_of(columns: Sequence[Sequence[Value]], rows: int) -> list[bytes | None]:
    """`key_of` every row; without columns one key for all."""
    return [key_of(parts) for parts in zip(*columns, strict=True)] if columns else [b"[]"] * rows


def _told(values: Sequence[Value], kind: Type) -> Sequence[Value]:
    """Values as what a fact says: numbers as the doubles that they are computed with."""
    return [None if v is None else float(v) for v in values] if kind is Type.NUMBER else values


def _plain(value: Value) -> Value:
    """Equal numbers alike: whole ones as int, -0.0 as 0."""
    if type(value) is float and value.is_integer() and -_LARGEST <= value < _LARGEST:
        return int(value)
    return value


def plain_values(values: Array, kind: Type) -> list[Value]:
    """A column in snapshot form as Python values: times as UTC microseconds, null as None."""
    if kind is Type.TEXT:
        return list(texts(values.cast(pa.string()) if values.type != pa.string() else values))
    plain = fixed(values).tolist()
    if not values.null_count:
        return list(plain)
    return [v if k else None for v, k in zip(plain, known(values).tolist(), strict=True)]
