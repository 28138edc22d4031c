"""Events as sentences for people, and the page that tells more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from headrace.core.event import KINDS, Event

QUIET = frozenset({
    "stage.finished", "gate.judged", "run.saved", "table.snapshot", "log.segment", "job.taken",
    "route.judged", "experiment.looked", "window.judged", "alert.seen",
})  # fmt: skip
"""Kinds that happen by themselves all the time: left out of the news."""
NEWS = tuple(k for k in KINDS if k not in QUIET)


@dataclass(frozen=True)
class Said:
    """An event in words. to: a path below the site's, empty where no page tells more."""

    seq: int
    kind: str
    time: str
    actor: str
    text: str
    to: str


Words = Callable[[Event, Mapping[str, Any]], tuple[str, str]]


def said(event: Event) -> Said:
    """An event in words; of a kind that is not known here its own description."""
    words = _WORDS.get(event.kind)
    about = KINDS.get(event.kind, (0, event.kind))[1]
    text, to = (
        words(event, event.payload) if words else (f"{about.partition(':')[0]}: {event.subject[:24]}", "")
    )
    return Said(event.seq, event.kind, event.time, event.actor, text, to)


def run_path(run: str) -> str:
    """Where a run's page is."""
    return f"runs/{quote(run, safe='')}"


def release_path(release: str) -> str:
    """Where a release's page is."""
    return f"releases/{quote(release, safe='')}"


def _run(text: str) -> Words:
    return lambda e, p: (
        text.format(run=e.subject, name=p.get("name", ""), status=p.get("status", "")),
        run_path(e.subject),
    )


def _release(text: str) -> Words:
    return lambda e, p: (text.format(release=e.subject, reason=_because(p)), release_path(e.subject))


def _route(text: str) -> Words:
    return lambda e, p: (
        text.format(route=e.subject, release=p.get("release", ""), reason=_because(p)),
        "traffic",
    )


def _alert(text: str) -> Words:
    return lambda e, p: (
        text.format(alert=e.subject, title=p.get("title", ""), reason=_because(p)),
        f"alerts?alert={quote(e.subject, safe='')}",
    )


def _job(text: str) -> Words:
    return lambda e, p: (
        text.format(job=e.subject[:12], do=p.get("do", ""), reason=_because(p), status=p.get("status", "")),
        "jobs",
    )


def _because(payload: Mapping[str, Any]) -> str:
    return f": {payload['reason']}" if payload.get("reason") else ""


def _failed(e: Event, p: Mapping[str, Any]) -> tuple[str, str]:
    run = str(p.get("run", "")) or e.subject
    return f"stage {p.get('stage', '?')} failed in {run}", run_path(run)


_WORDS: Mapping[str, Words] = {
    "run.started": _run("{run} began: {name}"),
    "run.finished": _run("{run} ended {status}"),
    "run.noted": _run("{run} was noted"),
    "run.reproduced": _run("{run} was done again"),
    "stage.failed": _failed,
    "gate.waived": lambda e, p: (
        f"gate {e.subject} was waived until {p.get('until', '?')}{_because(p)}",
        "health",
    ),
    "release.made": _release("release {release} was made"),
    "release.challenged": _release("release {release} passed its gates"),
    "release.approved": _release("release {release} was approved"),
    "release.promoted": _release("release {release} became champion"),
    "release.rolled_back": _release("rolled back to {release}{reason}"),
    "release.retired": _release("release {release} retired"),
    "release.ablated": _release("the changes of {release} were measured one by one"),
    "route.set": _route("route {route} was set{reason}"),
    "route.moved": _route("route {route}: the ramp moved"),
    "route.rolled_back": _route("route {route}: {release} was taken off{reason}"),
    "experiment.started": lambda e, p: (f"experiment {e.subject} began", "traffic"),
    "experiment.stopped": lambda e, p: (
        f"experiment {e.subject} ended: {p.get('decision', '')}{_because(p)}",
        "traffic",
    ),
    "seal.made": lambda e, p: ("test rows went behind a seal", ""),
    "seal.opened": lambda e, p: ("the seal was opened for a frozen candidate", ""),
    "seal.judged": lambda e, p: ("the opening of the seal was judged", ""),
    "review.settled": lambda e, p: (f"{p.get('decided', 0)} reviews were settled", "review"),
    "alert.opened": _alert("alert: {title}"),
    "alert.acknowledged": _alert("alert {alert} was acknowledged{reason}"),
    "alert.resolved": _alert("alert {alert} is over{reason}"),
    "window.judged": lambda e, p: (f"window {e.subject} was judged", "drift"),
    "job.queued": _job("{do} is to be done{reason}"),
    "job.finished": _job("job {job} ended {status}"),
    "job.refused": _job("job {job} was refused{reason}"),
    "token.made": lambda e, p: (f"a token was made for {p.get('name', '?')} ({p.get('role', '?')})", ""),
    "token.revoked": lambda e, p: (f"the token of {p.get('name', '?')} was revoked{_because(p)}", ""),
    "batch.finished": lambda e, p: (f"a batch of {p.get('rows', 0):,} rows was scored", ""),
    "gate.judged": lambda e, p: (
        f"gate {p.get('verdict', {}).get('gate', '?')}: {p.get('verdict', {}).get('outcome', '?')}",
        run_path(e.subject),
    ),
    "stage.finished": lambda e, p: (f"stage {p.get('stage', '?')} is done", run_path(str(p.get("run", "")))),
    "table.snapshot": lambda e, p: (
        f"table {p.get('snapshot', {}).get('table', '?')} was snapshotted",
        "data",
    ),
}
