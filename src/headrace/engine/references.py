"""What live traffic of a release will be compared with, made when the release is: its reference rows through
the packaged graph, counted in bins.

Reference rows are the validation rows: the model was not fitted on them, and they are the newest that are not
sealed. The test rows are never read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.slices import Slices
from headrace.core.codec import from_json
from headrace.core.ports import Store
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.core.spelled import spelled
from headrace.core.task import Kind, Task
from headrace.data.rows import Rows
from headrace.engine.columns import ANSWER, answering, evenly, join_vectors
from headrace.engine.context import Context, Made
from headrace.engine.stages.features import TARGET, rows_of, units_of
from headrace.engine.stages.ingest import compiled_of
from headrace.engine.stages.split import task_of
from headrace.engine.targets import codes
from headrace.expr import Expr
from headrace.graph.encode import encode_batch
from headrace.graph.run import Runner
from headrace.summary.bins import UNKNOWN, Bins, make_bins
from headrace.summary.counts import Counter, Counts, no_rows
from headrace.summary.reference import (
    MOST_BLOCKS,
    PREDICTION,
    PROBABILITY,
    Reference,
    ReferenceRows,
    SliceError,
    add_blocks,
    block_of,
    by_column,
    keep,
    write_reference,
    write_rows,
)

BINNED = 100_000
"""Rows that bins are cut by, at most; of more, so many, evenly spaced."""
FEW = 2_000
"""With fewer validation rows the newest training rows join them, for raw columns."""
ENOUGH = 5_000
"""So many rows there are then, where there are so many."""
MOST_CLASSES = 20
"""Classes whose probability is watched, at most: the first by their codes."""
MOST_SLICES = 50

Feeds = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class _Part:
    """Rows of a part that are looked at. answered: whether the model's answers to them mean anything."""

    rows: Rows
    units: NDArray[np.int64]
    answered: bool


@dataclass(eq=False)
class _Seen:
    """What is known of every reference row, in the order in which they were read. Live."""

    counts: Counts
    time: list[NDArray[np.int64]] = field(default_factory=list)
    truth: list[NDArray[np.float64]] = field(default_factory=list)
    score: list[NDArray[np.float64]] = field(default_factory=list)
    decision: list[NDArray[np.int64]] = field(default_factory=list)
    codes: list[NDArray[np.uint8]] = field(default_factory=list)
    sliced: list[NDArray[np.uint8]] = field(default_factory=list)


class _Reader:
    """Reference rows as columns: raw ones, and those of answers. sliced: slices that are expressions."""

    def __init__(self, ctx: Context, made: Made, runner: Runner, sliced: Mapping[str, Expr]) -> None:
        compiled = compiled_of(ctx, made)
        self.task = task_of(made)
        self.time = ctx.spec.data.time
        self.inputs = dict(runner.inputs)
        self._runner, self._target = runner, compiled.target
        self._truths = answering({"target": compiled.target})
        self.sliced = {text: e.type for text, e in sliced.items()}
        self.personal = [text for text, e in sliced.items() if set(e.columns) & set(ctx.spec.data.pii)]
        self._slicer = answering(sliced) if sliced else None
        names = {*compiled.target.columns, *([self.time] if self.time else [])}
        names |= {c for e in sliced.values() for c in e.columns}
        self._wanted = {c: compiled.types[c] for c in sorted(names)} | self.inputs

    def batches(self, part: _Part) -> Iterator[tuple[Feeds, Feeds, int]]:
        """By batch: columns that are counted, what else is known of the rows, and how many they are."""
        for batch in part.rows.batches(list(self._wanted)):
            n = batch.num_rows
            feeds = encode_batch(batch, self._wanted)
            truth = self._truths.run(feeds, n)[TARGET]
            known: Feeds = {"truth": codes(self.task, self._target.type, truth)}
            if self.time:
                known["time"] = feeds[self.time]
            if self._slicer is not None:
                known |= self._slicer.run({c: feeds[c] for c in self._slicer.inputs}, n)
            columns = {c: feeds[c] for c in self.inputs}
            got = self._runner.run(feeds, n)
            regression = self.task.kind is Kind.REGRESSION
            score = np.asarray(got["prediction" if regression else "probability"], np.float64)
            decision = np.full(n, -1, np.int64) if regression else got["decision"].astype(np.int64)
            if part.answered:
                columns |= answers_of(self.task, got)
            else:
                score, decision = np.full(score.shape, np.nan), np.full(n, -1, np.int64)
            yield columns, known | {"score": score, "decision": decision}, n


