"""How well a project is kept, as its ledger tells it: a fold of events and a look at what is stored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from headrace.core.codec import to_plain
from headrace.core.event import Event
from headrace.core.gates import GATES
from headrace.core.html import table
from headrace.core.ports import Store
from headrace.core.views import RELEASE_KINDS, RUN_KINDS, runs, waivers

KINDS = (*RUN_KINDS, *RELEASE_KINDS, "stage.finished", "gate.judged", "gate.waived", "run.reproduced")


@dataclass(frozen=True)
class Share:
    """So many of so many. `value` is None where there is none to look at."""

    of: int
    good: int

    @property
    def value(self) -> float | None:
        return self.good / self.of if self.of else None


@dataclass(frozen=True)
class GateHealth:
    """How often a gate was judged, and how that went."""

    gate: str
    judged: int
    passed: int
    waived: int
    not_applicable: int


@dataclass(frozen=True)
class WaiverHealth:
    """A waiver that holds today: how old it is, and how long it still holds."""

    gate: str
    by: str
    reason: str
    days_old: int
    days_left: int


@dataclass(frozen=True)
class StageTime:
    """How long a stage takes when it works, in seconds, over the times that it did."""

    stage: str
    times: int
    median: float
    p95: float


@dataclass(frozen=True)
class Cadence:
    """How often things happen. Days are between first and last event; None where there was none."""

    runs: int
    releases: int
    promotions: int
    runs_a_week: float | None
    days_since_promotion: float | None


@dataclass(frozen=True)
class Health:
    """A project's health.

    lineage: artifacts that stages, runs and releases name and that are still kept.
    rework: stages that worked more than once under one key, and made the same each time.
    reproduced: runs that were done again by `headrace reproduce`, and agreed.
    evaluators: gates that gave a verdict in the newest finished run, of all that there are.
    """

    lineage: Share
    rework: Share
    reproduced: Share
    gates: tuple[GateHealth, ...]
    waivers: tuple[WaiverHealth, ...]
    stages: tuple[StageTime, ...]
    cadence: Cadence
    evaluators: Share
    silent: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """The object that `headrace report health --json` prints."""
        plain: dict[str, Any] = to_plain(self)
        for name in ("lineage", "rework", "reproduced", "evaluators"):
            plain[name]["value"] = getattr(self, name).value
        return plain

    def _repr_html_(self) -> str:
        rows = [[g.gate, g.judged, g.passed, g.waived] for g in self.gates]
        return table(["gate", "judged", "passed", "waived"], rows, title="health")


def health(store: Store, *, now: datetime) -> Health:
    """Fold the ledger into a project's health, as of `now`."""
    events = list(store.read(kinds=KINDS))
    evaluators, quiet = _evaluators(events)
    return Health(
        lineage=_lineage(store, events),
        rework=_rework(events),
        reproduced=_reproduced(events),
        gates=_gates(events),
        waivers=_waivers(events, now),
        stages=_times(events),
        cadence=_cadence(events, now),
        evaluators=evaluators,
        silent=quiet,
    )


def _lineage(store: Store, events: Sequence[Event]) -> Share:
    named: set[str] = set()
    for e in events:
        named.update(dict(e.payload.get("artifacts", {})).values())
        if e.kind == "release.made":
            named.add(e.payload["manifest"])
    return Share(len(named), sum(store.has(d) for d in named))


def _rework(events: Sequence[Event]) -> Share:
    made: dict[str, list[Any]] = defaultdict(list)
    for e in events:
        if e.kind == "stage.finished":
            output = e.payload["output"]
            made[e.subject].append([output["outputs"], output["facts"]])
    again = [v for v in made.values() if len(v) > 1]
    return Share(len(again), sum(all(o == v[0] for o in v) for v in again))


def _reproduced(events: Sequence[Event]) -> Share:
    found = [e.payload["reproduction"]["agrees"] for e in events if e.kind == "run.reproduced"]
    return Share(len(found), sum(found))


def _verdicts(events: Sequence[Event]) -> list[tuple[str, Mapping[str, Any]]]:
    """Every verdict with the run that it was given in."""
    return [(e.subject, e.payload["verdict"]) for e in events if e.kind == "gate.judged"]


def _family(gate: str) -> str:
    return gate.partition(":")[0].strip()


def _gates(events: Sequence[Event]) -> tuple[GateHealth, ...]:
    seen: dict[str, list[Mapping[str, Any]]] = {g: [] for g in GATES}
    for _, verdict in _verdicts(events):
        seen.setdefault(_family(verdict["gate"]), []).append(verdict)
    return tuple(
        GateHealth(
            gate,
            judged=len(found),
            passed=sum(v["outcome"] == "pass" for v in found),
            waived=sum(v.get("waiver") is not None for v in found),
            not_applicable=sum(v["outcome"] == "not applicable" for v in found),
        )
        for gate, found in seen.items()
        if found
    )


def _waivers(events: Sequence[Event], now: datetime) -> tuple[WaiverHealth, ...]:
    given = {e.digest: datetime.fromisoformat(e.time) for e in events if e.kind == "gate.waived"}
    held = waivers(events, now.date().isoformat())
    return tuple(
        WaiverHealth(
            w.gate,
            w.by,
            w.reason,
            days_old=(now - given[w.event]).days,
            days_left=(datetime.fromisoformat(w.until).date() - now.date()).days,
        )
        for w in held.values()
    )


def _times(events: Sequence[Event]) -> tuple[StageTime, ...]:
    took: dict[str, list[float]] = defaultdict(list)
    for e in events:
        if e.kind == "stage.finished":
            took[e.payload["stage"]].append(float(e.payload["seconds"]))
    return tuple(
        StageTime(s, len(v), float(np.median(v)), float(np.percentile(v, 95))) for s, v in took.items()
    )


def _cadence(events: Sequence[Event], now: datetime) -> Cadence:
    count = {k: sum(e.kind == k for e in events) for k in ("run.started", "release.made", "release.promoted")}
    first = next((datetime.fromisoformat(e.time) for e in events if e.kind == "run.started"), None)
    promoted = [datetime.fromisoformat(e.time) for e in events if e.kind == "release.promoted"]
    weeks = (now - first).total_seconds() / 604_800 if first else 0.0
    return Cadence(
        runs=count["run.started"],
        releases=count["release.made"],
        promotions=count["release.promoted"],
        runs_a_week=count["run.started"] / weeks if weeks >= 1 else None,
        days_since_promotion=(now - promoted[-1]).total_seconds() / 86_400 if promoted else None,
    )


def _evaluators(events: Sequence[Event]) -> tuple[Share, tuple[str, ...]]:
    """Which gates gave a verdict (pass or fail) in the newest run that ended, and which were silent."""
    ended = [r.run for r in runs(events).values() if r.status != "unfinished"]
    newest = ended[-1] if ended else ""
    spoke = {
        _family(v["gate"])
        for run, v in _verdicts(events)
        if run == newest and v["outcome"] in ("pass", "fail")
    }
    silent = tuple(g for g in GATES if g not in spoke)
    return Share(len(GATES) if newest else 0, len(GATES) - len(silent) if newest else 0), silent
