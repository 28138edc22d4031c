"""The queue of jobs: leases, races and deaths of workers, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from spine import Clock
from streets import PATIENCE, until

from headrace.core.errors import NotFound, UserError
from headrace.core.jobs import Action, Do, Job
from headrace.core.spec.watching import Policy
from headrace.engine import jobs
from headrace.policy.reacting import Unseen, View, decide
from headrace.stores import EmbeddedStore


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made = EmbeddedStore(tmp_path / ".headrace")
    yield made
    made.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def action(name: str = "k1", do: Do = Do.RETRAIN, ask: str = "") -> Action:
    return Action(do, "champ", "a1", "drift of x", name, {}, ask)


def queued(store: EmbeddedStore, clock: Clock, *names: str, **more: Any) -> None:
    jobs.queue(store, [action(n, **more) for n in names or ("k1",)], actor="worker", clock=clock)


def test_a_decision_is_queued_once(store: EmbeddedStore, clock: Clock) -> None:
    first = jobs.queue(store, [action(), action("k2")], actor="worker", clock=clock)
    again = jobs.queue(store, [action(), action("k3", Do.RETIRE)], actor="worker", clock=clock)
    assert [j.job for j in first] == ["k1", "k2"]
    assert [j.job for j in again] == ["k3"]
    assert list(jobs.every(store)) == ["k1", "k2", "k3"]


def test_none_is_queued_beside_one_of_its_kind_that_is_not_over(store: EmbeddedStore, clock: Clock) -> None:
    # Two workers whose looks differ by one label: the same training under two names.
    policy = Policy.model_validate({"reactions": ({"on": "continuous", "do": "retrain"},)})
    seen = [View(clock(), "r1", clock(), unseen=Unseen(n, clock()), jobs=jobs.every(store)) for n in (5, 6)]
    five, six = [decide(policy, view) for view in seen]
    assert five[0].key != six[0].key
    (job,) = jobs.queue(store, five, actor="w1", clock=clock)
    assert jobs.queue(store, six, actor="w2", clock=clock) == ()
    jobs.take(store, "w1", clock=clock)
    assert jobs.queue(store, six, actor="w2", clock=clock) == ()
    assert jobs.take(store, "w2", clock=clock) is None
    jobs.finish(store, job.job, "w1", "asked", {}, ask="may it?", clock=clock)
    assert jobs.queue(store, six, actor="w2", clock=clock) == ()
    jobs.refuse(store, job.job, by="ana", reason="no", clock=clock)
    assert [j.job for j in jobs.queue(store, six, actor="w2", clock=clock)] == [six[0].key]


def test_a_job_is_one_worker_s_until_its_lease_is_over(store: EmbeddedStore, clock: Clock) -> None:
    queued(store, clock)
    lease = timedelta(minutes=2)
    taken = jobs.take(store, "w1", clock=clock, lease=lease)
    assert taken is not None
    assert (taken.status, taken.worker, taken.tries) == ("taken", "w1", 1)
    assert jobs.take(store, "w2", clock=clock, lease=lease) is None
    clock.forward(seconds=100)
    assert jobs.renew(store, "k1", "w1", clock=clock, lease=lease)
    clock.forward(seconds=100)
    assert jobs.take(store, "w2", clock=clock, lease=lease) is None
    clock.forward(seconds=60)
    other = jobs.take(store, "w2", clock=clock, lease=lease)
    assert other is not None
    assert (other.worker, other.tries) == ("w2", 2)
    # The first is no longer asked: neither to renew nor to say how it ended.
    assert not jobs.renew(store, "k1", "w1", clock=clock, lease=lease)
    assert not jobs.finish(store, "k1", "w1", "done", {}, clock=clock)
    assert jobs.finish(store, "k1", "w2", "done", {"release": "r"}, clock=clock)
    assert jobs.every(store)["k1"].status == "done"
    assert jobs.take(store, "w3", clock=clock) is None


def test_a_job_that_kills_its_workers_fails_after_three(store: EmbeddedStore, clock: Clock) -> None:
    queued(store, clock, "k1", "k2")
    for n in range(jobs.TRIES):
        taken = jobs.take(store, f"w{n}", clock=clock)
        assert taken is not None
        assert taken.job == "k1"
        clock.forward(minutes=3)
    taken = jobs.take(store, "w9", clock=clock)
    assert taken is not None
    assert taken.job == "k2"  # what can be done is done
    failed = jobs.every(store)["k1"]
    assert failed.status == "failed"
    assert "3 workers began it" in failed.result["reason"]
    assert "failed" in failed.tells


def test_one_that_is_given_back_is_free_at_once(store: EmbeddedStore, clock: Clock) -> None:
    queued(store, clock)
    jobs.take(store, "w1", clock=clock)
    jobs.give_back(store, "k1", "w1", clock=clock)
    taken = jobs.take(store, "w2", clock=clock)
    assert taken is not None
    assert taken.worker == "w2"


def test_what_asks_waits_for_a_person(store: EmbeddedStore, clock: Clock) -> None:
    queued(store, clock, "ask", do=Do.ASK)
    queued(store, clock, "back", do=Do.ROLL_BACK, ask="roll back?")
    assert jobs.take(store, "w", clock=clock) is None
    wrongs: tuple[tuple[dict[str, Any], str], ...] = (
        ({"name": "nothing"}, "there is no job"),
        ({"name": "ask"}, "asks what is to be done"),
        ({"name": "ask", "do": "retran"}, "can't be done"),
        ({"name": "back", "by": " "}, "who decides"),
    )
    for wrong, said in wrongs:
        with pytest.raises((UserError, NotFound)) as error:
            jobs.approve(store, **{"by": "ana", "clock": clock, **wrong})
        assert said in str(error.value)
    done = jobs.approve(store, "ask", by="ana", do="retrain", reason="new season", clock=clock)
    assert (done.status, done.do, done.approved) == ("queued", Do.RETRAIN, "ana")
    with pytest.raises(UserError, match="it asks nothing"):
        jobs.approve(store, "ask", by="ana", clock=clock)
    refused = jobs.refuse(store, "ba", by="ana", reason="mended", clock=clock)
    assert (refused.status, refused.result) == ("refused", {"reason": "mended"})
    with pytest.raises(UserError, match="needs a reason"):
        jobs.refuse(store, "ask", by="ana", reason="", clock=clock)
    assert jobs.refuse(store, "ask", by="ana", reason="not needed", clock=clock).status == "refused"
    assert jobs.take(store, "w", clock=clock) is None


def test_a_release_that_waits_is_approved_as_it_is(store: EmbeddedStore, clock: Clock) -> None:
    queued(store, clock)
    jobs.take(store, "w", clock=clock)
    assert jobs.finish(store, "k1", "w", "asked", {"release": "r1"}, ask="may it answer?", clock=clock)
    asked = jobs.every(store)["k1"]
    assert (asked.status, asked.ask, asked.worker) == ("asked", "may it answer?", "")
    assert asked.tells == "retrain (drift of x) asks: may it answer?"
    with pytest.raises(UserError, match="as it is, or refuse it"):
        jobs.approve(store, "k1", by="ana", do="roll back", clock=clock)
    assert jobs.approve(store, "k1", by="ana", clock=clock).result["release"] == "r1"
    taken = jobs.take(store, "w", clock=clock)
    assert taken is not None
    assert (taken.tries, taken.approved) == (1, "ana")


# --- processes -------------------------------------------------------------------------------------

WORKER = """
import sys, time
from datetime import timedelta
from pathlib import Path
from headrace.core.clock import system_clock
from headrace.engine import jobs
from headrace.stores import EmbeddedStore

