"""The evaluation through whole runs: gates, artifacts, what is cached and what is judged anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from spine import begin, edit_rows, edit_spec, statuses, verdict
from worlds import homes, wine

from headrace.checks.curves import Curves
from headrace.checks.errors import Errors
from headrace.checks.fairness import Fairness
from headrace.checks.learning_curve import LearningCurve
from headrace.checks.robustness import Robustness
from headrace.checks.slices import Slices
from headrace.cli.evaluation import evaluation_text
from headrace.core.codec import from_json
from headrace.core.errors import SpecError
from headrace.explain.record import Explanations
from headrace.explain.reference import Reference
from headrace.metrics.calibration import Reliability
from headrace.project import Project

RECORDS: dict[str, type] = {
    "slices": Slices,
    "fairness": Fairness,
    "errors": Errors,
    "curves": Curves,
    "calibration": Reliability,
    "robustness": Robustness,
    "learning_curve": LearningCurve,
    "explanations": Explanations,
    "reference": Reference,
}


def evaluate(project: Project, **keys: Any) -> None:
    """Set the spec's `evaluate:`."""
    file = project.root / "headrace.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    spec["evaluate"] = keys
    file.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")


def records(project: Project, result: Any) -> dict[str, Any]:
    """Every artifact of the stage, read back as its record."""
    outputs = next(s.output.outputs for s in result.stages if s.name == "evaluate")
    assert set(outputs) <= set(RECORDS)
    return {r: from_json(project.store.get(d).read_bytes(), RECORDS[r]) for r, d in outputs.items()}


@pytest.fixture
def parcels(tmp_path: Path) -> Project:
    return begin(tmp_path / "parcels", clock=None)


def test_two_classes(parcels: Project) -> None:
    evaluate(
        parcels,
        slices=["depot", "distance", "weather.wind > 12"],
        floor=">= 0.05",
        min_rows=30,
        fairness={"columns": ["depot", "courier"], "rules": {"selection_rate_ratio": ">= 0.01"}},
        robustness={"rules": {"missing": "<= 300%"}},
        calibration="<= 0.9",
        learning_curve=True,
    )
    result = parcels.run(raises=False)
    found = records(parcels, result)
    assert set(found) == set(RECORDS)
    slices = found["slices"]
    assert {"depot = north", "depot = south", "weather.wind > 12"} <= {s.name for s in slices.declared}
    rows = sum(s.rows for s in slices.declared if s.name.startswith("depot"))
    assert rows == next(iter(result.plain()["validation"].values()))["rows"]
    assert "hour(at) = 3" not in str(found["errors"].worst)  # raw columns only
    assert {"at", "distance", "weather.wind", "late"} <= set(found["errors"].worst[0].cells)
    faults = {f.what for f in found["robustness"].faults}
    assert {"weather.wind", "at", "weather (every column)", "distance × 0.9"} <= faults
    assert found["curves"].chosen is not None
    assert verdict(result, "slice: depot = north").outcome == "pass"
    assert verdict(result, "calibration").outcome == "pass"
    assert verdict(result, "robustness: missing").outcome == "pass"
    small = verdict(result, "fairness: courier selection_rate_ratio")
    assert small.outcome == "unknown"
    assert "courier = c" in small.reason
    assert result.status == "blocked"
    text = evaluation_text(result.plain())
    for part in (
        "worst declared slices",
        "depot = north",
        "share lost",
        "calibration error",
        "learning curve of",
    ):
        assert part in text
    assert "measures unknown, such as" in text
    told = result.plain()["evaluation"]
    assert told["learning_curve"]["says"] in ("more data", "a richer model", "neither", "unknown")


def test_a_floor_that_moves_is_judged_anew_and_measured_once(parcels: Project) -> None:
    evaluate(parcels, slices=["depot"], floor=">= 0.05", min_rows=30)
    first = parcels.run(raises=False)
    assert first.status == "released"
    edit_spec(parcels, (">= 0.05", ">= 0.99"))
    second = parcels.run(raises=False)
    assert statuses(second)["evaluate"] == "cached"
    assert verdict(second, "slice: depot = south").outcome == "fail"
    assert second.status == "blocked"
    waiver = {"reason": "known", "by": "ana@example.com", "until": "2030-01-01"}
    names = ["slice: depot = north", "slice: depot = south"]
    third = parcels.run(waive=[{"gate": n, **waiver} for n in names], raises=False)
    assert third.status == "released"
    wrong = parcels.run(waive=[{"gate": "slice: carrier = AA", **waiver}], raises=False)
    assert "nothing is judged as" in wrong.problems[0].what


def test_the_same_inputs_give_the_same_artifacts(tmp_path: Path) -> None:
    outputs = []
    for name in ("one", "two"):
        project = begin(tmp_path / name)
        evaluate(project, slices=["depot"], robustness={}, min_rows=30, fairness={"columns": ["depot"]})
        result = project.run(raises=False)
        outputs.append(next(s.output.outputs for s in result.stages if s.name == "evaluate"))
    assert outputs[0] == outputs[1]


def test_personal_columns_are_never_shown(parcels: Project) -> None:
    file = parcels.root / "headrace.yaml"
    spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    spec["data"]["pii"] = {"depot": {"do": "keep", "why": "a test"}}
    file.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    found = records(parcels, parcels.run(raises=False))
    assert found["errors"].hidden == ("depot",)
    assert all("depot" not in r.cells for r in found["errors"].worst)
    assert "depot" not in str(found["slices"].search)


