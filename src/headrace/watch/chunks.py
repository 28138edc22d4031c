"""Logged answers as columns, whichever file they come from: what is counted is read from one thing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.core.answered import Answered
from headrace.core.schema import NULL_TIME, Type
from headrace.graph.zones import Zone
from headrace.logs.columns import ANSWER, FILLED, INPUT, is_json, plain_values, times, true_name

_NUMBERS = frozenset({int, float, type(None)})
_BOOLS = frozenset({bool, type(None)})
_TEXTS = frozenset({str, type(None)})
_FITS = {Type.NUMBER: _NUMBERS, Type.BOOL: _BOOLS, Type.TEXT: _TEXTS, Type.TIME: _TEXTS}
_FEATURES = "features"


class Who(NamedTuple):
    """Who answered a row, as the log has it."""

    route: str
    release: str
    arm: str
    by: str


@dataclass
class Chunk:
    """Some rows. who: the different ones; which: the number of each row's among them, int64 [rows]. times:
    UTC microseconds, took: microseconds, int64 [rows]. review: bool [rows]. flags, missing, stale: by row,
    where there are any: flags, and looked up columns without a fact or with one too old. inputs, filled,
    answers: values by name: a list, or a column of a table (`_Column`). ids: of the predictions, as labels
    name them: a shadow's is that of the answer which it is a shadow of."""

    times: NDArray[np.int64]
    took: NDArray[np.int64]
    who: list[Who]
    which: NDArray[np.int64]
    review: NDArray[np.bool_]
    flags: Mapping[int, Sequence[str]]
    missing: Mapping[int, Sequence[str]]
    stale: Mapping[int, Sequence[str]]
    inputs: Mapping[str, Any]
    filled: Mapping[str, Any]
    answers: Mapping[str, Any]
    ids: Sequence[str] = ()
    _memo: dict[tuple[str, str, Type], Any] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.times)

    def values(self, part: str, name: str, kind: Type, zone: str) -> Any:
        """A column of a part (`input`, `filled`, `answer`) as `summary.counts.Counter` takes it; None where
        no row has it. `probability[CLASS]` is one of the numbers of a column that holds several."""
        key = (part, name, kind)
        if key not in self._memo:
            held = {"input": self.inputs, "filled": self.filled, "answer": self.answers}[part]
            self._memo[key] = _ready(_found(held, name), kind, zone)
        return self._memo[key]


class _Column(NamedTuple):
    field: Any
    values: Any


def of_entries(entries: Sequence[Answered]) -> Chunk:
    """Entries of a segment."""
    found: dict[Who, int] = {}
    which = [found.setdefault(Who(e.route, e.release, e.arm, e.by), len(found)) for e in entries]
    told = [(i, e.answer[_FEATURES]) for i, e in enumerate(entries) if _FEATURES in e.answer]
    return Chunk(
        np.array([e.time for e in entries], np.int64),
        np.array([e.took_us for e in entries], np.int64),
        list(found),
        np.array(which, np.int64),
        np.array([e.review for e in entries], np.bool_),
        {i: e.flags for i, e in enumerate(entries) if e.flags},
        _noted(told, "missing"),
        _noted(told, "stale"),
        _transposed([e.inputs for e in entries]),
        _transposed([e.filled for e in entries]),
        _transposed([e.answer for e in entries]),
        [e.of or e.id for e in entries],
    )


def of_table(table: pa.Table) -> Chunk:
    """Rows of a part (see `logs.columns`)."""
    flags = table.column("flags").to_pylist()
    columns = {
        prefix: {
            true_name(f): _Column(f, table.column(i))
            for i, f in enumerate(table.schema)
            if f.name.startswith(prefix)
        }
        for prefix in (INPUT, FILLED, ANSWER)
    }
    told: list[tuple[int, Any]] = []
    if _FEATURES in columns[ANSWER]:
        held = columns[ANSWER][_FEATURES]
        values = plain_values(held.field, held.values)
        told = [(i, v) for i, v in enumerate(values) if v is not None]
    who, which = _who(table)
    return Chunk(
        times(table),
        np.asarray(table.column("took_us").to_numpy(), np.int64),
        who,
        which,
        np.asarray(table.column("review").to_numpy(zero_copy_only=False), np.bool_),
        {i: told for i, told in enumerate(flags) if told},
        _noted(told, "missing"),
        _noted(told, "stale"),
        columns[INPUT],
        columns[FILLED],
        columns[ANSWER],
        [str(of or n) for of, n in zip(*(table.column(c).to_pylist() for c in ("of", "id")), strict=True)],
    )


