"""What routes may name, and what a ramp does next: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from headrace.core.clock import format_duration, parse_duration
from headrace.core.errors import Problem
from headrace.core.evidence import Outcome
from headrace.core.routes import Role, Route
from headrace.core.views import Releases, ReleaseView, State
from headrace.policy.guardrails import DRIFT, QUANTILES, VALUE, Guardrail, Judged, parse_guardrail

WINDOW = timedelta(milliseconds=100)
"""Answers of so long are judged together."""
_SAME = 1e-9
_GOES_ON = (Outcome.PASS, Outcome.NOT_APPLICABLE)


@dataclass(frozen=True)
class Ramp:
    """A canary's way up: shares one after the other, each held for `bake`; without any it stays as it is."""

    shares: tuple[float, ...] = ()
    bake: timedelta = timedelta(hours=1)
    guardrails: tuple[Guardrail, ...] = ()

    @property
    def windows(self) -> int:
        """How many windows the whole ramp is planned to last."""
        return max(int(self.bake / WINDOW), 1) * max(len(self.shares), 1)

    def plain(self) -> dict[str, Any]:
        """As an event keeps it."""
        return {
            "shares": list(self.shares),
            "bake": format_duration(self.bake),
            "guardrails": [g.text for g in self.guardrails],
        }


def ramp_of(kept: Mapping[str, Any]) -> Ramp:
    """A ramp from what an event keeps."""
    if not kept:
        return Ramp()
    return Ramp(
        tuple(kept["shares"]),
        parse_duration(kept["bake"]),
        tuple(parse_guardrail(text) for text in kept["guardrails"]),
    )


@dataclass(frozen=True)
class RollBack:
    """Take the canary off the route."""

    release: str
    reason: str


@dataclass(frozen=True)
class Move:
    """Give the canary another share."""

    release: str
    share: float


@dataclass(frozen=True)
class Promote:
    """Ask for the canary to become champion, as a person would."""

    release: str


@dataclass(frozen=True)
class Hold:
    """Do nothing yet, and why."""

    why: str


Action = RollBack | Move | Promote | Hold


def decide(route: Route, ramp: Ramp, judged: Sequence[Judged], now: datetime) -> Action:
    """What becomes of a route's canary: back where a guardrail is broken, also while the ramp is paused; on
    where its share has been held long enough and every guardrail is known to hold; else it stays."""
    canary = route.canary
    if canary is None:
        return Hold("there is no canary")
    broken = [j for j in judged if j.outcome is Outcome.FAIL]
    if broken:
        return RollBack(canary.release, "; ".join(describe(j) for j in broken))
    if route.paused:
        return Hold("the ramp is paused")
    if not ramp.shares:
        return Hold("no ramp was asked for")
    left = ramp.bake - (now - datetime.fromisoformat(route.since))
    if left > timedelta(0):
        return Hold(f"{canary.share:.0%} is held for {_short(left)} more")
    waiting = [j for j in judged if j.outcome not in _GOES_ON]
    if len(waiting) > 1 and len({j.reason for j in waiting}) == 1:
        return Hold(waiting[0].reason)
    if waiting:
        return Hold("; ".join(f"{j.guardrail}: {j.reason}" for j in waiting))
    above = [s for s in ramp.shares if s > canary.share + _SAME]
    if above:
        return Move(canary.release, above[0])
    if canary.share >= 1 - _SAME:
        return Promote(canary.release)
    return Hold(f"the ramp ends at {canary.share:.0%}")


def describe(j: Judged) -> str:
    """A guardrail and what was measured, in a line."""
    beside = "" if j.champion is None else f", the champion's {shown(j.guardrail, j.champion)}"
    return f"{j.guardrail}: {shown(j.guardrail, j.value)} on {j.rows} answers{beside}"


def shown(guardrail: str, value: float | None) -> str:
    """A measured value in the unit that people use: milliseconds, percent."""
    name = guardrail.split()[0]
    if value is None:
        return "–"
    if name in QUANTILES:
        return f"{value / 1000:.3g} ms"
    return f"{value:.3g}" if name in (VALUE, DRIFT) else f"{100 * value:.3g}%"


def _short(left: timedelta) -> str:
    seconds = max(int(left.total_seconds()), 1)
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


@dataclass(frozen=True)
class Known:
    """What is known of a release that a route is to name. approved: by somebody who may. down: why it was
    taken down (None: it was not)."""

    view: ReleaseView
    approved: bool
    down: str | None = None


def may_answer(known: Known, state: Releases, role: Role, *, again: bool) -> Problem | None:
    """Why a release may not be named by a route; None: it may.

    Promotion is the one way to champion, so what answers callers is what could be promoted: it was champion,
    or is a challenger that passed every gate and has its approval. A shadow's answers reach nobody: it needs
    no approval, but its gates.
    """
    release, name = known.view, known.view.release
    if release.state is State.CHAMPION:
        return Problem(
            f"{name} is champion",
            why="the champion answers all that no arm takes, and is named in no arm",
            fix="name another release, or take the canary off: headrace route rollback",
        )
    was = any(r.release == name for r in state.reigns)
    if release.state is State.CANDIDATE:
        return Problem(
            f"{name} has not passed its gates",
            why="a candidate answers nobody",
            fix="`headrace run` says which gates block it",
        )
    if role is not Role.SHADOW and not was and not known.approved:
        return Problem(
            f"{name} awaits an approval",
            why="a canary answers real callers",
            fix=f"headrace release approve {name} --by NAME",
        )
    if known.down is not None and not again:
        reason = f": {known.down}" if known.down else ""
        return Problem(
            f"{name} was taken down{reason}",
            why="what was taken down does not come back by itself",
            fix="say that you know: --again",
        )
    return None
