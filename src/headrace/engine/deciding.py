"""What the policy is told: a `View` of the ledger and the labels, now or as it was."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from headrace.core.clock import from_micros, iso, micros
from headrace.core.event import Event
from headrace.core.jobs import JOB_KINDS, jobs
from headrace.core.ports import Store
from headrace.core.routes import DEFAULT, LIVE_KINDS, routes
from headrace.core.spec.watching import Policy
from headrace.core.views import ReleaseView, releases
from headrace.core.watching import ALERT_KINDS, alerts
from headrace.engine.releases import load_manifest
from headrace.policy.reacting import Unseen, View
from headrace.policy.simulate import Did, Simulated, replay

_MOVED = ("release.promoted", "release.rolled_back", "release.retired", "route.set", "route.rolled_back")
_EACH = timedelta(hours=1)


class Labels(Protocol):
    """What is asked of the labels."""

    def unseen(self, after: int, until: int) -> tuple[int, int | None]:
        """How many predictions have labels that arrived in `after < arrived <= until` (UTC microseconds), and
        when the first of these did."""


def view(store: Store, labels: Labels, *, zone: str, now: datetime) -> View:
    """What is known now."""
    live = list(store.read(kinds=LIVE_KINDS))
    told = list(store.read(kinds=ALERT_KINDS))
    known = jobs(store.read(kinds=JOB_KINDS))
    return replace(_view(store, labels, live, told, zone=zone, now=now), jobs=known)


def _view(
    store: Store, labels: Labels, live: Sequence[Event], told: Sequence[Event], *, zone: str, now: datetime
) -> View:
    state = releases(live)
    champion = state.champion
    if champion is None:
        return View(now, zone=zone)
    canary = routes(live)[DEFAULT].canary
    return View(
        now,
        champion.release,
        datetime.fromisoformat(champion.promoted),
        state.before_champion(),
        canary.release if canary is not None else "",
        tuple(alerts(told).values()),
        unseen=_unseen(store, labels, champion, now),
        zone=zone,
    )


def _unseen(store: Store, labels: Labels, champion: ReleaseView, now: datetime) -> Unseen:
    count, first = labels.unseen(micros(trained(store, champion)), micros(now))
    return Unseen(count, None if first is None else from_micros(first))


def trained(store: Store, release: ReleaseView) -> datetime:
    """When a release's newest table was read: labels that came after it have taught it nothing."""
    manifest = load_manifest(store, release)
    taken = [s.taken for s in manifest.snapshots.values() if s.taken]
    return datetime.fromisoformat(max(taken, default=manifest.made)).astimezone(UTC)


# --- history once more ---------------------------------------------------------------------------


def simulate(
    store: Store, labels: Labels, policy: Policy, start: datetime, end: datetime, *, zone: str
) -> Simulated:
    """What the policy would have done between two moments, hour by hour and whenever an alert changed."""
    live, told = list(store.read(kinds=LIVE_KINDS)), list(store.read(kinds=ALERT_KINDS))
    at_live, at_told = [e.time for e in live], [e.time for e in told]

    def seen(now: datetime) -> View:
        when = iso(now)
        return _view(
            store,
            labels,
            live[: bisect_right(at_live, when)],
            told[: bisect_right(at_told, when)],
            zone=zone,
            now=now,
        )

    changed = [datetime.fromisoformat(e.time) for e in [*told, *live]]
    moments = sorted({*_hours(start, end), *(m for m in changed if start <= m <= end)})
    return Simulated(
        iso(start),
        iso(end),
        replay(policy, moments, seen),
        tuple(_did(store, iso(start), iso(end))),
    )


def _hours(start: datetime, end: datetime) -> Iterator[datetime]:
    at = start
    while at <= end:
        yield at
        at += _EACH


def _did(store: Store, start: str, end: str) -> Iterator[Did]:
    for e in store.read(kinds=(*(k for k in JOB_KINDS if k != "job.taken"), *_MOVED)):
        if not start <= e.time <= end:
            continue
        p = e.payload
        if e.kind == "job.queued":
            yield Did(e.time, f"{p['do']}: {p['reason']}", e.actor, p["release"])
        elif e.kind in ("job.finished", "job.refused", "job.approved"):
            verb = p.get("status") or e.kind.partition(".")[2]
            yield Did(e.time, f"{e.subject} {verb}", e.actor, p.get("result", {}).get("release", ""))
        elif e.kind.startswith("release."):
            yield Did(e.time, f"{e.subject} {e.kind.partition('.')[2].replace('_', ' ')}", e.actor, e.subject)
        else:
            names = [a["release"] for a in p.get("arms", ())] or [p.get("release", "")]
            yield Did(e.time, f"route {e.subject}: {', '.join(names) or 'no arm'}", e.actor, names[0])
