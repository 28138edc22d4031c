"""Routes: which releases answer which share of traffic. A fold of events, and the draw of an arm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import blake2b

from headrace.core.event import Event

DEFAULT = "default"
"""The route that requests take which name none. The champion answers it until something else is set."""
ROUTE_KINDS = ("route.set", "route.moved", "route.rolled_back")


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
    a ramp goes up. since: when the present shares were set (ISO). number: of the event that set them.
    """

    name: str = DEFAULT
    arms: tuple[Arm, ...] = ()
    salt: str = ""
    since: str = ""
    number: int = 0
    paused: bool = False
    ramp: Mapping[str, object] = field(default_factory=dict)

    @property
    def releases(self) -> tuple[str, ...]:
        """The releases that the route names."""
        return tuple(a.release for a in self.arms)


def routes(events: Iterable[Event]) -> dict[str, Route]:
    """Fold events of `ROUTE_KINDS` into the routes as they stand; there is always `DEFAULT`."""
    found = {DEFAULT: Route()}
    for e in events:
        name, p = e.subject, e.payload
        old = found.get(name, Route(name))
        if e.kind == "route.set":
            arms = tuple(Arm(a["release"], a["share"], Role(a["role"])) for a in p["arms"])
            found[name] = Route(name, arms, p["salt"], e.time, e.seq, False, p.get("ramp", {}))
        elif e.kind == "route.moved":
            shares = p.get("shares", {})
            arms = tuple(replace(a, share=shares.get(a.release, a.share)) for a in old.arms)
            found[name] = replace(
                old, arms=arms, since=e.time, number=e.seq, paused=p.get("paused", old.paused)
            )
        elif e.kind == "route.rolled_back":
            arms = tuple(a for a in old.arms if a.release != p["release"])
            found[name] = replace(old, arms=arms, since=e.time, number=e.seq)
    return found


def place(salt: str, unit: str) -> float:
    """Where a unit lies in [0, 1): the same for ever under the same salt."""
    return int.from_bytes(blake2b(unit.encode(), key=salt.encode()[:64], digest_size=8).digest()) / 2.0**64


def pick(route: Route, unit: str) -> Arm | None:
    """The arm that answers a unit; None: the champion does. Shadows are never picked."""
    if not route.arms:
        return None
    spot, upto = place(route.salt, unit), 0.0
    for arm in route.arms:
        if arm.role is Role.SHADOW:
            continue
        upto += arm.share
        if spot < upto:
            return arm
    return None


def shadows(route: Route, unit: str) -> list[Arm]:
    """The arms that answer a unit beside the one whose answer is returned."""
    return [a for a in route.arms if a.role is Role.SHADOW and place(route.salt + a.release, unit) < a.share]
