"""Handles on the rows of a part: the only way to the events, and none to the test rows without an opening."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.core.clock import duration_micros
from headrace.core.errors import DataError, HeadraceError, Problem, did_you_mean
from headrace.core.ports import Store
from headrace.core.schema import NULL_TIME, Snapshot, Type
from headrace.core.spec.tables import Data
from headrace.data.feed import column_of, feed
from headrace.data.functions.call import FunctionPlan
from headrace.data.history.index import HistoryTable
from headrace.data.history.plan import HistoryPlan
from headrace.data.identity import parquet_row_ids
from headrace.data.loaded import Loaded
from headrace.data.lookup import LookupTable
from headrace.data.parquet import open_file
from headrace.data.seal import Opening
from headrace.data.split import PARTS, TEST
from headrace.graph.buffers import Array, fixed, fixed_array, known

_READ = 65_536
_THROUGH_OF = object()


class Rows:
    """The rows of one part, in the order of the events table. Made by `of`, never changed.

    A handle on the test rows can't be made without an `Opening`, which exists only once the ledger has
    its event.
    """

    def __init__(
        self,
        part: str,
        path: Path,
        events: Snapshot,
        data: Data,
        sides: Mapping[str, tuple[Path, Snapshot]],
        parts: NDArray[np.int8],
        *,
        histories: HistoryPlan | None = None,
        functions: FunctionPlan | None = None,
        threads: int = 1,
        loaded: Loaded | None = None,
        through: object,
    ) -> None:
        if through is not _THROUGH_OF:
            raise TypeError("make rows with Rows.of(...)")
        self._part, self._path, self._events, self._data = part, path, events, data
        self._sides, self._threads, self._loaded = sides, threads, loaded
        self._selected = parts == PARTS.index(part)
        self._histories = histories or HistoryPlan()
        self._functions = functions or FunctionPlan()
        self._hidden = parts == TEST if self._histories.sealed and part != PARTS[TEST] else None

    @classmethod
    def of(
        cls,
        part: str,
        *,
        store: Store,
        events: Snapshot,
        data: Data,
        tables: Mapping[str, Snapshot],
        parts: Path,
        histories: HistoryPlan | None = None,
        functions: FunctionPlan | None = None,
        opening: Opening | None = None,
        threads: int = 1,
        loaded: Loaded | None = None,
    ) -> Rows:
        """A handle on the part `train`, `validation` or `test`.

        `tables` are the snapshots of the side tables by name, `parts` the .npy file of the split (int8 a
        row: 0 train, 1 validation, 2 test, -1 left out). `threads` name the rows of an opening
        and make side tables ready; `loaded` holds these for all handles that are given it (None: they are
        read anew whenever rows are).

        Raises:
            HeadraceError: the test rows were asked for without an opening, or with one for other rows.
            NotFound: an artifact is missing.
            ValueError: there is no such part, or the split is of another table.
        """
        if part not in PARTS:
            raise ValueError(f"there is no part {part!r}: {', '.join(PARTS)}")
        if part == PARTS[TEST] and not isinstance(opening, Opening):
            raise HeadraceError(
                "the test rows are sealed",
                why="a number measured on rows that a choice has seen is no estimate",
                fix="open the seal first: the opening is an event, and spends from the error budget",
            )
        codes = np.load(parts, allow_pickle=False)
        if codes.shape != (events.rows,):
            raise ValueError(f"the split has {codes.shape} rows, the events {events.rows}")
        path = store.get(events.artifact)
        if opening is not None and not opening.covers(
            _names(path, data, codes == PARTS.index(part), threads)
        ):
            raise HeadraceError(
                "the opening is for other rows than these",
                why="each set of test rows has its own seal and its own error budget",
                fix="open the seal over these rows",
            )
        sides = {n: (store.get(s.artifact), s) for n, s in tables.items()}
        return cls(
            part,
            path,
            events,
            data,
            sides,
            codes,
            histories=histories,
            functions=functions,
            threads=threads,
            loaded=loaded,
            through=_THROUGH_OF,
        )

    @property
    def part(self) -> str:
        """Its name: train, validation or test."""
        return self._part

    @property
    def count(self) -> int:
        """Number of rows."""
        return int(self._selected.sum())

    def row_numbers(self) -> NDArray[np.int64]:
        """Positions in the events table, ascending."""
        return np.flatnonzero(self._selected)

    def only(self, chosen: NDArray[np.int64]) -> Rows:
        """A handle on some of these rows: `chosen` are their numbers among them, from 0. Rows that are left
        out are dropped as they stream by, before anything is looked up or computed for them."""
        some = copy(self)
        some._selected = np.zeros_like(self._selected)
        some._selected[self.row_numbers()[chosen]] = True
        return some

    def with_histories(self, histories: HistoryPlan) -> Rows:
        """The same rows, with other histories in `history.*`; what is sealed stays so."""
        other = copy(self)
        other._histories = histories
        return other

    def with_functions(self, functions: FunctionPlan) -> Rows:
        """The same rows, with other functions in `python.*`."""
        other = copy(self)
        other._functions = functions
        return other

    def types(self, columns: Sequence[str]) -> dict[str, Type]:
        """The types of event columns (`distance`), of lookups (`weather.temp`), of histories
        (`history.late`) and of functions (`python.risk`).

        Raises:
            DataError: there is no such column.
        """
        own = self._events.types()
        known_columns = own | {
            f"{n}.{c}": t for n, (_, s) in self._sides.items() for c, t in s.types().items()
        }
        known_columns |= self._histories.types() | self._functions.types()
        missing = [c for c in columns if c not in known_columns]
        if missing:
            raise DataError.of(
                [Problem(f"there is no column {c!r}", fix=did_you_mean(c, known_columns)) for c in missing]
            )
        return {c: known_columns[c] for c in columns}

    def batches(self, columns: Sequence[str], size: int = _READ) -> Iterator[pa.RecordBatch]:
        """The part's rows with these columns, in order, `size` rows a batch (the last may be shorter).

        Event columns are read as they stream by; side tables are held in memory with the columns that are
        asked for, and so are the tables of histories. Both see what was known at the moment of prediction
        (`data.time` less `data.lead`); see `lookup` for which row a lookup finds, and `core.history`. The
        user's functions are given what was found.

        Raises:
            DataError: a column is unknown, or a table with times is looked up without `data.time`.
            UserCodeError: a function raised, or gave something else than its feature's values.
        """
        self.types(columns)
        called = self._functions.of(columns)
        inner = [c for c in dict.fromkeys([*columns, *called.reads]) if c not in called.types()]
        loaded = self._loaded or Loaded()
        past = self._past(inner, loaded)
        plan = _Filled(self._events, self._data, self._sides, past, inner, self._threads, loaded)
        read = list(dict.fromkeys([*plan.own, *plan.needed]))
        schema: pa.Schema | None = None
        held: list[pa.RecordBatch] = []
        count = at = 0
        for batch in _selected(self._path, read, self._selected):
            found = plan.answer(batch)
            held.append(self._called(called, found, columns, at) if called.functions else found)
            count += batch.num_rows
            at += batch.num_rows
            schema = schema or held[0].schema
            while count >= size:
                merged = pa.Table.from_batches(held, schema)
                yield _one(merged.slice(0, size))
                held, count = merged.slice(size).to_batches(), count - size
        if count:
            yield _one(pa.Table.from_batches(held, schema))

    def _called(
        self, called: FunctionPlan, batch: pa.RecordBatch, columns: Sequence[str], at: int
    ) -> pa.RecordBatch:
        """The columns, functions called; `batch` begins with row number `at` of these rows."""

        def where(row: int) -> str:
            return f"row {self.row_numbers()[at + row]} of {self._data.events}"

        feeds = {c: feed(batch.column(c), t) for c, t in called.reads.items()}
        values = called.compute(feeds, batch.num_rows, where)
        types = called.types()
        arrays = [column_of(values[c], types[c]) if c in types else batch.column(c) for c in columns]
        return pa.RecordBatch.from_arrays(arrays, list(columns))

    def _past(self, columns: Sequence[str], loaded: Loaded) -> list[HistoryTable]:
        """The tables of the histories among these columns."""
        tables = []
        for name, histories in self._histories.of(columns).items():
            own = name == self._data.events
            tables.append(
                HistoryTable.load(
                    self._path if own else self._sides[name][0],
                    histories,
                    self._histories.graphs[name],
                    without=self._hidden if own else None,
                    threads=self._threads,
                    loaded=loaded,
                )
            )
        return tables


def _names(path: Path, data: Data, rows: NDArray[np.bool_], threads: int) -> NDArray[np.uint64]:
    return parquet_row_ids(path, None if data.id is None else [data.id], rows=rows, threads=threads)


def moments(times: Array, lead: str | None) -> NDArray[np.int64]:
    """The moments of prediction in UTC microseconds: `time - lead`, `NULL_TIME` where time is null."""
    before = duration_micros(lead) or 0
    return np.where(known(times), fixed(times) - before, NULL_TIME)


def _one(table: pa.Table) -> pa.RecordBatch:
    return table.combine_chunks().to_batches()[0]


def _selected(path: Path, columns: Sequence[str], selected: NDArray[np.bool_]) -> Iterator[pa.RecordBatch]:
    """The selected rows; row groups without any are not read."""
    file = open_file(path)
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    for run in _runs([bool(selected[a:b].any()) for a, b in pairwise(starts)]):
        at = int(starts[run[0]])
        for batch in file.iter_batches(_READ, columns=list(columns), row_groups=run):
            flags = selected[at : at + batch.num_rows]
            at += batch.num_rows
            if flags.all():
                yield batch.select(list(columns))
            elif flags.any():
                yield batch.select(list(columns)).filter(fixed_array(flags, pa.bool_()))


def _runs(wanted: Sequence[bool]) -> Iterator[list[int]]:
    run: list[int] = []
    for i, want in enumerate(wanted):
        if want:
            run.append(i)
        elif run:
            yield run
            run = []
    if run:
        yield run


class _Filled:
    """What has to be read, looked up and computed for these columns."""

    def __init__(
        self,
        events: Snapshot,
        data: Data,
        sides: Mapping[str, tuple[Path, Snapshot]],
        past: Sequence[HistoryTable],
        columns: Sequence[str],
        threads: int,
        loaded: Loaded,
    ) -> None:
        self._columns, self._data, self._past = tuple(columns), data, past
        own = events.types()
        self.own = [c for c in columns if c in own]
        filled = {h.column for t in past for h in t.histories}
        asked: dict[str, list[str]] = {}
        for column in columns:
            if column not in own and column not in filled:
                table, _, name = column.partition(".")
                asked.setdefault(table, []).append(name)

        def load(name: str) -> LookupTable:
            return LookupTable.load(name, sides[name][0], data.tables[name], asked[name], loaded=loaded)

        with ThreadPoolExecutor(max(1, threads), thread_name_prefix="headrace-lookup") as pool:
            self._tables = dict(zip(asked, pool.map(load, asked), strict=True))
        problems = [p for t in self._tables.values() for p in _problems(t, own, sides[t.name][1], data)]
        if problems:
            raise DataError.of(problems)
        self.needed = [k for t in self._tables.values() for k in t.keys]
        self.needed += [k for t in past for k in t.by]
        self._timed = data.time is not None and (bool(past) or any(t.timed for t in self._tables.values()))
        if data.time is not None and self._timed:
            self.needed.append(data.time)

    def answer(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The columns that were asked for, for these rows."""
        found: dict[str, Array] = {c: batch.column(c) for c in self.own}
        now = None
        if self._data.time is not None and self._timed:
            now = moments(batch.column(self._data.time), self._data.lead)
        for name, table in self._tables.items():
            rows = table.match([batch.column(k) for k in table.keys], now)
            for column in table.columns:
                found[f"{name}.{column}"] = table.take(column, rows)
        for past in self._past:
            if now is None:
                raise DataError("histories need data.time", fix="name the events' column of times")
            values = past.compute({k: batch.column(k) for k in past.by}, now)
            found |= {h.column: column_of(values[h.name], h.type) for h in past.histories}
        if not self._columns:
            return batch
        return pa.RecordBatch.from_arrays([found[c] for c in self._columns], list(self._columns))


def _problems(table: LookupTable, own: Mapping[str, Type], side: Snapshot, data: Data) -> Iterator[Problem]:
    where = f"data.tables.{table.name}"
    for key in table.keys:
        if key not in own:
            yield Problem(
                f"the events have no column {key!r} to look up by", where, fix=did_you_mean(key, own)
            )
        elif own[key] is not side.types()[key]:
            yield Problem(
                f"the key {key!r} is {own[key]} in the events and {side.types()[key]} in {table.name!r}",
                where,
                fix="make the key's columns of one type in both tables",
            )
    if table.timed and data.time is None:
        yield Problem(
            f"{table.name!r} has times, and the events have none to look it up at",
            where,
            fix="declare data.time, the column that says when an event happens",
        )
