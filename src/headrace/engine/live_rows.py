"""Live traffic as training rows: answers of the prediction log whose truth is known, behind the events table.

A row is what the caller sent, in the events' own columns, as the log has it: after the privacy policy that
training has, too. Its time is that of the event (sent, or the moment of the answer and `data.lead`), it
became known when its label did, and the label is its target, in a column of its own that only the target
reads: `coalesce(live_truth, target)`. Everything else is computed from there on as for any other row, lookups
and histories as of its moment, so that there is one definition of every feature.

A row whose `data.id` the table has already is the table's: that knows more. Shadows' answers are left out
(the answer that was returned is there), of several answers about one event the newest counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.core.answered import Answered
from headrace.core.digest import digest
from headrace.core.errors import DataError
from headrace.core.places import LOG, STORE_DIR
from headrace.core.schema import NULL_TEXT, NULL_TIME, Column, Snapshot, Type
from headrace.data import cells
from headrace.data.read import workspace
from headrace.data.written import write_rows
from headrace.engine.columns import read_columns
from headrace.engine.context import Context
from headrace.engine.live_target import TRUTH
from headrace.expr.parse import parse
from headrace.graph.rows import RowEncoder
from headrace.logs.labels import Label, LabelBook
from headrace.logs.parts import load
from headrace.logs.read import read
from headrace.logs.segment import segments, size_of


@dataclass(frozen=True)
class _Row:
    """A labelled answer."""

    entry: Answered
    label: Label


def fingerprint(root: Path) -> str:
    """What decides whether labelled answers are read again: another wherever answers or labels came."""
    folder = root / STORE_DIR / LOG
    counts = load(folder)
    fresh = [[p.name, size_of(p)] for p in segments(folder) if p.name not in counts.taken]
    return digest(["live", [p.file for p in counts.parts], fresh, list(LabelBook(folder).news())])


def with_live(ctx: Context, events: Snapshot) -> Snapshot:
    """The events with the labelled answers behind them, as a new artifact; the same snapshot where there are
    none that it does not hold.

    Raises:
        DataError: the table has a column of the truth's name.
        StoreError: log or labels can't be read.
    """
    if TRUTH in events.types():
        raise DataError(
            f"the events have a column {TRUTH!r}, where the truth of live rows is kept",
            where=f"data.tables.{events.table}",
            fix="rename the column in its source",
        )
    rows = _fresh(ctx, events, _labelled(ctx.root / STORE_DIR / LOG))
    if not rows:
        return events
    kind = parse(ctx.spec.problem.target, events.types(), zone=ctx.zone).type
    columns = (*events.columns, Column(TRUTH, kind, "label"))
    live = _table(ctx, events, rows, kind)
    path = ctx.store.get(events.artifact)
    with workspace(ctx.store.scratch()) as folder, pq.ParquetFile(path) as source:
        file, schema = folder / "live.parquet", _schema(source.schema_arrow, live.schema, columns)
        batches = _rows(source, schema, live)
        count, content = write_rows(file, schema, columns, batches, threads=ctx.spec.limits.threads)
        artifact = ctx.store.put(file)
    return replace(events, artifact=artifact.digest, content=content, rows=count, columns=columns)


def _labelled(folder: Path) -> list[_Row]:
    """Answers whose newest label says something, by time and id."""
    newest: dict[str, Label] = {}
    for label in LabelBook(folder).labels():
        if label.id is not None:
            newest[label.id] = label
    known = {i: label for i, label in newest.items() if label.value is not None}
    if not known:
        return []
    found = [_Row(e, known[e.id]) for e in read(folder) if e.id in known and not e.of]
    return sorted(found, key=lambda r: (r.entry.time, r.entry.id))


def _fresh(ctx: Context, events: Snapshot, rows: Sequence[_Row]) -> list[_Row]:
    """One row an event, and none that the table has already."""
    name = ctx.spec.data.id
    if name is None or not rows:
        return list(rows)
    there = read_columns(ctx.store.get(events.artifact), {name: events.types()[name]})[name]
    held = set(there.tolist())
    by_id = {_id(ctx, events, r.entry): r for r in rows}  # of several the newest
    return [r for i, r in by_id.items() if i not in held]


def _id(ctx: Context, events: Snapshot, entry: Answered) -> str | float:
    """The event's id: as it was sent, else one that no table has. Negative numbers, `live-…` in texts."""
    name = ctx.spec.data.id or ""
    sent = entry.inputs.get(name)
    if events.types().get(name) is Type.NUMBER:
        if isinstance(sent, int | float) and not isinstance(sent, bool):
            return float(sent)
        return -float(int.from_bytes(blake2b(entry.id.encode(), digest_size=6).digest(), "big") + 1)
    return sent if isinstance(sent, str) else f"live-{entry.id}"


