"""What policy decided, and the leased jobs that carry it out. Records, and folds of events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from headrace.core.event import Event

JOB_KINDS = ("job.queued", "job.taken", "job.finished", "job.refused")


class Do(StrEnum):
    """What can be done; as `policy.reactions` names it."""

    ALERT = "alert"
    RETRAIN = "retrain"
    THRESHOLD = "threshold"
    ROLL_BACK = "roll back"
    RETIRE = "retire"
    ASK = "ask"


@dataclass(frozen=True)
class Action:
    """What policy decided. cause: the alert's id, the schedule's moment, or what labels were waiting. key:
    the same decision has the same key, and is carried out once. params: what `do` needs beside."""

    do: Do
    release: str
    cause: str
    reason: str
    key: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """An action in the making. status: queued, taken, done, failed, asked (a person has to decide) or refused
    (a person said no). worker, until: who has the lease, and till when (ISO). tries: how often it was taken.
    result: what came of it: `run`, `release`, `status`, `reason`."""

    job: str
    do: Do
    release: str
    cause: str
    reason: str
    queued: str
    params: Mapping[str, Any] = field(default_factory=dict)
    status: str = "queued"
    worker: str = ""
    until: str = ""
    tries: int = 0
    finished: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)


def jobs(events: Iterable[Event]) -> dict[str, Job]:
    """Fold events of `JOB_KINDS` into jobs by id (an action's key), oldest first."""
    found: dict[str, Job] = {}
    for e in events:
        p = e.payload
        if e.kind == "job.queued":
            status = "asked" if p["do"] == Do.ASK or p.get("ask") else "queued"
            found.setdefault(
                e.subject,
                Job(
                    e.subject,
                    Do(p["do"]),
                    p["release"],
                    p["cause"],
                    p["reason"],
                    e.time,
                    p.get("params", {}),
                    status,
                ),
            )
        elif e.subject not in found:
            continue
        elif e.kind == "job.taken":
            old = found[e.subject]
            again = old.worker == p["worker"] and old.status == "taken"  # a lease that is renewed
            found[e.subject] = replace(
                old,
                status="taken",
                worker=p["worker"],
                until=p["until"],
                tries=old.tries if again else old.tries + 1,
            )
        elif e.kind == "job.finished":
            found[e.subject] = replace(
                found[e.subject], status=p["status"], finished=e.time, result=p.get("result", {})
            )
        elif e.kind == "job.refused":
            found[e.subject] = replace(
                found[e.subject], status="refused", finished=e.time, result={"reason": p["reason"]}
            )
    return found
