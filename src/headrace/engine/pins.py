"""Tables as an earlier run saw them: its snapshots instead of the sources."""

from __future__ import annotations

from headrace.core.codec import from_plain
from headrace.core.errors import NotFound
from headrace.core.ports import Store
from headrace.core.schema import Snapshot
from headrace.core.views import RunView
from headrace.engine.context import Output
from headrace.engine.memo import recall


def output_of(store: Store, run: RunView, stage: str) -> Output:
    """What a stage made in a run.

    Raises:
        NotFound: the run did not come that far, or its artifacts are no longer kept.
    """
    keys = {s["name"]: s["key"] for s in run.summary.get("stages", ()) if s["status"] != "failed"}
    output = recall(store, keys[stage]) if keys.get(stage) else None
    if output is None:
        raise NotFound(
            f"{run.run} has no stage {stage} whose results are kept",
            why=f"it is {run.status}" if stage not in keys else "its artifacts are gone",
            fix="name a run that came further: `headrace runs` lists them",
        )
    return output


def snapshots_of_run(store: Store, run: RunView) -> dict[str, Snapshot]:
    """The snapshot of each table that a run used.

    Raises:
        NotFound: the run has none, or they are no longer kept.
    """
    made = output_of(store, run, "ingest")
    return {n: from_plain(s, Snapshot) for n, s in made.facts["snapshots"].items()}
