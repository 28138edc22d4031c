"""Scoring a file: any size in bounded memory, every row answered or rejected with its reasons."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from headrace.core.errors import DataError, Problem
from headrace.core.ports import Store
from headrace.graph.buffers import Array, fixed_array, text_array
from headrace.release.manifest import Manifest, Serving
from headrace.serve.batch.rows import THREADS, Scoring, rejected
from headrace.serve.files import open_source
from headrace.serve.rejects import Rejects, is_rejects
from headrace.serve.source import Chunk, Groups, Source

Progress = Callable[[str, int, int], None]
"""Told of what is being done, of rows done, and of how many there are (0: not known)."""


@dataclass(frozen=True)
class Scored:
    """What came of a file: rows scored and rejected, and where they are (`rejects` is empty where there
    are none)."""

    rows: int
    rejected: int
    release: str
    output: str
    rejects: str


def score_file(
    store: Store,
    manifest: Manifest,
    release: str,
    source: Path,
    output: Path,
    *,
    rejects: Path | None = None,
    explain: int = 0,
    progress: Progress = lambda text, done, total: None,
) -> Scored:
    """Score a CSV, Parquet or JSON-lines file into a CSV or Parquet file.

    The output has one row for each row that could be scored, in order: `row` (its number in the source,
    from 1), `prediction`, `probability` (binary: of the positive class; multiclass: of the predicted class,
    and `probability_<class>` of each), `release`; where it has rules, `by`: `model`, or the rule that gave
    the answer, as to a request. Where the release says how sure it is, there are `lower`
    and `upper` (empty: unbounded), or `set_<class>` for each class and, where it may abstain, `abstain`;
    then an empty prediction is one that it did not give. With `explain`, so many columns' contributions
    follow as `why_1` (the largest: `distance = 1,200: +0.080`), `why_2`, …; `why_base`, what they start from,
    and `why_rest`, the sum of those not named, are numbers. The others go to `rejects` (default: the output's
    name and `.rejects.csv`) as `row`, `line`, `reason`; it exists only where there are any.

    Both files appear at the end, whole; until then, or where the process is killed, older ones stay. Blocks
    of rows are scored one after the other: memory does not grow with the file.

    Raises:
        DataError: the source is missing, empty or unreadable, lacks a column or has one of another type;
            the output's ending is unknown, its folder is missing, or it can't be written; contributions are
            wanted and the release can't give them. No file is made.
    """
    aside = rejects or output.with_name(output.name + ".rejects.csv")
    _check_paths(source, output, aside)
    scoring = Scoring(store, manifest, release, explain=explain)
    opened = open_for(manifest.serving, source)
    part, part_aside = temporary(output), temporary(aside)
    kept = Rejects(part_aside)
    try:
        rows = write(scoring, opened, part, output.suffix.lower(), kept, progress)
        kept.finish(opened)
        if kept.count:
            part_aside.replace(aside)
        elif is_rejects(aside):
            aside.unlink()  # of an earlier run: it would be read as this one's
        part.replace(output)
    except OSError as error:
        raise DataError("the output can't be written", where=str(output), why=str(error)) from error
    finally:
        kept.discard()
        part.unlink(missing_ok=True)
    return Scored(rows, kept.count, release, str(output), str(aside) if kept.count else "")


def _check_paths(source: Path, output: Path, rejects: Path) -> None:
    problems = []
    if output.suffix.lower() not in _WRITERS:
        problems.append(
            Problem(
                f"files ending in {output.suffix or 'nothing'} can't be written",
                where=str(output),
                fix=f"choose one of {', '.join(_WRITERS)}",
            )
        )
    for path, other, what in (
        (output, source, "the output is the source itself"),
        (rejects, source, "the rejects file is the source itself"),
        (rejects, output, "the rejects file is the output itself"),
    ):
        if _same(path, other):
            problems.append(Problem(what, where=str(path), fix="choose another name"))
    for path in (output, rejects):
        if path.is_dir():
            problems.append(Problem("that is a folder", where=str(path), fix="name a file in it"))
        elif not path.parent.is_dir():
            problems.append(
                Problem(f"there is no folder {path.parent}", where=str(path), fix="make it first")
            )
    if problems:
        raise DataError.of(problems)


def _same(one: Path, other: Path) -> bool:
    if one.exists() and other.exists():
        return one.samefile(other)
    return one.resolve() == other.resolve()


def temporary(path: Path) -> Path:
    """A name beside it, so that putting it in place is one step."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")


