"""What a run's search tried, read back from what its learn stage left."""

from __future__ import annotations

from headrace.core.codec import from_json
from headrace.core.errors import NotFound
from headrace.core.ports import Store
from headrace.core.views import RunView
from headrace.engine.memo import recall
from headrace.learn.search.record import SearchRecord


def search_of(store: Store, run: RunView) -> tuple[SearchRecord, dict[str, list[float]]]:
    """The search of a run, and the seconds of every trial by model.

    Raises:
        NotFound: the run has not learned, or has not searched.
    """
    keys = [
        s["key"] for s in run.summary.get("stages", ()) if s["name"] == "learn" and s["status"] != "failed"
    ]
    output = recall(store, keys[0]) if keys else None
    if output is None:
        raise NotFound(f"{run.run} has not come to the end of learning", fix="see `headrace show`")
    if "search" not in output.outputs:
        raise NotFound(f"{run.run} searched no parameters", fix="declare `tune: {trials: 60}` and run again")
    record = from_json(store.get(output.outputs["search"]).read_bytes(), SearchRecord)
    return record, dict(output.notes.get("trial_seconds", {}))
