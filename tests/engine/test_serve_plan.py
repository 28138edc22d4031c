"""What the spec says under `serve`: checked before any work, measured before promotion, kept in a release."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import pytest
from spine import begin, edit_spec

from headrace.core.answered import Answered
from headrace.core.clock import system_clock
from headrace.core.errors import DataError, SpecError, UserError
from headrace.core.evidence import Outcome
from headrace.logs.writer import LogWriter
from headrace.project import Project
from headrace.serve.desk.desk import Asked, Desk
from headrace.serve.live import Live, load

RULES = """
serve:
  unit: parcel
  p50: 200 ms
  p99: 900 ms
  throughput: 2 / s
  rules:
    before:
      - {name: far, when: distance > 45, answer: true}
      - {name: calm, when: weather.wind < 2, answer: false}
    after:
      - {name: unsure, when: "confidence < 0.55", answer: null}
  fallback:
    - {rule: hour(at) >= 20}
    - {value: false}
"""


def with_serve(folder: Path, text: str, *changes: tuple[str, str]) -> Project:
    return begin(folder, ("models: [tree]", f"models: [tree]{text}"), *changes)


def problems(folder: Path, text: str, *changes: tuple[str, str]) -> list[str]:
    with pytest.raises(SpecError) as refused:
        with_serve(folder, text, *changes).check()
    for p in refused.value.problems:
        assert re.match(r"headrace.yaml:\d+ \(serve", p.where) and p.fix, p
    return [p.what for p in refused.value.problems]


def ask(project: Project, sent: dict[str, Any]) -> dict[str, Any]:
    found, manifest = project.release()
    live = Live.pinned(load(project.store, found.release, manifest, system_clock))
    (answer,) = asyncio.run(Desk(live).answer([sent], Asked(time.perf_counter())))
    return answer


def row(**changed: Any) -> dict[str, Any]:
    plain = {"parcel": 5, "at": "2024-02-20T12:00:00", "depot": "north", "distance": 10.0}
    return {**plain, **changed}


def test_a_release_carries_its_rules_and_what_they_read(tmp_path: Path) -> None:
    project = with_serve(tmp_path / "p", RULES, ("  distance: distance\n", ""))
    result = project.run()
    assert result.status == "released", result.problems
    speeds = {v.gate: v for v in result.verdicts if v.gate.startswith("speed")}
    assert set(speeds) == {"speed: p50", "speed: p99", "speed: throughput"}
    assert all(v.outcome is Outcome.PASS for v in speeds.values())
    _, manifest = project.release()
    plan, serving = manifest.plan, manifest.serving
    assert [r.name for r in plan.before.rules] == ["far", "calm"]
    assert plan.before.reads == ("distance", "weather.wind")
    assert plan.after.reads == ("confidence",)
    assert [f.text for f in plan.fallback] == ["hour(at) >= 20", "False"]
    assert all(project.store.has(digest) for digest in plan.artifacts) and len(plan.artifacts) == 3
    # The model reads neither distance nor parcel: they are asked for because the rule and the unit are.
    assert {"distance", "parcel"} <= set(serving.event_types()) - {f.name for f in serving.fields}
    assert plan.speed is not None and plan.speed.capacity > 2 and plan.speed.rows == 1
    assert 0 < plan.speed.p50_us <= plan.speed.p99_us

    far = ask(project, row(distance=46.0))
    assert (far["by"], far["prediction"], far["probability"]) == ("rule: far", True, None)
    near = ask(project, row())
    assert near["by"] in ("model", "rule: unsure")
    assert (near["prediction"] is None) == (near["by"] == "rule: unsure")
    with pytest.raises(DataError, match="distance"):
        ask(project, {k: v for k, v in row().items() if k != "distance"})


def test_rules_may_look_up_what_no_feature_reads(tmp_path: Path) -> None:
    rule = '\nserve: {rules: {before: [{name: calm, when: "weather.seen < at", answer: false}]}}\n'
    project = with_serve(tmp_path / "p", rule)
    assert project.run().status == "released"
    _, manifest = project.release()
    assert dict(manifest.serving.beside) == {"weather.seen": "time"}
    assert ask(project, row())["by"] == "rule: calm"
    assert ask(project, row(depot="nowhere"))["by"] == "model"


def test_an_answer_that_is_no_class(tmp_path: Path) -> None:
    rule = "\nserve: {rules: {before: [{name: far, when: distance > 45, answer: 7}]}}\n"
    changes = ("target: late > 30", "target: case when late > 30 then 1 else 0 end")
    project = with_serve(tmp_path / "p", rule, changes, ('  today: {rule: "hour(at) >= 20"}\n', ""))
    with pytest.raises(UserError, match="which is no class"):
        project.run(raises=True)
    assert not [e for e in project.store.read() if e.kind == "seal.opened"]


def test_a_target_that_is_missed_blocks_before_the_seal(tmp_path: Path) -> None:
    project = with_serve(tmp_path / "p", "\nserve: {p99: 1 s, p50: 1 us, throughput: 1 / day}\n")
    result = project.run()
    assert result.status == "blocked"
    blocked = {v.gate for v in result.verdicts if not v.allows}
    assert blocked == {"speed: p50"}
    assert not [e for e in project.store.read() if e.kind == "seal.opened"]
    waiver = {"gate": "speed: p50", "reason": "known", "by": "owner@example.com", "until": "2099-01-01"}
    assert project.run(waive=[waiver]).status == "released"


def test_stated_replicas_have_to_carry_the_throughput(tmp_path: Path) -> None:
    project = with_serve(tmp_path / "p", "\nserve: {replicas: 2, throughput: 9000000 / s}\n")
    (missed,) = [v for v in project.run().verdicts if v.gate == "speed: throughput"]
    assert missed.outcome is Outcome.FAIL
    assert missed.evidence.value == pytest.approx(2 * missed.evidence.details["capacity"])
    edit_spec(project, ("replicas: 2", "replicas: auto"))
    (kept,) = [v for v in project.run().verdicts if v.gate == "speed: throughput"]
    assert kept.outcome is Outcome.PASS and kept.evidence.details["replicas"] > 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rules: {before: [{name: a, when: distence > 4, answer: true}]}", "unknown column 'distence'"),
        ("rules: {before: [{name: a, when: late > 4, answer: true}]}", "rule 'a' reads the target's column"),
        ("rules: {before: [{name: a, when: prediction, answer: true}]}", "unknown column 'prediction'"),
        ("rules: {before: [{name: a, when: distance + 1, answer: true}]}", "rule 'a' is no condition"),
        ("rules: {before: [{name: a, when: 1 < 2, answer: true}]}", "rule 'a' reads nothing"),
        (
            "rules: {after: [{name: a, when: prediction, answer: 'yes'}]}",
            "rule 'a' answers 'yes'; the target",
        ),
        ("rules: {after: [{name: '', when: prediction, answer: true}]}", "a rule has no name"),
        (
            "rules: {before: [{name: a, when: distance > 4, answer: true}], "
            "after: [{name: a, when: prediction, answer: true}]}",
            "two rules are called 'a'",
        ),
        ("fallback: [{value: true}, {rule: distance > 4}]", "a fallback behind a constant"),
        ("fallback: [{}]", "a fallback says nothing"),
        ("fallback: [{rule: distance > 4, value: true}]", "a fallback has both"),
        ("fallback: [{rule: weather.wind > 4}]", "unknown column 'weather.wind'"),
        ("fallback: [{rule: distance}]", "the fallback's rule gives number; a binary task needs bool"),
        ("fallback: [{value: 3}]", "the fallback answers 3.0; the target is bool"),
        ("unit: parcle", "serve.unit: the events have no column 'parcle'"),
        ("unit: late", "serve.unit: 'late' is a column of the target"),
        ("log: {subject: at}", "serve.log.subject: 'at' is a time"),
        ("p99: 2 s", "serve.p99 (2 s) is longer than serve.deadline (1 s)"),
        ("deadline: 0 s", "serve.deadline is no time at all"),
        ("{mode: batch, p99: 5 ms}", "serve.p99 speaks of single answers"),
    ],
)
def test_what_can_t_be_kept_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    body = text if text.startswith("{") else f"{{{text}}}"
    assert any(p.startswith(told) for p in problems(tmp_path / "p", f"\nserve: {body}\n"))


def test_recorded_traffic_is_what_is_timed(tmp_path: Path) -> None:
    """Where the log has enough of the last hour that the release could answer."""
    project = with_serve(tmp_path / "p", "\nserve: {p99: 900 ms}\n")
    assert sent_by(project) == "validation"
    now = int(project._clock().timestamp() * 1e6)
    log = LogWriter(project.log_folder, worker="w")
    for name, value in (("new", 7.5), ("distance", "7.5"), ("distance", 7.5)):  # of another type, once
        sent = {k: v for k, v in row().items() if k not in ("parcel", "distance")} | {name: value}
        log.append(
            [
                Answered(f"{name}{value!r}{i}", now, "default", "r", "champion", "", "model", sent, {})
                for i in range(150)
            ],
            lambda error: None,
        )
    log.close()
    edit_spec(project, ("p99: 900 ms", "p99: 901 ms"))
    assert sent_by(project) == "recorded"


def sent_by(project: Project) -> str:
    (measured,) = [v for v in project.run().verdicts if v.gate == "speed: p99"]
    told: str = measured.evidence.details["sent"]
    return told
