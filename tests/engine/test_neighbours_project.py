"""Neighbours from the spec to a served release: three tasks; mistakes are told before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.core.errors import SpecError
from headrace.project import Project
from tests.spine import begin
from tests.worlds import homes, wine

PARITY = ("parity: scores", "parity: decisions")


def released(project: Project) -> None:
    run = project.run()
    assert run.status == "released"
    verdicts = {v.gate: v.outcome for v in run.verdicts}
    assert all(verdicts[gate] == "pass" for gate in PARITY)


def test_districts(tmp_path: Path, housing: Path) -> None:
    near: dict[str, Any] = {
        **{"of": ["latitude", "longitude"], "k": [3, 8], "clusters": 4},
        **{"stats": ["mean", "linear", "difference"], "columns": ["median_income", "total_bedrooms"]},
    }
    project = homes(tmp_path, housing, {"features": {"near": {"neighbours": near}}}, rows=500)
    released(project)


def test_wines(tmp_path: Path) -> None:
    near = {"of": ["alcohol", "hue"], "k": 8, "stats": ["mean", "weighted"]}
    released(wine(tmp_path, {"features": {"near": {"neighbours": near}}}))


def test_parcels(tmp_path: Path) -> None:
    near = "neighbours: {of: [hour(at), distance], k: [5, 15], stats: [mean, distance]}"
    released(begin(tmp_path, ("  distance: distance\n", f"  distance: distance\n  near:\n    {near}\n")))


@pytest.mark.parametrize(
    ("near", "told"),
    [
        ({"of": ["latitud"]}, "latitude"),
        ({"of": ["ocean_proximity"]}, "neighbours are of numbers"),
        ({"of": ["latitude"], "columns": ["ocean_proximity"]}, "neighbours are of numbers"),
        ({"of": ["median_house_value"]}, "uses the target's column"),
        ({"of": ["latitude"], "columns": ["median_house_value / 2"]}, "uses the target's column"),
        ({"of": ["1"]}, "reads no column"),
        ({"of": []}, "at least one entry"),
        ({"of": ["latitude"], "k": 0}, "a number of at least 1"),
        ({"of": ["latitude"], "k": [3, -1]}, "a number of at least 1"),
        ({"of": ["latitude"], "k": []}, "at least one entry"),
        ({"of": ["latitude"], "stats": ["median"]}, "did you mean 'mean'"),
        ({"of": ["latitude"], "stats": ["difference"]}, "difference is of columns"),
        ({"of": ["latitude"], "target": False}, "nothing is asked"),
        ({"of": ["latitude"], "target": False, "clusters": 1}, "of at least 2"),
        ({"of": ["latitude"], "target": False, "columns": ["households"], "bandwidth": 1.0}, "bandwidth"),
        ({"of": ["latitude"], "bandwidth": 0.0}, "above 0"),
        ({"of": ["latitude"], "points": 60_000}, "of at most 50000"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, housing: Path, near: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError) as caught:
        homes(tmp_path, housing, {"features": {"near": {"neighbours": near}}}, rows=100).check()
    assert told in str(caught.value)
    assert "headrace.yaml:" in str(caught.value)
    assert len(caught.value.problems) == 1


def test_what_a_class_can_not_be_asked(tmp_path: Path) -> None:
    near = {"of": ["alcohol"], "stats": ["std"]}
    with pytest.raises(SpecError, match="std of a class says nothing"):
        wine(tmp_path, {"features": {"near": {"neighbours": near}}}).check()
