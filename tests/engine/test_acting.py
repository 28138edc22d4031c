"""What jobs do to a project: retraining behind a fresh seal, rolling back, asking; and what stops them."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from disks import disk_at
from spine import AUTHOR, Clock, edit_rows, edit_spec
from streets import PATIENCE, alarm, grow, until

from headrace.core.clock import from_micros
from headrace.core.errors import StoreError, UserError
from headrace.core.jobs import Action, Do, Job
from headrace.core.routes import Role
from headrace.core.views import State
from headrace.data.seal import openings
from headrace.engine import jobs
from headrace.engine.act import Means, carry_out
from headrace.engine.pins import output_of
from headrace.engine.releases import rollback
from headrace.project import Project
from headrace.stores import EmbeddedStore

RETRAIN = "{reactions: [{on: drift, do: retrain}]%s}"
SHORT = "{reactions: [{on: drift, do: retrain, history: 8 days}]%s}"


def declare(project: Project, policy: str) -> None:
    edit_spec(project, ("cv: {folds: 3}", f"cv: {{folds: 3}}\npolicy: {policy}"))


def champion(project: Project) -> str:
    found = project.releases().champion
    return found.release if found else ""


def test_a_broken_world_is_learned_anew_and_a_person_lets_it_answer(finished: Project) -> None:
    declare(finished, RETRAIN % ", windows: [8 days, 365 days]")
    old = champion(finished)
    grow(finished)
    alarm(finished)
    (queued,) = finished.react()
    assert finished.react() == ()
    job = finished.work()
    assert job is not None
    assert (job.job, job.status) == (queued.job, "asked"), job.result
    release = job.result["release"]
    assert job.ask == f"release {release} passed every gate: may it answer?"
    assert champion(finished) == old

    # The runs say what started them; the release is compared on rows that neither knew, and is one change.
    run = finished.show(job.result["run"])
    assert run.name.startswith("retrain: drift of wind (")
    assert run.author == "worker"
    assert run.origin["caused"]["cause"] == "alert-1"
    assert run.origin["caused"]["job"] == job.job
    gates = {g["name"]: g for g in run.summary["gates"]}
    assert gates["champion"]["verdict"] == "pass"
    assert gates["one-change"]["verdict"] == "pass"
    # A fresh seal: none of its rows was ever looked at.
    newest = openings(finished.store)[-1].opening
    assert (newest.number, newest.inherits) == (1, ())
    # Of the two lengths, the one that forgets the world before.
    short, long = job.result["lengths"]
    assert sum(short["values"]) > sum(long["values"])
    assert job.result["split"]["history"] == "8 days"

    with pytest.raises(UserError, match="who decides"):
        finished.approve_job(job.job, by="")
    # What is no answer to the question approves nothing.
    with pytest.raises(UserError, match="as it is, or refuse it"):
        finished.approve_job(job.job, by="boss@example.com", do="retire")
    assert finished.releases().releases[release].approved_by == ()
    finished.approve_job(job.job, by="boss@example.com")
    done = finished.work()
    assert done is not None
    assert (done.status, done.result["status"]) == ("done", "canary")
    canary = finished.routes()["default"].canary
    assert canary is not None
    assert (canary.release, canary.role) == (release, Role.CANARY)
    assert "boss@example.com" in finished.releases().releases[release].approved_by
    # Its scores are to differ from the champion's: that is no reason to take it off.
    assert not [g for g in finished.routes()["default"].ramp["guardrails"] if "score_drift" in g]  # type: ignore[attr-defined]  # a list of texts, as events keep it
    assert finished.work() is None
    assert finished.react() == ()

    told = finished.simulate(datetime.fromisoformat("2026-01-15T00:00:00+00:00"))
    assert [w.action.key for w in told.would] == [queued.job]
    assert [d.what for d in told.did][-3:] == [
        f"{job.job} approved",
        f"route default: {release}",
        f"{job.job} done",
    ]


def test_gates_alone_decide_where_the_policy_says_so(finished: Project) -> None:
    declare(finished, SHORT % ", approval: none, canary: false")
    grow(finished)
    alarm(finished)
    finished.react()
    job = finished.work()
    assert job is not None
    assert (job.status, job.result["status"]) == ("done", "champion"), job.result
    assert champion(finished) == job.result["release"]
    assert finished.considered() == ()  # the alert was about the one before


def test_what_a_gate_blocks_is_told_and_not_tried_again_at_once(finished: Project, clock: Clock) -> None:
    declare(finished, SHORT % ", cool_down: 1 day")
    edit_spec(finished, ("ship_at: 0.3", "ship_at: 0.99"))
    grow(finished)
    alarm(finished)
    finished.react()
    job = finished.work()
    assert job is not None
    assert job.status == "blocked"
    assert "ship-at" in job.result["reason"]
    assert job.tells.startswith("retrain (drift of wind) was blocked: gate 'ship-at")
    assert finished.react() == ()
    (considered,) = finished.considered()
    assert "was blocked; again after" in considered.hold
    clock.forward(hours=25)
    (again,) = finished.react()
    assert again.job != job.job


def test_without_new_rows_nothing_is_made(finished: Project) -> None:
    # What is watched changes no release's rows; under the very same spec it is the champion itself.
    job = _retrained_by_hand(finished)
    assert (job.status, job.result["status"]) == ("done", "same")
    assert len(finished.releases().releases) == 1


def _retrained_by_hand(project: Project) -> Any:
    action = Action(Do.RETRAIN, champion(project), "by hand", "by hand", "retrain-x")
    jobs.queue(project.store, [action], actor=AUTHOR, clock=project._clock)
    return project.work()


def test_the_holdout_is_absolute_where_it_is_declared(finished: Project) -> None:
    declare(finished, RETRAIN % ", holdout: 3 days")
    grow(finished, breaks=False, rows=400)
    job = _retrained_by_hand(finished)
    split = job.result["split"]
    assert (split["validation"], split["test"]) == ("3 days", "3 days")


def test_the_threshold_is_chosen_anew_and_nothing_else(finished: Project) -> None:
    declare(finished, "{reactions: [{on: performance, do: threshold}], approval: none, canary: false}")
    old = finished.release()[1]
    grow(finished, breaks=False, more=10.0)
    alarm(finished, family="performance", title="f1 fell")
    finished.react()
    job = finished.work()
    assert job is not None
    assert (job.status, job.result["status"]) == ("done", "champion"), job.result
    new = finished.release()[1]
    assert new.serving.threshold != old.serving.threshold
    assert f"{new.serving.threshold:.4g}" == job.result["split"]["threshold"]
    models = [
        output_of(finished.store, finished.show(m.run), "learn").outputs["probe_scores"] for m in (old, new)
    ]
    assert models[0] == models[1]
    (changed,) = [g for g in finished.show(new.run).summary["gates"] if g["name"] == "one-change"]
    assert changed["verdict"] == "pass"
    assert finished.show(new.run).name.startswith("threshold: f1 fell (")


def test_a_rollback_brings_the_one_before_back_and_asks_when_there_is_none(finished: Project) -> None:
    declare(finished, "{reactions: [{on: health, do: roll back}]}")
    first = champion(finished)
    alarm(finished, "a1", family="health", title="errors")
    (asked,) = finished.react()
    assert asked.status == "asked"
    assert finished.work() is None
    finished.refuse_job(asked.job, by=AUTHOR, reason="the network was down")
    edit_spec(finished, ("models: [tree]", "models: [tree]\nseed: 1"))
    assert finished.run().status == "released"
    assert champion(finished) != first
    finished._clock.forward(days=2)  # type: ignore[attr-defined]  # the tests' clock
    alarm(finished, "a2", family="health", title="errors")
    finished.react()
    job = finished.work()
    assert job is not None
    assert (job.status, job.result["release"]) == ("done", first)
    assert champion(finished) == first


def test_a_rollback_leaves_alone_who_became_champion_meanwhile(finished: Project) -> None:
    declare(finished, "{reactions: [{on: health, do: roll back}], cool_down: 0 s}")
    edit_spec(finished, ("models: [tree]", "models: [tree]\nseed: 1"))
    assert finished.run().status == "released"
    alarm(finished, family="health")
    finished.react()
    edit_spec(finished, ("seed: 1", "seed: 2"))
    assert finished.run().status == "released"
    now = champion(finished)
    job = finished.work()
    assert job is not None
    assert (job.status, job.result["status"]) == ("done", "nothing")
    assert champion(finished) == now


@pytest.mark.parametrize("do", [Do.ROLL_BACK, Do.RETIRE])
def test_who_rolls_back_first_is_not_followed_a_step_further(finished: Project, do: Do) -> None:
    for seed in ("1", "2"):
        edit_spec(finished, ("models: [tree]\n", f"models: [tree]\nseed: {seed}\n"))
        assert finished.run().status == "released"
        edit_spec(finished, (f"seed: {seed}\n", ""))
    first, second, third = finished.releases().releases

    def held() -> bool:
        finished.rollback(reason="a person saw it too")
        return True

    def retrain(job: Job) -> Any:
        raise AssertionError(job.job)

    job = Job("j", do, third, "a1", "errors", "2026-01-15T00:00:00.000000Z")
    spec = finished.spec(locked=False).spec
    ended = carry_out(job, Means(finished.store, spec, "worker", finished._clock, retrain, held))
    assert (ended.status, ended.result["status"]) == ("done", "nothing")
    assert champion(finished) == second
    with pytest.raises(UserError, match=f"{third} is not the champion"):
        rollback(finished.store, actor="ana", reason="", clock=finished._clock, only_from=third)
    back = rollback(finished.store, actor="ana", reason="", clock=finished._clock, only_from=second)
    assert back.release == champion(finished) == first


def test_retired_the_fallback_answers_alone(finished: Project) -> None:
    declare(finished, "{reactions: [{on: any, do: retire}]}")
    fallback = "fallback: [{value: false}]"
    spec = (finished.root / "headrace.yaml").read_text(encoding="utf-8")
    there = (
        ("serve: {", f"serve: {{{fallback}, "),
        ("cv: {folds: 3}", f"cv: {{folds: 3}}\nserve: {{{fallback}}}"),
    )
    edit_spec(finished, there["serve: {" not in spec])
    old = champion(finished)
    alarm(finished)
    finished.react()
    job = finished.work()
    assert job is not None
    assert (job.status, job.result) == ("done", {"status": "retired"})
    assert finished.releases().champion is None
    assert finished.releases().releases[old].state is State.RETIRED
    assert finished.react() == ()


def test_asked_a_person_chooses_what_is_done(finished: Project) -> None:
    declare(finished, "{reactions: [{on: any, do: ask}]}")
    alarm(finished)
    (asked,) = finished.react()
    assert (asked.status, asked.ask) == ("asked", "a person decides what is to be done")
    finished.approve_job(asked.job, by="ana@example.com", do="retire")
    job = finished.work()
    assert job is not None
    assert (job.status, job.result["status"], job.approved) == ("done", "retired", "ana@example.com")


def test_a_yes_to_training_is_none_to_what_comes_of_it(finished: Project) -> None:
    declare(finished, "{reactions: [{on: any, do: ask}], windows: [8 days]}")
    old = champion(finished)
    grow(finished)
    alarm(finished)
    (asked,) = finished.react()
    finished.approve_job(asked.job, by="ana@example.com", do="retrain")
    job = finished.work()
    assert job is not None
    release = job.result["release"]
    assert (job.status, job.ask) == ("asked", f"release {release} passed every gate: may it answer?")
    assert finished.releases().releases[release].approved_by == ()
    assert finished.routes()["default"].canary is None
    assert champion(finished) == old


def test_a_canary_that_a_person_put_there_is_left_until_one_says_so(finished: Project) -> None:
    edit_spec(finished, ("approval: self", "approval: other"))
    made = []
    for seed in ("1", "2"):
        edit_spec(finished, ("models: [tree]\n", f"models: [tree]\nseed: {seed}\n"))
        made.append(finished.run().release)
        edit_spec(finished, (f"seed: {seed}\n", ""))
    mine, theirs = made
    finished.approve(theirs, by="ana@example.com")
    action = Action(Do.RETRAIN, champion(finished), "a1", "drift of wind", "retrain-x")
    jobs.queue(finished.store, [action], actor="worker", clock=finished._clock)
    jobs.take(finished.store, "w", clock=finished._clock)
    found = {"status": "challenger", "release": mine}
    jobs.finish(finished.store, "retrain-x", "w", "asked", found, ask="may it?", clock=finished._clock)
    finished.set_route(canary=(theirs, 0.5))

    finished.approve_job("retrain-x", by="boss@example.com")
    job = finished.work()
    assert job is not None
    assert (job.status, job.ask) == (
        "asked",
        f"{theirs} goes up its ramp: may {mine} take its place?",
    )
    (arm,) = finished.routes()["default"].arms
    assert (arm.release, arm.share) == (theirs, 0.5)

    finished.approve_job("retrain-x", by="boss@example.com")
    job = finished.work()
    assert job is not None
    assert (job.status, job.result["status"]) == ("done", "canary")
    assert finished.routes()["default"].releases == (mine,)


def test_new_labels_call_for_training(finished: Project) -> None:
    declare(finished, "{reactions: [{on: labels, do: retrain, count: 5}]}")
    rows = [{"input_parcel": i, "label": True} for i in range(6)]
    finished.labels().take(rows[:4])
    assert finished.react() == ()  # labels of nothing that was answered teach nothing
    book = finished.labels()
    book.take([{"id": f"p{i}", "label": i % 2 == 0} for i in range(5)])
    (considered,) = finished.considered()
    assert considered.action.cause == "labels 1 × 5"
    moment = finished.labels().unseen(0, 1 << 62)
    assert moment[0] == 5
    assert moment[1] is not None
    assert from_micros(moment[1]).year == 2026


# --- workers that die, disks that are full -----------------------------------------------------------

KILLED = """
import sys
from datetime import timedelta
from pathlib import Path
from headrace.project import Project

folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
project = Project(folder)

def progress(stage, text, done, total):
    (folder / f"stage-{stage}").touch()

project.react()
while True:
    job = project.work(lease=timedelta(seconds=seconds), progress=progress)
    if job is not None:
        break
print(job.status, job.tries)
project.store.close()
"""


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    made: list[subprocess.Popen[str]] = []
    yield made
    for process in made:
        process.kill()
        process.communicate()


def test_a_worker_that_is_killed_in_the_middle_of_a_run_is_followed_by_another(
    finished: Project, processes: list[subprocess.Popen[str]]
) -> None:
    declare(finished, SHORT % "")
    grow(finished)
    alarm(finished)
    args = [sys.executable, "-W", "ignore", "-c", KILLED, str(finished.root)]
    for seconds in ("2", "600"):
        processes.append(subprocess.Popen([*args, seconds], stdout=subprocess.PIPE, text=True))
        if seconds == "2":
            until(lambda: (finished.root / "stage-features").exists())
            processes[0].send_signal(signal.SIGKILL)
            processes[0].wait(PATIENCE)
    said, _ = processes[1].communicate(timeout=PATIENCE)
    assert said.split() == ["asked", "2"]
    (job,) = finished.jobs().values()
    assert job.status == "asked"
    made = [r for r in finished.runs() if r.origin.get("caused", {}).get("job") == job.job]
    assert [r.status for r in made].count("unfinished") == 1
    assert list(finished.releases().releases) == [champion(finished), job.result["release"]]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 MB."""
    with disk_at(tmp_path / "disk", "48m") as place:
        yield place


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as f:
        while True:
            f.write(b"0" * 4096)


