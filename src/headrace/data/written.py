"""Rows of a table as a Parquet file in blocks, and the name of their content."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.core.schema import Column, Type
from headrace.data.content import ColumnDigest, table_digest, updates

_CELLS = 1_000_000
_BLOCK_BYTES = 8_000_000


def write_rows(
    path: Path,
    schema: pa.Schema,
    columns: Sequence[Column],
    batches: Iterable[pa.RecordBatch],
    *,
    threads: int = 1,
    progress: Callable[[int], None] | None = None,
) -> tuple[int, str]:
    """Write batches of any size: how many rows they are, and the name of their content (`data.content`).
    `columns` are the schema's fields in its order. What making a batch raises leaves half a file."""
    text = [c.name for c in columns if c.type is Type.TEXT]
    sums = [ColumnDigest(c, schema.field(c.name).type) for c in columns]
    rows = 0
    waiting: list[Future[None]] = []
    with (
        pq.ParquetWriter(
            path,
            schema,
            compression="lz4",  # read in half the time that zstd takes, and a run reads ten times
            use_dictionary=text,  # type: ignore[arg-type]  # the stubs forget the list of columns
            write_statistics=False,
        ) as writer,
        ThreadPoolExecutor(max(1, threads), thread_name_prefix="headrace-rows") as pool,
    ):
        for batch in _blocks(batches, schema, _block_rows(len(columns))):
            for future in waiting:
                future.result()
            waiting = [pool.submit(writer.write_batch, batch)]
            waiting += [pool.submit(job) for job in updates(sums, batch)]
            rows += batch.num_rows
            if progress is not None:
                progress(rows)
        for future in waiting:
            future.result()
    return rows, table_digest(rows, sums)


def _block_rows(columns: int) -> int:
    """Rows of one block: a power of two, so that a block of a wide table is no larger than that of a
    narrow one."""
    return max(1024, min(131_072, 1 << (_CELLS // columns).bit_length() - 1))


def _blocks(batches: Iterable[pa.RecordBatch], schema: pa.Schema, rows: int) -> Iterator[pa.RecordBatch]:
    """The same rows in blocks of `rows` (fewer where texts are long, always a multiple of eight but for
    the last)."""
    held: list[pa.RecordBatch] = []
    count = size = 0
    for batch in batches:
        held.append(batch)
        count += batch.num_rows
        size += batch.nbytes
        while count >= rows or (size >= _BLOCK_BYTES and count >= 8):
            cut = min(rows, count - count % 8)
            merged = pa.Table.from_batches(held, schema)
            yield _one(merged.slice(0, cut))
            held = merged.slice(cut).to_batches()
            count -= cut
            size = sum(b.nbytes for b in held)
    if count:
        yield _one(pa.Table.from_batches(held, schema))


def _one(table: pa.Table) -> pa.RecordBatch:
    return table.combine_chunks().to_batches()[0]
