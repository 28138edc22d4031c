"""Stage 7: one graph from raw columns to the decision. Everything after this measures the very graph that
will serve."""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from headrace.core.clock import duration_micros, parse_duration
from headrace.core.codec import from_plain, to_plain
from headrace.core.evidence import Evidence, Rule
from headrace.core.function import PYTHON, Function
from headrace.core.history import HISTORY
from headrace.core.schema import Type
from headrace.core.spec.scalars import parse_size
from headrace.core.task import Kind
from headrace.data.history.plan import HistoryPlan
from headrace.engine.checking.functions import declared_functions
from headrace.engine.checking.history import declared_histories
from headrace.engine.checking.tables import keys_of
from headrace.engine.context import Context, Made, Output, Stage
from headrace.engine.live_target import TRUTH
from headrace.engine.privacy import treatments_of
from headrace.engine.ranges import Range
from headrace.engine.requests import as_requests
from headrace.engine.stages.features import functions_of, histories_of
from headrace.engine.stages.ingest import privacy_of, snapshots_of
from headrace.engine.stages.split import load_array, task_of
from headrace.graph.join import join
from headrace.graph.rows import encode_rows
from headrace.graph.run import Runner
from headrace.learn.conformal import Conformal
from headrace.release.manifest import Field, Lookup, PastTable, Serving, Source, Sureness, Treated

TOLERANCE = 1e-5
"""The largest relative difference of a score that parity allows (double graphs differ by about 1e-12)."""

SINGLE_ROWS = 300

_COMPUTED = {"event", HISTORY, PYTHON}
"""Sources of raw columns that are no tables."""


def _slice(ctx: Context) -> Any:
    # Where a table comes from, and how often, does not matter once it is a snapshot.
    data = ctx.spec.data.model_dump(
        mode="json",
        exclude={"expect": True, "population": True, "tables": {"__all__": {"read", "refresh"}}},
    )
    filled = {t: list(c) for t, c in ctx.spec.clean.forward_fill.items()}
    histories = declared_histories(ctx.spec)
    functions = declared_functions(ctx.spec)
    return [data, ctx.zone, filled, histories, functions]


def _work(ctx: Context, made: Made) -> Output:
    tell = ctx.tell("package")
    tell("joining the graphs", 0, 0)
    graph = join(
        ctx.store.get(made["features"].outputs["graph"]).read_bytes(),
        ctx.store.get(made["learn"].outputs["model"]).read_bytes(),
        edges={"features": "features"},
    )
    kept = ctx.store.put(graph)
    runner = Runner(graph)
    serving = _serving(ctx, made, runner.inputs, kept.digest)
    probe = pq.read_table(ctx.store.get(made["features"].outputs["probe"]))
    tell("comparing with the trained model", 0, probe.num_rows)
    feeds = encode_rows(as_requests(probe), runner.inputs, zone=ctx.zone)
    evidence = (
        *_parity(ctx, made, runner, feeds, probe.num_rows),
        _latency(runner, feeds),
        Evidence("size", kept.size / 1e6, unit="MB", n=1),
        _lineage(ctx, made, serving),
    )
    return Output(outputs={"graph": kept.digest}, facts={"serving": to_plain(serving)}, evidence=evidence)


def serving_of(made: Made) -> Serving:
    """What answering needs, as packaged."""
    return from_plain(made["package"].facts["serving"], Serving)


def serving_beside(ctx: Context, made: Made, columns: Mapping[str, Type]) -> Serving:
    """The same, with what is needed to know these raw columns of a row, too."""
    packaged = serving_of(made)
    inputs = {f.name: f.type for f in packaged.fields}
    return _serving(ctx, made, inputs, packaged.graph, {n: columns[n] for n in sorted(columns)})