def test_a_full_disk_leaves_the_job_to_be_tried_again(
    finished: Project, small_disk: Path, clock: Clock
) -> None:
    declare(finished, SHORT % ", approval: none, canary: false")
    grow(finished)
    folder = small_disk / "project"
    shutil.copytree(finished.root, folder)
    project = Project(folder, clock=clock, actor=AUTHOR)
    try:
        alarm(project)
        (queued,) = project.react()
        filler = small_disk / "filler"
        with pytest.raises(OSError, match="No space"):
            fill(filler)
        failed: list[str] = []
        try:
            job = project.work(lease=timedelta(minutes=2))
            failed.append("" if job is None else job.status)
        except StoreError as error:
            failed.append(str(error.problems[0].why))
        assert failed in (["the disk is full"], ["failed"])
        filler.unlink()
        clock.forward(days=2)
        project.react()
        job = project.work()
        assert job is not None
        assert (job.status, job.result["status"]) == ("done", "champion"), job.result
        assert queued.job in project.jobs()
    finally:
        assert isinstance(project.store, EmbeddedStore)
        project.store.close()


def test_rows_that_came_are_those_of_the_table_as_it_is_now(finished: Project) -> None:
    # A source that shrank, or lost its new rows: the parts stay as they are declared.
    declare(finished, RETRAIN % "")
    edit_rows(finished, lambda r: r if int(r["parcel"]) < 1100 else None)
    job = _retrained_by_hand(finished)
    run = finished.show(job.result["run"])
    assert verdict_of(run, "split-crossing") == "pass"
    assert job.result.get("split", {}) in ({}, {"validation": "20%", "test": "20%"})


def verdict_of(run: Any, gate: str) -> str:
    found: str = {g["name"]: g["verdict"] for g in run.summary["gates"]}[gate]
    return found
