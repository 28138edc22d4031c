"""Scoring a file: any size in bounded memory, every row answered or rejected with its reasons."""

from __future__ import annotations

import os
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from headrace.core.errors import DataError, Problem
from headrace.core.ports import Store
from headrace.core.task import Kind
from headrace.data.buffers import Array, fixed_array, text_array
from headrace.data.cells import texts_array
from headrace.release.manifest import Manifest
from headrace.serve.answer import Answerer, label_name
from headrace.serve.desk.rules import Rules, load_rules, overrule
from headrace.serve.files import open_source
from headrace.serve.rejects import Rejects, is_rejects
from headrace.serve.source import Chunk, Source
from headrace.serve.why import Reasons

Progress = Callable[[str, int, int], None]
"""Told of what is being done, of rows done, and of how many there are (0: not known)."""

_Around = tuple[Rules | None, Rules | None]
"""The rules before and after the model."""
_WORKERS = 2
_EXPLAINED = 256
"""Rows explained before progress is told: each takes thousands of answers."""


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
    answerer = Answerer(store, manifest.serving, release)
    rules = load_rules(store, manifest.plan.before), load_rules(store, manifest.plan.after)
    if explain:
        answerer.can_explain()
    keys = frozenset(manifest.serving.key_columns)
    serving = manifest.serving
    opened = open_source(
        source, answerer.types, zone=serving.zone, keys=keys, decimal=serving.decimal, nulls=serving.nulls
    )
    part, part_aside = _temporary(output), _temporary(aside)
    kept = Rejects(part_aside)
    try:
        rows = _write(answerer, rules, opened, part, output.suffix.lower(), kept, explain, progress)
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


