"""The linter on a run's rows: training and validation, never the test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from headrace.checks.lint import Column, Dataset, Finding, Severity, Unlabelled, lint
from headrace.core.codec import from_plain
from headrace.core.evidence import Evidence, Rule
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.core.spec.tables import ColumnCleaning
from headrace.core.task import FIRST_CODE, MISSING, Feature, FeatureKind
from headrace.data.split import DROPPED
from headrace.engine.checking.lint import GATES, thing_of
from headrace.engine.columns import ANSWER, BATCH, answering, join_vectors
from headrace.engine.compile import Compiled
from headrace.engine.context import Context, Made
from headrace.engine.encoder_columns import learned_of, reads_of
from headrace.engine.seen import columns_of, histories_read, seen_of
from headrace.engine.stages.features import rows_of
from headrace.engine.stages.ingest import compiled_of, snapshots_of
from headrace.engine.stages.split import load_array, task_of
from headrace.engine.targets import nulls
from headrace.expr import Expr
from headrace.expr.nodes import walk
from headrace.graph.encode import encode_batch

MOST = 200_000
"""Rows that are looked at; of more, so many are drawn by a hash of their number."""

PARTS = ("train", "validation")
Vectors = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Findings:
    """What the linter found: the artifact with the role `findings`. Rows are those that were looked at."""

    train_rows: int
    validation_rows: int
    sampled: str
    findings: tuple[Finding, ...]


def lint_run(ctx: Context, made: Made) -> Findings:
    """Look at the rows of a run; what `inspect.allow` names carries its reason."""
    data = dataset_of(ctx, made)
    allow = ctx.spec.inspect.allow
    found = [replace(f, accepted=allow.get(f.subject or f.kind, "")) for f in lint(data)]
    train = int(data.train.sum())
    return Findings(train, data.rows - train, data.sampled, tuple(found))


def evidence_of(found: Findings) -> list[Evidence]:
    """One piece of evidence for each thing that blocks, or one that nothing does."""
    evidence = []
    for gate, kinds in GATES.items():
        of_gate = [f for f in found.findings if f.kind in kinds]
        blocking = [f for f in of_gate if f.severity is Severity.BLOCKS and not f.accepted]
        n = found.train_rows + found.validation_rows
        things = list(dict.fromkeys(thing_of(f) for f in blocking))
        for thing in things:
            same = [f for f in blocking if thing_of(f) == thing]
            said = "; ".join(f.what + (f" ({'; '.join(f.examples)})" if f.examples else "") for f in same)
            remedies = "; ".join(dict.fromkeys(f.remedy for f in same))
            evidence.append(
                Evidence(
                    f"{gate}: {thing}", float(len(same)), "findings", n, where=f"{said}. Remedy: {remedies}"
                )
            )
        if not things:
            told = sum(not f.accepted for f in of_gate)
            evidence.append(Evidence(gate, 0.0, "blocking findings", n, details={"warnings": told}))
    return evidence


def lines_of(found: Findings) -> list[dict[str, Any]]:
    """The findings as small JSON objects, for the run's summary."""
    return [
        {
            "kind": f.kind,
            "feature": f.subject or None,
            "severity": "accepted" if f.accepted else f.severity.value,
            "what": f.what,
            "remedy": f.accepted or f.remedy,
        }
        for f in found.findings
    ]


def rules_of(made: Made) -> Mapping[str, Rule]:
    """No finding blocks. Which do is said by their severity, and by what the spec accepts."""
    return {e.gate: Rule("==", 0) for e in made["inspect"].evidence if e.gate.partition(":")[0] in GATES}


# --- the rows --------------------------------------------------------------------------------------