def test_a_slice_that_is_bad_blocks_by_name(parcels: Project) -> None:
    """In the south one parcel in six is late, whatever the hour and the wind."""

    def muddle(row: dict[str, str]) -> dict[str, str]:
        if row["depot"] == "south" and row["late"]:
            row["late"] = str((int(row["parcel"]) * 7919) % 37)
        return row

    edit_rows(parcels, muddle)
    evaluate(parcels, slices=["depot"], floor=">= 0.35", min_rows=30)
    terms = {"reason": "half of it is muddled", "by": "ana@example.com", "until": "2030-01-01"}
    result = parcels.run(waive=[{"gate": g, **terms} for g in ("beats-naive", "beats-today")], raises=False)
    assert verdict(result, "slice: depot = south").outcome == "fail"
    assert verdict(result, "slice: depot = north").outcome == "pass"
    assert [p.what for p in result.problems] == ["gate 'slice: depot = south' failed"]


def test_three_classes(tmp_path: Path) -> None:
    project = wine(
        tmp_path,
        {
            "evaluate": {
                "slices": ["alcohol > 13"],
                "floor": ">= 0.1",
                "min_rows": 10,
                "fairness": {"columns": ["kind"], "rules": {"selection_rate_ratio": ">= 0.1"}},
                "robustness": {},
                "learning_curve": True,
            }
        },
    )
    result = project.run(raises=False)
    found = records(project, result)
    assert set(found) == set(RECORDS)
    assert len(found["curves"].classes) == 3
    assert verdict(result, "fairness: kind selection_rate_ratio of class_0").outcome in ("fail", "unknown")
    assert found["slices"].search.why_none


def test_a_regression(tmp_path: Path, housing: Path) -> None:
    project = homes(
        tmp_path,
        housing,
        {
            "evaluate": {
                "slices": ["ocean_proximity"],
                "floor": "<= 200000",
                "fairness": {"columns": ["median_income"], "rules": {"absolute_error_ratio": ">= 0.1"}},
                "robustness": {"rules": {"noise": "<= 100%"}},
                "learning_curve": True,
            },
            "models": ["linear"],
        },
    )
    result = project.run(raises=False)
    found = records(project, result)
    assert set(found) == set(RECORDS) - {"calibration"}
    assert verdict(result, "slice: ocean_proximity = INLAND").outcome == "pass"
    assert verdict(result, "fairness: median_income absolute_error_ratio").outcome == "pass"
    assert verdict(result, "robustness: noise").outcome == "pass"
    assert found["learning_curve"].statement == "a richer model"
    assert any("total_bedrooms" in s.name for s in found["errors"].by_missing)


MISTAKES = [
    ({"slices": ["dpot"]}, "dpot", "depot"),
    ({"slices": ["at"]}, "is a time", "dayofweek"),
    ({"slices": ["depot", "depot"]}, "twice", ""),
    ({"slices": ["depot"], "floor": "<= 0.3"}, "wrong way", ">= 0.3"),
    ({"floor": ">= 0.3"}, "no slice", "declare slices"),
    ({"fairness": {"columns": ["weather.wind"]}}, "no column 'weather.wind'", ""),
    ({"fairness": {"columns": ["at"]}}, "is a time", ""),
    (
        {"fairness": {"columns": ["depot"], "rules": {"tpr_diference": "<= 0.1"}}},
        "tpr_diference",
        "tpr_difference",
    ),
    ({"fairness": {"columns": ["depot"], "rules": {"error_difference": "<= 0.1"}}}, "error_difference", ""),
    ({"fairness": {"columns": ["depot"], "rules": {"tpr_ratio": "<= 0.8"}}}, "wrong way", ">= 0.8"),
    ({"robustness": {"rules": {"mising": "<= 0.1"}}}, "mising", "missing"),
    ({"robustness": {"missing": False, "rules": {"missing": "<= 0.1"}}}, "not tried", ""),
    ({"robustness": {"rules": {"noise": ">= 0.1"}}}, "wrong way", "<= 0.1"),
    ({"robustness": {"scale": [float("inf")]}}, "finite", ""),
    ({"calibration": ">= 0.1"}, "wrong way", "<= 0.1"),
]


@pytest.mark.parametrize(("keys", "what", "fix"), MISTAKES)
def test_mistakes_are_told_before_any_work(
    parcels: Project, keys: dict[str, Any], what: str, fix: str
) -> None:
    evaluate(parcels, **keys)
    with pytest.raises(SpecError) as told:
        parcels.check()
    problem = told.value.problems[0]
    assert len(told.value.problems) == 1
    assert what in problem.what
    assert fix in problem.fix
    assert "headrace.yaml" in problem.where


def test_what_a_regression_cannot_have_is_refused(tmp_path: Path, housing: Path) -> None:
    fairness = {"columns": ["median_income"], "rules": {"tpr_ratio": ">= 0.8"}}
    project = homes(tmp_path, housing, {"evaluate": {"calibration": "<= 0.1", "fairness": fairness}})
    with pytest.raises(SpecError) as told:
        project.check()
    assert {p.what.split(" ")[0] for p in told.value.problems} == {"fairness", "evaluate.calibration"}
