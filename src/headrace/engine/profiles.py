"""The profile of a run's tables: training rows in full, the other parts from outside."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.core.codec import from_json, from_plain
from headrace.core.errors import NotFound
from headrace.core.ports import Store
from headrace.core.schema import Snapshot
from headrace.core.spec import Spec
from headrace.core.task import Kind
from headrace.core.views import RunView
from headrace.data.parquet import open_file
from headrace.data.profile.blind import Part, from_outside
from headrace.data.profile.record import Profile, TableProfile
from headrace.data.profile.table import Target, profile_table
from headrace.data.rows import Rows
from headrace.data.split import PARTS
from headrace.engine.columns import ANSWER, answering, join_vectors
from headrace.engine.context import Context, Made
from headrace.engine.pins import output_of
from headrace.engine.stages.features import rows_of
from headrace.engine.stages.ingest import compiled_of, snapshots_of
from headrace.engine.stages.split import load_array, task_of
from headrace.engine.targets import codes
from headrace.graph.encode import encode_batch


def profile_run(ctx: Context, made: Made) -> Profile:
    """Every table: of the events the training rows, of side tables all rows."""
    tell = ctx.tell("inspect")
    tables = []
    for name, snapshot in snapshots_of(made).items():
        tell(f"profiling {name}", 0, snapshot.rows)
        if name == ctx.spec.data.events:
            tables.append(_events(ctx, made, snapshot))
        else:
            tables.append(
                profile_table(
                    name,
                    snapshot.columns,
                    _all(ctx.store, snapshot),
                    zone=ctx.zone,
                    threads=ctx.spec.limits.threads,
                )
            )
    return Profile(tuple(tables))


def _events(ctx: Context, made: Made, snapshot: Snapshot) -> TableProfile:
    data, train = ctx.spec.data, rows_of(ctx, made, "train")
    found = profile_table(
        data.events,
        snapshot.columns,
        train.batches([c.name for c in snapshot.columns]),
        whose="train",
        zone=ctx.zone,
        ids=[data.id] if data.id else [],
        target=_target(ctx, made, train),
        threads=ctx.spec.limits.threads,
    )
    parts = load_array(ctx, made["split"].outputs["parts"])
    hidden = compiled_of(ctx, made).target.columns
    return replace(found, parts=_from_outside(ctx.store, snapshot, parts, hidden))


def _target(ctx: Context, made: Made, train: Rows) -> Target:
    """The training rows' target: a number, 1 for the positive class, or the class's number."""
    compiled, task = compiled_of(ctx, made), task_of(made)
    runner = answering({"target": compiled.target})
    wanted = {c: compiled.types[c] for c in compiled.target.columns}
    found = []
    for batch in train.batches(list(wanted)):
        answer = runner.run(encode_batch(batch, wanted), batch.num_rows)
        found.append(codes(task, compiled.target.type, answer[ANSWER + "target"]))
    return Target(join_vectors(found), len(task.classes) if task.kind is Kind.MULTICLASS else 0)


def _from_outside(
    store: Store, snapshot: Snapshot, parts: NDArray[np.int8], target: Collection[str]
) -> tuple[Part, ...]:
    """Validation and test, blind to the target."""
    masks = {part: np.asarray(parts == code) for code, part in enumerate(PARTS) if part != "train"}
    return from_outside(masks, store.get(snapshot.artifact), snapshot, target=target)


def _all(store: Store, snapshot: Snapshot) -> Iterator[pa.RecordBatch]:
    yield from open_file(store.get(snapshot.artifact)).iter_batches(65_536)


def newest_profile(
    store: Store, runs: Mapping[str, RunView], spec: Spec, target: Callable[[], Collection[str]]
) -> Profile:
    """The profile that the newest run made, of the newest snapshots.

    Where that run was stopped before its rows were split, side tables are looked at now, and the events only
    from outside: which of their rows the test will hold is not known yet. `target` then says of which
    columns the target is made.

    Raises:
        NotFound: no run has taken snapshots, or they are no longer kept.
    """
    for run in reversed(list(runs.values())):
        stages = {s["name"] for s in run.summary.get("stages", ()) if s["status"] != "failed"}
        if "inspect" in stages:
            made = output_of(store, run, "inspect")
            return from_json(store.get(made.outputs["profile"]).read_bytes(), Profile)
        if "ingest" in stages:
            hidden = target()
            ingest = output_of(store, run, "ingest")
            tables = {n: from_plain(s, Snapshot) for n, s in ingest.facts["snapshots"].items()}
            return Profile(tuple(_unsplit(store, n, s, spec, hidden) for n, s in tables.items()))
    raise NotFound(
        "there is no profile yet: no run has read the tables",
        fix="start one with `headrace run`, or profile a file: `headrace profile FILE`",
    )


def _unsplit(
    store: Store, name: str, snapshot: Snapshot, spec: Spec, target: Collection[str]
) -> TableProfile:
    zone, threads = spec.data.zone or "UTC", spec.limits.threads
    if name != spec.data.events:
        return profile_table(name, snapshot.columns, _all(store, snapshot), zone=zone, threads=threads)
    everything = np.ones(snapshot.rows, np.bool_)
    path = store.get(snapshot.artifact)
    parts = from_outside({"not split yet": everything}, path, snapshot, target=target)
    return TableProfile(name, "none", snapshot.rows, parts=parts)
