"""What a job does. Each step may be done again: a worker may die behind any of them, and another begins.

What moves the champion asks first whether the job still speaks of it, and whether it is still this worker's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.core.clock import Clock
from headrace.core.errors import GateBlocked, HeadraceError, StoreError, UserError
from headrace.core.jobs import Do, Job
from headrace.core.ports import Store
from headrace.core.routes import DEFAULT
from headrace.core.spec.models import Spec
from headrace.core.views import ReleaseView, State
from headrace.engine import releases
from headrace.engine.retrain import Retrained
from headrace.engine.routes import Wanted, moment, set_route
from headrace.policy.guardrails import DRIFT

ONLINE_MODES = ("rest", "streaming")
"""Ways of answering under which a canary meets traffic."""


@dataclass(frozen=True)
class Ended:
    """How a job ended: done, blocked, failed, or asked with what a person is asked. result: as events keep
    it."""

    status: str
    result: Mapping[str, Any] = field(default_factory=dict)
    ask: str = ""


@dataclass(frozen=True)
class Means:
    """What carrying out takes. retrain, adjust: make a challenger, with the spine. held: whether the job is
    still this worker's. actor: the name of events."""

    store: Store
    spec: Spec
    actor: str
    clock: Clock
    retrain: Callable[[Job], Retrained]
    held: Callable[[], bool]


def carry_out(job: Job, means: Means) -> Ended:
    """Do what a job says.

    Raises:
        StoreError: the store refused: nothing is said of the job, its lease runs out, and it is tried again.
    """
    try:
        return _VERBS[job.do](job, means)
    except StoreError:
        raise
    except GateBlocked as error:
        return Ended("blocked", {"reason": _told(error)})
    except HeadraceError as error:
        return Ended("failed", {"reason": _told(error)})


def _told(error: HeadraceError) -> str:
    return "; ".join(str(p.what) for p in error.problems[:3])


# --- training ------------------------------------------------------------------------------------


def _train(job: Job, means: Means) -> Ended:
    """Make a challenger, unless the job has made one, and let it answer as the policy has it."""
    made = str(job.result.get("release", ""))
    if not made:
        found = means.retrain(job)
        if found.status == "same":
            return Ended("done", found.plain())
        if found.status != "challenger":
            return Ended(found.status, found.plain())
        made, result = found.release, found.plain()
        # Who said yes before said it to the training: there was no release then that could be approved.
        if means.spec.policy.approval == "ask":
            ask = f"release {made} passed every gate: may it answer?"
            return Ended("asked", result, ask)
    else:
        result = {n: v for n, v in job.result.items() if n != "reason"}
    return _let_answer(job, means, made, result)


def _let_answer(job: Job, means: Means, release: str, result: Mapping[str, Any]) -> Ended:
    """A challenger is approved, and becomes canary or champion. A canary that somebody put there meanwhile is
    left alone until a person has said that this one takes its place."""
    store, clock = means.store, means.clock
    state = releases.view(store)
    view = state.releases[release]
    if view.state is State.CHAMPION:
        return Ended("done", {**result, "status": "champion"})
    if view.state is State.RETIRED:
        return Ended("failed", {**result, "reason": f"{release} was champion meanwhile, and is no longer"})
    if not means.held():
        return Ended("failed", {**result, "reason": "another worker has the job"})
    route = moment(store).routes[DEFAULT]
    there = route.canary.release if route.canary is not None else ""
    on = release in route.releases
    if goes_up(means.spec) and there and not on and there != job.result.get("instead_of"):
        ask = f"{there} goes up its ramp: may {release} take its place?"
        return Ended("asked", {**result, "instead_of": there}, ask)
    if not view.approved_by:
        by = job.approved if job.result.get("release") else ""
        releases.approve(store, release, by=by or means.actor, clock=clock)
    if goes_up(means.spec):
        if not on:
            wanted = Wanted(
                canary=(release, None),
                guardrails=_guardrails(store, view),
                reason=f"{job.do.value}: {job.reason}",
            )
            set_route(store, wanted, actor=means.actor, clock=clock)
        return Ended("done", {**result, "status": "canary"})
    releases.promote(store, release, actor=means.actor, clock=clock)
    return Ended("done", {**result, "status": "champion"})


def _guardrails(store: Store, view: ReleaseView) -> tuple[str, ...]:
    """Those of its spec, but for that its scores are as the champion's: it was made to answer otherwise."""
    planned = releases.load_manifest(store, view).plan.canary.guardrails
    return tuple(g for g in planned if not g.startswith(DRIFT))


def goes_up(spec: Spec) -> bool:
    """Whether a retrained challenger goes up a ramp: there has to be traffic that is divided."""
    return spec.policy.canary and (spec.serve is None or spec.serve.mode in ONLINE_MODES)


# --- the others ----------------------------------------------------------------------------------


def _roll_back(job: Job, means: Means) -> Ended:
    store, told = means.store, {"actor": means.actor, "reason": job.reason}

    def move() -> dict[str, Any]:
        back = releases.rollback(store, clock=means.clock, only_from=job.release, **told)
        return {"status": "rolled back", "release": back.release}

    return _champion_moved(job, means, move)


def _retire(job: Job, means: Means) -> Ended:
    store, told = means.store, {"actor": means.actor, "reason": job.reason}

    def move() -> dict[str, Any]:
        releases.retire(store, job.release, clock=means.clock, **told)
        return {"status": "retired"}

    return _champion_moved(job, means, move)


def _champion_moved(job: Job, means: Means, move: Callable[[], Mapping[str, Any]]) -> Ended:
    """Move the champion that a job speaks of; nothing where another is by now. `move` refuses where one
    became so only behind this look."""
    gone = Ended("done", {"status": "nothing", "reason": f"{job.release} is no longer champion"})
    if not _is_champion(job, means):
        return gone
    if not means.held():
        return Ended("failed", {"reason": "another worker has the job"})
    try:
        return Ended("done", move())
    except UserError:
        if _is_champion(job, means):
            raise
        return gone


def _is_champion(job: Job, means: Means) -> bool:
    champion = releases.view(means.store).champion
    return champion is not None and champion.release == job.release


def _nothing(job: Job, means: Means) -> Ended:
    del means
    return Ended("done", {"status": "nothing", "reason": job.reason})


_VERBS: Mapping[Do, Callable[[Job, Means], Ended]] = {
    Do.ALERT: _nothing,
    Do.RETRAIN: _train,
    Do.THRESHOLD: _train,
    Do.ROLL_BACK: _roll_back,
    Do.RETIRE: _retire,
    Do.ASK: _nothing,
}
