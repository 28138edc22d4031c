"""Packaged graphs of several runs or releases on the same rows, none of which any of them was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.core.codec import from_plain
from headrace.core.errors import NotFound
from headrace.core.function import Function
from headrace.core.history import History
from headrace.core.ports import Store
from headrace.core.schema import Snapshot
from headrace.core.views import RunView
from headrace.data.functions.call import FunctionPlan, function_plan
from headrace.data.identity import parquet_row_ids
from headrace.data.split import TRAIN
from headrace.engine.context import Context, Made
from headrace.engine.memo import recall
from headrace.engine.pins import output_of, snapshots_of_run
from headrace.engine.rivals import pick
from headrace.engine.scores import score_rows
from headrace.engine.stages.features import plan_of, rows_of
from headrace.engine.stages.ingest import compiled_of, snapshots_of
from headrace.engine.stages.package import serving_of
from headrace.engine.stages.split import load_array
from headrace.graph.run import Runner
from headrace.metrics.record import Predictions
from headrace.release.manifest import Manifest, Serving


@dataclass(frozen=True)
class Contender:
    """Something that answers rows, and what it was trained on: `parts` is the artifact that says to which
    part each row of `events` belongs. `histories` and `functions` (with the artifact of their `code`) are its
    own: those of the run may bear the same names."""

    name: str
    graph: str
    parts: str
    events: Snapshot
    histories: tuple[History, ...]
    functions: tuple[Function, ...] = ()
    code: str = ""

    def plan(self, store: Store) -> FunctionPlan:
        """Its functions, with their code."""
        return function_plan(store, self.functions, self.code)


def of_made(ctx: Context, made: Made, name: str) -> Contender:
    """The run under way."""
    events = snapshots_of(made)[ctx.spec.data.events]
    graph, parts = made["package"].outputs["graph"], made["split"].outputs["parts"]
    serving = serving_of(made)
    histories = compiled_of(ctx, made).histories
    return Contender(name, graph, parts, events, histories, serving.functions, serving.code)


def of_run(store: Store, run: RunView, events: str) -> Contender:
    """A run that packaged a graph; `events` is its events table.

    Raises:
        NotFound: it did not come that far, or its artifacts are no longer kept.
    """
    package = output_of(store, run, "package")
    serving = from_plain(package.facts["serving"], Serving)
    parts = output_of(store, run, "split").outputs["parts"]
    found = _events(snapshots_of_run(store, run), events, run.run)
    graph = package.outputs["graph"]
    return Contender(run.run, graph, parts, found, serving.histories, serving.functions, serving.code)


def of_release(store: Store, name: str, manifest: Manifest, events: str) -> Contender:
    """A release, by its manifest.

    Raises:
        NotFound: its split is no longer kept.
    """
    split = recall(store, manifest.stages["split"])
    if split is None:
        raise NotFound(f"the split of {name} is no longer kept")
    found = _events(manifest.snapshots, events, name)
    serving = manifest.serving
    parts = split.outputs["parts"]
    return Contender(name, serving.graph, parts, found, serving.histories, serving.functions, serving.code)


def _events(snapshots: Mapping[str, Snapshot], events: str, name: str) -> Snapshot:
    found = snapshots.get(events)
    if found is None:
        raise NotFound(f"{name} had no table {events!r}", why="the events have another name by now")
    return found


def fresh_rows(
    ctx: Context, made: Made, contenders: Sequence[Contender], numbers: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which of these rows of the run's events none of the contenders was trained on, by the rows' names:
    `data.id` where all have it alike, else the columns that all have alike.

    Raises:
        NotFound: the tables have no column in common.
    """
    here = of_made(ctx, made, "")
    others = [c for c in contenders if (c.parts, c.events.content) != (here.parts, here.events.content)]
    if not others:
        return np.ones(len(numbers), dtype=np.bool_)
    mask = np.zeros(here.events.rows, dtype=np.bool_)
    mask[numbers] = True
    fresh = np.ones(len(numbers), dtype=np.bool_)
    for other in [here, *dict.fromkeys(others)]:
        names = _names(ctx, here.events, other.events)
        trained = load_array(ctx, other.parts) == TRAIN
        ours = parquet_row_ids(ctx.store.get(here.events.artifact), names, rows=mask)
        theirs = parquet_row_ids(ctx.store.get(other.events.artifact), names, rows=trained)
        fresh &= ~np.isin(ours, theirs)
    return fresh


def _names(ctx: Context, ours: Snapshot, theirs: Snapshot) -> list[str]:
    """The columns that name a row in both tables."""
    one, other = ours.types(), theirs.types()
    alike = [n for n, kind in one.items() if other.get(n) == kind]
    if not alike:
        raise NotFound("the events tables of both have no column in common")
    return [ctx.spec.data.id] if ctx.spec.data.id in alike else alike


def on_fresh_rows(
    ctx: Context, made: Made, contenders: Sequence[Contender], stage: str
) -> tuple[NDArray[np.bool_], tuple[Predictions, ...]]:
    """Which validation rows of the run none was trained on, and the answers of each contender on these.

    Raises:
        NotFound: there is no such row, or it can't be told.
        HeadraceError: a contender can't answer these rows.
    """
    rows = rows_of(ctx, made, "validation")
    fresh = fresh_rows(ctx, made, contenders, rows.row_numbers())
    if not fresh.any():
        raise NotFound(
            f"{' or '.join(c.name for c in contenders)} was trained on every row of this validation part"
        )
    answers = []
    for contender in contenders:
        runner = Runner(ctx.store.get(contender.graph), threads=ctx.spec.limits.threads)
        # What target and today's rule read is the run's, what a contender reads its own.
        own = rows.with_histories(plan_of(ctx, made, contender.histories))
        own = own.with_functions(contender.plan(ctx.store))
        answers.append(pick(score_rows(ctx, made, runner, own, stage), fresh))
    return fresh, tuple(answers)
