"""How well a project is kept, as its ledger tells it: a fold of events and a look at what is stored."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from headrace.core.codec import to_plain
from headrace.core.digest import digest
from headrace.core.event import Event
from headrace.core.gates import GATES
from headrace.core.html import table
from headrace.core.ports import Store
from headrace.core.views import RELEASE_KINDS, RUN_KINDS, waivers

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


class HealthFold:
    """What a project's health is told from, event by event."""

    kinds = KINDS

    def __init__(self) -> None:
        self.named: set[str] = set()
        self.made: dict[str, _Made] = {}
        self.agreed = [0, 0]
        self.gates: dict[str, Counter[str]] = {g: Counter() for g in GATES}
        self.waived: list[Event] = []
        self.took: dict[str, array[float]] = {}
        self.count: Counter[str] = Counter()
        self.first = self.promoted = ""
        self.newest = (0, "")
        self._begun: dict[str, int] = {}

    def take(self, e: Event) -> None:
        """One event more."""
        p = e.payload
        self.count[e.kind] += 1
        self.named.update(dict(p.get("artifacts", {})).values())
        if e.kind == "stage.finished":
            self._stage(e)
        elif e.kind == "gate.judged":
            self._verdict(p["verdict"])
        elif e.kind == "gate.waived":
            self.waived.append(e)
        elif e.kind == "run.started":
            self.first = self.first or e.time
            self._begun.setdefault(e.subject, e.seq)
        elif e.kind == "run.finished":
            self.newest = max(self.newest, (self._begun.pop(e.subject, 0), e.subject))
        elif e.kind == "run.reproduced":
            self.agreed[bool(p["reproduction"]["agrees"])] += 1
        elif e.kind == "release.made":
            self.named.add(p["manifest"])
        elif e.kind == "release.promoted":
            self.promoted = e.time

    def _stage(self, e: Event) -> None:
        output = e.payload["output"]
        made = digest([output["outputs"], output["facts"]])
        before = self.made.get(e.subject)
        self.made[e.subject] = (
            _Made(made, 1, True)
            if before is None
            else _Made(before.digest, before.times + 1, before.same and before.digest == made)
        )
        self.took.setdefault(e.payload["stage"], array("d")).append(float(e.payload["seconds"]))

    def _verdict(self, verdict: Mapping[str, Any]) -> None:
        seen = self.gates.setdefault(_family(verdict["gate"]), Counter())
        seen["judged"] += 1
        seen[verdict["outcome"]] += 1
        seen["waived"] += verdict.get("waiver") is not None


class _Made(NamedTuple):
    """What stages of one key made: a digest, how often, and whether it was the same each time."""

    digest: str
    times: int
    same: bool


def health(store: Store, fold: HealthFold, *, now: datetime) -> Health:
    """A project's health as of `now`. store: is asked which artifacts it still has."""
    again = [m for m in fold.made.values() if m.times > 1]
    evaluators, quiet = _evaluators(store, fold.newest[1])
    return Health(
        lineage=Share(len(fold.named), sum(store.has(d) for d in fold.named)),
        rework=Share(len(again), sum(m.same for m in again)),
        reproduced=Share(sum(fold.agreed), fold.agreed[True]),
        gates=tuple(
            GateHealth(gate, seen["judged"], seen["pass"], seen["waived"], seen["not applicable"])
            for gate, seen in fold.gates.items()
            if seen
        ),
        waivers=_waivers(fold.waived, now),
        stages=tuple(
            StageTime(s, len(v), float(np.median(v)), float(np.percentile(v, 95)))
            for s, v in fold.took.items()
        ),
        cadence=_cadence(fold, now),
        evaluators=evaluators,
        silent=quiet,
    )


def _family(gate: str) -> str:
    return gate.partition(":")[0].strip()


def _waivers(events: Sequence[Event], now: datetime) -> tuple[WaiverHealth, ...]:
    given = {e.digest: datetime.fromisoformat(e.time) for e in events}
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


def _cadence(fold: HealthFold, now: datetime) -> Cadence:
    def days(since: str) -> float:
        return (now - datetime.fromisoformat(since)).total_seconds() / 86_400

    weeks = days(fold.first) / 7 if fold.first else 0.0
    runs = fold.count["run.started"]
    return Cadence(
        runs=runs,
        releases=fold.count["release.made"],
        promotions=fold.count["release.promoted"],
        runs_a_week=runs / weeks if weeks >= 1 else None,
        days_since_promotion=days(fold.promoted) if fold.promoted else None,
    )


def _evaluators(store: Store, newest: str) -> tuple[Share, tuple[str, ...]]:
    """Which gates gave a verdict (pass or fail) in the newest run that ended, and which were silent."""
    verdicts = (
        [e.payload["verdict"] for e in store.read(kinds=("gate.judged",), subject=newest)] if newest else []
    )
    spoke = {_family(v["gate"]) for v in verdicts if v["outcome"] in ("pass", "fail")}
    silent = tuple(g for g in GATES if g not in spoke)
    return Share(len(GATES) if newest else 0, len(GATES) - len(silent) if newest else 0), silent
