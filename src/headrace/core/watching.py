"""What is seen in production: windows, readings, alerts. Records, and folds of events.

Times of windows are microseconds since 1970 UTC; those of events are ISO.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from headrace.core.event import Event
from headrace.core.jobs import Job

ALERT_KINDS = ("alert.opened", "alert.seen", "alert.acknowledged", "alert.resolved")
WATCH_KINDS = ("window.judged", *ALERT_KINDS)


class Family(StrEnum):
    """Families of checks; as `watch.off` names them."""

    QUALITY = "quality"
    DRIFT = "drift"
    MULTIVARIATE = "multivariate"
    PREDICTION = "prediction"
    PERFORMANCE = "performance"
    ESTIMATED = "estimated"
    CONCEPT = "concept"
    CALIBRATION = "calibration"
    SLICES = "slices"
    FAIRNESS = "fairness"
    HEALTH = "health"
    COST = "cost"
    VALUE = "value"


HARMFUL = frozenset(
    {Family.PERFORMANCE, Family.ESTIMATED, Family.SLICES, Family.FAIRNESS, Family.HEALTH, Family.VALUE}
)
"""Families whose alerts say that somebody is harmed already, not only that something changed."""


@dataclass(frozen=True)
class Window:
    """A span of answers of one release on one arm: `start <= time < end`. arm: champion, canary, treatment or
    shadow."""

    release: str
    arm: str
    start: int
    end: int
    rows: int

    @property
    def name(self) -> str:
        """Its key: the same window is judged once."""
        return f"{self.release}/{self.arm}/{self.start}"


@dataclass(frozen=True)
class Reading:
    """What one check said of one window.

    check: its name (`ks`, `missing`, `f1`); of: the column, slice or output that it looked at (empty: the
    whole). value: None where nothing could be measured, `why_none` says why. threshold: the value from which
    on it is an alarm, None where there is none to be. exceeds: whether it is one. p: the chance of a value at
    least as large while nothing changes, where it is known. low, high: the value's interval. n: rows behind
    it. where: what moved and how far, for people. details: what else there is to tell; `reference`: the value
    that is usual, where one is at all times.
    """

    family: Family
    check: str
    of: str = ""
    value: float | None = None
    threshold: float | None = None
    exceeds: bool = False
    p: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    unit: str = ""
    where: str = ""
    why_none: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


class AlertState(StrEnum):
    """What has become of an alert."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class Told(StrEnum):
    """Why somebody hears of an alert, or of a job (by its status; or that nobody has answered it)."""

    OPENED = "opened"
    GOES_ON = "goes on"
    ESCALATED = "escalated"
    RESOLVED = "resolved"
    ASKED = "asked"
    BLOCKED = "blocked"
    FAILED = "failed"


@dataclass(frozen=True)
class AlertView:
    """An alert as the ledger tells it.

    alert: its id. title: one line for people. family: of the reading that leads it; families: of all.
    readings: those that exceeded, as plain JSON, each as it did last, in the order in which they were seen
    first: the leading one leads.
    since: the start of the first window; seen: the end of the newest; windows: how many. why: the
    explanation (see `watch.why`), as plain JSON. opened, changed: ISO. by, reason: of the newest change.
    reopened: when it was seen again after it was resolved, the last time (ISO; empty: never).
    run: its newest windows in a row, no other window being judged between them; longest: the most there were.
    """

    alert: str
    release: str
    arm: str
    title: str
    family: Family
    families: tuple[str, ...]
    readings: tuple[Mapping[str, Any], ...]
    since: int
    seen: int
    opened: str
    windows: int = 1
    why: Mapping[str, Any] = field(default_factory=dict)
    state: AlertState = AlertState.OPEN
    changed: str = ""
    by: str = ""
    reason: str = ""
    reopened: str = ""
    run: int = 1
    longest: int = 1

    @property
    def harms(self) -> bool:
        """Whether somebody is harmed already."""
        return any(f in HARMFUL for f in self.families)


class AlertsFold:
    """Alerts by id, oldest first, event by event."""

    kinds = ALERT_KINDS

    def __init__(self) -> None:
        self.known: dict[str, AlertView] = {}

    def take(self, event: Event) -> None:
        """One event more."""
        old = self.known.get(event.subject)
        if event.kind == "alert.opened":
            self.known[event.subject] = _opened(event)
        elif old is not None:
            self.known[event.subject] = _seen(old, event) if event.kind == "alert.seen" else _said(old, event)


def alerts(events: Iterable[Event]) -> dict[str, AlertView]:
    """Fold events of `ALERT_KINDS` into alerts by id, oldest first."""
    fold = AlertsFold()
    for event in events:
        fold.take(event)
    return fold.known


def _opened(e: Event) -> AlertView:
    p = e.payload
    return AlertView(
        alert=e.subject,
        release=p["release"],
        arm=p["arm"],
        title=p["title"],
        family=Family(p["family"]),
        families=tuple(p["families"]),
        readings=tuple(p["readings"]),
        since=p["since"],
        seen=p["seen"],
        opened=e.time,
        why=p.get("why", {}),
        changed=e.time,
        by=e.actor,
    )


def _seen(old: AlertView, e: Event) -> AlertView:
    p = e.payload
    again = old.state is AlertState.RESOLVED
    newer = p["seen"] > old.seen
    # Older events don't say what was before their window: nothing is done on runs that nobody saw.
    in_a_row = "after" in p and p["after"] <= old.seen
    run = (old.run + 1 if in_a_row else 1) if newer else old.run
    return replace(
        old,
        families=tuple(dict.fromkeys([*old.families, *p["families"]])),
        readings=_together(p["readings"], old.readings),
        seen=max(old.seen, p["seen"]),
        windows=old.windows + newer,
        run=run,
        longest=max(old.longest, run),
        # What follows from a fault explains it no better than the fault itself.
        why=p.get("why") or old.why if old.family in p["families"] else old.why,
        # Resolved too early: it goes on.
        state=AlertState.OPEN if again else old.state,
        reopened=e.time if again else old.reopened,
        changed=e.time,
    )


def _said(old: AlertView, e: Event) -> AlertView:
    state = AlertState.ACKNOWLEDGED if e.kind == "alert.acknowledged" else AlertState.RESOLVED
    return replace(old, state=state, changed=e.time, by=e.actor, reason=e.payload.get("reason", ""))


def _together(
    newest: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]]
) -> tuple[Mapping[str, Any], ...]:
    """Each reading as it is now, in the order in which they were seen first: what follows from a fault comes
    behind it."""
    found = {(r["family"], r["check"], r.get("of", "")): r for r in (*before, *newest)}
    return tuple(found.values())


@dataclass(frozen=True)
class Message:
    """What a receiver is told, of an alert or of a job. id: the same message has the same id, however often
    it is sent. time: ISO."""

    id: str
    time: str
    told: Told
    project: str
    alert: AlertView | None = None
    job: Job | None = None

    @property
    def about(self) -> AlertView | Job:
        """The one of them that it is of."""
        about = self.alert or self.job
        if about is None:
            raise ValueError(f"the message {self.id} is about nothing")
        return about

    @property
    def subject(self) -> str:
        """One line, whatever names in the data hold."""
        about = self.about
        if isinstance(about, Job):
            told = f"[{self.project}] {about.tells}"
        else:
            urgent = "!" if about.harms and self.told is not Told.RESOLVED else ""
            told = f"{urgent}[{self.project}] {self.told.value}: {about.title}"
        return " ".join(told.split())
