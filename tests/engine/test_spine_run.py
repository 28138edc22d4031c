"""The whole spine: what a run says, what a second one repeats, and what a change sets in motion."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from spine import STAGES, Clock, begin, edit_rows, edit_spec, statuses, verdict

from headrace.core.codec import to_json
from headrace.project import Project


def ran(result) -> list[str]:
    return [name for name, status in statuses(result).items() if status == "ran"]


def finished_events(project: Project) -> int:
    return sum(1 for _ in project.store.read(kinds=("stage.finished",)))


def test_the_result_has_the_promised_shape(finished: Project) -> None:
    result = finished.run()
    plain = json.loads(to_json(result.plain()))
    assert {"run", "name", "stages", "gates", "leaderboard", "test", "release"} <= set(plain)
    assert [s["name"] for s in plain["stages"]] == list(STAGES)
    for stage in plain["stages"]:
        assert set(stage) == {"name", "status", "seconds", "key"}
        assert stage["status"] in ("ran", "cached", "failed")
        assert len(stage["key"]) == 64
    for gate in plain["gates"]:
        assert {"name", "stage", "verdict", "value", "interval", "n", "unit", "rule", "waiver"} <= set(gate)
        assert gate["verdict"] in ("pass", "fail", "unknown", "not applicable")
    names = [g["name"].partition(":")[0] for g in plain["gates"]]
    assert names == [
        *("spec-complete", "go", "pii", "expectation", "expectation", "split-crossing", "classes-present"),
        *(
            "leakage",
            "faults",
            "beats-naive",
            "beats-today",
            "parity",
            "parity",
            "latency",
            "size",
            "lineage",
        ),
        *("ship-at", "champion", "best-so-far", "one-change", "skew", "skew"),
    ]
    for line in plain["leaderboard"]:
        assert {"model", "mean", "std", "seconds"} <= set(line)
    assert {line["model"] for line in plain["leaderboard"]} == {"tree", "naive", "today"}
    assert {"metric", "value", "interval", "n", "opening"} == set(plain["test"])
    assert plain["test"]["opening"] == 1
    assert plain["test"]["interval"]["low"] < plain["test"]["value"] < plain["test"]["interval"]["high"]
    assert plain["release"] == finished.releases().champion.release
    assert finished.show().summary["gates"] == plain["gates"], "the ledger keeps what was printed"
    assert "<table" in result._repr_html_()


def test_an_identical_run_does_no_work(finished: Project) -> None:
    before, champion = finished_events(finished), finished.releases().champion
    result = finished.run()
    assert set(statuses(result).values()) == {"cached"}
    assert not result.worked
    assert finished_events(finished) == before
    assert (result.status, result.exit_code) == ("released", 0)
    assert finished.releases().champion == champion
    assert len(finished.releases().reigns) == 1
    assert result.name == "no change"
    assert verdict(result, "champion").reason == "the release is the champion itself"


def test_the_folder_may_be_moved(finished: Project, tmp_path: Path, clock: Clock) -> None:
    shutil.copytree(finished.root, tmp_path / "elsewhere")
    assert not Project(tmp_path / "elsewhere", clock=clock, actor="author@example.com").run().worked


def test_another_day_changes_the_frame_alone(finished: Project, clock: Clock) -> None:
    clock.forward(days=1)
    assert ran(finished.run()) == ["frame"]


def test_a_changed_feature_runs_features_onward(finished: Project) -> None:
    edit_spec(finished, ("hour: hour(at)", "hour: hour(at) + 1"))
    result = finished.run()
    assert ran(result) == ["features", "inspect", "learn", "package", "evaluate", "test"]
    assert result.name == "features: ~hour"


def test_an_added_feature_names_the_run(finished: Project) -> None:
    edit_spec(finished, ("  wind:", "  far: distance > 25\n  wind:"), ("folds: 3", "folds: 4"))
    result = finished.run()
    assert ran(result)[0] == "features"
    assert result.name == "features: +far; tuning: cv.folds 3 → 4"


def test_a_changed_model_leaves_the_features(finished: Project) -> None:
    edit_spec(finished, ("models: [tree]", "models: [{use: tree, params: {max_depth: 3}}]"))
    assert ran(finished.run()) == ["learn", "package", "evaluate", "test"]


def test_a_changed_expectation_measures_again_and_no_more(finished: Project) -> None:
    edit_spec(finished, ('"distance > 0"', '"distance > 0", "distance < 100"'))
    result = finished.run()
    assert ran(result) == ["ingest"], "its output is the same, so nothing behind it is new"
    assert verdict(result, "expectation: distance < 100").outcome == "pass"


def test_a_description_changes_nothing_that_runs(finished: Project) -> None:
    first = finished.releases().champion
    edit_spec(finished, ("hour: hour(at)", "hour: {expr: hour(at), description: of the pickup}"))
    result = finished.run()
    assert ran(result) == []
    assert first is not None
    graphs = {finished.release(name)[1].serving.graph for name in (first.release, result.release)}
    assert len(graphs) == 1


def test_a_changed_bar_opens_nothing_anew(finished: Project) -> None:
    edit_spec(finished, ("ship_at: 0.3", "ship_at: 0.25"))
    result = finished.run()
    assert ran(result) == ["frame", "test"]
    assert sum(1 for _ in finished.store.read(kinds=("seal.opened",))) == 1
    assert result.plain()["test"]["opening"] == 1


def test_a_changed_file_runs_all_that_reads_it(finished: Project) -> None:
    edit_rows(finished, lambda row: {**row, "wind": row["wind"] or "7"}, "weather")
    result = finished.run()
    assert ran(result)[:3] == ["ingest", "split", "features"]


def test_how_often_a_table_is_read_matters_to_its_reading_alone(finished: Project) -> None:
    edit_spec(finished, ("{read: data/parcels.csv}", "{read: data/parcels.csv, refresh: daily}"))
    assert ran(finished.run()) == ["ingest"]


def test_a_lost_artifact_is_made_again(finished: Project) -> None:
    graph = finished.release()[1].serving.graph
    finished.store.get(graph).unlink()
    result = finished.run()
    assert ran(result) == ["package"]
    assert finished.release()[1].serving.graph == graph
    assert finished.audit().ok


def test_two_fresh_stores_make_the_same(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        project = begin(tmp_path / name, ("[tree]", "[tree, linear]"), clock=Clock())
        made.append((project, project.run()))
    (one, first), (two, second) = made
    for a, b in zip(first.stages, second.stages, strict=True):
        assert a.key == b.key, a.name
        assert a.output.outputs == b.output.outputs, a.name
        assert a.output.facts == b.output.facts, a.name
    assert first.release == second.release
    graphs = [p.store.get(p.release()[1].serving.graph).read_bytes() for p in (one, two)]
    assert graphs[0] == graphs[1]


def test_another_seed_is_another_key(finished: Project) -> None:
    edit_spec(finished, ("cv: {folds: 3}", "cv: {folds: 3}\nseed: 7"))
    result = finished.run()
    assert ran(result) == list(STAGES)
    assert result.name == "tuning: seed = 7"


REGRESSION = (
    ("task: binary", "task: regression"),
    ("target: late > 30", "target: late"),
    ("metric: f1", "metric: rmse"),
    ('today: {rule: "hour(at) >= 20"}', 'today: {rule: "distance * 1.5"}'),
    ("ship_at: 0.3", "ship_at: 13"),
)
MULTICLASS = (
    ("task: binary", "task: multiclass"),
    (
        "target: late > 30",
        "target: \"case when late > 30 then 'late' when late < 8 then 'early' else 'fine' end\"",
    ),
    ("metric: f1", "metric: f1_macro"),
    (
        'today: {rule: "hour(at) >= 20"}',
        "today: {rule: \"case when depot = 'north' then 'late' else 'fine' end\"}",
    ),
    ("ship_at: 0.3", "ship_at: {accuracy: '>= 0.4', f1_macro: '>= 0.3'}"),
)


@pytest.mark.parametrize(
    ("changes", "bars"),
    [(REGRESSION, ["ship-at: rmse"]), (MULTICLASS, ["ship-at: f1_macro", "ship-at: accuracy"])],
    ids=["regression", "multiclass"],
)
def test_the_other_tasks_run_end_to_end(
    tmp_path: Path, changes: tuple[tuple[str, str], ...], bars: list[str]
) -> None:
    project = begin(tmp_path / "project", *changes, ("[tree]", "[tree, linear, boosting]"))
    result = project.run()
    assert result.status == "released", result.problems
    assert [v.gate for v in result.verdicts if v.stage == "test"] == bars
    assert verdict(result, "beats-today").outcome == "pass"
    out = tmp_path / "scored.csv"
    assert project.predict(project.root / "data" / "parcels.csv", out).rows == 1200


SPLITS = {
    "random": "{by: random, validation: 20%, test: 20%}",
    "stratified": "{by: stratified, validation: 20%, test: 20%}",
    "stratified on a column": "{by: stratified, on: depot, validation: 20%, test: 20%}",
    "group": "{by: group, group: courier, validation: 20%, test: 20%}",
    "column": "{by: column, column: part}",
    "random within groups' dependence": "{by: random, group: courier, validation: 20%, test: 20%}",
    "time with a gap and durations": "{by: time, gap: 2 h, validation: 12 days, test: 12 days}",
}


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS.keys())
def test_every_split_runs_end_to_end(tmp_path: Path, split: str) -> None:
    project = begin(
        tmp_path / "project",
        ("{by: time, validation: 20%, test: 20%}", split),
        ("ship_at: 0.3", "ship_at: 0.1"),
    )
    result = project.run()
    assert result.status == "released", result.problems
    counts = {s.name: s for s in result.stages}["split"].output.facts["counts"]
    assert min(counts.values()) > 100
    assert sum(counts.values()) <= 1200


def test_one_holdout_instead_of_folds(tmp_path: Path) -> None:
    project = begin(tmp_path / "project", ("cv: {folds: 3}", "cv: {holdout: true}"))
    result = project.run()
    assert result.status == "released", result.problems
    lines = {line["model"]: line for line in result.plain()["leaderboard"]}
    assert lines["tree"]["std"] is None, "one fit has no spread"
    assert "on 238 validation rows" in verdict(result, "beats-naive").evidence.where


def test_a_scikit_learn_class_is_a_candidate(tmp_path: Path) -> None:
    model = "[{use: 'sklearn.linear_model:LogisticRegression', name: near}]"
    project = begin(tmp_path / "project", ("[tree]", model))
    result = project.run()
    assert result.status == "released", result.problems
    assert result.plain()["leaderboard"][0]["model"] == "near"
    assert project.release()[1].model == "near"


SOURCE = """
import csv
from pathlib import Path

