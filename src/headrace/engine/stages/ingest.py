"""Stage 2: a content-addressed snapshot of every table, free of undeclared personal data, and the
expectations measured on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from headrace.core.clock import iso
from headrace.core.codec import from_json, from_plain, to_json, to_plain
from headrace.core.evidence import Evidence, Rule
from headrace.core.schema import Column, Snapshot
from headrace.data.fill import forward_fill
from headrace.data.measure import measure
from headrace.data.privacy.key import Key
from headrace.data.privacy.scan import Scan, scan
from headrace.data.snapshot import fingerprint, snapshot
from headrace.data.versions import newest
from headrace.engine import live_rows
from headrace.engine.ages import fresh, fresh_rules
from headrace.engine.compile import Compiled, compile_spec, rules_of
from headrace.engine.context import Context, Made, Output, Stage
from headrace.engine.privacy import (
    Proof,
    full_name,
    key_of,
    pii_evidence,
    redaction_of,
    treatments_of,
    undeclared,
)
from headrace.release.manifest import Privacy

PROOF = "pii scan"
"""The role of the scan's record (a `Proof`); no table can be called so."""


def _slice(ctx: Context) -> Any:
    data = ctx.spec.data
    today = ctx.clock().date()
    return {
        "tables": {
            name: [
                table.model_dump(mode="json", exclude={"max_age"}),
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
        "pii": [ctx.spec.model_dump(mode="json", include={"data": {"pii"}}), _key(ctx).fingerprint],
        "forward_fill": {n: list(c) for n, c in ctx.spec.clean.forward_fill.items()},
        **({"live": live_rows.fingerprint(ctx.root)} if _takes_live(ctx) else {}),
    }


def _takes_live(ctx: Context) -> bool:
    """Whether labelled answers join the events; a pinned snapshot holds those of its day."""
    return ctx.spec.data.live and ctx.spec.data.events not in ctx.pinned


def _key(ctx: Context) -> Key:
    """The key of hashes, where a table that is read has any."""
    read = {n: t for n, t in treatments_of(ctx.spec).items() if n not in ctx.pinned}
    return key_of(read, ctx.root / ".headrace")


def _times(ctx: Context, name: str) -> tuple[str, ...]:
    """The columns of a table that the spec says are times."""
    data = ctx.spec.data
    table = data.tables[name]
    declared = [table.time, table.known_at, data.time if name == data.events else None]
    return tuple(dict.fromkeys(t for t in declared if t is not None))


def _work(ctx: Context, made: Made) -> Output:
    del made
    tell = ctx.tell("ingest")
    taken = ctx.now()
    snapshots, scans, filled = _snapshots(ctx, taken)
    key = _key(ctx).fingerprint
    treatments = treatments_of(ctx.spec)
    found = pii_evidence(ctx.spec, scans, treatments)
    done = {t: {c: how.do for c, how in of.items()} for t, of in treatments.items() if of}
    proof = ctx.store.put(to_json(Proof(tuple(scans), done, key))).digest
    if found.value:
        # The tables that hold it were not kept: there is nothing to go on with, and the gate says why.
        return Output(outputs={PROOF: proof}, facts={"snapshots": {}}, evidence=(found,))
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
        outputs={**{n: s.artifact for n, s in snapshots.items()}, PROOF: proof},
        # When a snapshot was taken, and what was past then, is no part of what it holds.
        facts={"snapshots": {n: {**to_plain(s), "taken": "", "newest": ""} for n, s in snapshots.items()}},
        notes={
            "taken": taken,
            "taken_of": {n: s.taken for n, s in snapshots.items()},
            "newest": {n: s.newest for n, s in snapshots.items() if _moment(ctx, n)},
            "forward_filled": filled,
        },
        evidence=(found, *evidence),
    )


def _snapshots(ctx: Context, taken: str) -> tuple[dict[str, Snapshot], list[Scan], dict[str, int]]:
    """Every table read, looked through for personal data before it is kept, and filled forward. Tables that
    hold some which nothing was said about have a snapshot without an artifact."""
    data, tell = ctx.spec.data, ctx.tell("ingest")
    treatments, key = treatments_of(ctx.spec), _key(ctx)
    snapshots: dict[str, Snapshot] = {}
    scans: list[Scan] = []
    filled: dict[str, int] = {}
    for i, (name, table) in enumerate(data.tables.items()):
        tell(f"reading {name}", i, len(data.tables))
        of = treatments.get(name, {})

        def guard(path: Path, columns: tuple[Column, ...], name: str = name, of: Any = of) -> bool:
            scans.append(scan(name, path, columns, of, threads=ctx.spec.limits.threads))
            return not undeclared(scans[-1], of)

        if name in ctx.pinned:
            pinned = ctx.pinned[name]
            guard(ctx.store.get(pinned.artifact), pinned.columns)
            snapshots[name] = pinned
            continue
        read = snapshot(
            name,
            table,
            store=ctx.store,
            root=ctx.root,
            zone=table.zone or data.zone,
            limits=ctx.spec.limits,
            taken=taken,
            scratch=ctx.store.scratch(),
            times=_times(ctx, name),
            redaction=redaction_of(treatments, name, key),
            guard=guard,
        )
        if read.artifact:
            wanted = ctx.spec.clean.forward_fill.get(name, ())
            read, cells = forward_fill(read, table, wanted, store=ctx.store, scratch=ctx.store.scratch())
            filled |= {f"{name}.{column}": count for column, count in cells.items()}
            if name == data.events and _takes_live(ctx):
                tell("taking labelled answers", i, len(data.tables))
                read = live_rows.with_live(ctx, read)
            read = _dated(ctx, read)
        snapshots[name] = read
    return snapshots, scans, filled


def _moment(ctx: Context, name: str) -> str | None:
    """The column that tells how new a table's rows are."""
    data = ctx.spec.data
    table = data.tables[name]
    return table.known_at or table.time or (data.time if name == data.events else None)


def _dated(ctx: Context, read: Snapshot) -> Snapshot:
    """The snapshot with the newest moment in it that is past."""
    column = _moment(ctx, read.table)
    if column is None:
        return read
    moment = newest(ctx.store.get(read.artifact), column, ctx.clock())
    return replace(read, newest=iso(moment) if moment else "")


def snapshots_of(made: Made) -> dict[str, Snapshot]:
    """The snapshots that ingest took, by table."""
    return {n: from_plain(s, Snapshot) for n, s in made["ingest"].facts["snapshots"].items()}


def privacy_of(ctx: Context, made: Made) -> Privacy:
    """What was done with personal data, for the manifest."""
    digest = made["ingest"].outputs[PROOF]
    proof = from_json(ctx.store.get(digest).read_bytes(), Proof)
    treatments = treatments_of(ctx.spec)
    return Privacy(
        treatments={
            full_name(ctx.spec, t, c): do
            for t, columns in proof.treatments.items()
            for c, do in columns.items()
        },
        kept={
            full_name(ctx.spec, t, c): how.why
            for t, columns in treatments.items()
            for c, how in columns.items()
            if how.do == "keep"
        },
        scan=digest,
        columns=sum(len(s.columns) for s in proof.scans),
        key=proof.key,
    )


def compiled_of(ctx: Context, made: Made) -> Compiled:
    """The spec's expressions, typed against the snapshots."""
    columns: dict[str, tuple[Column, ...]] = {n: s.columns for n, s in snapshots_of(made).items()}
    return ctx.compiling.of(ctx.parsed, columns)


def rules(ctx: Context, made: Made) -> Mapping[str, Rule]:
    """No undeclared personal data; each expectation carries its own rule; tables are as young as declared."""
    held = {"pii": Rule("==", 0)}
    if not made["ingest"].facts["snapshots"]:
        return held
    return {**held, **rules_of(compiled_of(ctx, made).expectations), **fresh_rules(ctx)}


def live(ctx: Context, made: Made) -> tuple[Evidence, ...]:
    """How old the tables are now."""
    return fresh(ctx, made)


STAGE = Stage(
    "ingest", (), _slice, _work, code=lambda _: (__name__,), libraries=("duckdb", "pyarrow", "sqlglot")
)
