"""Killed, run twice at once, out of disk, edited by hand: the project goes on, or says what is broken."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from disks import disk_at, mount
from spine import STAGES, begin, edit_spec, write_tables

from headrace.core.errors import StoreError
from headrace.project import Project

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and mounts of POSIX")

HEADRACE = str(Path(sys.executable).with_name("headrace"))

# Forks before anything runs, so that each child begins with its imports done. A child that is killed says
# where it was by its absence: the parent prints what became of it.
KILLED = """
import dataclasses, os, random, signal, sys, time
import lightgbm, onnxruntime, scipy.stats, skl2onnx, sklearn.tree
import headrace.engine.plan as plan, headrace.engine.run as run
import headrace.engine.releases as releases, headrace.engine.promote as promote
from headrace.project import Project

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def at_stage(name, when):
    def work_of(step):
        def work(ctx, made):
            if when == "start":
                die()
            output = step.stage.work(ctx, made)
            die()
        return work
    plan.SPINE = tuple(
        dataclasses.replace(s, stage=dataclasses.replace(s.stage, work=work_of(s)))
        if s.stage.name == name
        else s
        for s in plan.SPINE
    )

def behind(module, name):
    original = getattr(module, name)
    def wrapped(*a, **k):
        original(*a, **k)
        die()
    setattr(module, name, wrapped)

def child(prepare, after=None):
    pid = os.fork()
    if pid == 0:
        prepare()
        result = Project(sys.argv[1], actor="author@example.com").run()
        os._exit(0 if result.status == "released" else 1)
    if after is not None:
        time.sleep(after)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

def audit():
    pid = os.fork()
    if pid == 0:
        os._exit(0 if Project(sys.argv[1]).audit().ok else 1)
    return os.WEXITSTATUS(os.waitpid(pid, 0)[1])

if sys.argv[2] == "everywhere":
    for name in "frame ingest split features inspect learn package evaluate test".split():
        for when in ("start", "end"):
            print(name, when, child(lambda: at_stage(name, when)), audit())
    for module, name in ((run, "begin"), (promote, "_manifest"), (releases, "make"), (releases, "challenge"),
                         (releases, "approve"), (releases, "promote"), (run, "promote_run")):
        print(name, "behind", child(lambda: behind(module, name)), audit())
else:
    draw = random.Random(3)
    for _ in range(int(sys.argv[2])):
        print("some", "time", child(lambda: None, after=draw.uniform(0.02, 0.9)), audit())
"""


def killed(project: Project, how: str) -> list[list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(project.root), how], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


def test_killed_at_each_stage_and_run_again(fresh: Project) -> None:
    told = killed(fresh, "everywhere")
    assert len(told) == 2 * len(STAGES) + 7
    assert [line for line in told if line[2:] != ["-9", "0"]] == [], "each was killed, and left all whole"
    result = fresh.run()
    assert (result.status, len(fresh.releases().releases)) == ("released", 1)
    assert len(fresh.releases().reigns) == 1
    assert sum(1 for _ in fresh.store.read(kinds=("seal.opened",))) == 1, "one candidate, one opening"
    finished = [e.payload["stage"] for e in fresh.store.read(kinds=("stage.finished",))]
    assert sorted(finished) == sorted([*STAGES, "frame"]), "what was finished before a kill is not done again"
    assert [r.status for r in fresh.runs()][-1] == "released"
    assert {r.status for r in fresh.runs()[:-2]} == {"unfinished"}
    assert fresh.audit().ok
    assert list((fresh.root / ".headrace" / "tmp").iterdir()) == [], "what the dead left was swept"


def test_killed_at_any_moment(fresh: Project) -> None:
    told = killed(fresh, "5")
    assert [line for line in told if line[2] not in ("-9", "0") or line[3] != "0"] == []
    assert fresh.run().status == "released"
    assert fresh.audit().ok


def test_two_runs_at_once(tmp_path: Path) -> None:
    """On a store that is not there yet; both make the same release, and there is one of it."""
    folder = begin(tmp_path / "project").root
    command = [HEADRACE, "run", "--json", "-C", str(folder)]
    environment = {**os.environ, "HEADRACE_USER": "author@example.com"}
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    said = []
    for process in both:
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        said.append(json.loads(out))
    assert {s["run"] for s in said} == {"run-1", "run-2"}
    assert said[0]["release"] == said[1]["release"]
    assert [s["key"] for s in said[0]["stages"]] == [s["key"] for s in said[1]["stages"]]
    project = Project(folder)
    state = project.releases()
    assert (len(state.releases), len(state.reigns)) == (1, 1)
    assert {s["test"]["opening"] for s in said} == {1}
    assert project.audit().ok


def test_an_artifact_that_is_edited_by_hand(finished: Project) -> None:
    victims = [finished.release()[1].serving.graph, finished.release()[0].manifest]
    for digest in victims:
        file = finished.store.get(digest)
        kept = file.read_bytes()
        for bad in (kept[:-3], kept[:10] + b"#" + kept[11:], b""):
            file.chmod(0o644)
            file.write_bytes(bad)
            report = finished.audit()
            assert not report.ok
            assert report.first_broken == f"artifact {digest}"
            assert len(report.problems) == 1
        file.unlink()
        report = finished.audit()
        assert (report.ok, "which the store doesn't hold" in report.problems[0]) == (False, True)
        file.write_bytes(kept)
    assert finished.audit().ok


@pytest.mark.parametrize(
    "edit",
    [
        "update event set line = replace(line, 'released', 'rejected') where kind = 'run.finished'",
        "update event set line = replace(line, 'author@', 'nobody@') where kind = 'release.approved'",
        "delete from event where kind = 'seal.opened'",
    ],
    ids=["a payload", "an actor", "a missing row"],
)
def test_a_ledger_row_that_is_edited(finished: Project, edit: str) -> None:
    kind = edit.rpartition("'")[0].rpartition("'")[2]
    (event,) = finished.store.read(kinds=(kind,))
    finished.store.close()  # type: ignore[attr-defined]  # the embedded store's
    db = sqlite3.connect(finished.root / ".headrace" / "ledger.db")
    db.execute(edit)
    db.commit()
    db.close()
    report = finished.audit()
    assert not report.ok
    assert report.first_broken == f"event {event.seq}"


@pytest.fixture
def disk(fresh: Project) -> Iterator[Callable[[str], None]]:
    """The project's store on a file system of its own; give it mount options such as `size=1m`."""
    with disk_at(fresh.root / ".headrace", "64k") as place:
        yield lambda options: mount("-o", f"remount,{options}", str(place))
        fresh.store.close()  # type: ignore[attr-defined]  # the embedded store's