def make_reference(ctx: Context, made: Made, sliced: Mapping[str, Expr]) -> tuple[str, str]:
    """The artifacts of the reference and of its rows (see `summary.reference`). sliced: the slices that are
    expressions, by their text.

    Raises:
        HeadraceError: rows can't be read.
    """
    runner = Runner(ctx.store.get(made["package"].outputs["graph"]), threads=ctx.spec.limits.threads)
    reader = _Reader(ctx, made, runner, sliced)
    parts = _parts(ctx, made)
    bins, values, held = _bins(ctx, reader, parts)
    outputs = tuple(output_types(reader.task))
    counter, slicing = Counter(bins), Counter(values)
    silent = np.array([c.name in outputs for c in bins.columns], dtype=np.bool_)
    tell = ctx.tell("promote")
    seen, at = _Seen(no_rows(bins)), 0
    total = sum(p.rows.count for p in parts)
    for part in parts:
        for columns, known, n in held.get(id(part)) or reader.batches(part):
            _add(seen, counter, columns, known, n, None if part.answered else silent)
            told = {text: known[ANSWER + text] for text in sliced}
            seen.sliced.append(np.array(slicing.codes(told, n)))
            at += n
            tell("counting what traffic is compared with", at, total)
    rows = _rows(bins, parts, seen, len(sliced))
    reference = Reference(
        bins=bins,
        rows=total,
        counts=by_column(bins, seen.counts),
        sums=tuple(seen.counts.sums.tolist()),
        squares=tuple(seen.counts.squares.tolist()),
        first=int(rows.time[0]) if rows.timed and rows.rows else None,
        last=int(rows.time[-1]) if rows.timed and rows.rows else None,
        parts={p.rows.part: p.rows.count for p in parts},
        outputs=outputs,
        sliced=values,
        **_judged(ctx.store, ctx.spec.problem.metric, made),
    )
    return ctx.store.put(write_reference(reference)).digest, ctx.store.put(write_rows(rows)).digest


def output_types(task: Task) -> dict[str, Type]:
    """The columns of answers, with the type that their values have in the log."""
    if task.kind is Kind.REGRESSION:
        return {PREDICTION: Type.NUMBER}
    kinds = {bool: Type.BOOL, float: Type.NUMBER, int: Type.NUMBER, str: Type.TEXT}
    prediction = {PREDICTION: kinds[type(task.classes[0])]}
    if task.kind is Kind.BINARY:
        return prediction | {PROBABILITY: Type.NUMBER}
    shown = task.classes[:MOST_CLASSES]
    return prediction | {f"{PROBABILITY}[{spelled(c)}]": Type.NUMBER for c in shown}


def answers_of(task: Task, got: Mapping[str, NDArray[Any]]) -> Feeds:
    """What a graph gave, as columns of answers in raw-column form. Who abstains predicts nothing."""
    if task.kind is Kind.REGRESSION:
        return {PREDICTION: np.asarray(got["prediction"], np.float64)}
    text = isinstance(task.classes[0], str)
    classes = np.array(list(task.classes), dtype=object if text else np.float64)
    predicted = classes[got["decision"].astype(np.int64)]
    if "abstain" in got:
        away = got["abstain"].astype(np.bool_)
        predicted[away] = NULL_TEXT if text else np.nan
    probability = np.asarray(got["probability"], np.float64)
    if task.kind is Kind.BINARY:
        return {PREDICTION: predicted, PROBABILITY: probability}
    named = {f"{PROBABILITY}[{spelled(c)}]": probability[:, i] for i, c in enumerate(task.classes)}
    return {PREDICTION: predicted} | dict(list(named.items())[:MOST_CLASSES])


def _parts(ctx: Context, made: Made) -> list[_Part]:
    """The validation rows; before them the newest training rows, where they are few."""
    validation = rows_of(ctx, made, "validation")
    found = [_Part(validation, units_of(ctx, made, validation), True)]
    train = rows_of(ctx, made, "train")
    if validation.count >= FEW or not train.count:
        return found
    wanted = min(train.count, ENOUGH - validation.count)
    chosen = np.arange(train.count - wanted, train.count)
    if ctx.spec.data.time:
        times = [
            encode_batch(b, {ctx.spec.data.time: Type.TIME})[ctx.spec.data.time]
            for b in train.batches([ctx.spec.data.time])
        ]
        chosen = np.sort(np.argsort(join_vectors(times), kind="stable")[-wanted:])
    some = train.only(chosen)
    return [_Part(some, units_of(ctx, made, some), False), *found]


