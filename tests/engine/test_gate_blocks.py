"""Every gate blocks when it should, says what was measured against what, and never passes on unknown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from spine import Clock, begin, edit_rows, edit_spec, statuses, verdict

from headrace.core.evidence import Evidence, Outcome, Rule
from headrace.core.gates import GATES
from headrace.engine.context import Context
from headrace.engine.gates import enforce, judge_all
from headrace.engine.plan import SPINE
from headrace.engine.result import RunResult
from headrace.engine.stages import package
from headrace.project import Project

WAIVER = {"reason": "a demonstration", "by": "boss@example.com", "until": "2026-02-01"}


def blocked_by(result: RunResult, gate: str) -> tuple[str, str, str]:
    """What, why and fix of the one problem that blocks; the spine stopped right there."""
    status = "no-go" if gate == "beats-today" else "blocked"
    assert (result.status, result.exit_code) == (status, 3), (result.status, result.problems)
    problem = next(p for p in result.problems if repr(gate) in p.what)
    assert GATES[gate.partition(":")[0]].asks in problem.why
    stage = GATES[gate.partition(":")[0]].stage
    assert problem.where.startswith(f"stage {stage}")
    owner = "learner" if stage == "learn" else "owner"
    assert f"owner {owner}@example.com" in problem.where or gate == "spec-complete"
    if stage != "promote":
        assert list(statuses(result))[-1] == stage, "nothing runs behind a closed gate"
        assert result.release == ""
    return problem.what, problem.why, problem.fix


def waived(project: Project, gate: str, **changes: str) -> RunResult:
    return project.run(waive=[{"gate": gate, **WAIVER, **changes}])


def test_an_incomplete_spec(finished: Project) -> None:
    edit_spec(
        finished, ("decision: warn the customer", "decision: ' '"), ("default: owner@", "features: owner@")
    )
    _, why, fix = blocked_by(finished.run(), "spec-complete")
    assert "2 is not == 0" in why
    assert "missing: problem.decision, problem.owners.default" in why
    assert "fill in problem.objective" in fix


def test_an_expired_go(finished: Project, clock: Clock) -> None:
    go = "go: {decided_by: boss@example.com, on: 2026-01-01, expires: 2026-01-16}"
    edit_spec(finished, ("approval: self", f"approval: self\n  {go}"))
    assert finished.run().status == "released"
    clock.forward(days=1)
    assert verdict(finished.run(), "go").outcome == "pass", "the last day is still a day"
    clock.forward(days=1)
    _, why, fix = blocked_by(finished.run(), "go")
    assert "-1 is not >= 0" in why
    assert "decided by boss@example.com on 2026-01-01, expires 2026-01-16" in why
    assert "renew problem.go.expires" in fix


def test_a_broken_expectation(finished: Project) -> None:
    edit_spec(finished, ('"distance > 0"', '"distance > 2", "null_share(late) <= 0.001"'))
    result = finished.run()
    _, why, fix = blocked_by(result, "expectation: distance > 2")
    assert "is not == 0" in why
    assert "--waive 'expectation: distance > 2'" in fix
    blocked_by(result, "expectation: null_share(late) <= 0.001")
    assert len(result.problems) == 2, "both are told at once"


def test_a_broken_assumption(finished: Project) -> None:
    assumption = '{text: wind is known, check: "avg(weather.wind is not null) >= 0.999"}'
    edit_spec(finished, ("approval: self", f"approval: self\n  assumptions: [{assumption}]"))
    _, why, _ = blocked_by(finished.run(), "assumption: avg(weather.wind is not null) >= 0.999")
    assert "is not >= 0.999" in why


def test_a_row_on_both_sides_of_the_split(fresh: Project) -> None:
    edit_rows(fresh, lambda row: {**row, "parcel": str(int(row["parcel"]) // 2)})
    edit_spec(fresh, ('"unique(parcel)", ', ""), ("by: time", "by: random"))
    result = fresh.run()
    _, why, fix = blocked_by(result, "split-crossing")
    assert "is not == 0" in why
    assert "--waive" not in fix, "what can't be waived is not offered"


def test_a_class_that_a_part_lacks(fresh: Project) -> None:
    edit_rows(fresh, lambda row: {**row, "late": "5" if row["at"] >= "2024-02-18" else row["late"]})
    _, why, _ = blocked_by(fresh.run(), "classes-present")
    assert "is not == 0" in why
    assert "test" in why, why


def test_pure_noise_beats_nothing(tmp_path: Path) -> None:
    project = begin(tmp_path / "project", signal=0.0)
    result = project.run()
    _, why, fix = blocked_by(result, "beats-naive")
    assert "is not > 0" in why
    assert "tree against naive" in why
    assert "no model should ship" in fix


def test_today_is_better(finished: Project) -> None:
    rule = "2.2 * weather.wind + case when depot = 'north' then 12 else 0 end > 45"
    edit_spec(finished, ("hour(at) >= 20", rule))
    _, why, fix = blocked_by(finished.run(), "beats-today")
    assert "tree against today" in why
    assert "keep today's solution" in fix


def test_today_as_a_number(finished: Project) -> None:
    edit_spec(finished, ('{rule: "hour(at) >= 20"}', "{value: 0.99, source: a report}"))
    _, why, _ = blocked_by(finished.run(), "beats-today")
    assert "against 0.99 (a report), over the folds" in why
    edit_spec(finished, ("value: 0.99", "value: 0.05"))
    assert verdict(finished.run(), "beats-today").outcome == "pass"


def test_latency_and_size(finished: Project) -> None:
    edit_spec(finished, ("cv: {folds: 3}", "cv: {folds: 3}\nlimits: {latency: 1 us, size: 1 kB}"))
    result = finished.run()
    _, why, fix = blocked_by(result, "latency")
    assert "is not <= 0.001" in why
    assert "raise limits.latency" in fix
    _, why, fix = blocked_by(result, "size")
    assert "is not <= 0.001" in why
    assert statuses(result)["package"] == "cached", "judged anew without measuring anew"


def test_a_model_that_does_not_convert_exactly(fresh: Project) -> None:
    edit_spec(fresh, ("[tree]", "['sklearn.neighbors:KNeighborsClassifier']"))
    result = fresh.run()
    _, why, fix = blocked_by(result, "parity: scores")
    assert "is not <= 1e-05" in why
    assert "largest at probe row" in why
    assert "use a candidate that converts exactly" in fix
    assert "--waive" not in fix


def test_a_missing_link_of_the_lineage(finished: Project) -> None:
    """Stages make what is lost anew, so the gate's measure is asked directly."""
    parsed = finished.spec()
    ctx = Context(finished.root, finished.store, parsed, Clock(), "me", "run-1")
    made = {s.name: s.output for s in finished.run().stages}
    serving = package.serving_of(made)
    assert package._lineage(ctx, made, serving).value == 0
    lost = made["features"].outputs["probe"]
    finished.store.get(lost).unlink()
    evidence = package._lineage(ctx, made, serving)
    assert (evidence.value, evidence.where) == (1, "missing: features probe")
    (judged,) = judge_all(ctx, "package", [evidence], package.rules(ctx, made))
    assert not judged.allows


