"""Releases, champions and waivers as folds of events."""

from __future__ import annotations

from headrace.core.event import GENESIS, Draft, Event, seal_event
from headrace.core.views import State, releases, runs, waivers


def ledger(*drafts: tuple[str, str, dict]) -> list[Event]:
    events: list[Event] = []
    for i, (kind, subject, payload) in enumerate(drafts, 1):
        prev = events[-1].digest if events else GENESIS
        draft = Draft(kind, subject, f"2026-01-{i:02}T00:00:00.000000Z", payload.pop("actor", "me"), payload)
        events.append(seal_event(draft, i, prev))
    return events


def made(name: str) -> tuple[str, str, dict]:
    return ("release.made", name, {"manifest": "0" * 64, "run": "run-1"})


def test_a_release_goes_from_candidate_to_retired() -> None:
    events = ledger(
        made("a"),
        ("release.challenged", "a", {}),
        ("release.approved", "a", {"actor": "you"}),
        ("release.promoted", "a", {}),
        made("b"),
        ("release.promoted", "b", {}),
        ("release.retired", "b", {}),
    )
    states = [releases(events[:n]).releases["a"].state for n in range(1, 7)]
    assert states == [
        State.CANDIDATE,
        State.CHALLENGER,
        State.CHALLENGER,
        State.CHAMPION,
        State.CHAMPION,
        State.RETIRED,
    ]
    end = releases(events)
    assert end.champion is None
    assert end.releases["a"].approved_by == ("you",)
    assert [(r.release, bool(r.until)) for r in end.reigns] == [("a", True), ("b", True)]


def test_rollback_brings_back_the_one_before_and_never_the_one_taken_down() -> None:
    events = ledger(
        *(made(n) for n in "abc"),
        ("release.promoted", "a", {}),
        ("release.promoted", "b", {}),
        ("release.promoted", "c", {}),
        ("release.rolled_back", "b", {}),
    )
    state = releases(events)
    assert state.champion is not None
    assert state.champion.release == "b"
    assert state.before_champion() == "a", "the next rollback goes further back, not to what was taken down"
    assert state.releases["c"].state == State.RETIRED


def test_what_was_live_when() -> None:
    events = ledger(made("a"), made("b"), ("release.promoted", "a", {}), ("release.promoted", "b", {}))
    state = releases(events)
    assert state.live_at("2026-01-02T00:00:00.000000Z") == ""
    assert state.live_at("2026-01-03T12:00:00.000000Z") == "a"
    assert state.live_at("2026-01-04T00:00:00.000000Z") == "b"


def test_a_release_made_again_keeps_its_state() -> None:
    events = ledger(made("a"), ("release.promoted", "a", {}), made("a"))
    assert releases(events).releases["a"].state == State.CHAMPION


def test_waivers_expire_after_their_last_day() -> None:
    waived = {"reason": "demo", "by": "me@example.com", "until": "2026-02-01"}
    events = ledger(("gate.waived", "latency", waived))
    assert waivers(events, "2026-02-01")["latency"].by == "me@example.com"
    assert waivers(events, "2026-02-02") == {}


def test_a_run_whose_process_died_is_unfinished() -> None:
    started = {"name": "first run", "spec": "0" * 64}
    events = ledger(
        ("run.started", "run-1", dict(started)),
        ("run.started", "run-2", dict(started)),
        ("run.finished", "run-2", {"status": "released", "release": "a"}),
    )
    seen = runs(events)
    assert [r.status for r in seen.values()] == ["unfinished", "released"]
    assert seen["run-2"].release == "a"
