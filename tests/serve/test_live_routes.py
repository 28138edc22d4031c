"""Routes through the project: who may be named, what a ramp does, how a canary ends, and what it leaves."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from canary_world import events
from spine import command, edit_spec

from headrace.core.answered import Answered
from headrace.core.clock import iso
from headrace.core.errors import NotFound, SpecError, UserError
from headrace.core.event import Draft, Event
from headrace.core.evidence import Outcome
from headrace.core.routes import DEFAULT, Arm, Role, Route, pick, place, routes, shadows
from headrace.logs.writer import LogWriter
from headrace.policy.guardrails import Judged
from headrace.policy.routing import Hold, Move, Promote, RollBack, decide, ramp_of
from headrace.project import Project

World = tuple[Project, str, str]


def test_a_canary_is_set_goes_up_and_is_taken_off(canaried: World) -> None:
    project, champion, challenger = canaried
    assert project.routes() == {DEFAULT: Route()}
    route = project.set_route(canary=challenger, reason="cheaper")
    assert route.canary == Arm(challenger, 0.05, Role.CANARY)
    assert route.ramp["shares"] == [0.05, 0.25, 0.5, 1.0]
    assert route.ramp["bake"] == "1 h"
    assert "score_drift <= 0.25" in route.ramp["guardrails"]  # type: ignore[operator]  # they are a list
    assert len(route.salt) == 32
    paused = project.pause_route()
    assert (paused.paused, paused.since, paused.number) == (True, route.since, route.number)
    resumed = project.resume_route()
    assert (resumed.paused, resumed.since > route.since) == (False, True)
    assert project.resume_route() == resumed, "nothing is written twice"
    again = project.set_route(
        canary=(challenger, 0.4), ramp=(0.4, 0.8), bake="2 h", guardrails=["p99 <= 1 s"]
    )
    assert again.salt == route.salt, "its units stay its own"
    assert project.roll_back_route(reason="told so") == project.routes()[DEFAULT]
    assert project.routes()[DEFAULT].arms == ()
    assert [e.kind for e in project.route_history()] == [
        "route.set", "route.moved", "route.moved", "route.set", "route.rolled_back"
    ]  # fmt: skip
    assert project.releases().champion.release == champion  # type: ignore[union-attr]  # there is one


def test_what_was_taken_down_needs_a_persons_word(canaried: World) -> None:
    project, _, challenger = canaried
    first = project.set_route(canary=challenger)
    project.roll_back_route(reason="too many complaints")
    with pytest.raises(UserError, match="was taken down: too many complaints") as caught:
        project.set_route(canary=challenger)
    assert "--again" in caught.value.problems[0].fix
    second = project.set_route(canary=challenger, again=True)
    assert second.salt != first.salt, "other units have their turn"
    project.set_route(canary=(challenger, 0.3))


def test_only_what_was_promoted_or_may_be_answers(canaried: World) -> None:
    project, champion, challenger = canaried
    with pytest.raises(UserError, match="is champion"):
        project.set_route(canary=champion)
    with pytest.raises(NotFound):
        project.set_route(canary="nothing")
    store, now = project.store, iso(datetime.now(UTC))
    view = project.releases().releases[challenger]
    store.append(
        [Draft("release.made", "raw0", now, "me@example.com", {"manifest": view.manifest, "run": ""})]
    )
    for named in ({"canary": "raw0"}, {"shadows": {"raw0": 1.0}}):
        with pytest.raises(UserError, match="has not passed its gates"):
            project.set_route(**named)  # type: ignore[arg-type]  # of many types
    store.append([Draft("release.challenged", "raw0", now, "me@example.com", {"against": champion})])
    with pytest.raises(UserError, match="raw0 awaits an approval"):
        project.set_route(canary="raw0")
    assert project.set_route(shadows={"raw0": 0.5}).arms == (Arm("raw0", 0.5, Role.SHADOW),)
    project.approve("raw0", by="colleague@example.com")
    with pytest.raises(UserError, match="named twice"):
        project.set_route(canary="raw0")
    assert project.set_route(canary="raw0", shadows={}).releases == ("raw0",)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({}, "nothing is asked for"),
        ({"ramp": (0.5, 1.0)}, "no canary to ramp"),
        ({"canary": ("B", 1.5)}, "no share"),
        ({"canary": ("B", 0.0)}, "no share"),
        ({"canary": "B", "ramp": (0.5, 0.1)}, "no way up"),
        ({"canary": "B", "ramp": (0.5, 2.0)}, "no way up"),
        ({"canary": "B", "bake": "soon"}, "no duration"),
        ({"canary": "B", "guardrails": ["p98 <= 1 s"]}, "no guardrail 'p98'"),
    ],
)
def test_what_can_not_be_is_refused_and_nothing_is_written(
    canaried: World, wanted: dict[str, Any], told: str
) -> None:
    project, _, challenger = canaried
    if "canary" in wanted:
        canary = wanted["canary"]
        wanted = {**wanted, "canary": challenger if canary == "B" else (challenger, canary[1])}
    with pytest.raises(UserError, match=told):
        project.set_route(**wanted)
    assert project.route_history() == ()


def test_a_shadow_leaves_the_canary_where_it_was(canaried: World) -> None:
    project, _, challenger = canaried
    before = project.set_route(canary=challenger)
    view = project.releases().releases[challenger]
    now = iso(datetime.now(UTC))
    project.store.append(
        [
            Draft("release.made", "dark", now, "me", {"manifest": view.manifest, "run": ""}),
            Draft("release.challenged", "dark", now, "me", {"against": ""}),
        ]
    )
    after = project.set_route(shadows={"dark": 0.2})
    assert (after.since, after.began, after.number) == (before.since, before.began, before.number)
    assert after.canary == before.canary
    assert project.roll_back_route("dark").releases == (challenger,)


def test_two_who_set_a_route_at_once_both_are_heard(canaried: World) -> None:
    project, _, challenger = canaried
    project.set_route(canary=challenger)

    def flip(number: int) -> None:
        mine = Project(project.root, actor=f"p{number}")
        for _ in range(5):
            mine.set_route(canary=(challenger, 0.1 + number / 100))

    threads = [threading.Thread(target=flip, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(events(project.root, "route.set")) == 21
    assert project.audit().ok


def test_the_command_line(canaried: World) -> None:
    project, champion, challenger = canaried
    assert "no route was ever set" in command(project, "route", "history").output
    done = command(
        project, "route", "set", "--canary", f"{challenger[:6]}:5%", "--ramp", "5,25,50,100", "--bake", "1 h"
    )
    assert done.output == "default: canary at 5% (5% → 25% → 50% → 100%)\n"
    shown = command(project, "route", "show").output
    assert f"{champion}  champion    95%" in shown
    assert f"{challenger}  canary       5%" in shown
    assert "no server watches" in shown
    assert command(project, "route", "pause").output.endswith("paused\n")
    plain = json.loads(command(project, "route", "resume", "--json").output)
    assert (plain["paused"], plain["arms"][0]["share"]) == (False, 0.05)
    told = json.loads(command(project, "route", "show", "--json").output)
    assert told["routes"]["default"]["arms"][0]["release"] == challenger
    assert (
        command(project, "route", "rollback", "--reason", "told so").output
        == "default: the champion answers\n"
    )
    history = command(project, "route", "history").output
    assert "told so" in history
    assert "paused" in history
    assert [e["kind"] for e in json.loads(command(project, "route", "history", "--json").output)][
        -1
    ] == "route.rolled_back"
    for wrong in (
        ("--canary", ":5%"),
        ("--canary", "x:"),
        ("--canary", f"{challenger}:much"),
        ("--ramp", "a,b"),
    ):
        assert command(project, "route", "set", *wrong).exit_code == 2
    assert command(project, "route", "rollback").exit_code == 2


def test_check_names_what_can_not_be_held(canaried: World) -> None:
    project, _, _ = canaried
    canary = (
        "serve: {deadline: 60 s, canary: {ramp: [0.5, 0.25], bake: 0 s, "
        "guardrails: [p98 <= 1 s, p99 <= 1, error_share <= 1%, value >= 1]}}"
    )
    edit_spec(
        project,
        ("serve: {deadline: 60 s}", canary),
        ("  value: {true_positive: 4, false_positive: -1, unit: EUR}\n", ""),
    )
    with pytest.raises(SpecError) as caught:
        project.check()
    told = {p.what: p.where for p in caught.value.problems}
    assert list(told) == [
        "there is no guardrail 'p98'",
        "'p99 <= 1' needs a time",
        "'value >= 1' bounds what decisions are worth, and nothing says what they are",
        "serve.canary.ramp does not go up: 0.5, 0.25",
        "serve.canary.bake is no time at all",
    ]
    assert all(where.startswith("headrace.yaml:") for where in told.values())


def test_shadows_are_compared_with_what_was_said(canaried: World) -> None:
    project, champion, challenger = canaried
    assert project.shadowed() == ()
    project.set_route(shadows={challenger: 1.0})
    log = LogWriter(project.log_folder, worker="w")
    now = int(datetime.now(UTC).timestamp() * 1e6) + 1_000_000
    said = {"route": DEFAULT, "unit": "", "by": "model", "inputs": {}, "took_us": 2000}
    for i in range(20):
        mine = {"id": f"a{i}", "time": now + i, "release": champion, "arm": "champion"}
        log.append(
            [Answered(**said, **mine, answer={"prediction": True, "probability": 0.6})], lambda error: None
        )
        other = {"id": f"b{i}", "time": now + i, "release": challenger, "arm": "shadow", "of": f"a{i}"}
        answer = {"prediction": i >= 5, "probability": 0.7 if i >= 5 else 0.4}
        log.append([Answered(**said, **other, answer=answer)], lambda error: None)
    log.close()
    (found,) = project.shadowed()
    assert (found.release, found.answers, found.agreement) == (challenger, 20, 0.75)
    assert (found.difference, found.apart) == (pytest.approx(0.025), pytest.approx(0.125))
    assert (found.p99_ms, found.returned_p99_ms) == (2.0, 2.0)
    assert "0.75" in command(project, "route", "show").output


def judged(outcome: Outcome, guardrail: str = "p99 <= 1 s") -> Judged:
    return Judged(guardrail, outcome, 5e5, 1e6, None, 300, 0.0, "because")


def test_what_a_ramp_does_next() -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    route = Route(arms=(Arm("b", 0.25, Role.CANARY),), since=iso(began))
    ramp = ramp_of({"shares": [0.05, 0.25, 0.5, 1.0], "bake": "1 h", "guardrails": ["p99 <= 1 s"]})
    good, later = [judged(Outcome.PASS), judged(Outcome.NOT_APPLICABLE)], began + timedelta(hours=1)
    assert decide(route, ramp, good, later) == Move("b", 0.5)
    assert isinstance(decide(route, ramp, good, later - timedelta(seconds=1)), Hold)
    assert isinstance(decide(route, ramp, [judged(Outcome.UNKNOWN)], later), Hold), "unknown never passes"
    broken = decide(route, ramp, [judged(Outcome.FAIL)], began)
    assert broken == RollBack("b", "p99 <= 1 s: 500 ms on 300 answers")
    paused = Route(arms=route.arms, since=route.since, paused=True)
    assert decide(paused, ramp, good, later) == Hold("the ramp is paused")
    assert isinstance(decide(paused, ramp, [judged(Outcome.FAIL)], later), RollBack), "guardrails hold"
    full = Route(arms=(Arm("b", 1.0, Role.CANARY),), since=iso(began))
    assert decide(full, ramp, good, later) == Promote("b")
    half = ramp_of({"shares": [0.25], "bake": "1 h", "guardrails": []})
    assert decide(route, half, [], later) == Hold("the ramp ends at 25%")
    assert decide(route, ramp_of({}), good, later) == Hold("no ramp was asked for")
    assert decide(Route(), ramp, good, later) == Hold("there is no canary")


def test_units_stay_with_their_arm_while_a_ramp_goes_up() -> None:
    units = [f"unit {i}" for i in range(20_000)]

    def drawn(share: float) -> dict[str, str]:
        arms = (Arm("c", share, Role.CANARY), Arm("t", 0.3, Role.TREATMENT), Arm("s", 0.2, Role.SHADOW))
        route = Route(arms=arms, salt="a salt")
        return {u: arm.release for u in units if (arm := pick(route, u)) is not None}

    steps = [drawn(s) for s in (0.05, 0.25, 0.5, 0.7)]
    for share, found in zip((0.05, 0.25, 0.5, 0.7), steps, strict=True):
        assert sum(r == "c" for r in found.values()) / len(units) == pytest.approx(share, abs=0.012)
        assert {u for u, r in found.items() if r == "t"} == {u for u, r in steps[0].items() if r == "t"}
    for before, after in pairwise(steps):
        assert before.items() <= after.items(), "nobody changes back"
    spots = [place("a salt", u) for u in units]
    assert min(spots) >= 0
    assert max(spots) < 1
    assert place("a salt", "x") != place("another", "x")
    shaded = Route(arms=(Arm("s", 0.2, Role.SHADOW),), salt="a salt")
    assert sum(bool(shadows(shaded, u)) for u in units) / len(units) == pytest.approx(0.2, abs=0.012)
    assert all(pick(shaded, u) is None for u in units[:100])
    assert 0 <= place("", "\ud800") < 1, "whatever callers send is a unit"


def test_a_new_champion_leaves_its_arms_and_starts_the_clock_anew() -> None:
    def event(seq: int, kind: str, subject: str, **payload: Any) -> Event:
        return Event(seq, kind, 1, subject, f"2026-01-01T00:00:0{seq}.000000Z", "me", payload, "", "")

    arms = [
        {"release": "b", "share": 0.5, "role": "canary"},
        {"release": "c", "share": 1.0, "role": "shadow"},
    ]
    ramp = {"shares": [1.0], "bake": "1 h", "guardrails": []}
    told = [event(1, "route.set", DEFAULT, arms=arms, salt="x", ramp=ramp)]
    promoted = routes([*told, event(2, "release.promoted", "b")])[DEFAULT]
    assert (promoted.releases, promoted.ramp, promoted.canary) == (("c",), {}, None)
    other = routes([*told, event(2, "release.rolled_back", "a")])[DEFAULT]
    assert (other.releases, other.since[-8:], other.number) == (("b", "c"), ".000000Z"[-8:], 2)
    assert other.since > told[0].time
    retired = routes([*told, event(2, "release.retired", "c")])[DEFAULT]
    assert retired.releases == ("b",)


def test_docs_name_every_command() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "routes.md").read_text(encoding="utf-8")
    for name in ("show", "set", "pause", "resume", "rollback", "history"):
        assert f"headrace route {name}" in page
