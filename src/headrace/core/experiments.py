"""Experiments: a fold of events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headrace.core.event import Event

EXPERIMENT_KINDS = ("experiment.started", "experiment.looked", "experiment.stopped")


@dataclass(frozen=True)
class Experiment:
    """An experiment as the ledger tells it.

    route: whose units are divided. treatment, control: releases; control was champion when it started. share:
    of units in the treatment arm. plan: the spec's `experiment` as it was then, and `planned`, the units of
    both arms with which it ends. looks: verdicts that were kept, with their moments. stopped: ISO moment
    (empty: it runs); decision: ship, keep or none; reason: why.
    """

    name: str
    route: str
    treatment: str
    control: str
    share: float
    started: str
    by: str
    plan: Mapping[str, Any] = field(default_factory=dict)
    looks: tuple[Mapping[str, Any], ...] = ()
    stopped: str = ""
    decision: str = ""
    verdict: str = ""
    reason: str = ""


def experiments(events: Iterable[Event]) -> dict[str, Experiment]:
    """Fold events of `EXPERIMENT_KINDS` into experiments by name, oldest first."""
    found: dict[str, Experiment] = {}
    for e in events:
        p, old = e.payload, found.get(e.subject)
        if e.kind == "experiment.started":
            found[e.subject] = Experiment(
                e.subject,
                p["route"],
                p["treatment"],
                p["control"],
                p["share"],
                e.time,
                e.actor,
                p.get("plan", {}),
            )
        elif e.kind == "experiment.looked" and old is not None:
            found[e.subject] = replace(old, looks=(*old.looks, {"time": e.time, **p}))
        elif e.kind == "experiment.stopped" and old is not None:
            found[e.subject] = replace(
                old, stopped=e.time, decision=p["decision"], verdict=p["verdict"], reason=p.get("reason", "")
            )
    return found


def running(known: Mapping[str, Experiment], route: str) -> Experiment | None:
    """The experiment that runs on a route, if any."""
    return next((x for x in known.values() if x.route == route and not x.stopped), None)