def _table(ctx: Context, events: Snapshot, rows: Sequence[_Row], kind: Type) -> pa.Table:
    """The rows in the columns of the events, and their truths."""
    data, table = ctx.spec.data, ctx.spec.data.tables[events.table]
    given: dict[str, Sequence[Any]] = {n: [r.entry.inputs.get(n) for r in rows] for n in events.types()}
    if data.id is not None:
        given[data.id] = [_id(ctx, events, r.entry) for r in rows]
    zone = table.zone or ctx.zone
    made = {n: _cells(given[n], t, n, zone) for n, t in events.types().items()}
    if data.time is not None:
        made[data.time] = _or_else(made[data.time], [r.entry.time + ctx.lead_us for r in rows])
    if table.known_at is not None:
        made[table.known_at] = _or_else(made[table.known_at], [r.label.arrived for r in rows])
    made[TRUTH] = _cells([r.label.value for r in rows], kind, TRUTH, zone)
    return pa.table({n: cells.column(v, kind if n == TRUTH else events.types()[n]) for n, v in made.items()})


def _cells(values: Sequence[Any], kind: Type, name: str, zone: str) -> list[Any]:
    """Values of a type; what is none of it is null (a server refuses such a row before it answers)."""
    if kind is Type.TEXT:
        return [v if isinstance(v, str) and NULL_TEXT not in v else None for v in values]
    if kind is Type.BOOL:
        return [_truth(v) for v in values]
    if kind is Type.NUMBER:
        return [v if isinstance(v, int | float) and not isinstance(v, bool) else None for v in values]
    encoder = RowEncoder({name: Type.TIME}, zone=zone)
    return [_moment(encoder, name, v) for v in values]


def _truth(value: Any) -> bool | None:
    """A truth; labels may spell it 0 and 1, or in words."""
    if isinstance(value, str):
        return {"true": True, "false": False, "1": True, "0": False}.get(value.lower())
    return bool(value) if value in (0, 1) else None


def _moment(encoder: RowEncoder, name: str, value: Any) -> int | None:
    try:
        found = int(encoder.encode([{name: value}])[name][0])
    except DataError:
        return None
    return None if found == NULL_TIME else found


def _or_else(values: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    return [o if v is None else v for v, o in zip(values, others, strict=True)]


def _schema(old: pa.Schema, live: pa.Schema, columns: Sequence[Column]) -> pa.Schema:
    """The table's own types; doubles where live rows have fractions and the table had none."""
    kinds: Mapping[str, pa.DataType] = {
        c.name: live.field(c.name).type
        if c.name not in old.names
        or (old.field(c.name).type, live.field(c.name).type) == (pa.int64(), pa.float64())
        else old.field(c.name).type
        for c in columns
    }
    return pa.schema(list(kinds.items()))


def _rows(source: pq.ParquetFile, schema: pa.Schema, live: pa.Table) -> Iterator[pa.RecordBatch]:
    """The table's rows, whose truth is not told, and the live ones behind them."""
    for batch in source.iter_batches():
        untold = pa.nulls(batch.num_rows, schema.field(TRUTH).type)
        table = pa.Table.from_batches([batch]).append_column(TRUTH, untold)
        yield from table.select(schema.names).cast(schema).to_batches()
    yield from live.select(schema.names).cast(schema).to_batches()