def refusal(project: Project) -> StoreError | None:
    try:
        project.run()
    except StoreError as error:
        return error
    return None


@pytest.mark.parametrize("kilobytes", [64, 300, 750, 1200, 2100])
def test_a_disk_that_fills_up_on_the_way(fresh: Project, disk: Callable[[str], None], kilobytes: int) -> None:
    """In the ledger, a snapshot, a matrix or a graph, wherever that is: nothing half-written stays."""
    write_tables(fresh.root, rows=30_000)
    disk(f"size={kilobytes}k")
    error = refusal(fresh)
    assert error is not None
    assert error.exit_code == 1
    assert (error.problems[0].why, error.problems[0].fix) == (
        "the disk is full",
        "free some space and run the command again",
    )
    tmp = fresh.root / ".headrace" / "tmp"
    assert not tmp.is_dir() or list(tmp.iterdir()) == []
    disk("size=64m")
    assert fresh.audit().ok
    assert fresh.run().status == "released"
    assert fresh.audit().ok


def test_a_folder_that_can_not_be_written(fresh: Project, disk: Callable[[str], None]) -> None:
    disk("size=64m")
    assert fresh.run().status == "released"
    fresh.store.close()  # type: ignore[attr-defined]  # the embedded store's
    disk("ro")
    error = refusal(fresh)
    assert error is not None
    assert error.exit_code == 1
    assert "read-only" in error.problems[0].why
    assert "choose a folder" in error.problems[0].fix
    assert fresh.releases().champion is not None, "reading still works"
    out = fresh.root / "scored.csv"
    assert fresh.predict(fresh.root / "data" / "parcels.csv", out).rows == 1200
    assert fresh.audit().ok


def test_a_store_that_is_a_file(fresh: Project) -> None:
    (fresh.root / ".headrace").write_text("not a folder")
    with pytest.raises(StoreError) as caught:
        fresh.run()
    assert "not a folder" in caught.value.problems[0].why
    assert (fresh.root / ".headrace").read_text() == "not a folder"


# The most memory that the process held, in kB, when ingest ends at an expectation that fails. VmHWM, because
# ru_maxrss also counts what the parent held at the fork.
PEAK = """
import re, sys
from pathlib import Path
from headrace.project import Project
result = Project(sys.argv[1], actor="a@example.com").run()
assert result.status == "blocked", result
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def write_large(file: Path, rows: int) -> int:
    """A table of about 82 bytes a row; its size."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv

    numbers = pa.array(range(rows))
    moment = pc.add(pa.scalar(1_700_000_000), numbers).cast(pa.timestamp("s", "UTC"))
    table = pa.table(
        {
            "parcel": numbers,
            "at": pc.strftime(moment, "%Y-%m-%dT%H:%M:%S+00:00"),
            "depot": pc.binary_join_element_wise("depot", numbers.cast(pa.string()), " "),
            "note": pc.binary_repeat("x", pc.add(pc.bit_wise_and(numbers, 15), 15)),
            "distance": pc.bit_wise_and(numbers, 127).cast(pa.float64()),
            "late": pc.bit_wise_and(numbers, 63).cast(pa.float64()),
        }
    )
    csv.write_csv(table, file)
    return file.stat().st_size


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_a_table_larger_than_the_memory_allowed(tmp_path: Path) -> None:
    """Under `limits.memory: 64 MB`, a table of 197 MB takes about what one of a third of it does."""
    peaks, sizes = [], []
    for rows in (800_000, 2_400_000):
        project = begin(tmp_path / str(rows), rows=100)
        memory = "cv: {folds: 3}\nlimits: {memory: 64 MB, threads: 1}"
        edit_spec(project, ('"distance > 0"', '"distance > 4"'), ("cv: {folds: 3}", memory))
        sizes.append(write_large(project.root / "data" / "parcels.csv", rows))
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(project.root)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout) * 1024)
    assert sizes[1] - sizes[0] > 120e6
    assert peaks[1] - peaks[0] < 80e6, (peaks, sizes)
