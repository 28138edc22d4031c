"""A whole table in one pass: every column's accumulator, fed batch by batch on a few threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.core.schema import Column
from headrace.data.profile.columns import Seen, SeenNumbers, is_numeric, seen_of
from headrace.data.profile.copies import Copies
from headrace.data.profile.coverage import coverage_of
from headrace.data.profile.hashing import mix
from headrace.data.profile.record import ColumnProfile, Correlations, Duplicates, Link, TableProfile
from headrace.data.profile.together import Together
from headrace.graph.buffers import Array, fixed, known

BATCH = 65_536


@dataclass(frozen=True, eq=False)
class Target:
    """The target beside a table's rows: float64 [rows] in their order, NaN where it is not known; numbers, or
    from 0 the numbers of `classes` classes (0: no classes, or two that count as 0 and 1)."""

    values: NDArray[np.float64]
    classes: int = 0


def profile_table(
    table: str,
    columns: Sequence[Column],
    batches: Iterable[pa.RecordBatch],
    *,
    whose: str = "all",
    zone: str = "UTC",
    ids: Sequence[str] = (),
    target: Target | None = None,
    threads: int = 1,
    progress: Callable[[int], None] | None = None,
) -> TableProfile:
    """Look at every row once.

    `batches` hold these columns in the form of a snapshot (`data.convert`), in order. `ids` are left out
    when rows are compared; `zone` is the one whose days are counted. The result depends neither on the
    batches' sizes nor on the number of threads. Memory: some 2 MB a column, and 16 bytes a row up to
    4,194,304 of them.
    """
    seen = [seen_of(c, zone) for c in columns]
    numeric = [i for i, c in enumerate(columns) if is_numeric(c)]
    classes = target.classes if target is not None else 0
    beside = target is not None and not classes
    together = Together(len(numeric) + beside, classes)
    copies = Copies()
    rows = 0
    with ThreadPoolExecutor(max(1, threads), thread_name_prefix="headrace-profile") as pool:
        waiting: list[Future[NDArray[np.uint64]]] = []
        moving: Future[None] | None = None
        for batch in _even(batches, columns):
            _settle(waiting, moving, copies, columns, ids)
            truth = None if target is None else target.values[rows : rows + batch.num_rows]
            moving = pool.submit(_move, together, batch, numeric, truth, beside) if numeric else None
            waiting = [pool.submit(s.add, batch.column(i)) for i, s in enumerate(seen)]
            rows += batch.num_rows
            if progress is not None:
                progress(rows)
        _settle(waiting, moving, copies, columns, ids)
        names = [columns[i].name for i in numeric]
        r = together.correlations() if numeric else []
        links = _links(together, names, r, target)
        finished = tuple(pool.map(lambda s, c: _finished(s, c, links, ids), seen, columns))
    return TableProfile(
        table,
        whose,
        rows,
        finished,
        Correlations(tuple(names), tuple(tuple(v[: len(names)]) for v in r[: len(names)]), together.every)
        if len(names) > 1
        else None,
        Duplicates(copies.count(), tuple(c.name for c in columns if c.name in ids), copies.share),
        tuple(
            found
            for c, s in zip(columns, seen, strict=True)
            if isinstance(s, SeenNumbers) and s.days is not None
            if (found := coverage_of(c.name, zone, s.days)) is not None
        ),
    )


def _finished(seen: Seen, column: Column, links: Mapping[str, Link], ids: Sequence[str]) -> ColumnProfile:
    found = seen.finish(links.get(column.name))
    if column.name not in ids:
        return found
    # That an id's values occur once is no news.
    return replace(found, notes=tuple(n for n in found.notes if n.kind != "unique"))


def _links(
    together: Together, names: Sequence[str], r: list[list[float | None]], target: Target | None
) -> dict[str, Link]:
    if target is None or not names:
        return {}
    if target.classes:
        return {n: Link("correlation ratio", v) for n, v in zip(names, together.ratios(), strict=True)}
    return {n: Link("pearson", r[i][-1]) for i, n in enumerate(names)}


def _move(
    together: Together, batch: pa.RecordBatch, numeric: Sequence[int], truth: Any, beside: bool
) -> None:
    values = [(fixed(batch.column(i)), _gaps(batch.column(i))) for i in numeric]
    if beside:
        null = np.isnan(truth)
        values.append((truth, null if null.any() else None))
    together.add(values, None if beside else truth)


def _gaps(values: Array) -> NDArray[np.bool_] | None:
    return ~known(values) if values.null_count else None


def _settle(
    waiting: list[Future[NDArray[np.uint64]]],
    moving: Future[None] | None,
    copies: Copies,
    columns: Sequence[Column],
    ids: Sequence[str],
) -> None:
    """Wait for a batch's columns, and name its rows by all of them."""
    if moving is not None:
        moving.result()
    total: NDArray[np.uint64] | None = None
    for i, (future, column) in enumerate(zip(waiting, columns, strict=False)):
        names = future.result()
        if column.name in ids:
            continue
        # Odd, and another for every column: equal columns don't cancel.
        names *= np.uint64(0xA0761D6478BD642F + 2 * i)
        total = names if total is None else total + names
    if total is not None:
        copies.add(mix(total))


def _even(batches: Iterable[pa.RecordBatch], columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of 65,536, the last one shorter, with these columns in their order."""
    names = [c.name for c in columns]
    held: list[pa.RecordBatch] = []
    count = 0
    for given in batches:
        batch = given if given.schema.names == names else given.select(names)
        if not held and batch.num_rows == BATCH:
            yield batch
            continue
        held.append(batch)
        count += batch.num_rows
        while count >= BATCH:
            merged = pa.Table.from_batches(held)
            yield merged.slice(0, BATCH).combine_chunks().to_batches()[0]
            held, count = merged.slice(BATCH).to_batches(), count - BATCH
    if count:
        yield pa.Table.from_batches(held).combine_chunks().to_batches()[0]