def dataset_of(ctx: Context, made: Made) -> Dataset:
    """Training and validation rows as the linter takes them, in the order of the events table."""
    spec, compiled = ctx.spec, compiled_of(ctx, made)
    known = set(compiled.types)
    exprs = {n: e for n, e in compiled.features.items() if _raw(e, compiled, spec.clean.columns)}
    listed = [from_plain(f, Feature) for f in made["features"].facts["features"]]
    behind: Mapping[str, Sequence[str]] = reads_of(compiled, made, [f.name for f in listed])
    given = {f.column: f.reads for f in compiled.functions}
    behind = {n: [*cs, *(r for c in cs for r in given.get(c, ()))] for n, cs in behind.items()}
    reads = {n: tuple(dict.fromkeys(c for c in cs if c in known)) for n, cs in behind.items()}
    reads = _with_times_of_static_tables(ctx, compiled, reads)
    group = spec.split.group if spec.split.by in ("group", "column") else None
    wanted = {c for columns in reads.values() for c in columns} | ({group} - {None})
    wanted |= {spec.data.time} - {None}
    histories = histories_read(compiled)
    wanted |= columns_of(histories, spec.data)
    parts = [_part(ctx, made, compiled, part, sorted(str(w) for w in wanted), exprs) for part in PARTS]
    numbers = np.concatenate([p.numbers for p in parts])
    order = np.argsort(numbers, kind="stable")
    vectors = {n: np.concatenate([p.vectors[n] for p in parts])[order] for n in parts[0].vectors}
    raw = {n: _column(n, compiled.types[n], vectors[n]) for n in sorted(str(w) for w in wanted)}
    features = [
        _evaluated(f, exprs[f.name], vectors[ANSWER + f.name]) if f.name in exprs
        else _from_matrix(f, np.concatenate([p.X[:, i] for p in parts])[order])
        for i, f in enumerate(listed)
    ]  # fmt: skip
    times = raw[spec.data.time].values if spec.data.time else None
    moments = None if times is None else np.where(times == NULL_TIME, NULL_TIME, times - ctx.lead_us)
    return Dataset(
        task=task_of(made),
        y=np.concatenate([p.y for p in parts])[order],
        train=np.concatenate([np.full(len(p.y), i == 0) for i, p in enumerate(parts)])[order],
        units=np.concatenate([p.units for p in parts])[order],
        features=tuple(features),
        raw=tuple(raw.values()),
        reads=reads,
        split=spec.split.by,
        metric=spec.problem.metric,
        times=times,
        moments=moments,
        group=raw[group] if group else None,
        unlabelled=_unlabelled(ctx, made, compiled, reads),
        later=_later(ctx),
        sampled=_sampled(made),
        seed=spec.seed,
        learned=learned_of(made, [f.name for f in listed]),
        past=seen_of(histories, compiled, spec.data, raw),
    )


def _raw(expr: Expr, compiled: Compiled, clean: Mapping[str, ColumnCleaning]) -> bool:
    """Whether an expression reads columns as they are in the tables. Words that are trimmed or put in one
    case, and texts that become times, are others to the model: such features come from the matrix."""
    columns = [n for n in walk(expr.node) if n.op == "col"]
    respelled = {c for c, how in clean.items() if how.trim or how.case}
    return all(compiled.types.get(str(n.param)) == n.type and str(n.param) not in respelled for n in columns)


