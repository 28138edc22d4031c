"""What differs between two runs, as the ledger tells it."""

from __future__ import annotations

from typing import Any

from headrace.core.ports import Store
from headrace.core.views import RunView
from headrace.engine.naming import name_run, system_of


def compare(store: Store, first: RunView, second: RunView) -> dict[str, Any]:
    """Spec, stages, gates, leaderboard and test of two runs, side by side.

    Stages are the same when their keys are: then nothing that they depend on differs.
    """
    now = system_of(store, second)
    keys = [{s["name"]: s["key"] for s in r.summary.get("stages", ())} for r in (first, second)]
    gates = [{g["name"]: g for g in r.summary.get("gates", ())} for r in (first, second)]
    boards = [{m["model"]: m for m in r.summary.get("leaderboard", ())} for r in (first, second)]
    return {
        "runs": [first.run, second.run],
        "names": [first.name, second.name],
        "status": [first.status, second.status],
        "spec": name_run(now, store, first) if now is not None else "no longer kept",
        "stages": {n: keys[0].get(n) == keys[1].get(n) for n in {**keys[0], **keys[1]}},
        "gates": {
            n: [g.get(n, {}).get("verdict") for g in gates] + [g.get(n, {}).get("value") for g in gates]
            for n in {**gates[0], **gates[1]}
        },
        "leaderboard": {n: [b.get(n, {}).get("mean") for b in boards] for n in {**boards[0], **boards[1]}},
        "test": [first.summary.get("test"), second.summary.get("test")],
        "release": [first.release or None, second.release or None],
    }