def _serving(
    ctx: Context, made: Made, inputs: Mapping[str, Type], graph: str, others: Mapping[str, Type] | None = None
) -> Serving:
    """inputs: what the graph reads; others: further raw columns that have to be known of a row."""
    data = ctx.spec.data
    others = others or {}
    seen = {n: from_plain(r, Range) for n, r in made["features"].facts["fields"].items()}
    events = {c.name: c.type for c in snapshots_of(made)[data.events].columns}
    fields = []
    treated = _treated(ctx, made, data.events)
    for name, kind in inputs.items():
        source = "event" if name in events else name.partition(".")[0]
        known = seen[name]
        # What a hash or mask left is nothing that a caller could send.
        seen_as = () if name in treated else known.categories
        fields.append(Field(name, kind, source, known.low, known.high, seen_as, known.null_share))
    functions = functions_of(ctx, made).of([*inputs, *others]).functions
    given = {c for f in functions for c in f.reads} | set(others)
    plan = histories_of(ctx, made)
    histories = tuple(h for h in plan.histories if h.column in {*inputs, *given})
    computed = {h.column for h in histories} | {f.column for f in functions}
    beside = given - set(events) - computed
    read = beside | {f.name for f in fields if f.source not in _COMPUTED}
    tables = sorted(({f.source for f in fields} | {c.partition(".")[0] for c in beside}) - _COMPUTED)
    lookups = tuple(_lookup(ctx, made, table, read) for table in tables)
    keys = {k: events[k] for lookup in lookups for k in lookup.key}
    keys |= {k: events[k] for h in histories for k in h.by}
    keys |= {c: events[c] for c in sorted(given) if c in events and c not in inputs}
    if data.time and (histories or any(lookup.time or lookup.known_at for lookup in lookups)):
        keys[data.time] = Type.TIME
    return Serving(
        graph=graph,
        task=task_of(made),
        fields=tuple(fields),
        lookups=lookups,
        keys=keys,
        zone=ctx.zone,
        time=data.time,
        lead_us=ctx.lead_us,
        threshold=made["learn"].facts.get("threshold"),
        unused=tuple(
            sorted((set(events) | _dropped(ctx, data.events)) - set(keys) - {f.name for f in fields})
        ),
        treated={n: t for n, t in treated.items() if n in keys or n in inputs},
        pii_key=privacy_of(ctx, made).key,
        calibration=made["learn"].facts.get("calibration", ""),
        sureness=_sureness(made),
        decimal=data.tables[data.events].decimal,
        nulls=data.tables[data.events].nulls,
        sources={t: _source(ctx, made, t) for t in sorted({*tables, *(h.table for h in histories)})},
        histories=histories,
        pasts={t: _past(ctx, made, plan, t) for t in sorted({h.table for h in histories})},
        functions=functions,
        code=made["features"].outputs[PYTHON] if functions else "",
        beside={n: kind for n, kind in others.items() if n not in events and n not in inputs},
        not_at_edge=_not_at_edge(functions),
    )


def _not_at_edge(functions: Sequence[Function]) -> str:
    told = ", ".join(f"{f.name} ({f.label})" for f in functions)
    return (
        f"it answers with Python functions of the project's own, which no graph holds: {told}" if told else ""
    )


def _past(ctx: Context, made: Made, plan: HistoryPlan, table: str) -> PastTable:
    graph = plan.graphs[table]
    kept = "" if graph is None else ctx.store.put(graph).digest
    return PastTable(snapshots_of(made)[table].artifact, kept)


def _conformal(made: Made) -> Conformal | None:
    found = made["learn"].facts.get("uncertainty")
    return None if found is None else from_plain(found, Conformal)


def _sureness(made: Made) -> Sureness | None:
    found = _conformal(made)
    return None if found is None else Sureness(found.level, found.abstain, found.why_none)


def _source(ctx: Context, made: Made, table: str) -> Source:
    """What a fact of a table looks like when it arrives."""
    data = ctx.spec.data
    spec = data.tables[table]
    return Source(
        columns={n: t for n, t in snapshots_of(made)[table].types().items() if n != TRUTH},
        zone=spec.zone or ctx.zone,
        id=data.id if table == data.events else None,
        treated=_treated(ctx, made, table),
        dropped=tuple(sorted(_dropped(ctx, table))),
        filled=ctx.spec.clean.forward_fill.get(table, ()),
        max_age_us=duration_micros(spec.max_age),
    )


def _treated(ctx: Context, made: Made, table: str) -> dict[str, Treated]:
    """The columns of a table that ingest hashed or masked, and what they were before."""
    how = treatments_of(ctx.spec)[table]
    return {
        c.name: Treated(how[c.name].do, c.before, how[c.name].length)
        for c in snapshots_of(made)[table].columns
        if c.before is not None and c.name in how
    }


def _dropped(ctx: Context, table: str) -> set[str]:
    """The columns of a table that ingest left out: a caller may send them, and nothing reads them."""
    return {n for n, how in treatments_of(ctx.spec)[table].items() if how.do == "drop"}


def _lookup(ctx: Context, made: Made, table: str, read: Collection[str]) -> Lookup:
    spec = ctx.spec.data.tables[table]
    split = (c.partition(".") for c in sorted(read))
    columns = tuple(name for of, dot, name in split if dot and of == table)
    return Lookup(
        table=table,
        artifact=snapshots_of(made)[table].artifact,
        key=keys_of(spec.key),
        columns=columns,
        time=spec.time,
        known_at=spec.known_at,
        ttl_us=duration_micros(spec.ttl),
    )


