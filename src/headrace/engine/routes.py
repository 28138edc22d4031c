"""What changes routes: set, pause, resume, roll back, and what a ramp does. Each is one append behind an
unmoved head."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from headrace.core.clock import Clock, format_duration, iso
from headrace.core.codec import to_plain
from headrace.core.errors import Conflict, HeadraceError, NotFound, Problem, UserError, did_you_mean
from headrace.core.event import Draft, Event
from headrace.core.experiments import EXPERIMENT_KINDS, experiments, running
from headrace.core.ports import Store
from headrace.core.routes import DEFAULT, LIVE_KINDS, ROUTE_KINDS, Arm, Role, Route, routes, taken_down
from headrace.core.views import Releases
from headrace.core.views import releases as fold_releases
from headrace.engine import releases
from headrace.policy.guardrails import Judged
from headrace.policy.routing import Known, Ramp, may_answer, ramp_of
from headrace.release.plan import CanaryPlan

SHOWN_KINDS = (*ROUTE_KINDS, "route.judged")


@dataclass(frozen=True)
class Wanted:
    """What somebody wants a route to be; None: as it is.

    canary: a release and its share (None: the ramp's first). shadows: releases and the shares of units that
    they answer beside the others; none: no shadow any more. ramp: shares, one after the other; empty: the
    canary stays where it is put. bake: how long each is held, as `1 h`. guardrails: in place of those of the
    canary's own spec. again: the person knows that a release was taken down, and takes it again.
    """

    canary: tuple[str, float | None] | None = None
    shadows: tuple[tuple[str, float], ...] | None = None
    ramp: tuple[float, ...] | None = None
    bake: str | None = None
    guardrails: tuple[str, ...] | None = None
    again: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Moment:
    """Routes, releases and what was taken down, as one look at the ledger found them."""

    routes: dict[str, Route]
    state: Releases
    down: dict[str, str]


def moment(store: Store) -> Moment:
    """The routes and releases as the ledger tells them now."""
    events = list(store.read(kinds=LIVE_KINDS))
    return Moment(routes(events), fold_releases(events), taken_down(events))


def find(now: Moment, name: str) -> Route:
    """A route by its name.

    Raises:
        NotFound: it was never set.
    """
    if name not in now.routes:
        raise NotFound(f"there is no route {name!r}", fix=did_you_mean(name, now.routes))
    return now.routes[name]


def _decide(store: Store, decide: Callable[[Moment], Sequence[Draft]]) -> Moment:
    """Fold, decide, append; where the head moved meanwhile, again."""
    while True:
        _, head = store.head()
        drafts = decide(moment(store))
        try:
            if drafts:
                store.append(drafts, expect=head)
        except Conflict:
            continue
        return moment(store)


def set_route(store: Store, wanted: Wanted, *, name: str = DEFAULT, actor: str, clock: Clock) -> Route:
    """Give a route another canary, other shadows or another ramp. What is not named stays as it is.

    A canary that is the same, with the same share, goes on where it was. Another gets units of its own: they
    are divided anew.

    Raises:
        NotFound: there is no such release.
        UserError: a release may not answer, the shares are none, nothing is asked for, or a canary is while
            an experiment runs on the route.
    """
    asked = (wanted.canary, wanted.shadows, wanted.ramp, wanted.bake, wanted.guardrails)
    if all(a is None for a in asked):
        raise UserError("nothing is asked for", fix="name --canary RELEASE[:SHARE] or --shadow RELEASE")

    def decide(now: Moment) -> Sequence[Draft]:
        old = now.routes.get(name, Route(name))
        other = running(experiments(store.read(kinds=EXPERIMENT_KINDS)), name)
        if wanted.canary is not None and other is not None:
            raise UserError(
                f"the experiment {other.name} runs on the route {name!r}",
                why="a canary would take units from its control alone, and bias what is compared",
                fix=f"let it end, or stop it: headrace ab stop {other.name}",
            )
        arms = _arms(store, now, old, wanted)
        ramp = _ramp(store, now, old, arms, wanted)
        kept = {a for a in old.arms if a.role is not Role.SHADOW}
        same = any(a.release == b.release and a.role is b.role for a in kept for b in arms)
        salt = old.salt if same else secrets.token_hex(16)
        payload = {"arms": [to_plain(a) for a in arms], "salt": salt, "ramp": ramp.plain() if ramp else {}}
        if wanted.reason:
            payload["reason"] = wanted.reason
        return [Draft("route.set", name, iso(clock()), actor, payload)]

    return _decide(store, decide).routes[name]


def _arms(store: Store, now: Moment, old: Route, wanted: Wanted) -> tuple[Arm, ...]:
    arms = [a for a in old.arms if a.role is Role.TREATMENT]
    if wanted.canary is not None:
        release, share = wanted.canary
        found = releases.find(now.state, release).release
        if share is None:
            ramp = _plan(store, now, found).ramp if wanted.ramp is None else wanted.ramp
            share = next(iter(ramp), 0.05)
        arms.insert(0, Arm(found, share, Role.CANARY))
    elif old.canary is not None:
        arms.insert(0, old.canary)
    if wanted.shadows is not None:
        arms += [Arm(releases.find(now.state, n).release, s, Role.SHADOW) for n, s in wanted.shadows]
    else:
        arms += [a for a in old.arms if a.role is Role.SHADOW]
    problems = [p for arm in arms if arm not in old.arms for p in _wrong(store, now, arm, wanted.again)]
    names = [a.release for a in arms]
    problems += [
        Problem(f"{n} is named twice on the route", fix="a release is one arm alone")
        for n in sorted({n for n in names if names.count(n) > 1})
    ]
    drawn = sum(a.share for a in arms if a.role is not Role.SHADOW)
    if drawn > 1 + 1e-9:
        problems.append(
            Problem(f"the arms take {drawn:.0%} of the units", fix="an experiment holds the rest: take less")
        )
    if problems:
        raise UserError.of(problems)
    return tuple(arms)


def _wrong(store: Store, now: Moment, arm: Arm, again: bool) -> list[Problem]:
    view = now.state.releases[arm.release]
    allow_self = releases.spec_of(store, view).problem.approval == "self"
    approved = releases.approved(view, allow_self=allow_self)
    known = Known(view, approved, now.down.get(arm.release))
    problem = may_answer(known, now.state, arm.role, again=again)
    found = [problem] if problem is not None else []
    if not 0 < arm.share <= 1:
        found.append(
            Problem(f"{arm.share:.4g} is no share of the units", fix=f"write {arm.release}:5%, above 0%")
        )
    return found


def _plan(store: Store, now: Moment, release: str) -> CanaryPlan:
    return releases.load_manifest(store, now.state.releases[release]).plan.canary


def _ramp(store: Store, now: Moment, old: Route, arms: Sequence[Arm], wanted: Wanted) -> Ramp | None:
    """The canary's ramp: as the person says, else as it was for this canary, else as its own spec says. With
    a share and no ramp it stays at the share."""
    canary = next((a for a in arms if a.role is Role.CANARY), None)
    if canary is None:
        if wanted.ramp is not None or wanted.bake is not None or wanted.guardrails is not None:
            raise UserError("there is no canary to ramp", fix="name one: --canary RELEASE")
        return None
    plan = _plan(store, now, canary.release)
    held = ramp_of(old.ramp) if old.canary is not None and old.canary.release == canary.release else None
    fixed = wanted.canary is not None and wanted.canary[1] is not None
    shares = wanted.ramp
    if shares is None:
        shares = held.shares if held is not None and wanted.canary is None else () if fixed else plan.ramp
    bake = wanted.bake or (format_duration(held.bake) if held else f"{plan.bake_us} us")
    guardrails: Sequence[str] = plan.guardrails
    if wanted.guardrails is not None:
        guardrails = wanted.guardrails
    elif held is not None:
        guardrails = [g.text for g in held.guardrails]
    try:
        ramp = ramp_of({"shares": shares, "bake": bake, "guardrails": guardrails})
    except ValueError as error:
        raise UserError(f"the ramp's bake: {error}") from None
    _check_shares(ramp.shares, sum(a.share for a in arms if a.role is Role.TREATMENT))
    return ramp


def _check_shares(shares: Sequence[float], held: float) -> None:
    rising = all(a < b for a, b in pairwise(shares))
    if not rising or any(not 0 < s <= 1 for s in shares):
        told = ", ".join(f"{s:.4g}" for s in shares)
        raise UserError(
            f"{told} is no way up", fix="write shares between 0% and 100%, each above the one before"
        )
    if shares and shares[-1] > 1 - held + 1e-9:
        raise UserError(
            f"an experiment holds {held:.0%} of the units", fix=f"let the ramp end at {1 - held:.0%}"
        )


def pause(store: Store, paused: bool, *, name: str = DEFAULT, actor: str, clock: Clock) -> Route:
    """Let a ramp stand still, or go on: then its share is held for a whole bake again. Guardrails hold.

    Raises:
        NotFound: there is no such route.
        UserError: it has no canary.
    """

    def decide(now: Moment) -> Sequence[Draft]:
        route = find(now, name)
        if route.canary is None:
            raise UserError(f"the route {name!r} has no canary", fix="see what it has: headrace route show")
        if route.paused == paused:
            return []
        return [Draft("route.moved", name, iso(clock()), actor, {"paused": paused})]

    return _decide(store, decide).routes[name]


def roll_back(
    store: Store,
    *,
    name: str = DEFAULT,
    release: str | None = None,
    reason: str = "",
    judged: Sequence[Judged] = (),
    actor: str,
    clock: Clock,
) -> Route:
    """Take a release off a route, at once (default: its canary).

    Raises:
        NotFound: there is no such route or release.
        UserError: the release is not on the route.
    """

    def decide(now: Moment) -> Sequence[Draft]:
        route = find(now, name)
        arm = route.canary
        if release is not None:
            found = releases.find(now.state, release).release
            arm = next((a for a in route.arms if a.release == found), None)
        if arm is None:
            what = (
                f"{release} is not on the route {name!r}" if release else f"the route {name!r} has no canary"
            )
            raise UserError(what, fix="see what it has: headrace route show")
        when = iso(clock())
        return [
            *_judged(name, arm, judged, when, actor),
            Draft(
                "route.rolled_back",
                name,
                when,
                actor,
                {"release": arm.release, "share": arm.share, "reason": reason, "role": arm.role.value},
            ),
        ]

    return _decide(store, decide).routes[name]


def move(
    store: Store,
    name: str,
    release: str,
    share: float,
    judged: Sequence[Judged],
    *,
    number: int,
    actor: str,
    clock: Clock,
) -> None:
    """Give a canary the next share of its ramp, and write down why it may. Nothing where the route has
    changed since the event `number`."""

    def decide(now: Moment) -> Sequence[Draft]:
        route = now.routes.get(name, Route(name))
        arm = route.canary
        if arm is None or arm.release != release or route.number != number or route.paused:
            return []
        when = iso(clock())
        moved = Draft("route.moved", name, when, actor, {"shares": {release: share}})
        return [*_judged(name, arm, judged, when, actor), moved]

    _decide(store, decide)


def _judged(name: str, arm: Arm, judged: Sequence[Judged], when: str, actor: str) -> list[Draft]:
    return [
        Draft("route.judged", name, when, actor, {"release": arm.release, "share": arm.share, **to_plain(j)})
        for j in judged
    ]


def promote_canary(
    store: Store,
    name: str,
    release: str,
    judged: Sequence[Judged],
    promote: Callable[[str], Any],
    *,
    actor: str,
    clock: Clock,
) -> str:
    """A ramp has come to its end: its canary is promoted through the same gates and approvals as by a person.
    What keeps it from that is returned, and the canary stays as it is."""
    now = moment(store)
    arm = now.routes.get(name, Route(name)).canary
    if arm is None or arm.release != release:
        return ""
    store.append(_judged(name, arm, judged, iso(clock()), actor))
    try:
        promote(release)
    except HeadraceError as error:
        return str(error.problems[0])
    return ""


def history(store: Store, name: str | None = None) -> tuple[Event, ...]:
    """What became of a route (default: of all), oldest first."""
    return tuple(store.read(kinds=SHOWN_KINDS, subject=name))