def test_the_bar_of_the_sealed_test(finished: Project) -> None:
    edit_spec(finished, ("ship_at: 0.3", "ship_at: {f1: '>= 0.97', precision: '>= 1%'}"))
    result = finished.run()
    _, why, fix = blocked_by(result, "ship-at: f1")
    assert "is not >= 0.97" in why
    assert "lower the bar openly" in fix
    assert len(result.problems) == 1, "the other bar is reached"
    low = verdict(result, "ship-at: f1").evidence.interval.low
    assert f"{low:.4g} is not" in why, "it is the interval's safe end that is compared"


def test_a_worse_model_than_the_champion(finished: Project) -> None:
    champion = finished.releases().champion
    edit_spec(
        finished, ("[tree]", "[{use: tree, params: {max_depth: 1}}]"), ("ship_at: 0.3", "ship_at: 0.05")
    )
    result = finished.run()
    _, why, fix = blocked_by(result, "champion")
    assert champion is not None
    assert f"against {champion.release} on 238 rows" in why
    assert "keep the champion" in fix
    assert finished.releases().champion == champion
    assert finished.releases().releases[result.release].state == "candidate"


def test_one_class_in_the_test_is_unknown_and_blocks(fresh: Project) -> None:
    """The gate before it, waived, shows that a bar without a number doesn't pass."""
    edit_rows(fresh, lambda row: {**row, "late": "5" if row["at"] >= "2024-02-18" else row["late"]})
    edit_spec(fresh, ("ship_at: 0.3", "ship_at: {roc_auc: '>= 0.1'}"))
    result = waived(fresh, "classes-present")
    what, _, _ = blocked_by(result, "ship-at: roc_auc")
    assert what == "gate 'ship-at: roc_auc' is unknown"
    assert verdict(result, "ship-at: roc_auc").outcome == Outcome.UNKNOWN


@pytest.mark.parametrize("stage", [step.stage.name for step in SPINE])
def test_unknown_never_passes(finished: Project, stage: str) -> None:
    ctx = Context(finished.root, finished.store, finished.spec(), Clock(), "me", "run-1")
    gates = [g for g in GATES.values() if g.stage == stage]
    evidence = [Evidence(g.name, None, why_none="nobody looked") for g in gates]
    verdicts = judge_all(ctx, stage, evidence, {g.name: Rule(">=", 0) for g in gates})
    assert not any(v.allows for v in verdicts)
    if verdicts:
        with pytest.raises(Exception, match="nobody looked") as caught:
            enforce(ctx, verdicts)
        assert caught.value.exit_code == 3


