"""Releases through the whole project: approval, champions one after another, rollback, what was live when."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path

import pytest
from spine import AUTHOR, Clock, begin, edit_rows, edit_spec, statuses, verdict

from headrace.core.clock import iso
from headrace.core.errors import AwaitingApproval, GateBlocked, NotFound, UserError
from headrace.core.views import State
from headrace.project import Project

OTHER = ("approval: self", "approval: other")
DEPTH_2 = ("[tree]", "[{use: tree, params: {max_depth: 2}}]")
BACK = tuple(reversed(DEPTH_2))
LENIENT = ("cv: {folds: 3}", "cv: {folds: 3}\npromote: {margin: 0.9}")


def colleague(project: Project) -> Project:
    return Project(project.root, clock=project._clock, actor="colleague@example.com")


def second_champion(project: Project) -> tuple[str, str]:
    """A second release that replaces the first; both names."""
    first = project.run().release
    edit_spec(project, DEPTH_2, LENIENT)
    result = project.run()
    assert result.status == "released", result.problems
    assert result.release != first
    return first, result.release


def test_somebody_else_has_to_approve(finished: Project) -> None:
    edit_spec(finished, OTHER, DEPTH_2, LENIENT)
    before = finished.releases().champion
    result = finished.run()
    assert (result.status, result.exit_code) == ("awaiting approval", 4)
    assert result.problems[0].what == f"release {result.release} awaits an approval"
    assert AUTHOR in result.problems[0].why
    assert f"headrace release approve {result.release}" in result.problems[0].fix
    assert finished.releases().releases[result.release].state == State.CHALLENGER
    assert finished.releases().champion == before
    with pytest.raises(UserError, match="can't approve it"):
        finished.approve(result.release)
    with pytest.raises(UserError, match="can't approve it"):
        finished.approve(result.release, by=f" {AUTHOR} ")
    with pytest.raises(UserError, match="needs a name"):
        finished.approve(result.release, by=" ")
    with pytest.raises(AwaitingApproval):
        finished.promote(result.release)
    approved = colleague(finished).approve(result.release)
    assert (approved.approved_by, approved.self_approved) == (("colleague@example.com",), False)
    champion = finished.promote(result.release)
    assert champion.state == State.CHAMPION
    assert finished.releases().champion == champion
    assert before is not None
    assert finished.releases().releases[before.release].state == State.RETIRED
    again = finished.run()
    assert (again.status, again.release, again.worked) == ("released", result.release, False)


def test_an_approved_challenger_is_promoted_by_the_next_run(finished: Project) -> None:
    edit_spec(finished, OTHER, DEPTH_2, LENIENT)
    waiting = finished.run()
    assert finished.run().release == waiting.release, "asking again makes no other release"
    finished.approve(waiting.release, by="colleague@example.com")
    result = finished.run()
    assert (result.status, result.release) == ("released", waiting.release)


def test_the_spec_of_the_release_decides_who_may_approve(finished: Project) -> None:
    """Loosening the rule in the file afterwards makes another release; it doesn't approve this one."""
    edit_spec(finished, OTHER, DEPTH_2, LENIENT)
    waiting = finished.run().release
    edit_spec(finished, ("approval: other", "approval: self"))
    with pytest.raises(UserError, match="can't approve it"):
        finished.approve(waiting)
    (finished.root / "headrace.yaml").write_text("half a sp: [ec")
    finished.approve(waiting, by="colleague@example.com")
    assert finished.promote(waiting).state == State.CHAMPION, "a broken file keeps nobody from acting"


def test_self_approval_is_recorded_as_such(finished: Project) -> None:
    champion = finished.releases().champion
    assert champion is not None
    assert champion.self_approved
    assert champion.approved_by == (AUTHOR,)
    (event,) = finished.store.read(kinds=("release.approved",))
    assert event.payload == {"self": True}


