"""All that a ledger and its artifacts tell of a run or a release: what documents are made of.

The engine gathers it, and reports are pure functions of it. Results of stages are plain JSON here, by role:
their records live in the rooms that make them, and whoever draws them reads them back (`core.codec`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.core.evidence import Verdict
from headrace.core.views import ReleaseView, RunView


@dataclass(frozen=True)
class StageTold:
    """A stage of a run. `status` is ran, cached or failed; `seconds` passed in this run, `worked` when its
    work was really done (None where that is not known). Outputs (digests by role), facts and notes are empty
    where it failed or where what it made is no longer kept (`lost`)."""

    name: str
    status: str
    key: str
    seconds: float
    worked: float | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    lost: bool = False


@dataclass(frozen=True)
class RunTold:
    """A run: of the spine, or of a script, whose log is `logged`.

    spec: as it stood, with every default. stages: those that were reached, in order. verdicts: all, in the
    order they were given. records: plain JSON of the stages' results by role (`slices`, `curves`, …).
    environment: what it ran in. release: the release it made, with its state now. problems: why it ended
    early, each with what, where, why and fix.
    """

    run: RunView
    spec: Mapping[str, Any] = field(default_factory=dict)
    stages: tuple[StageTold, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    records: Mapping[str, Any] = field(default_factory=dict)
    logged: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    release: ReleaseView | None = None
    problems: tuple[Mapping[str, Any], ...] = ()

    def stage(self, name: str) -> StageTold | None:
        """A stage by its name; None where the run did not come so far."""
        return next((s for s in self.stages if s.name == name), None)

    def facts(self, name: str) -> Mapping[str, Any]:
        """What a stage found; empty where the run did not come so far."""
        found = self.stage(name)
        return found.facts if found else {}

    def notes(self, name: str) -> Mapping[str, Any]:
        """What a stage noted beside its facts."""
        found = self.stage(name)
        return found.notes if found else {}