def _parity(
    ctx: Context, made: Made, runner: Runner, feeds: Mapping[str, NDArray[Any]], rows: int
) -> tuple[Evidence, Evidence]:
    """The packaged graph on request rows against the trained model on its own feature matrix."""
    task = task_of(made)
    expected = load_array(ctx, made["learn"].outputs["probe_scores"])
    got = runner.run(feeds, rows)
    scores = got["prediction"] if task.kind == Kind.REGRESSION else got["probability"]
    apart = np.abs(scores - expected) / np.maximum(1.0, np.abs(expected))
    apart = np.where(np.isnan(scores) & np.isnan(expected), 0.0, apart)
    worst = float(np.max(apart)) if not np.isnan(apart).any() else math.inf
    row = int(np.nanargmax(apart.reshape(rows, -1).max(axis=1))) if rows else 0
    where = f"largest at probe row {row}" if worst > 0 else ""
    similar = Evidence("parity: scores", worst, unit="relative difference", n=rows, where=where)
    if task.kind == Kind.REGRESSION:
        differing = np.asarray(apart > TOLERANCE)
    else:
        differing = np.asarray(got["decision"] != _decisions(made, expected))
    differing |= _unlike(_conformal(made), got, expected)
    return similar, Evidence("parity: decisions", float(differing.sum()), unit="rows that differ", n=rows)


def _unlike(
    conformal: Conformal | None, got: Mapping[str, NDArray[Any]], expected: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Rows whose interval, set of classes or abstention is not what the trained model's score says. Ends
    are compared as scores are. A class at the very edge of a set may be in or out by rounding."""
    if conformal is None:
        return np.zeros(len(expected), np.bool_)
    if conformal.task.kind == Kind.REGRESSION:
        pairs = zip((got["lower"], got["upper"]), conformal.interval(expected), strict=True)
        off = [~np.isclose(mine, own, rtol=TOLERANCE, atol=TOLERANCE) for mine, own in pairs]
        return np.asarray(off[0] | off[1])
    edge = conformal.margin(expected) <= TOLERANCE
    off = ((got["set"] != conformal.sets(expected)) & ~edge).any(axis=1)
    if conformal.abstain:
        told = got["abstain"] != conformal.abstains(expected, got["decision"])
        off = off | (told & ~edge.any(axis=1))
    return np.asarray(off)


def _decisions(made: Made, scores: NDArray[np.float64]) -> NDArray[np.int64]:
    decided = np.argmax(scores, axis=1) if scores.ndim == 2 else scores >= made["learn"].facts["threshold"]
    return np.asarray(decided, dtype=np.int64)


def _latency(runner: Runner, feeds: Mapping[str, NDArray[Any]]) -> Evidence:
    """One row through the graph, over and over: the 95th percentile on this machine."""
    rows = len(next(iter(feeds.values()))) if feeds else 1
    took = []
    for i in range(SINGLE_ROWS):
        one = {n: v[i % rows : i % rows + 1] for n, v in feeds.items()}
        started = time.perf_counter()
        runner.run(one, 1)
        took.append((time.perf_counter() - started) * 1e3)
    return Evidence("latency", float(np.percentile(took, 95)), unit="ms", n=SINGLE_ROWS)


def _lineage(ctx: Context, made: Made, serving: Serving) -> Evidence:
    """Every snapshot, graph and stage that the package rests on is kept and named."""
    needed = {f"snapshot of {n}": s.artifact for n, s in snapshots_of(made).items()}
    needed |= {f"{stage} {role}": d for stage, o in made.items() for role, d in o.outputs.items()}
    needed |= {f"histories of {n}": p.graph for n, p in serving.pasts.items() if p.graph}
    needed |= {"code of functions": serving.code} if serving.code else {}
    sources = {f.source for f in serving.fields} - _COMPUTED
    missing = [what for what, digest in needed.items() if not ctx.store.has(digest)]
    missing += [f"lookup table {t}" for t in sources - {lookup.table for lookup in serving.lookups}]
    where = f"missing: {', '.join(missing)}" if missing else ""
    return Evidence("lineage", float(len(missing)), unit="links missing", n=len(needed), where=where)


def rules(ctx: Context, made: Made) -> Mapping[str, Rule]:
    """Parity within rounding and no decision changed; latency and size within the spec's limits, or
    the target of its answers."""
    del made
    limits, serve = ctx.spec.limits, ctx.spec.serve
    # The graph alone has to keep the target of the whole answer, which is measured before promotion.
    longest = limits.latency if serve is None or serve.p99 is None else serve.p99
    return {
        "parity: scores": Rule("<=", TOLERANCE),
        "parity: decisions": Rule("==", 0),
        "latency": Rule("<=", parse_duration(longest) / dt.timedelta(milliseconds=1)),
        "size": Rule("<=", parse_size(limits.size) / 1e6),
        "lineage": Rule("==", 0),
    }


STAGE = Stage(
    "package",
    ("ingest", "split", "features", "learn"),
    _slice,
    _work,
    code=lambda _: (__name__,),
    libraries=("numpy", "onnx", "onnxruntime", "pyarrow"),
)
