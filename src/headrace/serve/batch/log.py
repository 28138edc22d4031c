"""Answers of a batch in the prediction log: each row under a name that follows from the batch, so that what a
killed process logs a second time is told from a new answer."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.core.answered import MODEL, Answered
from headrace.core.clock import Clock, iso, micros
from headrace.core.errors import StoreError, UserError
from headrace.core.ports import Store
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.core.spelled import spelled
from headrace.core.task import Kind
from headrace.graph.buffers import fixed_array
from headrace.logs.writer import LogWriter
from headrace.release.manifest import Manifest
from headrace.serve.answer import Answerer
from headrace.serve.batch.file import open_for
from headrace.serve.batch.plan import BatchPlan, Part
from headrace.serve.desk.entries import filled_in, unit_of
from headrace.serve.source import Chunk

ROUTE, ARM = "batch", "batch"


def logger(
    store: Store, manifest: Manifest, plan: BatchPlan, folder: Path, clock: Clock
) -> tuple[str, Callable[[Path, str], int]]:
    """What puts a part's answers with their inputs into the log below `folder`, on the disk when it returns;
    and the log's address. Personal data are in it as the release's privacy policy has them.

    Raises:
        UserError: the parts are not Parquet.
    """
    if plan.ending != ".parquet":
        raise UserError("answers are logged from Parquet parts", fix="leave --format out, or --log")
    answerer = Answerer(store, manifest.serving, plan.release)
    parts = {p.name: p for p in plan.parts}

    def log(output: Path, name: str) -> int:
        return _log_part(answerer, manifest, plan, parts[name], output, folder, clock)

    return f"log:{folder}", log


def _log_part(
    answerer: Answerer,
    manifest: Manifest,
    plan: BatchPlan,
    part: Part,
    output: Path,
    folder: Path,
    clock: Clock,
) -> int:
    writer = LogWriter(folder, worker=f"batch-{os.getpid()}", mode="durable", clock=clock)
    source = open_for(manifest.serving, Path(plan.root) / part.file, part.groups)
    answers = _answers(answerer, output)
    count = 0
    try:
        for chunk in source.chunks():
            inputs, filled = _inputs(answerer, chunk)
            now = micros(clock())
            rows = [int(r) for i, r in enumerate(chunk.rows) if i not in chunk.bad]
            entries = [
                _entry(manifest, plan, part, row, now, sent, *next(answers), filled.get(i, {}))
                for i, (row, sent) in enumerate(zip(rows, inputs, strict=True))
            ]
            _kept(writer, entries)
            count += len(entries)
    finally:
        writer.close()
    return count


def _entry(
    manifest: Manifest,
    plan: BatchPlan,
    part: Part,
    row: int,
    now: int,
    sent: Mapping[str, Any],
    answer: Mapping[str, Any],
    by: str,
    filled: Mapping[str, Any],
) -> Answered:
    unit = manifest.plan.unit
    changed = max(i.changed for i in plan.inputs) // 1_000_000  # a moment that stays the same
    named = hashlib.sha256(f"{plan.id}/{part.file}/{row}".encode()).hexdigest()
    return Answered(
        f"{changed:012x}{named[:20]}",
        now,
        ROUTE,
        plan.release,
        ARM,
        unit_of(sent, unit) if unit else "",
        by,
        sent,
        answer,
        filled=filled,
    )


def _kept(writer: LogWriter, entries: list[Answered]) -> None:
    """Wait until they are on the disk."""
    if not entries:
        return
    done = threading.Event()
    met: list[Exception] = []

    def told(error: Exception | None) -> None:
        met.extend([error] if error is not None else [])
        done.set()

    writer.append(entries, told)
    done.wait()
    if met:
        raise met[0] if isinstance(met[0], StoreError) else StoreError(str(met[0]))


def _inputs(answerer: Answerer, chunk: Chunk) -> tuple[list[dict[str, Any]], dict[int, dict[str, Any]]]:
    """What was sent in a chunk's good rows, by column: hashed and masked as training had it; and what was
    filled in, by row."""
    columns = dict(chunk.columns)
    count = len(chunk.rows)
    if chunk.bad:
        good = np.ones(count, np.bool_)
        good[list(chunk.bad)] = False
        columns = {n: c.filter(fixed_array(good, pa.bool_())) for n, c in columns.items()}
        count = int(good.sum())
    kept = {name: _values(columns[name].to_pylist(), kind) for name, kind in answerer.types.items()}
    treated = answerer.serving.treated
    added = [(f.name, f.type) for f in answerer.serving.fields if f.source != "event"]
    filled: dict[int, dict[str, Any]] = {}
    if (treated or added) and count:
        feeds = answerer.feeds(columns, count, "row {}".format)
        filled = filled_in(feeds, added) if added else {}
        kept |= {n: [None if v == NULL_TEXT else v for v in feeds[n].tolist()] for n in treated if n in kept}
    names = list(kept)
    return [dict(zip(names, row, strict=True)) for row in zip(*kept.values(), strict=True)], filled


def _values(values: list[Any], kind: Type) -> list[Any]:
    if kind is not Type.TIME:
        return values
    return [None if v is None or v == NULL_TIME else iso(v.replace(tzinfo=UTC)) for v in values]


def _answers(answerer: Answerer, output: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """A part's answers as callers would have them, in order, and what gave each."""
    names = [spelled(c) for c in answerer.labels]
    many = answerer.serving.task.kind is Kind.MULTICLASS
    for batch in pq.ParquetFile(output).iter_batches():
        plain = {"prediction", "lower", "upper", "abstain", *(() if many else ("probability",))}
        columns = {n: batch.column(n).to_pylist() for n in batch.schema.names if n in plain}
        if many:
            each = [batch.column(f"probability_{n}").to_pylist() for n in names]
            columns["probability"] = [dict(zip(names, p, strict=True)) for p in zip(*each, strict=True)]
        if f"set_{names[0]}" in batch.schema.names if names else False:
            held = [batch.column(f"set_{n}").to_pylist() for n in names]
            columns["set"] = [
                [c for c, inside in zip(answerer.labels, row, strict=True) if inside]
                for row in zip(*held, strict=True)
            ]
        by = batch.column("by").to_pylist() if "by" in batch.schema.names else [MODEL] * batch.num_rows
        keys = list(columns)
        for *row, who in zip(*columns.values(), by, strict=True):
            yield dict(zip(keys, row, strict=True)), who
