"""What is live changes in real processes: `headrace serve` with two workers, callers on real sockets.

Traffic is 100 requests a second; the canary has 10% of the units, each row being its own.
"""

from __future__ import annotations

import os
import signal
import time

import pytest
from canary_world import MOOD, Traffic, events, guard_of, server, wait_until

from headrace.core.views import State
from headrace.project import Project

RATE, SHARE = 100.0, 0.1
GUARDRAILS = (
    "error_share <= 1%",
    "fallback_share <= 1%",
    "p95 <= 2 * champion",  # on a machine that is busy with other tests, p99 is the machine's
    "p99 <= 2 * champion",
    "score_drift <= 0.25",
)
AT_MOST = 10.0
"""Seconds from a breach to no traffic."""
A_MOMENT = 1.0
"""Seconds from an event to every worker; requests under way end later."""
WARM = 4.0
"""Seconds in which a champion's answers become enough to compare with."""


def of_canary(traffic: Traffic, release: str) -> list[float]:
    """When answers came that were the canary's to give, or that it gave."""
    return [at for at, arm, by, _ in traffic.told if arm == "canary" or by == release]


@pytest.mark.parametrize("mood", ["fails", "slow", "nonsense"])
def test_a_canary_that_turns_bad_has_no_traffic_within_ten_seconds(
    canaried: tuple[Project, str, str], mood: str
) -> None:
    project, champion, challenger = canaried
    with server(project.root, 2) as (port, _), Traffic(port, RATE) as traffic:
        project.set_route(canary=(challenger, SHARE), guardrails=GUARDRAILS)
        wait_until(lambda: of_canary(traffic, challenger), 20)
        time.sleep(WARM)
        assert not events(project.root, "route.rolled_back")
        (project.root / MOOD).write_text(mood)
        broken = time.monotonic()
        wait_until(lambda: events(project.root, "route.rolled_back"), 30)
        time.sleep(1.5)
        seen = of_canary(traffic, challenger)
        assert seen[-1] - broken <= AT_MOST, f"{seen[-1] - broken:.1f} s"
        assert {status for *_, status in traffic.told} == {200}, "who asked always had an answer"
        assert [by for at, _, by, _ in traffic.told if at > seen[-1]][-1] == champion
    (event,) = events(project.root, "route.rolled_back")
    expected = {"fails": "error_share", "slow": "p9", "nonsense": "score_drift"}[mood]
    assert event.actor == "guard"
    assert expected in event.payload["reason"]
    judged = {e.payload["guardrail"]: e.payload["outcome"] for e in events(project.root, "route.judged")}
    assert set(judged) == set(GUARDRAILS)
    assert "fail" in {judged[g] for g in GUARDRAILS if g.startswith(expected)}


def test_a_ramp_goes_up_by_itself_and_ends_with_a_champion(canaried: tuple[Project, str, str]) -> None:
    project, champion, challenger = canaried
    with server(project.root, 2) as (port, _), Traffic(port, 2 * RATE) as traffic:
        # The test's own callers are slow together now and then: time is not what this is about.
        rails = [g for g in GUARDRAILS if not g.startswith("p")]
        project.set_route(canary=challenger, ramp=(0.5, 1), bake="2 s", guardrails=rails)
        wait_until(lambda: project.releases().champion.release == challenger, 60)  # type: ignore[union-attr]
        promoted = time.monotonic()
        time.sleep(1.5)
        after = [(arm, by) for at, arm, by, _ in traffic.told if at > promoted + A_MOMENT]
        assert set(after) == {("champion", challenger)}
        assert {status for *_, status in traffic.told} == {200}
    (moved,) = events(project.root, "route.moved")
    assert (moved.payload["shares"], moved.actor) == ({challenger: 1}, "guard")
    (event,) = [e for e in events(project.root, "release.promoted") if e.subject == challenger]
    assert event.actor == "guard"
    assert project.releases().releases[champion].state is State.RETIRED
    assert project.routes()["default"].arms == ()


def test_promotion_and_rollback_reach_every_worker_within_a_second(
    canaried: tuple[Project, str, str],
) -> None:
    project, champion, challenger = canaried
    with server(project.root, 2) as (port, _), Traffic(port, RATE) as traffic:
        wait_until(lambda: len(traffic.told) > 20, 20)
        # A champion that no route named is loaded first; what answers until then is the one before.
        project.promote(challenger)
        wait_until(lambda: traffic.told[-1][2] == challenger, 20)
        time.sleep(2)
        project.rollback(reason="complaints")
        back = time.monotonic()
        time.sleep(2)
        late = [at - back for at, _, by, _ in traffic.told if by == challenger and at > back]
        assert max(late, default=0.0) <= A_MOMENT, late
        assert {by for at, _, by, _ in traffic.told if at > back + A_MOMENT} == {champion}
        project.set_route(canary=(challenger, 0.5), again=True)
        wait_until(lambda: traffic.told[-1][1] == "canary", 20)
        project.roll_back_route(reason="told so")
        back = time.monotonic()
        time.sleep(2)
        late = [at - back for at, arm, _, _ in traffic.told if arm == "canary" and at > back]
        assert max(late, default=0.0) <= A_MOMENT, late
        assert {status for *_, status in traffic.told} == {200}


def test_when_the_guard_dies_another_takes_over(canaried: tuple[Project, str, str]) -> None:
    project, _, challenger = canaried
    with server(project.root, 2) as (port, _), Traffic(port, RATE) as traffic:
        project.set_route(canary=(challenger, SHARE), guardrails=GUARDRAILS)
        wait_until(lambda: of_canary(traffic, challenger), 20)
        time.sleep(2)
        first = guard_of(project.root)
        os.kill(first, signal.SIGKILL)
        (project.root / MOOD).write_text("fails")
        broken = time.monotonic()
        wait_until(lambda: events(project.root, "route.rolled_back"), 30)
        assert time.monotonic() - broken <= AT_MOST
        assert guard_of(project.root) != first


def test_guardrails_hold_where_nothing_is_logged(canaried: tuple[Project, str, str]) -> None:
    project, _, challenger = canaried
    with server(project.root, 1, "--log", "off") as (port, _), Traffic(port, RATE) as traffic:
        project.set_route(canary=(challenger, SHARE), guardrails=GUARDRAILS)
        wait_until(lambda: of_canary(traffic, challenger), 20)
        (project.root / MOOD).write_text("fails")
        wait_until(lambda: events(project.root, "route.rolled_back"), AT_MOST)