def test_a_waiver_opens_its_gate_and_is_shown(finished: Project) -> None:
    edit_spec(finished, ("cv: {folds: 3}", "cv: {folds: 3}\nlimits: {latency: 1 us}"))
    assert finished.run().status == "blocked"
    result = waived(finished, "latency")
    assert result.status == "released"
    held = verdict(result, "latency")
    assert (held.outcome, held.waiver.by, held.waiver.until) == ("fail", "boss@example.com", "2026-02-01")
    line = next(g for g in result.plain()["gates"] if g["name"] == "latency")
    assert line["waiver"]["reason"] == "a demonstration"
    manifest = finished.release(result.release)[1]
    assert [v.waiver.reason for v in manifest.verdicts if v.waiver] == ["a demonstration"]
    kept = json.loads(finished.store.get(finished.release()[0].manifest).read_bytes())
    assert any(v["waiver"] and v["waiver"]["by"] == "boss@example.com" for v in kept["verdicts"])
    assert finished.run().release == result.release, "it holds for later runs too"


def test_a_waiver_expires_on_a_cached_run(finished: Project, clock: Clock) -> None:
    edit_spec(finished, ("cv: {folds: 3}", "cv: {folds: 3}\nlimits: {latency: 1 us}"))
    assert waived(finished, "latency", until="2026-01-15").status == "released"
    result = finished.run()
    assert (result.status, result.worked) == ("released", False)
    clock.forward(days=1)
    result = finished.run()
    assert (result.status, statuses(result)["package"]) == ("blocked", "cached")
    assert verdict(result, "latency").waiver is None


def test_a_waiver_of_one_expectation_leaves_the_other(finished: Project) -> None:
    edit_spec(finished, ('"distance > 0"', '"distance > 2", "distance > 3"'))
    result = waived(finished, "expectation:distance > 2")
    assert result.status == "blocked"
    assert [p.what for p in result.problems] == ["gate 'expectation: distance > 3' failed"]
    assert waived(finished, "expectation").status == "released", "or all of them"


def test_a_waiver_for_the_champion_gate_is_no_revolving_door(finished: Project) -> None:
    edit_spec(
        finished, ("[tree]", "[{use: tree, params: {max_depth: 1}}]"), ("ship_at: 0.3", "ship_at: 0.05")
    )
    assert finished.run().status == "blocked"
    result = waived(finished, "champion")
    assert result.status == "released"
    manifest = finished.release()[1]
    assert [v.gate for v in manifest.verdicts if v.waiver] == ["champion"]
    again = finished.run()
    assert (again.release, again.status) == (result.release, "released")
    assert len(finished.releases().reigns) == 2, "an identical run crowns nobody anew"


def test_every_mistake_in_waivers_is_told_at_once(finished: Project) -> None:
    head = finished.store.head()
    wanted = [
        {"gate": "latancy", "reason": "x", "by": "me", "until": "2026-02-01"},
        {"gate": "parity", "reason": "x", "by": "me", "until": "2026-02-01"},
        {"gate": "split-crossing", "reason": "", "by": " ", "until": "soon"},
        {"gate": "size", "reason": "x", "by": "me", "until": "2026-01-14"},
        {"gate": "expectation: distance > 9", "reason": "x", "by": "me", "until": "2026-02-01"},
    ]
    with pytest.raises(Exception, match="latancy") as caught:
        finished.run(waive=wanted)
    assert caught.value.exit_code == 2
    told = {p.what: p.fix for p in caught.value.problems}
    assert told["there is no gate 'latancy'"] == "did you mean 'latency'?"
    assert "gate 'parity' can't be waived" in told
    assert "gate 'split-crossing' can't be waived" in told
    assert "a waiver needs a reason" in told
    assert "a waiver needs a name" in told
    assert "'soon' is no date" in told
    assert "the waiver ended on 2026-01-14, before today (2026-01-15)" in told
    assert told["nothing is judged as 'expectation: distance > 9'"].startswith("did you mean 'expectation: d")
    assert len(told) == 8
    assert finished.store.head() == head, "nothing was written down"


def test_a_forged_waiver_of_parity_changes_nothing(finished: Project) -> None:
    """What can't be waived isn't, even where the ledger holds such an event."""
    ctx = Context(finished.root, finished.store, finished.spec(), Clock(), "me", "run-1")
    ctx.store.append([ctx.draft("gate.waived", "parity", reason="x", by="me", until="2027-01-01")])
    evidence = Evidence("parity: scores", 1.0, n=5)
    (judged,) = judge_all(ctx, "package", [evidence], {"parity: scores": Rule("<=", 0)})
    assert judged.waiver is None
    assert not judged.allows


def test_days_of_waivers_have_one_spelling(finished: Project) -> None:
    waived(finished, "latency", until="20260201")
    (event,) = finished.store.read(kinds=("gate.waived",))
    assert event.payload["until"] == "2026-02-01"
