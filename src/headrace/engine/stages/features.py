"""Stage 4: one graph from raw columns to the feature matrix, fitted on train alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from headrace.core.codec import to_json, to_plain
from headrace.core.evidence import Rule
from headrace.core.schema import Type
from headrace.data.rows import Rows
from headrace.engine.cleaning import Cleaning, fit_cleaning
from headrace.engine.columns import ANSWER, answering, join_vectors
from headrace.engine.compile import Compiled
from headrace.engine.context import Context, Made, Output, Stage
from headrace.engine.ranges import Ranges
from headrace.engine.stages.ingest import compiled_of, snapshots_of
from headrace.engine.stages.split import load_array, put_array, task_of
from headrace.engine.targets import codes
from headrace.features.compile import feature_graph
from headrace.features.edges import edge_rows
from headrace.features.fit import fit_features
from headrace.features.plan import plan_features
from headrace.graph.encode import encode_batch
from headrace.graph.run import Runner

PROBE_ROWS = 2_000
TARGET, TODAY = ANSWER + "target", ANSWER + "today"


def _slice(ctx: Context) -> Any:
    data, problem = ctx.spec.data, ctx.spec.problem
    return {
        "features": {n: [f.expr, f.kind] for n, f in ctx.spec.expressions().items()},
        "clean": {n: c.model_dump(mode="json") for n, c in ctx.spec.clean.columns.items()},
        "lookups": {n: t.model_dump(mode="json") for n, t in data.tables.items()},
        "time": [data.time, data.lead, ctx.zone],
        "target": [problem.task, problem.target, problem.positive],
        "today": problem.today.model_dump(mode="json") if problem.today else None,
    }


def rows_of(ctx: Context, made: Made, part: str, **opened: Any) -> Rows:
    """The handle on one part's rows; the test needs its opening."""
    return Rows.of(
        part,
        store=ctx.store,
        events=snapshots_of(made)[ctx.spec.data.events],
        data=ctx.spec.data,
        tables=snapshots_of(made),
        parts=ctx.store.get(made["split"].outputs["parts"]),
        threads=ctx.spec.limits.threads,
        **opened,
    )


@dataclass(frozen=True)
class _Part:
    """What is kept of a part: y and today's answers as vectors; the matrix is a file."""

    y: NDArray[np.float64]
    today: NDArray[np.float64] | None


def _work(ctx: Context, made: Made) -> Output:
    compiled, tell = compiled_of(ctx, made), ctx.tell("features")
    columns = raw_columns(compiled)
    kinds = {n: f.kind for n, f in ctx.spec.expressions().items()}
    plan = plan_features(compiled.features, kinds)
    train, validation = rows_of(ctx, made, "train"), rows_of(ctx, made, "validation")
    feature_columns = sorted({c for e in compiled.features.values() for c in e.columns})
    tell("fitting on train", 0, train.count)
    cleaning = fit_cleaning(ctx, compiled, train)
    plan = cleaning.plan(plan)
    doors = cleaning.prepares(plan)
    fitted = fit_features(plan, _feeds(train, feature_columns, compiled.types), prepares=doors)
    graph = feature_graph(fitted, doors)
    runner = Runner(graph, threads=ctx.spec.limits.threads)
    ranges = Ranges({c: compiled.types[c] for c in columns})
    outputs = {"graph": ctx.store.put(graph).digest}
    for rows, part in ((train, "train"), (validation, "validation")):
        tell(f"computing {part}", 0, rows.count)
        seen = ranges if part == "train" else None
        with _scratch(ctx, ".npy") as file:
            vectors = _matrix(ctx, made, compiled, runner, rows, file, len(fitted.features), seen, cleaning)
            outputs[f"X_{part}"] = ctx.store.put(file).digest
        outputs[f"y_{part}"] = put_array(ctx, vectors.y).digest
        if vectors.today is not None:
            outputs[f"today_{part}"] = put_array(ctx, vectors.today).digest
        outputs[f"units_{part}"] = put_array(ctx, units_of(ctx, made, rows)).digest
    outputs |= _probe(ctx, compiled, runner, train, feature_columns, cleaning)
    report = cleaning.report(made["split"].facts.get("cleaned", {}), train.count, validation.count)
    outputs["cleaning"] = ctx.store.put(to_json(report)).digest
    return Output(
        outputs=outputs,
        facts={
            "features": [to_plain(f) for f in fitted.features],
            "fields": {n: to_plain(r) for n, r in ranges.result().items()},
            "cleaning": to_plain(report),
        },
    )


