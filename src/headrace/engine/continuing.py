"""What learning row by row goes on from: the order of the rows, and what earlier runs learned of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.codec import from_json, to_plain
from headrace.core.digest import digest
from headrace.core.ports import Store
from headrace.core.spec.models import Spec
from headrace.engine.code import code_digest, library_versions
from headrace.engine.columns import read_columns
from headrace.engine.context import Context, Made
from headrace.engine.stages.features import rows_of
from headrace.engine.stages.ingest import compiled_of, snapshots_of
from headrace.learn.candidates import BUILT_IN
from headrace.learn.continuing import Checkpoint, Continued, Mark, Memory
from headrace.learn.registry import continuing, load_candidate

CHECKPOINT = "checkpoint"
"""The artifact's role in the stage learn."""
_EVENTS, _CHECKPOINTS = 1000, 8
"""How far back checkpoints are looked for, and how many are taken: an experiment in between has its own."""


def learns_row_by_row(spec: Spec) -> tuple[str, ...]:
    """The candidates among the spec's models that do, as `use` names them."""
    return continuing(m.use for m in spec.model_specs().values())


def times_of(ctx: Context, made: Made, part: str) -> NDArray[np.int64] | None:
    """The moments of a part's rows (UTC microseconds), where they are split by time; else None."""
    if ctx.spec.split.by != "time" or ctx.spec.data.time is None:
        return None
    name = ctx.spec.data.time
    path = ctx.store.get(snapshots_of(made)[ctx.spec.data.events].artifact)
    times: NDArray[np.int64] = read_columns(path, {name: compiled_of(ctx, made).types[name]})[name]
    return times[rows_of(ctx, made, part).row_numbers()]


def memory_of(ctx: Context) -> Memory | None:
    """What is known of earlier runs; None where no candidate of the spec's would have a use for it."""
    used = learns_row_by_row(ctx.spec)
    if not used:
        return None
    return Memory({u: _version(u) for u in used}, list(_marks(ctx.store)))


def _version(use: str) -> str:
    """Of a candidate's room with all that it imports, and of its library."""
    library = str(getattr(load_candidate(use), "library", use))
    rooms = (BUILT_IN[use].partition(":")[0],)
    return digest([code_digest(rooms), library_versions(("numpy", library))])


def _marks(store: Store) -> Iterator[Mark]:
    """The marks of the newest checkpoints that are still kept."""
    events = islice(store.read(kinds=("stage.finished",), newest_first=True), _EVENTS)
    kept = (e.payload["output"]["outputs"].get(CHECKPOINT) for e in events if e.payload["stage"] == "learn")
    found = dict.fromkeys(d for d in kept if d and store.has(d))
    for checkpoint in islice(found, _CHECKPOINTS):
        yield from from_json(store.get(checkpoint).read_bytes(), Checkpoint).marks


def told(continued: Mapping[str, Continued]) -> dict[str, Any]:
    """As the stage's notes have it."""
    return {name: to_plain(c) for name, c in continued.items()}
