"""Runs, releases and scripts' runs side by side, with significance where there are rows to claim it from."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from spine import edit_rows, edit_spec

from headrace.cli.root import cli
from headrace.core.errors import NotFound, UserError
from headrace.project import Project

DEPTH_1 = ("[tree]", "[{use: tree, params: {max_depth: 1}}]")


def test_spec_data_artifacts_and_significance(finished: Project) -> None:
    champion = finished.releases().champion
    assert champion is not None
    edit_spec(finished, DEPTH_1)
    edit_rows(finished, lambda row: {**row, "extra": "1"})
    finished.run()
    found = finished.compare("champion", "run-1", "run-2")
    assert [c["components"] for c in found["changes"]] == [
        {},
        {"data": ["+parcels.extra"], "model": ["~tree"]},
    ]
    assert found["data"]["parcels"] == {"rows": [1200] * 3, "same": False, "columns": [[], [], ["extra"]]}
    assert found["data"]["weather"]["same"]
    assert found["artifacts"]["ingest.weather"] is True
    assert found["artifacts"]["package.graph"] is False
    same, other = found["paired"]
    assert (same["value"], same["says"]) == (0.0, "not told apart")
    assert (other["metric"], other["rows"], other["units"]) == ("f1", 238, 13)
    values = found["metrics"]["f1"]
    assert other["values"] == pytest.approx([values[0]["value"], values[2]["value"]])
    assert other["interval"]["low"] <= other["value"] <= other["interval"]["high"]
    assert other["value"] == pytest.approx(other["values"][1] / other["values"][0] - 1)
    text = CliRunner().invoke(cli, ["compare", "-C", str(finished.root), "run-1", "run-2"]).stdout
    assert "spec: data: +parcels.extra; model: ~tree" in text
    assert "on 238 validation rows (13 units) that neither was trained on" in text
    (finished.root / "headrace.yaml").write_text("half a sp: [ec")
    assert finished.compare("run-1", "run-2")["paired"] == [{**other, "against": "run-1"}]


def test_scripts_are_compared_without_a_claim(finished: Project) -> None:
    for rate in (0.1, 0.2):
        with finished.track(f"rate {rate}") as run:
            run.log_params({"rate": rate, "kind": "mine"})
            run.log_metrics(f1=rate * 3)
    found = finished.compare("run-2", "run-3", "run-1")
    assert found["kinds"] == ["script", "script", "spine"]
    assert found["params"] == {"rate": [0.1, 0.2, None], "kind": ["mine", "mine", None]}
    assert [m["value"] for m in found["metrics"]["f1"][:2]] == pytest.approx([0.3, 0.6])
    assert [p["says"] for p in found["paired"]] == ["not compared"] * 2
    assert all("script's run" in p["why_none"] for p in found["paired"])
    text = CliRunner().invoke(cli, ["compare", "-C", str(finished.root), "run-2", "run-3"]).stdout
    assert "no significance claimed" in text


def test_what_can_not_be_compared(finished: Project) -> None:
    with pytest.raises(UserError, match="nothing to compare"):
        finished.compare("run-1")
    with pytest.raises(NotFound, match="no run 'run-9'"):
        finished.compare("run-1", "run-9")
    edit_spec(finished, ("late > 30", "late > 25"))
    finished.run()
    (claim,) = finished.compare("run-1", "run-2")["paired"]
    assert "predicts something else (late > 30)" in claim["why_none"]
    done = CliRunner().invoke(cli, ["compare", "-C", str(finished.root), "run-1", "run-2", "--json"])
    assert json.loads(done.stdout)["paired"] == [claim]
