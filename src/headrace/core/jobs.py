"""What policy decided, and the leased jobs that carry it out. Records, and folds of events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from headrace.core.event import Event

JOB_KINDS = ("job.queued", "job.taken", "job.finished", "job.approved", "job.refused")
OVER = frozenset({"done", "blocked", "failed", "refused"})
"""Statuses in which a job stays."""
ALL = "all"
"""As `history` of an action: all there is, and no other length is tried."""


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
    the same decision has the same key, and is carried out once. params: what `do` needs beside. ask: why a
    person has to say yes first (empty: nobody has to)."""

    do: Do
    release: str
    cause: str
    reason: str
    key: str
    params: Mapping[str, Any] = field(default_factory=dict)
    ask: str = ""


@dataclass(frozen=True)
class Job:
    """An action in the making. status: queued, taken, done, blocked (a gate did not let it through), failed,
    asked (a person has to decide: `ask` says what) or refused (a person said no). worker, until: who has the
    lease, and till when (ISO). tries: how often it was taken. approved: by whom, where a person said yes.
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
    ask: str = ""
    approved: str = ""
    finished: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether nothing more becomes of it."""
        return self.status in OVER

    @property
    def tells(self) -> str:
        """A line for people where one should know: a job that asks, was blocked or failed; else empty."""
        what = {"asked": "asks", "blocked": "was blocked", "failed": "failed"}.get(self.status, "")
        why = self.ask if self.status == "asked" else self.result.get("reason", "")
        return f"{self.do.value} ({self.reason}) {what}: {why}" if what else ""


def jobs(events: Iterable[Event]) -> dict[str, Job]:
    """Fold events of `JOB_KINDS` into jobs by id (an action's key), oldest first."""
    found: dict[str, Job] = {}
    for e in events:
        p = e.payload
        if e.kind == "job.queued":
            ask = p.get("ask", "") or ("a person decides what is to be done" if p["do"] == Do.ASK else "")
            job = Job(
                e.subject, Do(p["do"]), p["release"], p["cause"], p["reason"], e.time, p.get("params", {})
            )
            found.setdefault(e.subject, replace(job, status="asked" if ask else "queued", ask=ask))
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
            old = found[e.subject]
            found[e.subject] = replace(
                old,
                status=p["status"],
                worker="",
                until="",
                ask=p.get("ask", ""),
                finished=e.time,
                result={**old.result, **p.get("result", {})},
            )
        elif e.kind == "job.approved":
            old = found[e.subject]
            do = Do(p["do"]) if p.get("do") else old.do
            found[e.subject] = replace(
                old, do=do, status="queued", approved=e.actor, tries=0, ask="", finished=""
            )
        elif e.kind == "job.refused":
            found[e.subject] = replace(
                found[e.subject], status="refused", finished=e.time, result={"reason": p["reason"]}
            )
    return found
