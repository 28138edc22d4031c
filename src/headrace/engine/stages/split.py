"""Stage 3: train, validation, and a test that goes behind the seal before anyone looks at the target."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.crossing import classes_present, split_crossing
from headrace.core.artifact import Artifact
from headrace.core.clock import duration_micros
from headrace.core.codec import from_plain, to_plain
from headrace.core.evidence import Rule
from headrace.core.schema import Snapshot, Type
from headrace.core.task import Task
from headrace.data.clean_rows import CleanedRows, clean_rows
from headrace.data.identity import parquet_row_ids
from headrace.data.seal import Seal, make_seal
from headrace.data.split import TEST, TRAIN, split
from headrace.engine.checking.clean import drop_rule
from headrace.engine.columns import evaluate, read_columns
from headrace.engine.compile import Compiled
from headrace.engine.context import Context, Made, Output, Stage
from headrace.engine.represents import represents, represents_rules
from headrace.engine.stages.ingest import compiled_of, snapshots_of
from headrace.engine.targets import codes, find_task, nulls


def _slice(ctx: Context) -> Any:
    problem, data = ctx.spec.problem, ctx.spec.data
    return {
        "split": ctx.spec.split.model_dump(mode="json"),
        "events": [data.events, data.id, data.time, ctx.zone],
        "target": [problem.task, problem.target, problem.positive],
        "clean": ctx.spec.clean.rows.model_dump(mode="json"),
        "population": {n: p.shares for n, p in data.population.items()},
    }


def _work(ctx: Context, made: Made) -> Output:
    spec, tell = ctx.spec, ctx.tell("split")
    events = snapshots_of(made)[spec.data.events]
    compiled = compiled_of(ctx, made)
    path = ctx.store.get(events.artifact)
    tell("reading the target", 0, 0)
    wanted = {"target": compiled.target}
    if spec.split.by == "stratified" and compiled.strata is not None:
        wanted["strata"] = compiled.strata
    values = evaluate(wanted, path, compiled.types)
    kind = compiled.target.type
    task = find_task(spec.problem, kind, values["target"])
    usable = ~nulls(kind, values["target"])
    strata = _strata(compiled, values) if spec.split.by == "stratified" else None
    columns = read_columns(path, _column_types(ctx, compiled))
    times = columns.get(spec.data.time or "")
    groups = columns.get(spec.split.group or "")
    tell("drawing the parts", 0, 0)
    done = split(
        spec.split,
        events.rows,
        seed=spec.seed,
        times=times,
        strata=strata,
        groups=groups,
        column=columns.get(spec.split.column or ""),
        usable=usable,
        zone=ctx.zone,
    )
    cleaned = _clean_rows(ctx, events, path, done.parts)
    done = cleaned.apply(done)
    ids = parquet_row_ids(path, [spec.data.id]) if spec.data.id else None
    evidence = [
        split_crossing(
            done.parts,
            ids=ids,
            groups=done.units if spec.split.by == "group" else None,
            times=times if spec.split.by == "time" else None,
            gap=duration_micros(spec.split.gap) or 0,
        ),
        classes_present(done.parts, codes(task, kind, values["target"]), task),
        *represents(ctx, path, events.types(), done.rows(TRAIN), done.units),
    ]
    seal = _seal(ctx, events, done.parts == TEST)
    return Output(
        outputs={
            "parts": put_array(ctx, done.parts).digest,
            "units": put_array(ctx, done.units).digest,
            "seal": seal.ids,
        },
        facts={
            "task": to_plain(task),
            "counts": dict(done.counts),
            "dropped": dict(done.dropped),
            "cleaned": {"rows": dict(cleaned.reasons), "bounds": to_plain(cleaned.bounds)},
            "seal": {"id": seal.id, "rows": seal.rows, "ids": seal.ids},
        },
        notes={"seal_event": seal.event},
        evidence=tuple(evidence),
    )


def _clean_rows(ctx: Context, events: Snapshot, path: Path, parts: NDArray[np.int8]) -> CleanedRows:
    """Which training rows `clean.rows` leaves out."""
    rules, types = ctx.spec.clean.rows, events.types()
    drop = {text: drop_rule(text, types, ctx.zone) for text in rules.drop}
    true = {text: values == 1 for text, values in (evaluate(drop, path, types) if drop else {}).items()}
    numbers = read_columns(path, {n: types[n] for n in rules.outliers}) if rules.outliers else {}
    names = None
    if rules.duplicates:
        by = rules.duplicates if isinstance(rules.duplicates, tuple) else types
        every = [n for n in by if n != ctx.spec.data.id or by is not types]
        names = parquet_row_ids(path, every)
    return clean_rows(parts, names=names, drop=true, numbers=numbers)


def _strata(compiled: Compiled, values: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    return values["strata"] if compiled.strata is not None else values["target"]


def _column_types(ctx: Context, compiled: Compiled) -> dict[str, Type]:
    """The event columns that the split itself looks at."""
    spec = ctx.spec
    names = [spec.data.time, spec.split.group, spec.split.column]
    return {n: compiled.types[n] for n in names if n is not None}


def _seal(ctx: Context, events: Snapshot, test: NDArray[np.bool_]) -> Seal:
    ids = identities(ctx, events, test)
    return make_seal(ctx.store, ids, actor=ctx.actor, time=ctx.now(), run=ctx.run)


def identities(ctx: Context, events: Snapshot, rows: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Names of the rows in the mask `rows`: by `data.id` where it is declared, else by all columns."""
    column = ctx.spec.data.id
    path, columns = ctx.store.get(events.artifact), [column] if column else None
    return parquet_row_ids(path, columns, rows=rows, threads=ctx.spec.limits.threads)


def put_array(ctx: Context, array: NDArray[Any]) -> Artifact:
    """Keep an array as a .npy artifact."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return ctx.store.put(buffer.getvalue())


def load_array(ctx: Context, digest: str) -> NDArray[Any]:
    """An array that was kept, mapped from its file."""
    array: NDArray[Any] = np.load(ctx.store.get(digest), mmap_mode="r", allow_pickle=False)
    return array


def task_of(made: Made) -> Task:
    """The task with its classes."""
    return from_plain(made["split"].facts["task"], Task)


def seal_of(made: Made) -> Seal:
    """The seal over the test rows."""
    split = made["split"]
    return Seal(**split.facts["seal"], event=split.notes["seal_event"])


def rules(ctx: Context, made: Made) -> Mapping[str, Rule]:
    """Nothing crosses; every class is everywhere; groups have their declared shares."""
    del made
    return {"split-crossing": Rule("==", 0), "classes-present": Rule("==", 0), **represents_rules(ctx)}


STAGE = Stage(
    "split",
    ("ingest",),
    _slice,
    _work,
    code=lambda _: (__name__,),
    libraries=("numpy", "pyarrow", "onnxruntime", "onnx", "sqlglot", "scikit-learn"),
)
