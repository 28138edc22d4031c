"""Rows to score, chunk by chunk: answers as the output's columns. Knows of no file that is written."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.core.ports import Store
from headrace.core.spelled import spelled
from headrace.core.task import Kind
from headrace.data.cells import texts_array
from headrace.graph.buffers import Array, fixed_array, text_array
from headrace.release.manifest import Manifest
from headrace.serve.answer import Answerer
from headrace.serve.desk.rules import load_rules, overrule
from headrace.serve.source import Chunk, Source
from headrace.serve.why import Reasons

THREADS = 2
_EXPLAINED = 256
"""Rows explained before progress is told: each takes thousands of answers."""


class Scoring:
    """A release, ready to score: `schema` is what comes of each row."""

    def __init__(self, store: Store, manifest: Manifest, release: str, *, explain: int = 0) -> None:
        """explain: how many contributions each answer names.

        Raises:
            DataError: contributions are wanted and the release can't give them.
        """
        self.answerer = Answerer(store, manifest.serving, release)
        self.explain = explain
        self._rules = load_rules(store, manifest.plan.before), load_rules(store, manifest.plan.after)
        if explain:
            self.answerer.can_explain()
        self._table = _Table(self.answerer, explain, ruled=self._rules != (None, None))

    @property
    def schema(self) -> pa.Schema:
        """Of the batches that `scored` gives."""
        return self._table.schema

    def scored(self, source: Source, threads: int = THREADS) -> Iterator[tuple[Chunk, pa.RecordBatch | None]]:
        """Chunks with their output (None: of no row), in order. With several threads some are computed while
        others are read and written."""
        chunks = _cut(source.chunks(), _EXPLAINED if self.explain else 0)
        workers = min(threads, os.cpu_count() or 1)
        if workers < 2:
            yield from ((chunk, self._work(chunk)) for chunk in chunks)
            return
        waiting: deque[tuple[Chunk, Future[pa.RecordBatch | None]]] = deque()
        with ThreadPoolExecutor(workers, thread_name_prefix="headrace-score") as pool:
            for chunk in chunks:
                waiting.append((chunk, pool.submit(self._work, chunk)))
                if len(waiting) > workers:
                    first, future = waiting.popleft()
                    yield first, future.result()
            for first, future in waiting:
                yield first, future.result()

    def _work(self, chunk: Chunk) -> pa.RecordBatch | None:
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

        answerer = self.answerer
        feeds = answerer.feeds(columns, len(rows), where)
        outputs = answerer.run(feeds, len(rows))
        reasons = answerer.reasons(feeds, len(rows), self.explain) if self.explain else ()
        by: Sequence[str] = ()
        if self._table.ruled:
            outputs, by = overrule(answerer.serving, *self._rules, feeds, outputs, len(rows))
        return self._table.batch(rows, outputs, reasons, by)


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
                {n: c.slice(start, stop - start) for n, c in chunk.kept.items()},
            )


def rejected(chunk: Chunk) -> list[tuple[int, str]]:
    """A chunk's rows that can't be scored, ascending, each with its reasons."""
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
            fields += [(f"probability_{spelled(c)}", pa.float64()) for c in answerer.labels]
        sure = answerer.serving.sureness
        if sure is not None and self._kind is Kind.REGRESSION:
            fields += [("lower", pa.float64()), ("upper", pa.float64())]
        elif sure is not None:
            fields += [(f"set_{spelled(c)}", pa.bool_()) for c in answerer.labels]
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
