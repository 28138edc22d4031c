"""Stage 4: one graph from raw columns to the feature matrix, fitted on train alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from headrace.core.codec import to_json, to_plain
from headrace.core.errors import NotFound
from headrace.core.evidence import Rule
from headrace.core.function import PYTHON
from headrace.core.history import History
from headrace.core.schema import Type
from headrace.core.task import FeatureKind
from headrace.data.functions.call import FunctionPlan, function_plan
from headrace.data.functions.code import read_sources
from headrace.data.history.plan import HistoryPlan, plan_histories
from headrace.data.rows import Rows
from headrace.engine.checking.functions import code_digests, declared_functions
from headrace.engine.checking.history import declared_histories
from headrace.engine.cleaning import Cleaning, fit_cleaning
from headrace.engine.columns import ANSWER, answering, join_vectors
from headrace.engine.compile import Compiled
from headrace.engine.context import Context, Made, Output, Stage
from headrace.engine.encoder_columns import declared_encoders
from headrace.engine.encoding import fit_encoders
from headrace.engine.ranges import Ranges
from headrace.engine.stages.ingest import compiled_of, snapshots_of
from headrace.engine.stages.split import load_array, put_array, task_of
from headrace.engine.targets import codes
from headrace.features.compile import feature_graph
from headrace.features.edges import edge_rows
from headrace.features.fit import MAX_CATEGORIES, MIN_COUNT, Grouping, fit_features
from headrace.features.plan import plan_features, raw_types
from headrace.graph.encode import encode_batch
from headrace.graph.run import Runner

PROBE_ROWS = 2_000
TARGET, TODAY = ANSWER + "target", ANSWER + "today"


def _slice(ctx: Context) -> Any:
    data, problem = ctx.spec.data, ctx.spec.problem
    return {
        "features": {
            n: [f.expr, f.kind, f.min_count, f.max_categories] for n, f in ctx.spec.expressions().items()
        },
        "encoders": declared_encoders(ctx.spec),
        "histories": declared_histories(ctx.spec),
        "functions": [declared_functions(ctx.spec), code_digests(ctx.root, ctx.spec)],
        "clean": {n: c.model_dump(mode="json") for n, c in ctx.spec.clean.columns.items()},
        "lookups": {
            n: t.model_dump(mode="json", exclude={"read", "refresh", "max_age"})
            for n, t in data.tables.items()
        },
        "time": [data.events, data.time, data.lead, ctx.zone],
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
        histories=histories_of(ctx, made),
        functions=functions_of(ctx, made),
        threads=ctx.spec.limits.threads,
        loaded=ctx.loaded,
        **opened,
    )


def histories_of(ctx: Context, made: Made) -> HistoryPlan:
    """The spec's histories, ready to be computed."""
    return plan_of(ctx, made, compiled_of(ctx, made).histories)


def plan_of(ctx: Context, made: Made, histories: Sequence[History]) -> HistoryPlan:
    """Histories, of this spec or of another release, over this run's tables.

    Raises:
        NotFound: a table is none of this run's.
        ExprError: an expression doesn't fit its table.
    """
    if not histories:
        return HistoryPlan()
    tables = {n: s.types() for n, s in snapshots_of(made).items()}
    for history in histories:
        if history.table not in tables:
            raise NotFound(f"{history.column} is computed from {history.table!r}, which is no table any more")
    return plan_histories(histories, tables, zone=ctx.zone, sealed=ctx.spec.split.by == "time")


def functions_of(ctx: Context, made: Made) -> FunctionPlan:
    """The spec's functions, with the code that this run keeps: the stage features reads the files, and
    whatever comes after runs what it read."""
    functions = compiled_of(ctx, made).functions
    if not functions:
        return FunctionPlan()
    if STAGE.name not in made:
        return FunctionPlan(functions, read_sources(ctx.root, functions))
    return function_plan(ctx.store, functions, made[STAGE.name].outputs[PYTHON])


@dataclass(frozen=True)
class _Part:
    """What is kept of a part: y and today's answers as vectors; the matrix is a file."""

    y: NDArray[np.float64]
    today: NDArray[np.float64] | None