def test_a_candidate_can_neither_be_approved_nor_promoted(finished: Project) -> None:
    edit_spec(
        finished, ("[tree]", "[{use: tree, params: {max_depth: 1}}]"), ("ship_at: 0.3", "ship_at: 0.05")
    )
    worse = finished.run().release
    for refused in (finished.approve, finished.promote):
        with pytest.raises(UserError, match="has not passed its gates"):
            refused(worse)


def test_releases_go_by_the_beginning_of_their_name(finished: Project) -> None:
    name = finished.run().release
    assert finished.release(name[:5])[0].release == name
    assert finished.release("champion")[0].release == name
    with pytest.raises(NotFound, match="no release is called 'nothing'") as caught:
        finished.release("nothing")
    assert name in caught.value.problems[0].fix


def test_two_champions_and_what_was_live_when(finished: Project, clock: Clock) -> None:
    first, second = second_champion(finished)
    state = finished.releases()
    assert [(r.release, bool(r.until), r.how) for r in state.reigns] == [
        (first, True, "promotion"),
        (second, False, "promotion"),
    ]
    assert state.live_at("2026-01-01T00:00:00.000000Z") == ""
    assert state.live_at(state.reigns[0].since) == first
    assert state.live_at(iso(clock.moment)) == second
    assert [r.by for r in finished.history()] == [AUTHOR, AUTHOR]
    evidence = verdict(finished.run(), "champion")
    assert evidence.reason == "the release is the champion itself"


def test_rollback_is_at_once_and_stays(finished: Project, clock: Clock) -> None:
    first, second = second_champion(finished)
    clock.forward(hours=1)
    back = finished.rollback(reason="complaints")
    assert (back.release, back.state) == (first, State.CHAMPION)
    (event,) = finished.store.read(kinds=("release.rolled_back",))
    assert event.payload == {"reason": "complaints", "from": second}
    assert finished.release()[0].release == first, "what serves asks for the champion"
    result = finished.run()
    assert (result.status, result.exit_code, result.worked) == ("blocked", 3, False)
    assert result.problems[0].what == f"release {second} was champion before and was taken down"
    assert f"headrace release promote {second}" in result.problems[0].fix
    assert finished.releases().champion.release == first
    assert finished.promote(second).state == State.CHAMPION, "by name it may come back"
    assert [r.how for r in finished.history()] == ["promotion", "promotion", "rollback", "promotion"]


def test_nothing_to_roll_back_to(finished: Project, fresh: Project) -> None:
    for project in (finished, fresh):
        with pytest.raises(UserError, match="no champion to roll back to"):
            project.rollback()


def test_the_spec_of_a_replaced_champion_does_not_bring_it_back(finished: Project) -> None:
    first, second = second_champion(finished)
    edit_spec(finished, BACK, tuple(reversed(LENIENT)))
    result = finished.run()
    assert (result.status, result.release) == ("blocked", first)
    assert finished.releases().champion.release == second


def test_challenger_and_champion_meet_on_the_same_rows(finished: Project) -> None:
    champion = finished.releases().champion
    assert champion is not None
    edit_spec(finished, DEPTH_2, LENIENT)
    judged = verdict(finished.run(), "champion")
    assert judged.evidence.where == f"against {champion.release} on 238 rows"
    assert judged.evidence.unit == "share of the champion's f1"
    assert judged.evidence.interval is not None
    assert judged.evidence.n == 13, "days, as the split declares"


def test_rows_that_the_champion_was_trained_on_do_not_count(finished: Project) -> None:
    """Another split: some of its validation rows were the champion's training rows."""
    edit_spec(finished, ("validation: 20%, test: 20%", "validation: 40%, test: 20%"), LENIENT)
    judged = verdict(finished.run(), "champion")
    assert judged.evidence.where.endswith("on 238 rows"), judged.evidence.where


