"""From `evaluate.explain` to answers that say why: in files, over HTTP, for every kind of task."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from asgi_client import Client, answered
from spine import PATIENT, begin, command, edit_spec
from worlds import homes, wine

from headrace.core.codec import from_json
from headrace.core.errors import DataError
from headrace.explain.record import Explanations
from headrace.explain.reference import Reference
from headrace.project import Project


def some_rows(project: Project, file: str, count: int = 8) -> Path:
    """The first rows of a table, as a file to score."""
    lines = (project.root / "data" / file).read_text(encoding="utf-8").splitlines()
    out = project.root / "some.csv"
    out.write_text("\n".join(lines[: count + 1]) + "\n", encoding="utf-8")
    return out


def requests(project: Project, file: Path, client: Client) -> list[dict[str, Any]]:
    types = {f["name"]: f["type"] for f in client.get("/schema").json()["fields"]}
    with file.open(newline="") as f:
        rows = list(csv.DictReader(f))
    return [
        {n: None if r[n] == "" else float(r[n]) if t == "number" else r[n] for n, t in types.items()}
        for r in rows
    ]


def by_tensors(project: Project, client: Client, rows: list[dict[str, Any]], top: int) -> list[Any]:
    """The reasons, asked for by the Open Inference Protocol."""
    body = {
        "inputs": [
            {
                "name": name,
                "datatype": "BYTES" if any(isinstance(r[name], str) for r in rows) else "FP64",
                "shape": [len(rows)],
                "data": [r[name] for r in rows],
            }
            for name in rows[0]
        ],
        "parameters": {"explain": top},
    }
    (_, manifest) = project.release()
    told = client.post(f"/v2/models/{manifest.project}/infer", json=body).json()["outputs"]
    (why,) = [o for o in told if o["name"] == "why"]
    assert why["datatype"] == "BYTES"
    return [json.loads(text) for text in why["data"]]


def agree(project: Project, file: str, top: int) -> tuple[list[dict[str, Any]], dict[str, list[Any]]]:
    """Files and HTTP say the same, and both add up."""
    source, out = some_rows(project, file), project.root / "out.parquet"
    project.predict(source, out, explain=top)
    table = pq.read_table(out).to_pydict()
    client = Client(project.app())
    rows = requests(project, source, client)
    answers = client.post(f"/predict?explain={top}", json=rows).json()["predictions"]
    assert len(answers) == len(rows) == len(table["row"]) == 8
    assert by_tensors(project, client, rows, top) == [a["why"] for a in answers]
    for i, answer in enumerate(answers):
        why = answer["why"]
        told = [c["text"] for c in why["contributions"]]
        assert told == [table[f"why_{k + 1}"][i] for k in range(top)]
        assert why["base"] == pytest.approx(table["why_base"][i], abs=1e-9)
        assert why["rest"] == pytest.approx(table["why_rest"][i], rel=1e-6, abs=1e-6)
        sizes = [abs(c["contribution"]) for c in why["contributions"]]
        assert sizes == sorted(sizes, reverse=True)
        added = why["base"] + sum(c["contribution"] for c in why["contributions"]) + why["rest"]
        probability = answer.get("probability", answer["prediction"])
        if isinstance(probability, dict):
            assert why["of"] == answer["prediction"]
            probability = probability[answer["prediction"]]
        assert added == pytest.approx(probability, rel=1e-9)
    return answers, table


def explanations(project: Project) -> Explanations:
    digest = next(
        e.payload["output"]["outputs"]["explanations"]
        for e in project.store.read(kinds=("stage.finished",), newest_first=True)
        if e.payload["stage"] == "evaluate"
    )
    return from_json(project.store.get(digest).read_bytes(), Explanations)


def test_binary_with_lookups(finished: Project) -> None:
    answers, _ = agree(finished, "parcels.csv", 4)
    named = {c["column"] for a in answers for c in a["why"]["contributions"]}
    assert named == {"at", "depot", "distance", "weather.wind"}
    assert {a["why"]["of"] for a in answers} == {True}
    assert all(c["error"] == 0 for a in answers for c in a["why"]["contributions"])  # every subset asked
    found = explanations(finished)
    # lateness follows wind, depot and hour; distance has no say
    assert [i.name for i in found.columns][-1] == "distance"
    assert all(i.interval and i.interval.low > 0 for i in found.columns[:1])
    assert {i.name: i.linked for i in found.columns}["at"] == ("hour",)
    assert {c.name for c in found.curves} >= {"weather.wind", "depot", "hour"}
    assert found.sampled is not None and found.sampled.of == "true" and found.trees is None
    assert "tree" in found.why_no_trees


def test_three_classes(tmp_path: Path) -> None:
    project = wine(tmp_path)
    assert project.run().status == "released"
    agree(project, "wine.csv", 3)
    found = explanations(project)
    assert found.sampled is not None and (found.sampled.of, found.sampled.rows) == ("decided", found.rows)
    assert {c.of for c in found.curves} == {"class_0", "class_1", "class_2"}


def test_regression_with_trees(tmp_path: Path, housing: Path) -> None:
    project = homes(tmp_path, housing, {"models": [{"use": "boosting", "params": {"trees": 60}}]}, rows=600)
    assert project.run().status == "released"
    answers, _ = agree(project, "housing.csv", 5)
    assert {a["why"]["of"] for a in answers} == {None}
    found = explanations(project)
    assert found.trees is not None and found.trees.unit == "target" and "TreeSHAP" in found.trees.method
    assert found.sampled is not None
    # two ways to the same question agree on what matters most
    assert {e.name for e in found.trees.effects[:3]} & {e.name for e in found.sampled.effects[:3]}
    assert {i.name for i in found.columns[:4]} & {e.name for e in found.trees.effects[:3]}


def test_what_a_request_may_ask(finished: Project) -> None:
    client = Client(finished.app())
    (row, *_) = requests(finished, some_rows(finished, "parcels.csv"), client)
    assert "why" not in client.post("/predict", json=row).json()
    for path, body, named in (
        ("/predict", {**row, "explain": True}, 4),
        ("/predict", {**row, "explain": 2}, 2),
        ("/predict?explain", row, 4),
        ("/predict?explain=1", row, 1),
        ("/predict?explain=true", row, 4),
    ):
        assert len(client.post(path, json=body).json()["why"]["contributions"]) == named
    many = answered(client.post("/predict", json={"rows": [row, row], "explain": 1}))
    assert many[0] == many[1] and len(many[0]["why"]["contributions"]) == 1
    for path, body in (("/predict?explain=0", row), ("/predict?explain=false", row)):
        assert "why" not in client.post(path, json=body).json()
    for wrong in ("yes", -1, 1.5, [1], None):
        asked = {**row, "explain": wrong}
        assert client.post("/predict", json=asked).status_code == (200 if wrong is None else 422), wrong
    assert client.post("/predict?explain=many", json=row).status_code == 422
    assert client.post("/predict?explain=1", json=[row] * 101).status_code == 413
    assert client.get("/schema").json()["explain"]["of"].startswith("the class")


def test_the_command(finished: Project) -> None:
    out = finished.root / "out.csv"
    source = str(some_rows(finished, "parcels.csv"))
    given = ["predict", source, "-o", str(out)]
    result = command(finished, *given, "--explain", "--top", "2")
    assert result.exit_code == 0, result.output
    with out.open(newline="") as f:
        rows = list(csv.DictReader(f))
    assert list(rows[0])[-5:] == ["why_1", "why_2", "why_base", "why_rest", "release"]
    assert any(r["why_1"].startswith(("weather.wind = ", "at = ", "depot = ")) for r in rows)
    refused = command(finished, *given, "--top", "2")
    assert refused.exit_code != 0 and "--explain" in refused.output


def test_switched_off_nothing_is_kept_and_nothing_told(tmp_path: Path) -> None:
    project = begin(tmp_path / "p", PATIENT, ("cv: {folds: 3}", "cv: {folds: 3}\nevaluate: {explain: false}"))
    result = project.run()
    assert result.status == "released"
    assert not any("contributions" in s.output.outputs for s in result.stages if s.name == "learn")
    with pytest.raises(DataError, match="can't explain"):
        project.predict(some_rows(project, "parcels.csv"), tmp_path / "out.csv", explain=3)
    assert not (tmp_path / "out.csv").exists()
    client = Client(project.app())
    (row, *_) = requests(project, some_rows(project, "parcels.csv"), client)
    response = client.post("/predict?explain", json=row)
    assert response.status_code == 422 and "evaluate.explain" in json.dumps(response.json())
    assert client.get("/schema").json()["explain"] is None


def test_personal_columns_are_named_without_their_values(tmp_path: Path) -> None:
    project = begin(tmp_path / "p", PATIENT)
    edit_spec(
        project,
        ("  distance: distance\n", "  distance: distance\n  courier: courier\n"),
        ("  expect:", "  pii: {courier: {do: keep, why: the depots are asked}}\n  expect:"),
    )
    assert project.run().status == "released"
    source, out = some_rows(project, "parcels.csv"), project.root / "out.csv"
    project.predict(source, out, explain=5)
    text = out.read_text(encoding="utf-8")
    assert "courier (personal): " in text and "courier = " not in text
    client = Client(project.app())
    answer = client.post("/predict?explain=5", json=requests(project, source, client)[0]).json()
    (mine,) = [c for c in answer["why"]["contributions"] if c["column"] == "courier"]
    assert mine["personal"] and mine["value"] is None
    found = explanations(project)
    assert found.personal == ("courier",) and not [c for c in found.curves if c.name == "courier"]
    _, manifest = project.release()
    kept = from_json(project.store.get(manifest.serving.reference).read_bytes(), Reference)
    # 41 couriers share 720 training rows: fewer than 20 each
    assert set(kept.columns["courier"]) == {None} and kept.personal == ("courier",)


def test_explaining_loads_no_more_than_answering(finished: Project) -> None:
    source = some_rows(finished, "parcels.csv")
    code = f"""
import sys
from headrace.project import Project
Project({str(finished.root)!r}).predict({str(source)!r}, {str(finished.root / "o.csv")!r}, explain=3)
print([m for m in ("sklearn", "pandas", "scipy", "onnx", "lightgbm") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