def _who(table: pa.Table) -> tuple[list[Who], NDArray[np.int64]]:
    coded = [table.column(n).combine_chunks().dictionary_encode() for n in Who._fields]
    spots = [np.asarray(c.indices.to_numpy(zero_copy_only=False), np.int64) for c in coded]
    words = [c.dictionary.to_pylist() for c in coded]
    mixed = np.zeros(table.num_rows, np.int64)
    for spot, known in zip(spots, words, strict=True):
        mixed = mixed * max(len(known), 1) + spot
    _, first, which = np.unique(mixed, return_index=True, return_inverse=True)
    who = [Who(*(w[s[i]] for w, s in zip(words, spots, strict=True))) for i in first.tolist()]
    return who, np.asarray(which, np.int64).reshape(-1)


def _noted(told: Iterable[tuple[int, Any]], what: str) -> dict[int, Sequence[str]]:
    return {i: f[what] for i, f in told if isinstance(f, Mapping) and f.get(what)}


def _transposed(rows: Sequence[Any]) -> dict[str, Sequence[Any]]:
    """Columns of rows; most often all rows have the same keys in the same order."""
    if not rows:
        return {}
    names = tuple(rows[0])
    if len(set(map(tuple, rows))) == 1 and all(type(r) is dict for r in rows):
        return dict(zip(names, zip(*map(dict.values, rows), strict=True), strict=True)) if names else {}
    every = dict.fromkeys(n for r in rows for n in r)
    return {n: [r.get(n) for r in rows] for n in every}


def _found(held: Mapping[str, Any], name: str) -> Any:
    if name in held:
        return held[name]
    whole, bracket, part = name.partition("[")
    if not bracket or whole not in held:
        return None
    values = held[whole]
    if isinstance(values, _Column):
        values = plain_values(values.field, values.values)
    of = part.removesuffix("]")
    return [v.get(of) if isinstance(v, Mapping) else v for v in values]


def _ready(values: Any, kind: Type, zone: str) -> Any:
    """Values in the form that is counted fastest."""
    if values is None:
        return None
    if isinstance(values, _Column):
        if is_json(values.field) or pa.types.is_map(values.field.type) or pa.types.is_list(values.field.type):
            return plain_values(values.field, values.values)
        if kind is Type.TIME and pa.types.is_string(values.field.type):
            fast = _moments(values.values, zone)
            return values.values if fast is None else fast
        return values.values
    if not _FITS[kind].issuperset(map(type, values)):
        return list(values)
    if kind in (Type.NUMBER, Type.BOOL):
        try:
            return np.array(values, np.float64)  # None becomes NaN
        except OverflowError:
            return list(values)
    texts = pa.array(values, pa.string())
    if kind is Type.TEXT:
        return texts
    fast = _moments(texts, zone)
    return list(values) if fast is None else fast


def _moments(texts: Any, zone: str) -> NDArray[np.int64] | None:
    """Times that are all spelled in the plainest way, all with an offset or all without, as UTC microseconds;
    None where one is not."""
    for kind in (pa.timestamp("us", "UTC"), pa.timestamp("us")):
        try:
            found = texts.cast(kind)
        except pa.ArrowInvalid:
            continue
        micros = np.array(found.cast(pa.int64()).fill_null(NULL_TIME).to_numpy(zero_copy_only=False))
        known = micros != NULL_TIME
        if kind.tz is None and known.any():
            micros[known] = Zone(zone).to_utc(micros[known])
        return micros
    return None


def picked(values: Any, rows: NDArray[np.int64]) -> Any:
    """Some rows of a column as `Chunk.values` gives it."""
    if values is None:
        return None
    if isinstance(values, np.ndarray):
        return values[rows]
    if isinstance(values, list):
        return [values[i] for i in rows.tolist()]
    return values.take(pa.array(rows))