def test_no_row_that_the_champion_has_not_seen_is_unknown(fresh: Project) -> None:
    split = "{by: column, column: part}"
    edit_spec(fresh, ("{by: time, validation: 20%, test: 20%}", split), ("ship_at: 0.3", "ship_at: 0.1"))
    assert fresh.run().status == "released"
    turn = {"train": "validation", "validation": "train", "test": "test"}
    edit_rows(fresh, lambda row: {**row, "part": turn[row["part"]]})
    result = fresh.run()
    judged = verdict(result, "champion")
    assert (judged.outcome, result.status) == ("unknown", "blocked")
    assert "trained on every row" in judged.reason


def test_a_challenger_meets_the_champion_of_the_day(finished: Project) -> None:
    """Two challengers of one champion: the second has to be compared with the first once that reigns."""
    edit_spec(finished, OTHER, DEPTH_2, LENIENT)
    one = finished.run().release
    edit_spec(finished, ("max_depth: 2", "max_depth: 3"))
    two = finished.run().release
    for name in (one, two):
        finished.approve(name, by="colleague@example.com")
    finished.promote(one)
    with pytest.raises(GateBlocked, match=f"has not been compared with the champion {one}"):
        finished.promote(two)
    result = finished.run()
    assert (result.status, result.release) == ("released", two)
    assert f"against {one} on" in verdict(result, "champion").evidence.where


def test_another_target_is_another_question(finished: Project) -> None:
    edit_spec(finished, ("late > 30", "late > 25"))
    judged = verdict(finished.run(), "champion")
    assert judged.outcome == "not applicable"
    assert "predicts something else (late > 30)" in judged.reason


def test_the_manifest_holds_the_lineage(finished: Project) -> None:
    release, manifest = finished.release()
    result = finished.run()
    assert manifest.stages == {s.name: s.key for s in result.stages} | {"frame": manifest.stages["frame"]}
    assert set(manifest.snapshots) == {"parcels", "weather"}
    for snapshot in manifest.snapshots.values():
        assert finished.store.has(snapshot.artifact)
        assert snapshot.taken
    assert finished.store.has(manifest.serving.graph)
    assert finished.store.has(manifest.spec)
    assert manifest.spec_digest == finished.spec().spec.digest()
    assert (manifest.author, manifest.seed, manifest.model) == (AUTHOR, 0, "tree")
    assert {"python", "onnx", "onnxruntime", "lightgbm", "scikit-learn"} <= set(manifest.libraries)
    assert {s.model for s in manifest.leaderboard} == {"tree", "naive", "today"}
    assert manifest.test is not None
    assert manifest.test.opening == 1
    # Skew is asked before the seal is opened, and at promotion where it was opened before.
    assert sorted(v.gate for v in manifest.verdicts) == sorted(v.gate for v in result.verdicts)
    assert release.release == result.release


def test_git_names_commit_and_dirty_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
    project = begin(tmp_path / "project")
    (project.root / ".gitignore").write_text(".headrace\n")
    name = ["-c", "user.name=me", "-c", "user.email=me@example.com"]
    for command in (["init", "-q"], ["add", "."], [*name, "commit", "-qm", "first"]):
        subprocess.run(["git", "-C", str(project.root), *command], check=True)
    project.run()
    clean = project.release()[1]
    assert len(clean.commit) == 40
    assert not clean.dirty
    edit_spec(project, DEPTH_2, LENIENT)
    project.run()
    assert project.release()[1].dirty
    assert project.release()[1].commit == clean.commit


def test_predictions_follow_the_champion(finished: Project, tmp_path: Path) -> None:
    first, second = second_champion(finished)
    seen = []
    for _ in range(2):
        out = tmp_path / "out.csv"
        scored = finished.predict(finished.root / "data" / "parcels.csv", out)
        with out.open(newline="") as f:
            seen.append((scored.release, {row["release"] for row in csv.DictReader(f)}))
        if len(seen) == 1:
            finished.rollback()
    assert seen == [(second, {second}), (first, {first})]
    assert "cached" in statuses(finished.run()).values()
