"""Learning row by row from run to run: from the checkpoint, and the same as without."""

from __future__ import annotations

import random
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from spine import AUTHOR, START, Clock, begin, edit_rows, edit_spec
from streets import grow

from headrace.core.answered import Answered
from headrace.core.clock import micros
from headrace.core.codec import from_json
from headrace.engine.continuing import CHECKPOINT
from headrace.engine.pins import output_of
from headrace.learn.continuing import Checkpoint
from headrace.logs.writer import LogWriter
from headrace.project import Project

RIVER = ("models: [tree]", "models: [river]")
LIVE = ("  id: parcel", "  id: parcel\n  live: true")
CONTINUOUS = (
    "cv: {folds: 3}\n",
    "cv: {folds: 3}\npolicy: {reactions: [{on: continuous, do: retrain}], approval: none, canary: false}\n",
)


def learned(project: Project, run: str) -> Any:
    return output_of(project.store, project.show(run), "learn")


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a project whose champion is River's."""
    project = begin(tmp_path_factory.mktemp("river") / "p", RIVER, LIVE, CONTINUOUS)
    assert project.run().status == "released"
    project.store.close()
    return project.root


@pytest.fixture
def streaming(released: Path, tmp_path: Path, clock: Clock) -> Any:
    """A copy of it."""
    shutil.copytree(released, tmp_path / "p")
    project = Project(tmp_path / "p", clock=clock, actor=AUTHOR)
    yield project
    project.store.close()


def stream(project: Project) -> list[dict[str, Any]]:
    """Answer about the parcels of the days behind the table's, all of which come later than they used to;
    their labels."""
    grow(project, breaks=False, more=10.0)
    came: list[dict[str, str]] = []
    edit_rows(project, lambda r: came.append(r) if int(r["parcel"]) >= 100_000 else r)
    champion = project.release()[0].release
    log = LogWriter(project.log_folder, worker="w", mode="durable")
    said = {"prediction": False, "probability": 0.2}
    for row in came:
        sent = {
            "parcel": int(row["parcel"]),
            "at": row["at"],
            "depot": row["depot"],
            "distance": float(row["distance"]),
        }
        when = micros(datetime.fromisoformat(row["at"]) - timedelta(hours=1))
        place = ("default", champion, "champion", "", "model")
        log.append([Answered(f"a{row['parcel']}", when, *place, sent, said)], lambda error: None)
    log.close()
    return [{"id": f"a{r['parcel']}", "label": float(r["late"]) > 30} for r in came]


def test_new_labels_are_gone_on_with_from_the_checkpoint_behind_the_same_gates(
    streaming: Project, tmp_path: Path, clock: Clock
) -> None:
    old = streaming.release()[0].release
    before = learned(streaming, "run-1")
    marks = from_json(streaming.store.get(before.outputs[CHECKPOINT]).read_bytes(), Checkpoint).marks
    assert before.notes["continued"]["river"]["before"] == 0
    assert streaming.warnings() == []

    labels = stream(streaming)
    assert streaming.react() == ()  # answers whose truth nobody knows yet
    for first in range(0, len(labels), 1000):
        streaming.labels().take(labels[first : first + 1000])
    (queued,) = streaming.react()
    assert (queued.cause, queued.params["history"]) == ("continuous 3000", "all")
    assert streaming.react() == ()
    clock.forward(hours=2)  # a replay looks every hour
    told = streaming.simulate(START)
    assert [w.action.key for w in told.would] == [queued.job]
    job = streaming.work()
    assert job is not None
    assert (job.status, job.result["status"]) == ("done", "champion"), job.result
    assert "lengths" not in job.result
    new = streaming.release()[0].release
    assert new == job.result["release"] != old
    gates = {g["name"]: g["verdict"] for g in streaming.show(job.result["run"]).summary["gates"]}
    assert (gates["champion"], gates["one-change"]) == ("pass", "pass")
    assert streaming.show(job.result["run"]).name.startswith("retrain: 3,000 labels to go on with (")

    # It began where the champion's fit had ended, which was on all of its training rows.
    after = learned(streaming, job.result["run"])
    continued = after.notes["continued"]["river"]
    assert continued["before"] == max(m.rows for m in marks) < continued["rows"]

    shown = streaming.report(job.result["run"]).html
    assert f"went on from {continued['before']:,} of {continued['rows']:,} rows" in shown

    # Who has never learned anything makes the very same of it.
    copy = tmp_path / "copy"
    shutil.copytree(streaming.root, copy, ignore=shutil.ignore_patterns(".headrace"))
    shutil.copytree(streaming.log_folder, copy / ".headrace" / "log")
    stranger = Project(copy, clock=clock, actor=AUTHOR)
    split = job.result["split"]
    edit_spec(
        stranger,
        ("validation: 20%, test: 20%", f"validation: {split['validation']}, test: {split['test']}"),
    )
    made = stranger.run(to="learn")
    other = made.stages[-1].output
    assert other.notes["continued"]["river"]["before"] == 0
    assert (other.digest, other.outputs) == (after.digest, after.outputs)
    stranger.store.close()


