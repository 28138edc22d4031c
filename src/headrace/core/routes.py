"""Routes: which releases answer which share of traffic. A fold of events, and the draw of an arm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import blake2b

from headrace.core.event import Event
from headrace.core.views import RELEASE_KINDS

DEFAULT = "default"
"""The route that requests take which name none. The champion answers it until something else is set."""
ROUTE_KINDS = ("route.set", "route.moved", "route.rolled_back")
LIVE_KINDS = (*RELEASE_KINDS, *ROUTE_KINDS)
"""The kinds that decide who answers: champions and routes are folded from these."""


class Role(StrEnum):
    """What an arm is there for."""

    CHAMPION = "champion"
    CANARY = "canary"
    SHADOW = "shadow"
    TREATMENT = "treatment"


@dataclass(frozen=True)
class Arm:
    """A release on a route. share: of the units, in [0, 1]; a shadow's is the share that it answers beside
    the one whose answer is returned."""

    release: str
    share: float
    role: Role


@dataclass(frozen=True)
class Route:
    """A route as the ledger tells it. The champion answers whatever no arm takes, and is named in no arm.

    salt: the key of the hash that divides units; it stays while arms stay, so that a unit keeps its arm while
    a ramp goes up. since: when the present shares began to be watched (ISO): they were set, the ramp was
    resumed, or another release became champion. number: of the event that began it. began: the number of the
    event that brought the canary. paused: the ramp stands still; guardrails hold. ramp: `shares`, `bake`,
    `guardrails` and `began` (ISO) of the canary, as `policy.routing` reads them.
    """

    name: str = DEFAULT
    arms: tuple[Arm, ...] = ()
    salt: str = ""
    since: str = ""
    number: int = 0
    paused: bool = False
    ramp: Mapping[str, object] = field(default_factory=dict)
    began: str = ""

    @property
    def releases(self) -> tuple[str, ...]:
        """The releases that the route names."""
        return tuple(a.release for a in self.arms)

    @property
    def canary(self) -> Arm | None:
        """The arm on trial, if there is one."""
        return next((a for a in self.arms if a.role is Role.CANARY), None)

    @property
    def drawn(self) -> float:
        """The share of units that the arms take from the champion."""
        return sum(a.share for a in self.arms if a.role is not Role.SHADOW)


def routes(events: Iterable[Event]) -> dict[str, Route]:
    """Fold events of `LIVE_KINDS` into the routes as they stand; there is always `DEFAULT`.

    A release that becomes champion leaves its arms in the same event: it answers all that no arm takes. What
    is measured against the champion is measured anew then.
    """
    found = {DEFAULT: Route()}
    for e in events:
        if e.kind in ("release.promoted", "release.rolled_back", "release.retired"):
            found = {name: _crowned(route, e) for name, route in found.items()}
        elif e.kind in ROUTE_KINDS:
            found[e.subject] = _changed(found.get(e.subject, Route(e.subject)), e)
    return found


def _changed(old: Route, e: Event) -> Route:
    p = e.payload
    if e.kind == "route.set":
        arms = tuple(Arm(a["release"], a["share"], Role(a["role"])) for a in p["arms"])
        new = Route(old.name, arms, p["salt"], e.time, e.seq, False, p.get("ramp", {}), e.time)
        if new.canary is not None and new.canary == old.canary and new.ramp == old.ramp:
            # Only its shadows changed: the canary goes on where it was.
            new = replace(new, since=old.since, number=old.number, began=old.began, paused=old.paused)
        return new
    if e.kind == "route.moved":
        shares = p.get("shares", {})
        arms = tuple(replace(a, share=shares.get(a.release, a.share)) for a in old.arms)
        paused = p.get("paused", old.paused)
        if arms == old.arms and paused >= old.paused:
            return replace(old, paused=paused)
        return replace(old, arms=arms, since=e.time, number=e.seq, paused=paused)
    return _without(old, p["release"], e)


def _crowned(route: Route, e: Event) -> Route:
    if not route.arms:
        return route
    left = _without(route, e.subject, e)
    return left if left.arms != route.arms else replace(route, since=e.time, number=e.seq)


def _without(route: Route, release: str, e: Event) -> Route:
    arms = tuple(a for a in route.arms if a.release != release)
    if arms == route.arms:
        return route
    left = replace(route, arms=arms, since=e.time, number=e.seq)
    return left if left.canary is not None else replace(left, ramp={}, paused=False)


def taken_down(events: Iterable[Event]) -> dict[str, str]:
    """The releases that were taken off a route, or out of the champion's place, and why; not those that a
    person has put on a route again since, or promoted."""
    found: dict[str, str] = {}
    for e in events:
        p = e.payload
        if e.kind == "route.rolled_back":
            found[p["release"]] = p.get("reason", "")
        elif e.kind == "release.rolled_back":
            if p.get("from"):
                found[p["from"]] = p.get("reason", "")
            found.pop(e.subject, None)
        elif e.kind == "release.promoted":
            found.pop(e.subject, None)
        elif e.kind == "route.set":
            for arm in p["arms"]:
                found.pop(arm["release"], None)
    return found


def place(salt: str, unit: str) -> float:
    """Where a unit lies in [0, 1): the same for ever under the same salt."""
    made = blake2b(unit.encode("utf-8", "surrogatepass"), key=salt.encode()[:64], digest_size=8)
    return (int.from_bytes(made.digest()) >> 11) / 2.0**53  # all that a double tells apart, and never 1


def pick(route: Route, unit: str) -> Arm | None:
    """The arm that answers a unit; None: the champion does. Shadows are never picked.

    The canary takes the units from 0 up, treatments those from 1 down: while a canary's share goes up, a
    unit leaves the champion for it and changes its arm in no other way.
    """
    if not route.arms:
        return None
    spot, upto, down = place(route.salt, unit), 0.0, 1.0
    for arm in route.arms:
        if arm.role is Role.CANARY:
            upto += arm.share
            if spot < upto:
                return arm
        elif arm.role is Role.TREATMENT:
            down -= arm.share
            if spot >= down:
                return arm
    return None


def shadows(route: Route, unit: str) -> list[Arm]:
    """The arms that answer a unit beside the one whose answer is returned."""
    return [a for a in route.arms if a.role is Role.SHADOW and place(route.salt + a.release, unit) < a.share]