def _temporary(path: Path) -> Path:
    """A name beside it, so that putting it in place is one step."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")


_WRITERS: Mapping[str, Callable[[Path, pa.Schema], Any]] = {
    ".csv": lambda path, schema: pa_csv.CSVWriter(str(path), schema),
    ".parquet": lambda path, schema: pq.ParquetWriter(str(path), schema, compression="zstd"),
    ".pq": lambda path, schema: pq.ParquetWriter(str(path), schema, compression="zstd"),
}


def _write(
    answerer: Answerer,
    rules: _Around,
    source: Source,
    part: Path,
    ending: str,
    rejects: Rejects,
    explain: int,
    progress: Progress,
) -> int:
    """Score every chunk and write it; the number of rows written."""
    table = _Table(answerer, explain, ruled=rules != (None, None))
    written = done = 0
    with _WRITERS[ending](part, table.schema) as writer:
        for chunk, batch in _scored(answerer, rules, source, table, explain):
            rejects.add(_rejected(chunk))
            if batch is not None:
                writer.write_batch(batch)
                written += batch.num_rows
            done += len(chunk.rows) + len(chunk.lost)
            progress("explaining" if explain else "scoring", done, source.total)
    return written


def _scored(
    answerer: Answerer, rules: _Around, source: Source, table: _Table, explain: int
) -> Iterator[tuple[Chunk, pa.RecordBatch | None]]:
    """Chunks with their output, in order: some are computed while others are read and written."""

    def work(chunk: Chunk) -> pa.RecordBatch | None:
        good = np.ones(len(chunk.rows), np.bool_)
        good[list(chunk.bad)] = False
        if not good.any():
            return None
        columns = dict(chunk.columns)
        if not good.all():
            mask = fixed_array(good, pa.bool_())
            columns = {n: values.filter(mask) for n, values in columns.items()}
        rows = chunk.rows[good]

        def where(row: int) -> str:
            return f"row {rows[row]}"

        feeds = answerer.feeds(columns, len(rows), where)
        outputs = answerer.run(feeds, len(rows))
        reasons = answerer.reasons(feeds, len(rows), explain) if explain else ()
        by: Sequence[str] = ()
        if table.ruled:
            outputs, by = overrule(answerer.serving, *rules, feeds, outputs, len(rows))
        return table.batch(rows, outputs, reasons, by)

    waiting: deque[tuple[Chunk, Future[pa.RecordBatch | None]]] = deque()
    workers = min(_WORKERS, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers, thread_name_prefix="headrace-score") as pool:
        for chunk in _cut(source.chunks(), _EXPLAINED if explain else 0):
            waiting.append((chunk, pool.submit(work, chunk)))
            if len(waiting) > workers:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()


def _cut(chunks: Iterator[Chunk], most: int) -> Iterator[Chunk]:
    """The same rows, at most so many at once (0: as they come)."""
    for chunk in chunks:
        if not most or len(chunk.rows) <= most:
            yield chunk
            continue
        for start in range(0, len(chunk.rows), most):
            stop = min(len(chunk.rows), start + most)
            yield Chunk(
                chunk.rows[start:stop],
                {n: c.slice(start, stop - start) for n, c in chunk.columns.items()},
                {at - start: why for at, why in chunk.bad.items() if start <= at < stop},
                chunk.lost if stop == len(chunk.rows) else (),
            )


def _rejected(chunk: Chunk) -> list[tuple[int, str]]:
    bad = [(int(chunk.rows[at]), "; ".join(reasons)) for at, reasons in chunk.bad.items()]
    return sorted([*bad, *chunk.lost])


class _Table:
    """The output's columns."""

    def __init__(self, answerer: Answerer, explain: int, *, ruled: bool) -> None:
        self._explain, self.ruled = explain, ruled
        self._kind = answerer.serving.task.kind
        self._release = text_array([answerer.release])
        self._labels = _labels_array(answerer)
        fields = [("row", pa.int64()), ("prediction", self._labels.type)]
        if self._kind is not Kind.REGRESSION:
            fields.append(("probability", pa.float64()))
        if self._kind is Kind.MULTICLASS:
            fields += [(f"probability_{label_name(c)}", pa.float64()) for c in answerer.labels]
        sure = answerer.serving.sureness
        if sure is not None and self._kind is Kind.REGRESSION:
            fields += [("lower", pa.float64()), ("upper", pa.float64())]
        elif sure is not None:
            fields += [(f"set_{label_name(c)}", pa.bool_()) for c in answerer.labels]
        if sure is not None and sure.abstain:
            fields.append(("abstain", pa.bool_()))
        fields += [(f"why_{i}", pa.string()) for i in range(1, explain + 1)]
        fields += [("why_base", pa.float64()), ("why_rest", pa.float64())] if explain else []
        fields += [("by", pa.string())] if ruled else []
        self.schema = pa.schema([*fields, ("release", pa.string())])

    def batch(
        self,
        rows: NDArray[np.int64],
        outputs: Mapping[str, NDArray[Any]],
        reasons: Sequence[Reasons] = (),
        by: Sequence[str] = (),
    ) -> pa.RecordBatch:
        """The output of these rows."""
        columns = [fixed_array(rows, pa.int64()), *self._answers(outputs), *self._why(reasons)]
        columns += [texts_array(list(by))] if self.ruled else []
        columns.append(pc.take(self._release, fixed_array(np.zeros(len(rows), np.int64), pa.int64())))
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _why(self, reasons: Sequence[Reasons]) -> list[Array]:
        """Contributions; where a release reads fewer columns than are asked for, the last are empty."""
        if not self._explain:
            return []
        told = [[r.text for r in row.reasons] for row in reasons]
        ranks = [[t[i] if i < len(t) else None for t in told] for i in range(self._explain)]
        base, rest = (np.array(v) for v in ([r.base for r in reasons], [r.rest for r in reasons]))
        return [*(texts_array(r) for r in ranks), _doubles(base), _doubles(rest)]

    def _answers(self, outputs: Mapping[str, NDArray[Any]]) -> list[Array]:
        asked = ~outputs["unasked"] if self.ruled else None
        if self._kind is Kind.REGRESSION:
            given = ~outputs["withheld"] if self.ruled else None
            ends = [_doubles(outputs[n], asked) for n in ("lower", "upper") if n in outputs]
            return [_doubles(outputs["prediction"], given), *ends]
        decision, probability = outputs["decision"], outputs["probability"]
        away = outputs.get("abstain")
        none = outputs["withheld"] if self.ruled else None
        if away is not None:
            none = away if none is None else away | none
        prediction = pc.take(self._labels, fixed_array(decision, pa.int64(), None if none is None else ~none))
        sure = (
            [fixed_array(np.ascontiguousarray(c), pa.bool_(), asked) for c in outputs["set"].T]
            if "set" in outputs
            else []
        )
        if away is not None:
            sure.append(fixed_array(away, pa.bool_(), asked))
        if self._kind is Kind.BINARY:
            return [prediction, _doubles(probability, asked), *sure]
        own = probability[np.arange(len(decision)), decision]
        return [prediction, _doubles(own, asked), *(_doubles(p, asked) for p in probability.T), *sure]


def _doubles(values: NDArray[np.float64], known: NDArray[np.bool_] | None = None) -> Array:
    finite = np.isfinite(values)
    return fixed_array(values, pa.float64(), finite if known is None else finite & known)


def _labels_array(answerer: Answerer) -> Array:
    """The classes as one typed column; of doubles where the task is regression."""
    labels = answerer.labels
    if not labels:
        return _doubles(np.zeros(0))
    if all(isinstance(c, str) for c in labels):
        return text_array([str(c) for c in labels])
    if all(isinstance(c, bool) for c in labels):
        return fixed_array(np.array(labels, np.bool_), pa.bool_())
    if all(isinstance(c, int) for c in labels):
        return fixed_array(np.array(labels, np.int64), pa.int64())
    return _doubles(np.array(labels, np.float64))
