"""Notes, tags and groups: what people add to a run afterwards."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.core.clock import Clock, iso
from headrace.core.errors import UserError
from headrace.core.event import Draft
from headrace.core.ports import Store
from headrace.core.views import RUN_KINDS, RunView, runs


def add_note(
    store: Store,
    run: RunView,
    text: str,
    *,
    tags: Mapping[str, str] | None,
    group: str,
    actor: str,
    clock: Clock,
) -> RunView:
    """Append `run.noted`; the run as it is now.

    Raises:
        UserError: there is neither text nor tag nor group.
    """
    said = {"note": text.strip(), "tags": dict(tags or {}), "group": group.strip()}
    if not any(said.values()):
        raise UserError("nothing is said of the run", fix="give a note, tags or a group")
    kept = {k: v for k, v in said.items() if v}
    store.append([Draft("run.noted", run.run, iso(clock()), actor, kept)])
    return runs(store.read(kinds=RUN_KINDS))[run.run]