def _bins(
    ctx: Context, reader: _Reader, parts: list[_Part]
) -> tuple[Bins, Bins, dict[int, list[tuple[Feeds, Feeds, int]]]]:
    """Bins by rows of all parts, evenly spaced, and those of slices; and the batches of parts that were read
    whole."""
    types = reader.inputs | output_types(reader.task)
    values = {ANSWER + text: kind for text, kind in reader.sliced.items()}
    total = sum(p.rows.count for p in parts)
    held: dict[int, list[tuple[Feeds, Feeds, int]]] = {}
    found: dict[str, list[NDArray[Any]]] = {n: [] for n in [*types, *values]}
    for part in parts:
        if total <= BINNED:
            batches = held[id(part)] = list(reader.batches(part))
        else:
            most = max(1, BINNED * part.rows.count // total)
            some = part.rows.only(evenly(part.rows.count, most))
            batches = list(reader.batches(_Part(some, part.units, part.answered)))
        for columns, known, _ in batches:
            for name, vector in (columns | {n: known[n] for n in values}).items():
                found[name].append(vector)
    vectors = {n: join_vectors(v) for n, v in found.items() if v}
    if reader.task.kind is not Kind.REGRESSION and PREDICTION in vectors:
        # Every class has a bin, also one that no row was predicted to be.
        own = np.array(list(reader.task.classes), dtype=vectors[PREDICTION].dtype)
        vectors[PREDICTION] = np.concatenate([vectors[PREDICTION], own])
    hidden = [n for n in types if n in ctx.spec.data.pii]
    bins = make_bins(vectors, types, zone=ctx.zone, hashed=hidden)
    told = {text: vectors[ANSWER + text] for text in reader.sliced if ANSWER + text in vectors}
    return bins, make_bins(told, reader.sliced, zone=ctx.zone, hashed=reader.personal), held


def _add(
    seen: _Seen,
    counter: Counter,
    columns: Feeds,
    known: Feeds,
    n: int,
    silent: NDArray[np.bool_] | None,
) -> None:
    """Take in a batch; silent: columns that are not known of these rows."""
    counted = np.array(counter.codes(columns, n))
    counts = counter.count(columns, n)
    if silent is not None:
        counted[:, silent] = UNKNOWN
        for i in np.flatnonzero(silent):
            counts.codes[counter.bins.offsets[i] : counter.bins.offsets[i + 1]] = 0
    seen.counts = seen.counts + counts
    seen.codes.append(counted)
    seen.truth.append(known["truth"])
    seen.score.append(known["score"])
    seen.decision.append(known["decision"])
    if "time" in known:
        seen.time.append(known["time"])


def _rows(bins: Bins, parts: list[_Part], seen: _Seen, expressions: int) -> ReferenceRows:
    """Rows in the order of their times: some of them, and all of them in blocks."""
    coded = np.concatenate([*seen.codes, np.zeros((0, len(bins.columns)), np.uint8)])
    total = len(coded)
    time, timed = np.arange(total), False
    if seen.time:
        told = join_vectors(seen.time).astype(np.int64)
        some = told != NULL_TIME
        if some.any():
            # A row without a time has that of the row before it in the table.
            last = np.maximum.accumulate(np.where(some, np.arange(total), -1))
            time = np.where(last >= 0, told[np.maximum(last, 0)], told[some][0])
            timed = True
    order = np.argsort(time, kind="stable")
    block = block_of(total, MOST_BLOCKS)
    count = int(block[-1]) + 1 if total else 0
    blocks = np.zeros((count, bins.width), np.uint32)
    add_blocks(bins, blocks, coded[order], block)
    firsts = np.searchsorted(block, np.arange(count))
    kept, run = keep(total)
    chosen = order[kept]
    unit = join_vectors(p.units for p in parts).astype(np.int64)
    return ReferenceRows(
        codes=coded[chosen],
        time=time[chosen],
        unit=unit[chosen],
        run=run,
        score=join_vectors(seen.score)[chosen],
        truth=join_vectors(seen.truth).astype(np.float64)[chosen],
        decision=join_vectors(seen.decision).astype(np.int64)[chosen],
        blocks=blocks,
        starts=time[order][firsts],
        sizes=np.bincount(block, minlength=count),
        timed=timed,
        sliced=np.concatenate([*seen.sliced, np.zeros((0, expressions), np.uint8)])[chosen],
    )


def _judged(store: Store, metric: str, made: Made) -> dict[str, Any]:
    """The metric on the validation rows, and by slice."""
    told = made["evaluate"].facts["metrics"].get(metric, {})
    interval = told.get("interval") or {}
    found = from_json(store.get(made["evaluate"].outputs["slices"]).read_bytes(), Slices)
    slices = tuple(
        SliceError(s.name, s.rows, s.value, *((s.interval.low, s.interval.high) if s.interval else ()))
        for s in sorted(found.declared, key=lambda s: -s.rows)[:MOST_SLICES]
    )
    return {
        "metric": metric,
        "value": told.get("value"),
        "low": interval.get("low"),
        "high": interval.get("high"),
        "slices": slices,
    }