@contextmanager
def _scratch(ctx: Context, suffix: str) -> Iterator[Path]:
    """A path for a file in the making; where it stays half-made, on a full disk say, it is removed."""
    file = ctx.store.scratch(suffix)
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)


def raw_columns(compiled: Compiled) -> list[str]:
    """Every raw column that features, target or today's rule read."""
    expressions = [
        *compiled.features.values(),
        compiled.target,
        *([compiled.today] if compiled.today else []),
    ]
    return sorted({c for e in expressions for c in e.columns})


def _feeds(rows: Rows, columns: list[str], types: Mapping[str, Type]) -> Iterator[dict[str, NDArray[Any]]]:
    wanted = {c: types[c] for c in columns}
    for batch in rows.batches(columns):
        yield encode_batch(batch, wanted)


def units_of(ctx: Context, made: Made, rows: Rows) -> NDArray[np.int64]:
    """The independent unit of each of these rows."""
    units: NDArray[np.int64] = load_array(ctx, made["split"].outputs["units"])[rows.row_numbers()]
    return units


def _matrix(
    ctx: Context,
    made: Made,
    compiled: Compiled,
    runner: Runner,
    rows: Rows,
    file: Path,
    width: int,
    ranges: Ranges | None,
    cleaning: Cleaning,
) -> _Part:
    """Write the feature matrix of a part to a .npy file, batch by batch; return what goes beside it."""
    answers = answer_runner(compiled)
    wanted = {c: compiled.types[c] for c in raw_columns(compiled)}
    ys, todays, at = [], [], 0
    tell = ctx.tell("features")
    with file.open("xb") as out:
        # Written, not mapped: a full disk is an error here, and would be a signal that kills there.
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows.count, width)}
        np.lib.format.write_array_header_1_0(out, header)
        for batch in rows.batches(list(wanted)):
            feeds = encode_batch(batch, wanted)
            if ranges is not None:
                ranges.add(feeds)
            cleaning.count(rows.part, feeds, batch.num_rows)
            X = runner.run(feeds, batch.num_rows)["features"]
            out.write(np.ascontiguousarray(X, "<f4").data)
            answer = answers.run(feeds, batch.num_rows)
            ys.append(codes(task_of(made), compiled.target.type, answer[TARGET]))
            if compiled.today is not None:
                todays.append(today_codes(made, compiled, answer[TODAY]))
            at += batch.num_rows
            tell("computing", at, rows.count)
    return _Part(join_vectors(ys), join_vectors(todays) if compiled.today is not None else None)


def answer_runner(compiled: Compiled) -> Runner:
    """The graph of the target and of today's rule."""
    wanted = {"target": compiled.target}
    if compiled.today is not None:
        wanted["today"] = compiled.today
    return answering(wanted)


def today_codes(made: Made, compiled: Compiled, values: NDArray[Any]) -> NDArray[np.float64]:
    """What today's rule answers: class codes, or values. In a binary task true is the positive class, and a
    rule that is null does not act; elsewhere null stays NaN."""
    task = task_of(made)
    if compiled.today is not None and compiled.today.type == Type.BOOL and len(task.classes) == 2:
        return np.where(np.isnan(values), 0.0, values)
    return codes(task, compiled.target.type, values)


def _probe(
    ctx: Context, compiled: Compiled, runner: Runner, train: Rows, columns: list[str], cleaning: Cleaning
) -> dict[str, str]:
    """Real rows and edge rows, raw and as features: what parity is measured on."""
    wanted = {c: compiled.types[c] for c in columns}
    batches: list[pa.RecordBatch] = []
    have = 0
    for batch in train.batches(columns):
        batches.append(batch.slice(0, PROBE_ROWS - have))
        have += batches[-1].num_rows
        if have >= PROBE_ROWS:
            break
    real = pa.Table.from_batches(batches)
    probe = pa.concat_tables([real, edge_rows(wanted, real, cleaning.edges())])
    with _scratch(ctx, ".parquet") as file:
        pq.write_table(probe, file)
        kept = ctx.store.put(file).digest
    X = runner.run(encode_batch(probe, wanted), probe.num_rows)["features"]
    return {"probe": kept, "X_probe": put_array(ctx, X).digest}


def rules(ctx: Context, made: Made) -> Mapping[str, Rule]:
    """This stage measures nothing that can block."""
    del ctx, made
    return {}


STAGE = Stage(
    "features",
    ("ingest", "split"),
    _slice,
    _work,
    code=lambda _: (__name__,),
    libraries=("numpy", "pyarrow", "duckdb", "onnx", "onnxruntime", "sqlglot"),
)