folder, name, how, seconds = Path(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])
store = EmbeddedStore(folder / ".headrace")
lease = timedelta(seconds=seconds)
(folder / f"ready-{name}").touch()
while not (folder / "go").exists():
    time.sleep(0.01)
while True:
    job = jobs.take(store, name, clock=system_clock, lease=lease)
    if job is None:
        if all(j.over for j in jobs.every(store).values()):
            break
        time.sleep(0.02)
        continue
    if how == "hang":
        (folder / f"has-{name}").write_text(job.job)
        time.sleep(600)
    with (folder / "done").open("a") as f:
        f.write(f"{job.job} {name}\\n")
    jobs.finish(store, job.job, name, "done", {}, clock=system_clock)
store.close()
"""


class Workers:
    """Processes that take jobs; ended with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, how: str = "work", seconds: float = 600) -> subprocess.Popen[bytes]:
        args = [sys.executable, "-c", WORKER, str(self.folder), name, how, str(seconds)]
        self.running.append(subprocess.Popen(args))
        until(lambda: (self.folder / f"ready-{name}").exists())
        return self.running[-1]

    def go(self) -> None:
        (self.folder / "go").touch()

    def done(self) -> list[str]:
        return [line.split()[0] for line in (self.folder / "done").read_text().splitlines()]


@pytest.fixture
def workers(tmp_path: Path) -> Any:
    made = Workers(tmp_path)
    yield made
    for process in made.running:
        process.kill()
        process.wait()


def test_workers_that_race_do_each_job_once(store: EmbeddedStore, workers: Workers, clock: Clock) -> None:
    names = [f"k{i}" for i in range(12)]
    queued(store, clock, *names)
    racing = [workers.start(f"w{i}") for i in range(2)]
    workers.go()
    for process in racing:
        assert process.wait(PATIENCE) == 0
    assert sorted(workers.done()) == sorted(names)
    assert {j.tries for j in jobs.every(store).values()} == {1}


def test_a_killed_worker_s_job_is_another_s(store: EmbeddedStore, workers: Workers, clock: Clock) -> None:
    queued(store, clock)
    first = workers.start("w1", "hang", 2)
    workers.go()
    until(lambda: (workers.folder / "has-w1").exists())
    os.kill(first.pid, signal.SIGKILL)
    first.wait(PATIENCE)
    second = workers.start("w2")
    assert second.wait(PATIENCE) == 0
    assert workers.done() == ["k1"]
    job: Job = jobs.every(store)["k1"]
    assert (job.status, job.tries) == ("done", 2)
