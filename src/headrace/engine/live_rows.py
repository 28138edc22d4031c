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
from headrace.data.content import ColumnDigest, table_digest
from headrace.data.read import workspace
from headrace.engine.columns import read_columns
from headrace.engine.context import Context
from headrace.engine.live_target import TRUTH
from headrace.expr.parse import parse
from headrace.graph.rows import RowEncoder
from headrace.logs.labels import Label, LabelBook
from headrace.logs.parts import load
from headrace.logs.read import read
from headrace.logs.segment import segments, size_of

_BLOCK = 65_536  # a multiple of eight, as the content's name wants it


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
    with workspace(ctx.store.scratch()) as folder:
        file = folder / "live.parquet"
        content = _write(ctx.store.get(events.artifact), file, columns, live)
        artifact = ctx.store.put(file)
    return replace(
        events, artifact=artifact.digest, content=content, rows=events.rows + len(rows), columns=columns
    )


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


def _write(path: Path, file: Path, columns: Sequence[Column], live: pa.Table) -> str:
    """The table with the rows behind it, in blocks; returns the name of its content."""
    with pq.ParquetFile(path) as source:
        schema = _schema(source.schema_arrow, live.schema, columns)
        sums = [ColumnDigest(c, schema.field(c.name).type) for c in columns]
        rows = 0
        text = [c.name for c in columns if c.type is Type.TEXT]
        with pq.ParquetWriter(
            file,
            schema,
            compression="lz4",
            use_dictionary=text,  # type: ignore[arg-type]  # the stubs forget the list of columns
            write_statistics=False,
        ) as writer:
            for block in _blocks(source, schema, live):
                for column, values in zip(sums, block.columns, strict=True):
                    column.update(values)
                writer.write_batch(block)
                rows += block.num_rows
    return table_digest(rows, sums)


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


def _blocks(source: pq.ParquetFile, schema: pa.Schema, live: pa.Table) -> Iterator[pa.RecordBatch]:
    """Blocks of a multiple of eight rows each, but for the last."""
    left: list[pa.Table] = []
    for batch in source.iter_batches(_BLOCK):
        table = pa.Table.from_batches([batch])
        whole = table.append_column(TRUTH, pa.nulls(batch.num_rows, schema.field(TRUTH).type)).select(
            schema.names
        )
        left.append(whole.cast(schema))
        joined = pa.concat_tables(left)
        upto = joined.num_rows - joined.num_rows % 8
        yield from _one(joined.slice(0, upto))
        left = [joined.slice(upto)]
    tail = pa.concat_tables([*left, live.select(schema.names).cast(schema)])
    for start in range(0, tail.num_rows, _BLOCK):
        yield from _one(tail.slice(start, _BLOCK))


def _one(table: pa.Table) -> Iterator[pa.RecordBatch]:
    if table.num_rows:
        yield from table.combine_chunks().to_batches(max_chunksize=_BLOCK)
