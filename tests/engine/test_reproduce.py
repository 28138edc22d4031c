"""A run done again from what was recorded, and what its ledger tells of a project's health."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from spine import Clock, begin, edit_rows, edit_spec

from headrace.cli.root import cli
from headrace.core.codec import from_json
from headrace.core.errors import NotFound, UserError
from headrace.engine.venv import fresh_python
from headrace.project import Project


def test_a_run_is_done_again_without_its_sources(finished: Project) -> None:
    edit_rows(finished, lambda row: {**row, "distance": "1"})  # the file has changed since
    edit_spec(finished, ("[tree]", "[linear]"))
    openings = len(list(finished.store.read(kinds=("seal.opened",))))
    found = finished.reproduce("run-1", new_environment=False)
    assert found.agrees and found.status == "stopped" and not found.libraries
    stages = ["ingest", "split", "features", "inspect", "learn", "package", "evaluate"]
    assert [s.stage for s in found.stages] == stages
    assert {m.name for m in found.metrics} >= {"f1", "roc_auc"} and all(m.agrees for m in found.metrics)
    assert found.code == "today's files (outside git)"
    assert len(list(finished.store.read(kinds=("seal.opened",)))) == openings, "the seal stays closed"
    assert [e.subject for e in finished.store.read(kinds=("run.reproduced",))] == ["run-1"]
    health = finished.health()
    assert (health.reproduced.good, health.reproduced.of) == (1, 1)


def test_what_does_not_agree_is_named(finished: Project) -> None:
    """A ledger that tells of another result: the reproduction finds the stage and what differs."""
    key = next(s["key"] for s in finished.show().summary["stages"] if s["name"] == "learn")
    event = next(iter(finished.store.read(kinds=("stage.finished",), subject=key)))
    output = {**event.payload["output"]}
    output["facts"] = {**output["facts"], "threshold": 0.123}
    payload = {**event.payload, "output": output}
    from headrace.core.event import Draft

    finished.store.append([Draft("stage.finished", key, event.time, "somebody", payload)])
    found = finished.reproduce(new_environment=False)
    assert not found.agrees
    assert {s.stage: s.differs for s in found.stages if not s.agrees} == {"learn": ("threshold",)}
    assert finished.health().rework.of == 1 and finished.health().rework.good == 0


def test_code_comes_from_the_commit(tmp_path: Path) -> None:
    project = begin(tmp_path / "p", ("data/parcels.csv", "sources.py:parcels"))
    source = project.root / "sources.py"
    source.write_text(
        "import csv, pathlib\n"
        "def parcels():\n"
        "    with (pathlib.Path(__file__).parent / 'data' / 'parcels.csv').open() as f:\n"
        "        for r in csv.DictReader(f):\n"
        "            late = float(r['late']) if r['late'] else None\n"
        "            known = {'parcel': int(r['parcel']), 'distance': float(r['distance'])}\n"
        "            yield {**r, **known, 'late': late}\n"
    )
    git = ["git", "-C", str(project.root), "-c", "user.email=a@example.com", "-c", "user.name=a"]
    (project.root / ".gitignore").write_text(".headrace\n")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    assert project.run().status == "released"
    source.write_text("def parcels(): raise SystemExit\n")
    found = project.reproduce(new_environment=False)
    assert found.agrees and found.code.startswith("commit ")


def test_a_run_that_came_nowhere_can_not_be_done_again(fresh: Project) -> None:
    edit_spec(fresh, ("distance > 0", "distance > 10"))
    assert fresh.run().status == "blocked"
    with pytest.raises(NotFound, match="did not reach evaluate"):
        fresh.reproduce(new_environment=False)


def test_go_decisions_and_waivers_hold_as_they_did(tmp_path: Path) -> None:
    go = "  approval: self\n  go: {decided_by: a@example.com, on: 2026-01-01, expires: 2026-01-20}\n"
    clock = Clock()
    project = begin(
        tmp_path / "p", ("  approval: self\n", go), ("distance > 0", "distance > 10"), clock=clock
    )
    waive = {"gate": "expectation", "reason": "known", "by": "me", "until": "2026-01-16"}
    assert project.run(waive=[waive]).status == "released"
    clock.forward(days=300)
    assert project.reproduce(new_environment=False).agrees


def test_the_environment_is_recorded_and_made_anew(finished: Project, tmp_path: Path) -> None:
    view = finished.show()
    recorded = from_json(finished.store.get(view.environment).read_bytes(), dict)
    assert {"numpy", "scikit-learn", "onnxruntime", "headrace"} <= set(recorded["distributions"])
    few = {**recorded, "distributions": {"no-such-distribution": "1.0"}}
    with pytest.raises(UserError, match="can't be installed") as caught:
        fresh_python(tmp_path / "venv", few, lambda *_: None)
    assert "--environment present" in str(caught.value)
    with pytest.raises(UserError, match="recorded no environment"):
        fresh_python(tmp_path / "venv2", {}, lambda *_: None)


def test_commands(finished: Project) -> None:
    folder = str(finished.root)
    run = CliRunner().invoke(cli, ["reproduce", "-C", folder, "--environment", "present", "--json"])
    assert run.exit_code == 0 and json.loads(run.stdout)["agrees"] is True
    text = CliRunner().invoke(cli, ["report", "health", "-C", folder])
    assert text.exit_code == 0
    assert "runs done again that agreed" in text.stdout and "1 of 1 (100%)" in text.stdout
    plain = json.loads(CliRunner().invoke(cli, ["report", "health", "-C", folder, "--json"]).stdout)
    assert plain["lineage"]["value"] == 1.0 and plain["cadence"]["promotions"] == 1
    missing = CliRunner().invoke(cli, ["reproduce", "run-9", "-C", folder])
    assert missing.exit_code == 2 and "run-9" in missing.stderr


def test_health_counts_what_is_lost_and_waived(finished: Project, clock: Clock) -> None:
    before = finished.health()
    assert before.lineage.good == before.lineage.of > 5
    made = {g.gate: g for g in before.gates}
    assert made["expectation"].passed == made["expectation"].judged == 2
    assert made["champion"].not_applicable == 1
    assert {s.stage for s in before.stages} >= {"ingest", "learn"} and before.waivers == ()
    waive = {"gate": "latency", "reason": "demo", "by": "me@example.com", "until": "2026-03-01"}
    finished.run(waive=[waive])
    clock.forward(days=14)
    graph = finished.release()[1].serving.graph
    finished.store.get(graph).unlink()
    after = finished.health()
    assert after.lineage.of - after.lineage.good == 1
    assert [(w.gate, w.days_old) for w in after.waivers] == [("latency", 14)]
    assert after.cadence.runs == 2 and after.cadence.runs_a_week == pytest.approx(1.0, rel=0.05)


def test_health_of_a_project_that_has_not_run(fresh: Project) -> None:
    health = fresh.health()
    assert health.lineage.value is None and health.evaluators.of == 0 and health.gates == ()
