"""Begin a script's run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from headrace.core.codec import to_json
from headrace.core.views import RunView
from headrace.engine.author import commit
from headrace.engine.context import Context
from headrace.engine.environment import record
from headrace.engine.run import number_run
from headrace.engine.tracking.live import TrackedRun
from headrace.engine.tracking.mirror import Mirror


def track(
    ctx: Context,
    name: str,
    *,
    group: str = "",
    tags: Mapping[str, str] | None = None,
    mirror: Mirror | None = None,
) -> TrackedRun:
    """Write `run.started` for a script's run, and give the run to log into."""
    spec = ctx.store.put(to_json(ctx.spec.plain())).digest
    surroundings = record(ctx.store)
    head, dirty = commit(ctx.root)

    def payload(earlier: Mapping[str, RunView]) -> dict[str, Any]:
        del earlier
        return {
            "name": name,
            "script": True,
            "spec": spec,
            "spec_digest": ctx.spec.digest(),
            "parent": "",
            "commit": head,
            "dirty": dirty,
            "seed": ctx.spec.seed,
            "environment": surroundings,
            "group": group,
            "tags": dict(tags or {}),
            "artifacts": {"spec": spec, "environment": surroundings},
        }

    run = number_run(ctx, payload)
    return TrackedRun(dataclasses.replace(ctx, run=run), mirror=mirror)
