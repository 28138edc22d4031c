"""What an online store knows at a moment: rows of lookups, and histories by the kernel of training.

This room needs numpy and msgspec alone: serving imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.core.feed import Newest, Window
from headrace.core.history import History
from headrace.core.online import Found
from headrace.core.ports import OnlineStore
from headrace.core.schema import Type
from headrace.data.cells import Value
from headrace.data.history.index import plain
from headrace.data.history.kernel import Past, aggregate
from headrace.data.online.facts import key_of

_unpack = msgspec.msgpack.Decoder().decode
_ALWAYS = 2**63 - 1
_EVER = -(2**63)
_FIRST = np.zeros(1, np.int64)
_NO_ROWS = np.empty((0, 4), np.int64)


MISSING, STALE = "missing", "stale"

Looked = tuple[dict[str, Value] | None, str]
"""A row's values by column, or None and why: `MISSING` where no row of the key was known, `STALE` where the
newest that was known is older than it may be."""

_MISSING: Looked = (None, MISSING)
_STALE: Looked = (None, STALE)


class Rows:
    """A lookup's rows, ready to be asked. `ttl_us` is how old a row may be (None: as old as it is)."""

    def __init__(self, store: OnlineStore, newest: Newest, ttl_us: int | None) -> None:
        self.columns = newest.columns
        self._store = store
        self._stream = newest.stream.name
        self._timed = bool(newest.times)
        self._ttl = ttl_us if self._timed else None
        self._decode = _decoder(self.columns)

    def find(self, keys: Sequence[Sequence[Value]], moments: Sequence[int | None]) -> list[Looked]:
        """The newest row of each key that was known at its moment (UTC microseconds; None: at none), as
        `LookupTable.find` gives it. Times in keys and values are UTC microseconds."""
        at = moments if self._timed else [_ALWAYS] * len(moments)
        asked = list(zip(map(key_of, keys), at, strict=True))
        asks = [(key, moment) for key, moment in asked if key is not None and moment is not None]
        told = self._store.newest(self._stream, asks)
        if len(asks) == len(keys) and None not in told:
            found = [f for f in told if f is not None]
            if self._fresh(asks, found):
                return self._values(found)
        answers = [_MISSING] * len(keys)
        spots = [i for i, a in enumerate(asked) if None not in a]
        for i, ask, one in zip(spots, asks, told, strict=True):
            if one is not None:
                answers[i] = self._values([one])[0] if self._fresh([ask], [one]) else _STALE
        return answers

    def _fresh(self, asks: Sequence[tuple[bytes, int]], found: Sequence[Found]) -> bool:
        """Whether surely no row is too old: of several rows, the oldest at the latest moment."""
        if self._ttl is None or not found:
            return True
        return max([at for _, at in asks]) - min([f[1] for f in found]) <= self._ttl

    def _values(self, found: Sequence[Found]) -> list[Looked]:
        """Rows by column: decoded as one list, which is quicker than one by one."""
        packed = b"\xdd" + len(found).to_bytes(4, "big") + b"".join([f[0] for f in found])
        return [(row, "") for row in self._decode(packed)]


def _decoder(columns: tuple[str, ...]) -> Callable[[bytes], Iterable[dict[str, Value]]]:
    """What makes rows by column of a list of lists of values, as wide as there are columns.

    A record with named fields becomes a dictionary in a third of the time that it takes to pair names with
    values; names that can't be fields are paired.
    """
    if all(c.isidentifier() and not c.startswith("__") for c in columns):
        fields = [(c, Any) for c in columns]
        row = msgspec.defstruct("Row", fields, array_like=True, forbid_unknown_fields=True)
        decode = msgspec.msgpack.Decoder(list[row]).decode  # type: ignore[valid-type]  # made just now
        return lambda packed: map(msgspec.structs.asdict, decode(packed))
    return lambda packed: [dict(zip(columns, values, strict=True)) for values in _unpack(packed)]


class Histories:
    """The histories of one stream, ready to be asked."""

    def __init__(self, store: OnlineStore, histories: Sequence[History]) -> None:
        self.histories = tuple(histories)
        self.window = Window.of(histories[0])
        self._store = store
        self._stream = self.window.stream.name
        widths = [h.window_us for h in histories]
        self._widest = None if None in widths else max(w for w in widths if w is not None)

    def find(self, parts: Sequence[Value], moment: int | None) -> tuple[dict[str, Value], bool]:
        """By name every history of a key at a moment, null as None; and whether nothing at all is known of
        the key (or the key, or the moment, is not)."""
        key = None if moment is None else key_of(parts)
        if key is None or moment is None:
            rows, moment = _NO_ROWS, 0
        else:
            start = _EVER if self._widest is None else max(moment - self._widest, _EVER)
            rows = self._store.window(self._stream, key, start, moment)
        nobody = not len(rows) and (key is None or not self._store.has(self._stream, key))
        on = rows[:, 0]
        past = Past(on, rows[:, 1], self._values(rows))
        ends, moments = np.array([len(on)]), np.array([moment])
        found: dict[str, Value] = {}
        for history in self.histories:
            starts = _FIRST
            if history.window_us is not None and history.window_us != self._widest:
                starts = on.searchsorted(np.array([moment - history.window_us]))
            value = aggregate(history, past, starts, ends, moments)
            found[history.name] = plain(value[0], history.type)
        return found, nobody

    def _values(self, rows: NDArray[np.int64]) -> NDArray[Any] | None:
        """Cells as the kernel takes them."""
        if self.window.value is None:
            return None
        cells = rows[:, 3].copy()  # the kernel adds neighbours in memory
        if self.window.value_type is Type.TIME:
            return cells
        if self.window.value_type is not Type.TEXT:
            return cells.view(np.float64)
        texts = np.empty(len(cells), dtype=object)
        texts[:] = self._store.words(cells.tolist())
        return texts


def histories_of(store: OnlineStore, histories: Sequence[History]) -> list[Histories]:
    """Histories by the streams that they read."""
    streams: dict[Window, list[History]] = {}
    for history in histories:
        streams.setdefault(Window.of(history), []).append(history)
    return [Histories(store, of) for of in streams.values()]
