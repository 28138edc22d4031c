"""What is live changes in real processes: `headrace serve` with two workers, callers on real sockets.

Traffic is 100 requests a second; the canary has 10% of the units, each row being its own. How soon it happens
is measured by `make deep` alone: beside other tests a machine is late now and then.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest
from callers import Callers, Told
from canary_world import MOOD, events, guard_of, row, serving
from served import wait_until

from headrace.core.views import State
from headrace.project import Project

RATE, SHARE = 100.0, 0.1
GUARDRAILS = ("error_share <= 1%", "fallback_share <= 1%", "score_drift <= 0.25")
SLOWNESS = ("p95 <= 2 * champion", "p99 <= 2 * champion")
"""Only where slowness is what it is about: the machine is slow now and then."""
AT_MOST = 10.0
"""Seconds from a breach to no traffic."""
A_MOMENT = 1.0
"""Seconds from an event to every worker; requests under way end later."""
WARM = 4.0
"""Seconds in which a champion's answers become enough to compare with."""


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.deep)], ids=["counted", "timed"])
def timed(request: pytest.FixtureRequest) -> bool:
    """Whether it also has to happen in time."""
    return bool(request.param)


def callers_of(port: int, rate: float = RATE) -> Callers:
    """The project's callers."""
    return Callers(port, row, connections=8, rate=rate)


def of_canary(callers: Callers, release: str) -> list[float]:
    """When answers came that were the canary's to give, or that it gave."""
    return [t.at for t in callers.told if t.arm == "canary" or t.release == release]


def wait_for_all(callers: Callers, expected: Callable[[Told], bool], count: int = 200) -> None:
    """Until so many answers in a row are as expected."""
    wait_until(lambda: len(callers.told) >= count and all(expected(t) for t in callers.told[-count:]))


@pytest.mark.parametrize("mood", ["fails", "slow", "nonsense"])
def test_a_canary_that_turns_bad_has_no_traffic_any_more(
    canaried: tuple[Project, str, str], mood: str, timed: bool
) -> None:
    project, champion, challenger = canaried
    rails = (*GUARDRAILS, *SLOWNESS) if mood == "slow" else GUARDRAILS
    with serving(project.root, 2) as server, callers_of(server.port) as callers:
        project.set_route(canary=(challenger, SHARE), guardrails=rails)
        wait_until(lambda: of_canary(callers, challenger))
        time.sleep(WARM)
        assert not events(project.root, "route.rolled_back")
        (project.root / MOOD).write_text(mood)
        broken = time.monotonic()
        wait_until(lambda: events(project.root, "route.rolled_back"))
        wait_for_all(callers, lambda t: t.arm == "champion" and t.release == champion)
        took = of_canary(callers, challenger)[-1] - broken
        assert took <= AT_MOST or not timed, f"{took:.1f} s"
        assert callers.odd == [], "who asked always had an answer"
    (event,) = events(project.root, "route.rolled_back")
    expected = {"fails": "error_share", "slow": "p9", "nonsense": "score_drift"}[mood]
    assert event.actor == "guard"
    assert expected in event.payload["reason"]
    judged = {e.payload["guardrail"]: e.payload["outcome"] for e in events(project.root, "route.judged")}
    assert set(judged) == set(rails)
    assert "fail" in {judged[g] for g in rails if g.startswith(expected)}


def test_a_ramp_goes_up_by_itself_and_ends_with_a_champion(
    canaried: tuple[Project, str, str], timed: bool
) -> None:
    project, champion, challenger = canaried
    with serving(project.root, 2) as server, callers_of(server.port, 2 * RATE) as callers:
        project.set_route(canary=challenger, ramp=(0.5, 1), bake="2 s", guardrails=GUARDRAILS)
        wait_until(lambda: project.releases().champion.release == challenger, 120)  # type: ignore[union-attr]  # there is one
        promoted = time.monotonic()
        wait_for_all(callers, lambda t: (t.arm, t.release) == ("champion", challenger))
        late = [t.at - promoted for t in callers.told if t.release != challenger or t.arm != "champion"]
        assert late[-1] <= A_MOMENT or not timed
        assert callers.odd == []
    (moved,) = events(project.root, "route.moved")
    assert (moved.payload["shares"], moved.actor) == ({challenger: 1}, "guard")
    (event,) = [e for e in events(project.root, "release.promoted") if e.subject == challenger]
    assert event.actor == "guard"
    assert project.releases().releases[champion].state is State.RETIRED
    assert project.routes()["default"].arms == ()


def test_promotion_and_rollback_reach_every_worker(canaried: tuple[Project, str, str], timed: bool) -> None:
    project, champion, challenger = canaried
    with serving(project.root, 2) as server, callers_of(server.port) as callers:
        wait_until(lambda: len(callers.told) > 20)
        # A champion that no route named is loaded first; what answers until then is the one before.
        project.promote(challenger)
        wait_for_all(callers, lambda t: t.release == challenger)
        project.rollback(reason="complaints")
        back = time.monotonic()
        wait_for_all(callers, lambda t: t.release == champion)
        late = [t.at - back for t in callers.told if t.release == challenger]
        assert late[-1] <= A_MOMENT or not timed, late[-1]
        project.set_route(canary=(challenger, 0.5), again=True)
        wait_until(lambda: callers.told[-1].arm == "canary")
        project.roll_back_route(reason="told so")
        back = time.monotonic()
        wait_for_all(callers, lambda t: t.arm == "champion")
        late = [t.at - back for t in callers.told if t.arm == "canary"]
        assert late[-1] <= A_MOMENT or not timed, late[-1]
        assert callers.odd == []


def test_when_the_guard_dies_another_takes_over(canaried: tuple[Project, str, str], timed: bool) -> None:
    project, _, challenger = canaried
    with serving(project.root, 2) as server, callers_of(server.port) as callers:
        project.set_route(canary=(challenger, SHARE), guardrails=GUARDRAILS)
        wait_until(lambda: of_canary(callers, challenger))
        wait_until(lambda: guard_of(project.root) in server.children())
        first = guard_of(project.root)
        os.kill(first, signal.SIGKILL)
        (project.root / MOOD).write_text("fails")
        broken = time.monotonic()
        wait_until(lambda: events(project.root, "route.rolled_back"))
        assert time.monotonic() - broken <= AT_MOST or not timed
        assert guard_of(project.root) != first


def test_guardrails_hold_where_nothing_is_logged(canaried: tuple[Project, str, str]) -> None:
    project, _, challenger = canaried
    with serving(project.root, 1, "--log", "off") as server, callers_of(server.port) as callers:
        project.set_route(canary=(challenger, SHARE), guardrails=GUARDRAILS)
        wait_until(lambda: of_canary(callers, challenger))
        (project.root / MOOD).write_text("fails")
        wait_until(lambda: events(project.root, "route.rolled_back"))