_WRITERS: Mapping[str, Callable[[Path, pa.Schema], Any]] = {
    ".csv": lambda path, schema: pa_csv.CSVWriter(str(path), schema),
    ".parquet": lambda path, schema: pq.ParquetWriter(str(path), schema, compression="zstd"),
    ".pq": lambda path, schema: pq.ParquetWriter(str(path), schema, compression="zstd"),
}


def write(
    scoring: Scoring,
    source: Source,
    part: Path,
    ending: str,
    rejects: Rejects,
    progress: Progress,
    threads: int = THREADS,
    name: str = "",
) -> int:
    """Score every chunk and write it to `part`, as the ending says; the number of rows written. name: of the
    source, told of each row in a column `source` (empty: there is none)."""
    written = done = 0
    schema = scoring.schema
    if name:
        schema = schema.insert(0, pa.field("source", pa.dictionary(pa.int32(), pa.string())))
        if ending == ".csv":
            schema = schema.set(0, pa.field("source", pa.string()))
    schema = _with_kept(schema, source)
    with _WRITERS[ending](part, schema) as writer:
        for chunk, batch in scoring.scored(source, threads):
            rejects.add(rejected(chunk))
            if batch is not None:
                if name or source.kept:
                    batch = _beside(batch, chunk, name, schema)
                writer.write_batch(batch)
                written += batch.num_rows
            done += len(chunk.rows) + len(chunk.lost)
            progress("explaining" if scoring.explain else "scoring", done, source.total)
    return written


def _with_kept(schema: pa.Schema, source: Source) -> pa.Schema:
    """The output's schema with the columns that are kept.

    Raises:
        DataError: an answer has a column of that name.
    """
    twice = [n for n in source.kept if n in schema.names]
    if twice:
        raise DataError(f"the answers have a column {twice[0]!r} of their own", fix="leave it out of --keep")
    for column, kind in source.kept.items():
        schema = schema.append(pa.field(column, kind))
    return schema


def _beside(batch: pa.RecordBatch, chunk: Chunk, name: str, schema: pa.Schema) -> pa.RecordBatch:
    """Answers with where they come from as the first column, and what is kept as the last."""
    kept = list(chunk.kept.values())
    if kept and batch.num_rows < len(chunk.rows):
        good = np.ones(len(chunk.rows), np.bool_)
        good[list(chunk.bad)] = False
        kept = [c.filter(fixed_array(good, pa.bool_())) for c in kept]
    if not name:
        return pa.RecordBatch.from_arrays([*batch.columns, *kept], schema=schema)
    spots = fixed_array(np.zeros(batch.num_rows, np.int32), pa.int32())
    source: Array = pa.DictionaryArray.from_arrays(spots, text_array([name]))
    if not pa.types.is_dictionary(schema.field(0).type):
        source = pc.take(text_array([name]), spots)
    return pa.RecordBatch.from_arrays([source, *batch.columns, *kept], schema=schema)


def open_for(
    serving: Serving, source: Path, groups: Groups | None = None, keep: Sequence[str] = ()
) -> Source:
    """A file, opened for a release's columns; of a Parquet file, groups: these row groups alone, keep:
    columns that go through as they are.

    Raises:
        DataError: as `open_source`.
    """
    return open_source(
        source,
        serving.event_types(),
        zone=serving.zone,
        keys=frozenset(serving.key_columns),
        decimal=serving.decimal,
        nulls=serving.nulls,
        groups=groups,
        keep=keep,
    )
