"""One rich spec a task kind: as many features at once as make sense, through a whole run and back."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from spine import Clock, begin, statuses, verdict
from worlds import homes, wine

from headrace.core.evidence import Evidence
from headrace.engine.result import RunResult
from headrace.project import Project
from headrace.serve.answer import Answerer

ALWAYS: dict[str, Any] = {
    "problem": {
        "use": "a batch every night",
        "supervision": "supervised: what happened is written down on the next day",
        "go": {"decided_by": "boss@example.com", "on": dt.date(2026, 1, 1), "expires": dt.date(2030, 1, 1)},
    },
    "cv": {"folds": 3},
    "tune": {"method": "bayesian", "trials": 2, "shortlist": 1},
    "uncertainty": {"level": 0.9},
    "promote": {"margin": 0.2, "slice_margin": 0.5},
    "limits": {"latency": "200 ms", "size": "50 MB"},
    "context": {"team": 1, "maturity": "starting", "constraints": ["one machine"]},
    "watch": {"window": "1 day", "off": ["cost"], "health": {"p99": "50 ms"}},
    "alerts": {"budget": "2 per month", "to": [{"email": "owner@example.com"}]},
    "policy": {
        "reactions": [
            {"on": "any", "do": "retrain", "least": 2},
            {"on": "schedule", "cron": "0 3 1 * *", "do": "retrain"},
        ]
    },
}

BINARY: dict[str, Any] = {
    "problem": {
        "metric": "average_precision",
        "goal": "maximise precision subject to recall >= 0.2",
        "ship_at": {"average_precision": ">= 0.2", "precision": ">= 0.2"},
        "value": {"true_positive": 4, "false_positive": -1, "false_negative": -2, "unit": "EUR"},
        "columns": {"distance": "kilometres by road", "weather.wind": "metres a second"},
        "assumptions": [{"text": "wind is known", "check": "null_share(weather.wind) <= 0.2"}],
    },
    "data": {
        "pii": {"part": "drop"},
        "population": {"depot": {"shares": {"north": 0.5, "south": 0.5}, "within": 0.2}},
        "tables": {"weather": {"max_age": "2000 days"}},
    },
    "clean": {
        "columns": {
            "weather.wind": {"flag": True, "fill": "median"},
            "distance": {"clip": [0.01, 0.99], "cap": 49},
            "depot": {"trim": True, "case": "lower"},
        },
        "rows": {"duplicates": ["parcel"], "drop": ["late > 500"], "outliers": ["distance"]},
        "forward_fill": {"weather": ["wind"]},
    },
    "inspect": {"allow": {"random-over-time": "the split is by time"}},
    "models": ["linear", "tree", "xgboost"],
    "ensemble": "blend",
    "calibrate": "sigmoid",
    "evaluate": {
        "slices": ["depot", "distance > 25"],
        "floor": ">= 0.01",
        "search": True,
        "min_rows": 30,
        "fairness": {"columns": ["depot"], "rules": {"selection_rate_ratio": ">= 0.01"}},
        "robustness": {"noise": [0.1], "scale": [1.1], "rules": {"noise": "<= 95%"}},
        "calibration": "<= 0.5",
        "learning_curve": True,
    },
}

CLASSES: dict[str, Any] = {
    "problem": {
        "ship_at": 0.5,
        "columns": {"alcohol": "per cent by volume"},
        "assumptions": [{"text": "nothing is missing", "check": "null_share(alcohol) == 0"}],
    },
    "data": {"expect": ["unique(id)", "alcohol between 5 and 20"]},
    "clean": {
        "columns": {"alcohol": {"clip": "iqr", "flag": True, "fill": "mean"}},
        "rows": {"duplicates": True},
    },
    "models": ["linear", "extra_trees", "catboost"],
    "ensemble": "stack",
    "calibrate": "sigmoid",
    "uncertainty": {"level": 0.9, "abstain": True},
    "evaluate": {
        "slices": ["alcohol > 13"],
        "floor": ">= 0.01",
        "search": False,
        "min_rows": 10,
        "fairness": {"columns": ["kind"]},
        "robustness": {"noise": [0.1], "scale": [1.1], "rules": {"noise": "<= 95%"}},
        "calibration": "<= 0.9",
        "learning_curve": True,
    },
}

QUANTITY: dict[str, Any] = {
    "problem": {
        "today": {"rule": "median_income * 45000"},
        "ship_at": {"rmse": "<= 0.99 * today", "r2": ">= 0.2"},
        "columns": {"median_income": "in 10,000 USD"},
        "assumptions": [{"text": "bedrooms are known", "check": "null_share(total_bedrooms) <= 0.1"}],
    },
    "data": {
        "population": {"ocean_proximity = 'INLAND'": {"shares": {"true": 0.32, "false": 0.68}, "within": 0.2}}
    },
    "clean": {
        "columns": {
            "total_bedrooms": {"clip": [0.001, 0.999], "flag": True, "fill": "median"},
            "housing_median_age": {"cap": 52},
            "ocean_proximity": {"trim": True, "case": "lower"},
        },
        "rows": {"drop": ["median_house_value >= 500001"], "outliers": ["population"]},
    },
    "inspect": {"allow": {"capped-target": "the census cut it"}},
    "models": ["linear", "tree"],
    "ensemble": "blend",
    "evaluate": {
        "slices": ["ocean_proximity = 'INLAND'", "median_income"],
        "floor": "<= 300000",
        "search": True,
        "min_rows": 20,
        "fairness": {"columns": ["ocean_proximity"]},
        "robustness": {"noise": [0.1], "scale": [1.1], "rules": {"noise": "<= 95%"}},
    },
}


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        k: merged(first[k], v)
        for k, v in second.items()
        if isinstance(v, Mapping) and isinstance(first.get(k), Mapping)
    }
    return {**first, **second, **both}


def change(project: Project, changes: Mapping[str, Any]) -> None:
    file = project.root / "headrace.yaml"
    spec = merged(yaml.safe_load(file.read_text(encoding="utf-8")), changes)
    file.write_text(yaml.safe_dump(spec, sort_keys=False, allow_unicode=True), encoding="utf-8")


@dataclass(frozen=True)
class World:
    """A rich project before its first run. `table` is its events' file; `strict` a floor that nobody
    reaches."""

    project: Project
    table: Path
    strict: str


@pytest.fixture(params=["binary", "classes", "quantity"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    folder = tmp_path / "project"
    if request.param == "binary":
        project = begin(folder, clock=Clock())
        change(project, merged(ALWAYS, BINARY))
        return World(project, folder / "data" / "parcels.csv", ">= 0.9999")
    if request.param == "classes":
        project = wine(folder, merged(ALWAYS, CLASSES), clock=Clock())
        return World(project, folder / "data" / "wine.csv", ">= 0.9999")
    file = request.getfixturevalue("housing")
    project = homes(folder, file, merged(ALWAYS, QUANTITY), rows=800, clock=Clock())
    return World(project, folder / "data" / "housing.csv", "<= 0.5")


def readable(path: Path) -> bool:
    """Whether an artifact is what it should be: Parquet, arrays, a graph, or JSON."""
    data = path.read_bytes()
    if data[:4] == b"PAR1":
        return pq.read_metadata(path).num_columns > 0
    if data[:2] == b"PK":
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return len(arrays.files) > 0
    if data[:6] == b"\x93NUMPY":
        return np.load(io.BytesIO(data), allow_pickle=False) is not None
    if data[:1] in b"{[":
        return json.loads(data) is not None
    import onnx

    onnx.checker.check_model(onnx.load_from_string(data))
    return True


EXPECTED = {
    "features": {"cleaning", "graph", "X_train", "X_validation", "y_train", "y_validation"},
    "inspect": {"findings", "profile"},
    "learn": {"model", "scores", "search"},
    "package": {"graph"},
    "evaluate": {"slices", "fairness", "robustness", "errors"},
}


def outputs(project: Project) -> dict[str, dict[str, str]]:
    return {
        e.payload["stage"]: dict(e.payload["output"]["outputs"])
        for e in project.store.read(kinds=("stage.finished",))
    }


def test_everything_at_once(world: World, tmp_path: Path) -> None:
    project = world.project
    project.check()
    result = project.run()
    assert result.status == "released", [str(p) for p in result.problems]
    kept = outputs(project)
    for stage, roles in EXPECTED.items():
        assert roles <= set(kept[stage]), stage
    for stage, made in kept.items():
        for role, digest in made.items():
            assert readable(project.store.get(digest)), f"{stage}: {role}"
    judged = {v.gate.partition(":")[0] for v in result.verdicts}
    assert {"slice", "robustness", "ship-at", "assumption", "go", "leakage"} <= judged

    again = project.run()
    assert set(statuses(again).values()) == {"cached"}
    assert again.status == "released"
    assert measured(again) == measured(result)

    served_as_scored(world, tmp_path)

    change(project, {"evaluate": {"floor": world.strict}})
    blocked = project.run()
    assert blocked.status == "blocked"
    assert any(p.what.startswith("gate 'slice: ") or "slice: " in str(p) for p in blocked.problems)
    ran = {n for n, status in statuses(blocked).items() if status == "ran"}
    assert ran <= {"frame"}, "a bar is judged anew; nothing is learned for it"
    assert verdict(blocked, "beats-naive").evidence == verdict(result, "beats-naive").evidence


def measured(result: RunResult) -> list[Evidence]:
    """What was measured, but for ages and for what depends on the champion, which the first run made."""
    return [v.evidence for v in result.verdicts if v.stage != "promote" and not v.gate.startswith("fresh")]


def served_as_scored(world: World, folder: Path) -> None:
    """One row asked for alone has the numbers that the file's row has."""
    project = world.project
    view, manifest = project.release()
    done = project.predict(world.table, folder / "scored.csv")
    assert done.rejected == 0
    with (folder / "scored.csv").open(newline="") as f:
        scored = list(csv.DictReader(f))
    with world.table.open(newline="") as f:
        rows = list(csv.DictReader(f))
    answerer = Answerer(project.store, manifest.serving, view.release)
    types = answerer.types
    for at in (0, 17, len(rows) // 2):
        sent = {n: typed(rows[at][n], kind.value) for n, kind in types.items()}
        (answer,) = answerer.answer([sent])
        line = scored[at]
        for column, value in flat(answer).items():
            assert column in line, f"{column} is served and not scored"
            if isinstance(value, float):
                assert float(line[column]) == pytest.approx(value, rel=1e-12), column
            else:
                assert line[column] == value, column


def flat(answer: Mapping[str, Any]) -> dict[str, float | str]:
    """An answer as the columns of a scored file."""
    found: dict[str, float | str] = {}
    for name, value in answer.items():
        if name == "probability" and isinstance(value, Mapping):
            found |= {f"probability_{c}": p for c, p in value.items()}
        elif name == "set":
            continue  # the file has a column for each class
        elif isinstance(value, bool):
            found[name] = str(value).lower()
        else:
            found[name] = (
                "" if value is None else float(value) if isinstance(value, int | float) else str(value)
            )
    return found


def typed(text: str, kind: str) -> Any:
    if text == "":
        return None
    return float(text) if kind == "number" else text