def parcels():
    with (Path(__file__).parent / "data" / "parcels.csv").open() as f:
        for row in csv.DictReader(f):
            numbers = {n: float(row[n]) if row[n] else None for n in ("parcel", "distance", "late")}
            yield {**row, **numbers}
"""


def test_a_python_source_is_read_again_each_run(fresh: Project) -> None:
    (fresh.root / "sources.py").write_text(SOURCE)
    edit_spec(fresh, ("{read: data/parcels.csv}", "{read: 'sources.py:parcels'}"))
    first = fresh.run()
    assert first.status == "released", first.problems
    assert ran(fresh.run()) == ["ingest"], "read again, and found to be the same"
    edit_spec(fresh, ("'sources.py:parcels'}", "'sources.py:parcels', refresh: never}"))
    fresh.run()
    assert ran(fresh.run()) == []


def test_many_runs_are_numbered_and_named(finished: Project) -> None:
    finished.run()
    edit_spec(finished, ("project: parcels", "project: letters"))
    finished.run()
    assert [(r.run, r.name, r.status) for r in finished.runs()] == [
        ("run-1", "first run", "released"),
        ("run-2", "no change", "released"),
        ("run-3", "frame: project parcels → letters", "released"),
    ]
    found = finished.compare("run-1", "run-3")
    assert found["spec"] == "frame: project parcels → letters"
    assert set(found["stages"].values()) == {True}
