"""The profile of a run's tables: training rows in full, the other parts from outside."""

from __future__ import annotations

import numpy as np

from headrace.data.profile.blind import Part, from_outside
from headrace.data.profile.record import Profile, TableProfile
from headrace.data.split import PARTS
from headrace.engine.context import Context, Made
from headrace.engine.stages.features import rows_of
from headrace.engine.stages.ingest import compiled_of, snapshots_of
from headrace.engine.stages.split import load_array


def profile_run(ctx: Context, made: Made) -> Profile:
    """Every table: of the events the training rows, of side tables all rows."""
    events = ctx.spec.data.events
    tables = []
    for name, snapshot in snapshots_of(made).items():
        if name == events:
            train = rows_of(ctx, made, "train")
            tables.append(TableProfile(name, "train", train.count, _others(ctx, made)))
        else:
            tables.append(TableProfile(name, "all", snapshot.rows))
    return Profile(tuple(tables))


def _others(ctx: Context, made: Made) -> tuple[Part, ...]:
    """Validation and test, blind to the target."""
    events = snapshots_of(made)[ctx.spec.data.events]
    target = compiled_of(ctx, made).target.columns
    parts = load_array(ctx, made["split"].outputs["parts"])
    path = ctx.store.get(events.artifact)
    return tuple(
        from_outside(part, path, events, np.asarray(parts == PARTS.index(part)), target=target)
        for part in PARTS
        if part != "train"
    )
