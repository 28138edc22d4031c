"""From `calibrate:` and `uncertainty:` in the spec to answers and files that say how sure they are."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from asgi_client import Client
from spine import PATIENT, begin
from worlds import homes, wine

from headrace.project import Project


def rows_of(project: Project, file: str, types: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a table as a caller sends them."""
    with (project.root / "data" / file).open(newline="") as f:
        return [{n: _value(row[n], str(t)) for n, t in types.items()} for row in csv.DictReader(f)]


def _value(text: str, kind: str) -> Any:
    return None if text == "" else float(text) if kind == "number" else text


def answered(project: Project, file: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Every row of a table over HTTP, and what the schema says."""
    client = Client(project.app())
    schema = client.get("/schema").json()
    types = {f["name"]: f["type"] for f in schema["fields"]}
    response = client.post("/predict", json=rows_of(project, file, types))
    assert response.status_code == 200, response.text
    return response.json()["predictions"], schema


def written(project: Project, file: str) -> dict[str, list[Any]]:
    """The same rows scored into a file."""
    out = project.root / "out.parquet"
    project.predict(project.root / "data" / file, out)
    return pq.read_table(out).to_pydict()


def test_three_classes_with_sets_and_abstention(tmp_path: Path) -> None:
    changes = {"models": ["linear"], "calibrate": "sigmoid", "uncertainty": {"level": 0.8, "abstain": True}}
    project = wine(tmp_path, changes)
    result = project.run()
    assert result.status == "released"
    answers, schema = answered(project, "wine.csv")
    table = written(project, "wine.csv")
    assert schema["calibration"] == "sigmoid"
    assert schema["uncertainty"] == {"level": 0.8, "abstain": True, "why_none": ""}
    assert set(schema["answer"]) == {"prediction", "probability", "release", "set", "abstain"}
    away = [a["abstain"] for a in answers]
    assert 0 < sum(away) < len(away)
    for i, answer in enumerate(answers):
        alone = len(answer["set"]) == 1
        assert answer["abstain"] is (not alone)
        assert answer["prediction"] == (answer["set"][0] if alone else None)
        assert table["prediction"][i] == answer["prediction"]
        assert table["abstain"][i] is answer["abstain"]
        held = [c for c in ("class_0", "class_1", "class_2") if table[f"set_{c}"][i]]
        assert held == answer["set"]
        assert sum(answer["probability"].values()) == pytest.approx(1.0)


def test_a_regression_with_intervals(tmp_path: Path, housing: Path) -> None:
    project = homes(tmp_path, housing, {"models": ["tree"], "uncertainty": {"level": 0.9}}, rows=600)
    assert project.run().status == "released"
    answers, schema = answered(project, "housing.csv")
    table = written(project, "housing.csv")
    assert set(schema["answer"]) == {"prediction", "release", "lower", "upper"}
    low, value, high = (np.array([a[n] for a in answers]) for n in ("lower", "prediction", "upper"))
    assert np.ptp(high - low) < 1e-6
    np.testing.assert_allclose((low + high) / 2, value)
    np.testing.assert_allclose(table["lower"], low)
    np.testing.assert_allclose(table["upper"], high)
    with (tmp_path / "data" / "housing.csv").open(newline="") as f:
        truth = np.array([float(r["median_house_value"]) for r in csv.DictReader(f)])
    assert 0.87 <= np.mean((low <= truth) & (truth <= high)) <= 0.99  # three fifths are training rows


def test_too_few_rows_for_the_level_are_said_and_open_both_ends(tmp_path: Path, housing: Path) -> None:
    project = homes(tmp_path, housing, {"models": ["linear"], "uncertainty": {"level": 0.999}}, rows=300)
    assert project.run().status == "released"
    answers, schema = answered(project, "housing.csv")
    assert "needs 999 independent units (errors: 180)" in schema["uncertainty"]["why_none"]
    assert {(a["lower"], a["upper"]) for a in answers} == {(None, None)}
    assert set(written(project, "housing.csv")["lower"]) == {None}


def test_two_classes_whose_decision_the_set_rules_out(tmp_path: Path) -> None:
    """Days are units here. A decision stands only where the set holds it and nothing else."""
    text = "models: [tree]\ncalibrate: isotonic\nuncertainty: {level: 0.8, abstain: true}"
    project = begin(tmp_path / "parcels", ("models: [tree]", text), PATIENT)
    assert project.run().status == "released"
    answers, schema = answered(project, "parcels.csv")
    assert schema["calibration"] == "isotonic"
    for answer in answers:
        kept = not answer["abstain"]
        assert (answer["prediction"] is not None) is kept
        if kept:
            assert answer["set"] == [answer["prediction"]]
    shares = np.mean([a["abstain"] for a in answers])
    assert 0 < shares < 1
