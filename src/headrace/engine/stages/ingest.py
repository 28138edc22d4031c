"""Stage 2: a content-addressed snapshot of every table, and the expectations measured on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.core.codec import from_plain, to_plain
from headrace.core.evidence import Rule
from headrace.core.schema import Column, Snapshot
from headrace.data.expect import measure
from headrace.data.fill import forward_fill
from headrace.data.snapshot import fingerprint, snapshot
from headrace.engine.compile import Compiled, compile_spec, rules_of
from headrace.engine.context import Context, Made, Output, Stage


def _slice(ctx: Context) -> Any:
    data = ctx.spec.data
    today = ctx.clock().date()
    return {
        "tables": {
            name: [
                table.model_dump(mode="json"),
                ["pinned", ctx.pinned[name].content]
                if name in ctx.pinned
                else fingerprint(table, root=ctx.root, today=today, salt=ctx.run),
                table.zone or data.zone,
                _times(ctx, name),
            ]
            for name, table in data.tables.items()
        },
        "expect": list(data.expect),
        "assumptions": [a.model_dump(mode="json") for a in ctx.spec.problem.assumptions],
        "forward_fill": {n: list(c) for n, c in ctx.spec.clean.forward_fill.items()},
    }


def _times(ctx: Context, name: str) -> tuple[str, ...]:
    """The columns of a table that the spec says are times."""
    data = ctx.spec.data
    table = data.tables[name]
    declared = [table.time, table.known_at, data.time if name == data.events else None]
    return tuple(dict.fromkeys(t for t in declared if t is not None))


def _work(ctx: Context, made: Made) -> Output:
    del made
    data, tell = ctx.spec.data, ctx.tell("ingest")
    taken = ctx.now()
    snapshots: dict[str, Snapshot] = {}
    filled: dict[str, int] = {}
    for i, (name, table) in enumerate(data.tables.items()):
        if name in ctx.pinned:
            snapshots[name] = ctx.pinned[name]
            continue
        tell(f"reading {name}", i, len(data.tables))
        snapshots[name] = snapshot(
            name,
            table,
            store=ctx.store,
            root=ctx.root,
            zone=table.zone or data.zone,
            limits=ctx.spec.limits,
            taken=taken,
            scratch=ctx.store.scratch(),
            times=_times(ctx, name),
        )
        wanted = ctx.spec.clean.forward_fill.get(name, ())
        snapshots[name], cells = forward_fill(
            snapshots[name], table, wanted, store=ctx.store, scratch=ctx.store.scratch()
        )
        filled |= {f"{name}.{column}": count for column, count in cells.items()}
    ctx.store.append(
        [ctx.draft("table.snapshot", n, snapshot=to_plain(s), run=ctx.run) for n, s in snapshots.items()]
    )
    compiled = compile_spec(ctx.parsed, {n: s.columns for n, s in snapshots.items()})
    tell("measuring expectations", 0, len(compiled.expectations))
    evidence = measure(
        compiled.expectations,
        {n: ctx.store.get(s.artifact) for n, s in snapshots.items()},
        limits=ctx.spec.limits,
        scratch=ctx.store.scratch(),
    )
    return Output(
        outputs={n: s.artifact for n, s in snapshots.items()},
        # When a snapshot was taken is no part of what it holds.
        facts={"snapshots": {n: {**to_plain(s), "taken": ""} for n, s in snapshots.items()}},
        notes={"taken": taken, "forward_filled": filled},
        evidence=tuple(evidence),
    )


def snapshots_of(made: Made) -> dict[str, Snapshot]:
    """The snapshots that ingest took, by table."""
    return {n: from_plain(s, Snapshot) for n, s in made["ingest"].facts["snapshots"].items()}


def compiled_of(ctx: Context, made: Made) -> Compiled:
    """The spec's expressions, typed against the snapshots."""
    columns: dict[str, tuple[Column, ...]] = {n: s.columns for n, s in snapshots_of(made).items()}
    return compile_spec(ctx.parsed, columns)


def rules(ctx: Context, made: Made) -> Mapping[str, Rule]:
    """Each expectation carries its own."""
    return rules_of(compiled_of(ctx, made).expectations)


STAGE = Stage(
    "ingest", (), _slice, _work, code=lambda _: (__name__,), libraries=("duckdb", "pyarrow", "sqlglot")
)
