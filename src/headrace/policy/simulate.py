"""What a policy would have done: history once more, moment by moment, under `policy.reacting`.

Decisions change what comes after them, and history can't be asked what would have come: alerts, labels and
champions are taken as they were. An action that would have been queued counts as done at once, so that it is
told once, and cool-downs hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from headrace.core.clock import iso
from headrace.core.jobs import Action, Job
from headrace.core.spec.watching import Policy
from headrace.policy.reacting import View, decide


@dataclass(frozen=True)
class Would:
    """An action that would have been queued, and when (ISO)."""

    at: str
    action: Action


@dataclass(frozen=True)
class Did:
    """What was done in fact, and when (ISO): a job, or what somebody did to the champion."""

    at: str
    what: str
    by: str
    release: str = ""


@dataclass(frozen=True)
class Simulated:
    """Both, oldest first. start, end: ISO."""

    start: str
    end: str
    would: tuple[Would, ...]
    did: tuple[Did, ...]


def replay(
    policy: Policy, moments: Iterable[datetime], seen: Callable[[datetime], View]
) -> tuple[Would, ...]:
    """The actions that would have been queued at these moments (ascending); `seen` is what was known at each,
    without jobs."""
    done: dict[str, Job] = {}
    found: list[Would] = []
    for now in moments:
        for action in decide(policy, replace(seen(now), jobs=done)):
            done = {**done, action.key: _as_done(action, now)}
            found.append(Would(iso(now), action))
    return tuple(found)


def _as_done(action: Action, now: datetime) -> Job:
    when = iso(now)
    return Job(
        action.key,
        action.do,
        action.release,
        action.cause,
        action.reason,
        when,
        action.params,
        "done",
        finished=when,
    )


def matched(simulated: Simulated) -> Sequence[tuple[str, str, str]]:
    """Both as lines of one table, by time: the moment, what would have been done, what was."""
    lines = [(w.at, f"{w.action.do.value}: {w.action.reason}", "") for w in simulated.would]
    lines += [(d.at, "", f"{d.what} by {d.by}") for d in simulated.did]
    return sorted(lines)
