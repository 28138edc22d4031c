"""Histories in a release: training, single requests, files and HTTP have the same values."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv as pa_csv
import pytest
from asgi_client import Client
from spine import PATIENT, begin, verdict
from test_answer import same

from headrace.core.codec import from_plain
from headrace.engine.memo import recall
from headrace.graph.run import Runner
from headrace.project import Project
from headrace.serve.answer import Answerer
from headrace.serve.describe import describe

KNOWN = ("parcels: {read: data/parcels.csv}", "parcels: {read: data/parcels.csv, known_at: told}")
FEATURES = (
    "  wind: weather.wind\n",
    """  wind: weather.wind
  gust: {aggregate: max(wind), over: weather, by: depot, window: [3 h, 1 day]}
  calm: {aggregate: "share(wind < 5)", over: weather, window: 12 h, where: wind is not null}
  delay: {aggregate: avg(late), by: depot, window: [6 h, 2 days]}
  courier: {aggregate: last(late), by: [courier, depot]}
  spread: {aggregate: "quantile(late, 0.8)", by: depot, window: 1 day}
  pause: {aggregate: since_last(), by: courier}
  trend: history.delay_6h - history.delay_2d
""",
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Parcels whose lateness is told up to two days later, and a release that reads histories of it."""
    made = begin(tmp_path_factory.mktemp("histories") / "parcels", KNOWN, FEATURES, PATIENT)
    file = made.root / "data" / "parcels.csv"
    with file.open(newline="") as f:
        rows = list(csv.DictReader(f))
    for i, row in enumerate(rows):
        told = datetime.fromisoformat(row["at"]) + timedelta(minutes=17 * (i % 170))
        row["told"] = told.isoformat() if i % 31 else ""
    with file.open("w", newline="") as f:
        out = csv.DictWriter(f, list(rows[0]))
        out.writeheader()
        out.writerows(rows)
    result = made.run()
    assert result.status == "released"
    assert verdict(result, "parity: scores").outcome == "pass"
    assert verdict(result, "lineage").outcome == "pass"
    yield made
    made.store.close()  # type: ignore[attr-defined]  # the embedded store's


def requests(project: Project, count: int = 240) -> list[dict[str, Any]]:
    """The last rows of the events table, as a caller would send them."""
    with (project.root / "data" / "parcels.csv").open(newline="") as f:
        rows = list(csv.DictReader(f))[-count:]
    return [
        {"at": r["at"], "depot": r["depot"], "courier": r["courier"], "distance": float(r["distance"])}
        for r in rows
    ]


def test_training_rows_and_requests_have_the_same_features(project: Project) -> None:
    """The matrix of training, through the model alone, against answers for the same rows."""
    found, manifest = project.release(None)
    outputs = recall(project.store, manifest.stages["features"]).outputs
    split = recall(project.store, manifest.stages["split"]).outputs
    learned = recall(project.store, manifest.stages["learn"]).outputs
    parts = np.load(project.store.get(split["parts"]))
    model = Runner(project.store.get(learned["model"]))
    answers = Answerer(project.store, manifest.serving, found.release).answer(requests(project, len(parts)))
    answered = np.array([a["probability"] for a in answers])
    for number, part in enumerate(("train", "validation")):
        X = np.load(project.store.get(outputs[f"X_{part}"]))
        assert len(X) > 200 and 0.2 < np.isnan(X).any(axis=1).mean() < 1
        assert np.allclose(model.run({"features": X})["probability"], answered[parts == number], rtol=1e-9)


def test_requests_files_and_http_agree(project: Project, tmp_path: Path) -> None:
    found, manifest = project.release(None)
    answerer = Answerer(project.store, manifest.serving, found.release)
    sent = requests(project)
    one_by_one = [answerer.answer([row])[0] for row in sent]
    assert same(one_by_one, answerer.answer(sent))
    assert len({a["probability"] for a in one_by_one}) > 10
    client = Client(project.app())
    assert same(client.post("/predict", json=sent).json()["predictions"], one_by_one)
    file = tmp_path / "new.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in sent))
    scored = project.predict(file, tmp_path / "out.csv")
    assert scored.rejected == 0
    table = pa_csv.read_csv(tmp_path / "out.csv").to_pydict()
    told = [
        {"prediction": p, "probability": q, "release": found.release}
        for p, q in zip(table["prediction"], table["probability"], strict=True)
    ]
    assert same(told, one_by_one)


def test_a_key_that_nobody_knows_and_a_moment_before_everything(project: Project) -> None:
    found, manifest = project.release(None)
    answerer = Answerer(project.store, manifest.serving, found.release)
    row = {"at": "1999-01-01T00:00:00Z", "depot": "west", "courier": None, "distance": 3.0}
    for sent in (row, {**row, "at": None}, {**row, "at": "2090-01-01T00:00:00Z"}):
        assert 0 <= answerer.answer([sent])[0]["probability"] <= 1
    past = answerer._filled.pasts[0]
    asked = {"depot": "west", "courier": None}
    assert set(past.find(asked, 0).values()) <= {None, 0.0}


def test_the_schema_says_what_is_computed(project: Project) -> None:
    found, manifest = project.release(None)
    told = describe(manifest, found.release)
    lines = {h["name"]: h["is"] for h in told["histories"]}
    assert lines["history.delay_6h"] == "avg(late) of parcels by depot over 6 h"
    assert lines["history.spread"] == "quantile(late, 0.8) of parcels by depot over 1 days"
    assert {f["name"] for f in told["fields"] if f["key"]} == {"courier", "depot"}
    assert from_plain(json.loads(json.dumps(told["fields"])), list)