def _with_times_of_static_tables(
    ctx: Context, compiled: Compiled, reads: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """A table that is looked up without time gives what it holds today: its own times say since when."""
    result = {}
    for feature, columns in reads.items():
        tables = {c.partition(".")[0] for c in columns if "." in c}
        static = [t for t in sorted(tables) if t in ctx.spec.data.tables and not _timed(ctx, t)]
        stamps = [c for t in static for c, k in compiled.types.items()
                  if c.startswith(f"{t}.") and k is Type.TIME]  # fmt: skip
        result[feature] = tuple(dict.fromkeys([*columns, *stamps]))
    return result


def _timed(ctx: Context, table: str) -> bool:
    declared = ctx.spec.data.tables[table]
    return declared.time is not None or declared.known_at is not None


def _later(ctx: Context) -> dict[str, str]:
    data = ctx.spec.data
    known_at = data.tables[data.events].known_at
    if known_at is None:
        return {}
    return {known_at: f"data.tables.{data.events}.known_at, when a row became known, which is afterwards"}


@dataclass(frozen=True)
class _Part:
    numbers: NDArray[np.int64]
    y: NDArray[np.float64]
    units: NDArray[np.int64]
    X: NDArray[np.float32]
    vectors: Vectors


def _part(
    ctx: Context, made: Made, compiled: Compiled, part: str, columns: list[str], exprs: Mapping[str, Expr]
) -> _Part:
    rows, outputs = rows_of(ctx, made, part), made["features"].outputs
    numbers = rows.row_numbers()
    keep = _drawn(made, numbers)
    runner = answering(exprs) if exprs else None
    types = {c: compiled.types[c] for c in columns}
    needed = {c for e in exprs.values() for c in e.columns}
    pieces: dict[str, list[NDArray[Any]]] = {n: [] for n in (*columns, *(ANSWER + n for n in exprs))}
    for batch in rows.only(np.flatnonzero(keep)).batches(columns):
        feeds = encode_batch(batch, types)
        answers = runner.run({c: feeds[c] for c in needed}, batch.num_rows) if runner else {}
        for name, values in (*feeds.items(), *answers.items()):
            pieces[name].append(values)
    return _Part(
        numbers[keep],
        np.asarray(load_array(ctx, outputs[f"y_{part}"])[keep]),
        np.asarray(load_array(ctx, outputs[f"units_{part}"])[keep]),
        np.asarray(load_array(ctx, outputs[f"X_{part}"])[keep]),
        {n: join_vectors(p) for n, p in pieces.items()},
    )


def _count(made: Made) -> int:
    counts = made["split"].facts["counts"]
    return sum(int(counts[p]) for p in PARTS)


def _drawn(made: Made, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows are looked at: spread by a hash, as every so-many-th row could follow a pattern."""
    share = MOST / max(_count(made), 1)
    hashed = (numbers.astype(np.uint64) * np.uint64(2654435761)) % np.uint64(2**32)
    return np.asarray(hashed < share * 2**32)


def _sampled(made: Made) -> str:
    count = _count(made)
    return f"about {MOST:,} of {count:,} rows, by a hash of their number" if count > MOST else ""


def _column(name: str, kind: Type, values: NDArray[Any]) -> Column:
    if kind is Type.TEXT:
        return Column.of_text(name, values.tolist(), null=NULL_TEXT)
    return Column(name, kind, values if kind is Type.TIME else values.astype(np.float64))


def _evaluated(feature: Feature, expr: Expr, values: NDArray[Any]) -> Column:
    column = _column(feature.name, expr.type, values)
    if feature.kind is not FeatureKind.CATEGORY or column.type is Type.TEXT:
        return column
    shown = [None if np.isnan(v) else f"{v:.12g}" for v in column.values.tolist()]
    return Column.of_text(feature.name, shown)


def _from_matrix(feature: Feature, values: NDArray[np.float32]) -> Column:
    """A feature of cleaned columns: numbers as they are, categories by their codes."""
    if feature.kind is not FeatureKind.CATEGORY:
        kind = Type.BOOL if feature.kind is FeatureKind.BOOL else Type.NUMBER
        return Column(feature.name, kind, values.astype(np.float64))
    names = ("(unseen)", "(rare)", *feature.vocabulary)
    codes = np.where(values == MISSING, -1, values.astype(np.int64) - FIRST_CODE + 2)
    return Column(feature.name, Type.TEXT, codes.astype(np.int64), names)


def _unlabelled(
    ctx: Context, made: Made, compiled: Compiled, reads: Mapping[str, tuple[str, ...]]
) -> Unlabelled:
    """Rows without a target, and which of the events' own columns are null there.

    No row of a part is looked at.
    """
    events = snapshots_of(made)[ctx.spec.data.events]
    own = events.types()
    looked = sorted({c for columns in reads.values() for c in columns if c in own})
    target = compiled.target
    dropped = np.asarray(load_array(ctx, made["split"].outputs["parts"]) == DROPPED)
    if not dropped.any() or not looked:
        return Unlabelled()
    runner, needed = answering({"target": target}), {c: own[c] for c in target.columns}
    blank, empty, at = 0, dict.fromkeys(looked, 0), 0
    with pq.ParquetFile(ctx.store.get(events.artifact)) as file:
        for batch in file.iter_batches(BATCH, columns=sorted({*looked, *needed})):
            left = batch.take(np.flatnonzero(dropped[at : at + batch.num_rows]))
            at += batch.num_rows
            answer = runner.run(encode_batch(left, needed), left.num_rows)[ANSWER + "target"]
            missing = nulls(target.type, answer)
            blank += int(missing.sum())
            for column in looked:
                absent = np.asarray(pc.is_null(left.column(column)).to_numpy(zero_copy_only=False))
                empty[column] += int((absent & missing).sum())
    return Unlabelled(blank, empty)
