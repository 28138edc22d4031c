"""The gates of promotion through the whole project: slices, the best champion so far, one change, arms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from spine import begin, edit_rows, edit_spec, verdict
from worlds import homes, wine

from headrace.cli.root import cli
from headrace.core.errors import NotFound, UserError
from headrace.project import Project

DEPTH_2 = ("[tree]", "[{use: tree, params: {max_depth: 2}}]")
DEPTH_3 = ("[tree]", "[{use: tree, params: {max_depth: 3}}]")
LENIENT = ("cv: {folds: 3}", "cv: {folds: 3}\npromote: {margin: 0.9, slice_margin: 0.9}")
SLICED = ("promote: {", "evaluate: {slices: [depot], min_rows: 20}\npromote: {")
NIGHT = ("  distance: distance\n", "  distance: distance\n  night: hour(at) >= 20\n")
SOURCE = """
import csv
from pathlib import Path

import helper

def parcels():
    with (Path(__file__).parent / "data" / "parcels.csv").open() as f:
        for row in csv.DictReader(f):
            yield {**row, **{n: float(row[n]) if row[n] else None for n in helper.NUMBERS}}
"""


def command(project: Project, *arguments: str) -> str:
    done = CliRunner().invoke(cli, [*arguments, "-C", str(project.root)])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_two_changes_need_arms(finished: Project) -> None:
    edit_spec(finished, DEPTH_3, NIGHT, LENIENT, SLICED)
    first = finished.run()
    assert first.status == "blocked"
    judged = verdict(first, "one-change")
    assert (judged.outcome, judged.evidence.value) == ("fail", 2.0)
    assert judged.evidence.details["changes"] == {
        "features": ["+night"],
        "model": ["~tree"],
        "frame": ["+evaluate", "+promote"],
    }
    for gate in ("champion-slice: depot = north", "champion-slice: depot = south"):
        assert verdict(first, gate).outcome in ("pass", "fail")
        assert "among 2 slices" in verdict(first, gate).evidence.where

    told = json.loads(command(finished, "ablate", "--json"))
    assert [a["component"] for a in told["arms"]] == ["features", "model"]
    assert told["complete"]
    assert told["total"]["effect"] == pytest.approx(
        sum(a["effect"] for a in told["arms"]) + told["left_over"]["effect"]
    )
    arms = [r for r in finished.runs() if "ablation" in r.tags]
    assert [(r.run, r.status, r.tags["ablation"]) for r in arms] == [
        (a["run"], "stopped", a["component"]) for a in told["arms"]
    ]
    assert len([*finished.store.read(kinds=("seal.opened",))]) <= 2, "arms don't open the seal"
    again = finished.run()
    assert again.status == "released", again.problems
    assert again.name == "no change", "named against the run, not against an arm"
    assert "told apart by an ablation (features, model)" in verdict(again, "one-change").evidence.where
    assert "than champion" in command(finished, "release", "show")
    edit_spec(finished, ("max_depth: 3", "max_depth: 2"), ("  night: hour(at) >= 20\n", ""))
    assert verdict(finished.run(), "one-change").outcome == "fail", "an ablation holds for what it measured"


def test_two_changes_may_be_waived_or_the_question_left_out(finished: Project) -> None:
    edit_spec(finished, DEPTH_2, NIGHT, LENIENT)
    waiver = {
        "gate": "one-change",
        "reason": "one pull request",
        "by": "owner@example.com",
        "until": "2026-12-31",
    }
    assert finished.run(waive=[waiver]).status == "released"
    edit_spec(
        finished,
        ("max_depth: 2", "max_depth: 3"),
        NIGHT[::-1],
        ("margin: 0.9,", "margin: 0.9, one_change: false,"),
    )
    judged = verdict(finished.run(), "one-change")
    assert (judged.outcome, judged.reason) == ("not applicable", "promote.one_change is false")


def test_data_alone_name_a_run_and_are_an_arm(finished: Project) -> None:
    edit_spec(finished, LENIENT, ("ship_at: 0.3", "ship_at: 0.05"))
    edit_rows(finished, lambda row: None if int(row["parcel"]) < 120 else row)
    result = finished.run()
    assert result.name == "data: parcels -120 rows; frame: problem.ship_at 0.3 → 0.05 +promote"
    assert finished.show(result.run).name == result.name
    assert result.status == "released", result.problems
    edit_rows(finished, lambda row: None if int(row["parcel"]) < 240 else row)
    edit_spec(finished, DEPTH_2)
    assert verdict(finished.run(), "one-change").outcome == "fail"
    told = finished.ablate()
    assert [(a.component, a.effect is not None) for a in told.arms] == [("data", True), ("model", True)]
    data = finished.show(told.arms[0].run)
    assert data.summary["leaderboard"][0]["params"].get("max_depth") != 2


def test_an_arm_that_can_not_be_alone_says_so(finished: Project) -> None:
    """A feature over a column that only the new table has."""
    edit_rows(finished, lambda row: {**row, "weight": str(len(row["courier"]))})
    edit_spec(finished, ("  distance: distance\n", "  distance: distance\n  weight: weight\n"), LENIENT)
    assert verdict(finished.run(), "one-change").outcome == "fail"
    told = finished.ablate()
    arms = {a.component: a for a in told.arms}
    assert not arms["features"].separable
    assert "weight" in arms["features"].why_none
    assert arms["data"].effect is not None
    assert told.complete
    assert finished.run().status == "released"


def test_there_is_nothing_to_ablate(finished: Project, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="changed nothing"):
        finished.ablate()
    with pytest.raises(NotFound, match="no runs yet"):
        begin(tmp_path / "other").ablate()
    with pytest.raises(NotFound, match="no run 'run-9'"):
        finished.ablate("run-9")


def test_former_champions_are_a_bar_and_those_taken_down_are_none(finished: Project) -> None:
    first = finished.run().release
    edit_spec(finished, DEPTH_2, LENIENT)
    second = finished.run()
    assert verdict(second, "best-so-far").reason == "there was no champion before this one"
    edit_spec(finished, ("max_depth: 2", "max_depth: 3"))
    third = finished.run()
    assert third.status == "released"
    judged = verdict(third, "best-so-far")
    assert judged.evidence.where == f"against {first}, the former champion, on 238 rows"
    finished.rollback(reason="complaints")
    edit_spec(finished, ("max_depth: 3", "max_depth: 4"))
    fourth = verdict(finished.run(), "best-so-far")
    assert third.release not in fourth.evidence.details["gains"]
    edit_spec(finished, ("late > 30", "late > 25"))
    assert "predicts something else" in verdict(finished.run(), "best-so-far").reason


def test_rows_without_an_id_are_known_by_the_columns_that_both_tables_have(tmp_path: Path) -> None:
    """A new column renames no row: the champion was trained on every validation row of the turned split."""
    split = ("{by: time, validation: 20%, test: 20%}", "{by: column, column: part}")
    project = begin(tmp_path / "p", split, ("  id: parcel\n", ""), ('"unique(parcel)", ', ""), ("0.3", "0.1"))
    assert project.run().status == "released"
    turn = {"train": "validation", "validation": "train", "test": "test"}
    edit_rows(project, lambda row: {**row, "turned": turn[row["part"]], "extra": "1"})
    edit_spec(project, ("column: part", "column: turned"))
    judged = verdict(project.run(), "champion")
    assert judged.outcome == "unknown"
    assert "trained on every row" in judged.reason


def test_three_classes_and_numbers(tmp_path: Path, housing: Path) -> None:
    sliced = {"evaluate": {"slices": ["alcohol > 13"], "min_rows": 10}, "promote": {"margin": 0.9}}
    many = wine(tmp_path / "wine", sliced)
    assert many.run().status == "released"
    wine(tmp_path / "wine", {**sliced, "models": ["tree"]})
    result = many.run()
    assert result.name == "model: -linear"
    assert verdict(result, "champion").evidence.interval is not None
    assert verdict(result, "champion-slice: alcohol > 13").evidence.where
    lenient = {"evaluate": {"slices": ["ocean_proximity"], "min_rows": 20}, "promote": {"margin": 0.9}}
    priced = homes(tmp_path / "homes", housing, lenient, rows=600)
    assert priced.run().status == "released"
    homes(tmp_path / "homes", housing, {**lenient, "seed": 3}, rows=600)
    result = priced.run()
    assert result.name == "tuning: seed = 3"
    assert verdict(result, "champion").evidence.unit == "share of the champion's rmse"
    assert any(v.gate.startswith("champion-slice: ocean_proximity = ") for v in result.verdicts)


def test_own_code_is_a_component(fresh: Project) -> None:
    (fresh.root / "sources.py").write_text(SOURCE)
    (fresh.root / "helper.py").write_text("NUMBERS = ['parcel', 'distance', 'late']\n")
    edit_spec(fresh, ("{read: data/parcels.csv}", "{read: 'sources.py:parcels'}"))
    fresh.run()
    assert set(fresh.show().origin["code"]) == {"helper.py", "sources.py"}
    (fresh.root / "helper.py").write_text("NUMBERS = ['parcel', 'distance', 'late']  # numbers\n")
    assert fresh.run().name == "code: ~helper.py"