@dataclass(frozen=True, eq=False)
class _Maker:
    """What computes a part's matrix: a graph, and after its columns those that encoders keep of the very rows
    they were fitted on (the graph would answer these as if it had not seen them)."""

    runner: Runner | None
    own: NDArray[np.float32] | None = None

    def matrix(self, feeds: Mapping[str, NDArray[Any]], at: int, rows: int) -> NDArray[np.float32]:
        """Of the rows from number `at` on, float32 [rows, features]."""
        parts = [] if self.runner is None else [self.runner.run(feeds, rows)["features"]]
        parts += [] if self.own is None else [self.own[at : at + rows]]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _work(ctx: Context, made: Made) -> Output:
    compiled, tell = compiled_of(ctx, made), ctx.tell("features")
    columns = raw_columns(compiled)
    kinds = {n: f.kind for n, f in ctx.spec.expressions().items()}
    plan = plan_features(compiled.features, kinds) if compiled.features or not compiled.encoded else ()
    train, validation = rows_of(ctx, made, "train"), rows_of(ctx, made, "validation")
    feature_columns = sorted({c for e in compiled.inputs for c in e.columns})
    tell("fitting on train", 0, train.count)
    cleaning = fit_cleaning(ctx, compiled, train)
    plan = cleaning.plan(plan)
    doors = cleaning.prepares(compiled.inputs)
    counted = raw_types(tuple(p for p in plan if p.kind is FeatureKind.CATEGORY))
    feeds = _feeds(train, list(counted), compiled.types)
    planned = fit_features(plan, feeds, grouping=_grouping(ctx), prepares=doors)
    encoders = fit_encoders(
        ctx,
        made,
        compiled,
        cleaning,
        {"train": train, "validation": validation},
        lambda: _targets(made, compiled, train),
        units_of(ctx, made, train),
        len(plan),
    )
    fitted = replace(planned, encoded=encoders.encoded)
    graph = feature_graph(fitted, doors)
    runner = Runner(graph, threads=ctx.spec.limits.threads)
    makers = {"train": _Maker(runner), "validation": _Maker(runner)}
    if encoders.own is not None:
        alone = Runner(feature_graph(planned, doors), threads=ctx.spec.limits.threads) if plan else None
        makers["train"] = _Maker(alone, encoders.own)
    ranges = Ranges({c: compiled.types[c] for c in columns})
    outputs = {"graph": ctx.store.put(graph).digest, **encoders.files}
    for rows, part in ((train, "train"), (validation, "validation")):
        tell(f"computing {part}", 0, rows.count)
        seen = ranges if part == "train" else None
        with _scratch(ctx, ".npy") as file:
            width = len(fitted.features)
            vectors = _matrix(ctx, made, compiled, makers[part], rows, file, width, seen, cleaning)
            outputs[f"X_{part}"] = ctx.store.put(file).digest
        outputs[f"y_{part}"] = put_array(ctx, vectors.y).digest
        if vectors.today is not None:
            outputs[f"today_{part}"] = put_array(ctx, vectors.today).digest
        outputs[f"units_{part}"] = put_array(ctx, units_of(ctx, made, rows)).digest
    outputs |= _probe(ctx, compiled, runner, train, feature_columns, cleaning)
    report = cleaning.report(made["split"].facts.get("cleaned", {}), train.count, validation.count)
    outputs["cleaning"] = ctx.store.put(to_json(report)).digest
    if compiled.functions:
        outputs[PYTHON] = ctx.store.put(to_json(functions_of(ctx, made).sources)).digest
    return Output(
        outputs=outputs,
        facts={
            "features": [to_plain(f) for f in fitted.features],
            "encoders": [to_plain(e) for e in encoders.columns],
            "fields": {n: to_plain(r) for n, r in ranges.result().items()},
            "cleaning": to_plain(report),
        },
    )


def _grouping(ctx: Context) -> dict[str, Grouping]:
    """What is rare, of the features that say so."""
    return {
        n: Grouping(f.min_count or MIN_COUNT, f.max_categories or MAX_CATEGORIES)
        for n, f in ctx.spec.expressions().items()
    }


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
        *compiled.inputs,
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
    maker: _Maker,
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
            X = maker.matrix(feeds, at, batch.num_rows)
            out.write(np.ascontiguousarray(X, "<f4").data)
            answer = answers.run(feeds, batch.num_rows)
            ys.append(codes(task_of(made), compiled.target.type, answer[TARGET]))
            if compiled.today is not None:
                todays.append(today_codes(made, compiled, answer[TODAY]))
            at += batch.num_rows
            tell("computing", at, rows.count)
    return _Part(join_vectors(ys), join_vectors(todays) if compiled.today is not None else None)


def _targets(made: Made, compiled: Compiled, rows: Rows) -> NDArray[np.float64]:
    """The target's codes or values of a part's rows."""
    runner, wanted = answering({"target": compiled.target}), list(compiled.target.columns)
    feeds = _feeds(rows, wanted, compiled.types)
    told = [runner.run(f)[TARGET] for f in feeds]
    return join_vectors(codes(task_of(made), compiled.target.type, values) for values in told)


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
    first = train.only(np.arange(min(PROBE_ROWS, train.count)))
    real = pa.Table.from_batches(list(first.batches(columns)))
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
