"""Gather what the ledger and its artifacts tell of a run, for documents. Nothing is computed anew."""

from __future__ import annotations

from typing import Any

from headrace.core.codec import from_json, from_plain
from headrace.core.event import Event
from headrace.core.evidence import Verdict
from headrace.core.ports import Store
from headrace.core.told import RunTold, StageTold
from headrace.core.views import RunView
from headrace.engine.memo import recall
from headrace.engine.releases import view
from headrace.engine.stages.ingest import PROOF

ROLES = frozenset({
    PROOF, "profile", "findings", "cleaning", "search", "slices", "worth", "fairness", "errors", "curves",
    "calibration", "robustness", "learning_curve", "explanations",
})  # fmt: skip
"""The artifacts that documents read: each is JSON of a frozen record."""


def told_of(store: Store, run: RunView) -> RunTold:
    """A run with everything that is kept of it, however far it came. What is no longer kept is left out, and
    its stage says so."""
    stages = _stages(store, run)
    records = {
        role: _json(store, digest)
        for stage in stages
        for role, digest in stage.outputs.items()
        if role in ROLES
    }
    return RunTold(
        run=run,
        spec=_json(store, run.spec) or {},
        stages=stages,
        verdicts=tuple(
            from_plain(e.payload["verdict"], Verdict)
            for e in store.read(kinds=("gate.judged",), subject=run.run)
        ),
        records=records,
        logged=_json(store, run.logged) or {},
        environment=_json(store, run.environment) or {},
        release=view(store).releases.get(run.release) if run.release else None,
        problems=tuple(run.summary.get("problems", ())),
    )


def _json(store: Store, digest: str) -> Any:
    """An artifact's JSON; None where it is not kept."""
    if not digest or not store.has(digest):
        return None
    return from_json(store.get(digest).read_bytes(), object)


def _stages(store: Store, run: RunView) -> tuple[StageTold, ...]:
    lines = run.summary.get("stages")
    if lines is None:
        return _unfinished(store, run)
    return tuple(_stage(store, s["name"], s["status"], s["key"], s["seconds"]) for s in lines)


def _unfinished(store: Store, run: RunView) -> tuple[StageTold, ...]:
    """The stages that worked in a run whose end is not in the ledger."""
    began = next((e.seq for e in store.read(kinds=("run.started",), subject=run.run)), 0)
    events = store.read(after=began, kinds=("stage.finished", "stage.failed"))
    return tuple(
        _stage(
            store,
            e.payload["stage"],
            "ran" if e.kind == "stage.finished" else "failed",
            e.subject,
            e.payload.get("seconds", 0.0),
        )
        for e in events
        if e.payload.get("run") == run.run
    )


def _stage(store: Store, name: str, status: str, key: str, seconds: float) -> StageTold:
    output = recall(store, key) if key and status != "failed" else None
    if output is None:
        return StageTold(name, status, key, seconds, lost=status != "failed")
    done: Event | None = next(
        iter(store.read(kinds=("stage.finished",), subject=key, newest_first=True)), None
    )
    return StageTold(
        name,
        status,
        key,
        seconds,
        worked=done.payload["seconds"] if done else None,
        outputs=output.outputs,
        facts=output.facts,
        notes=output.notes,
    )