def test_a_run_that_dies_while_it_ends_leaves_the_old_checkpoint(
    streaming: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = rows_known(streaming)
    grow(streaming, breaks=False, rows=400)
    append = streaming.store.append

    def dies(drafts: Any, **more: Any) -> Any:
        if any(d.kind == "stage.finished" and d.payload["stage"] == "learn" for d in drafts):
            raise KeyboardInterrupt  # the artifacts are there, and nothing says so yet
        return append(drafts, **more)

    with monkeypatch.context() as patched:
        patched.setattr(streaming.store, "append", dies)
        with pytest.raises(KeyboardInterrupt):
            streaming.run(to="learn")
    assert rows_known(streaming) == old
    learning = streaming.run(to="learn").stages[-1]
    assert learning.status == "ran"
    continued = learning.output.notes["continued"]["river"]
    assert continued["before"] == old < continued["rows"] == rows_known(streaming)


def rows_known(project: Project) -> int:
    """The rows of the newest checkpoint."""
    events = project.store.read(kinds=("stage.finished",), newest_first=True)
    newest = next(e.payload for e in events if e.payload["stage"] == "learn")
    kept = project.store.get(newest["output"]["outputs"][CHECKPOINT])
    return max(m.rows for m in from_json(kept.read_bytes(), Checkpoint).marks)


def test_rows_are_learned_in_the_order_of_time_however_they_lie_in_the_table(streaming: Project) -> None:
    before = learned(streaming, "run-1")
    rows: list[dict[str, str]] = []

    def read(row: dict[str, str]) -> dict[str, str]:
        rows.append(row)
        return row

    edit_rows(streaming, read)
    random.Random(5).shuffle(rows)
    edit_rows(streaming, lambda r: rows.pop())
    after = streaming.run(to="learn").stages[-1].output
    assert after.outputs["model"] == before.outputs["model"]
    assert after.outputs[CHECKPOINT] == before.outputs[CHECKPOINT]
    continued = after.notes["continued"]["river"]
    assert continued["before"] == continued["rows"]  # the very same rows: there was nothing to learn


def test_a_changed_history_is_learned_from_the_start_and_told(streaming: Project) -> None:
    edit_rows(streaming, lambda r: r | {"distance": "12.5"} if r["parcel"] == "3" else r)
    result = streaming.run(to="learn")
    continued = result.stages[-1].output.notes["continued"]["river"]
    assert continued["before"] == 0
    assert "these first rows" in continued["why_none"]


def test_what_can_t_go_on_is_warned_of(tmp_path: Path) -> None:
    project = begin(tmp_path / "p", CONTINUOUS, rows=20)
    project.check()
    (told,) = project.warnings()
    assert "learn all rows from the start" in told.what
    assert told.why == "none of the models learns row by row (river does)"
    edit_spec(project, RIVER)
    assert project.warnings() == []
    edit_spec(project, ("approval: none,", "approval: none, windows: [9 days, 30 days],"))
    (told,) = project.warnings()
    assert "less than all history" in told.why
    project.store.close()
