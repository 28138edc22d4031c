"""Cleaning through whole runs of the three kinds of task: one graph for training and serving, constants of
the training rows alone, rows left out of train alone, and mistakes told before any work."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from spine import SPEC, begin, edit_rows, edit_spec, verdict
from worlds import homes, wine

from headrace.core.codec import from_json
from headrace.core.errors import SpecError
from headrace.core.task import Kind
from headrace.engine.stages.ingest import snapshots_of
from headrace.engine.stages.package import serving_of
from headrace.features.clean import CleaningReport
from headrace.graph.run import Runner
from headrace.project import Project
from headrace.serve.answer import Answerer

CLEAN = """clean:
  columns:
    distance: {cap: 60, clip: [0.01, 0.98], flag: true, fill: median}
    carrier: {trim: true, case: lower, flag: true, fill: unknown}
    booked: {trim: true, parse: "%d %b %Y", flag: true, fill: mode}
    weather.wind: {clip: iqr, flag: true, fill: mean}
  rows: {duplicates: [distance, depot], drop: ["late > 55"], outliers: [distance]}
  forward_fill: {weather: [wind]}
"""
PARCELS = (
    ("split: {by: time, validation: 20%, test: 20%}", CLEAN + "split: {by: column, column: part}"),
    (
        "  distance: distance\n",
        "  distance: distance\n  carrier: carrier\n  booked: month(booked)\n"
        "  ahead: date_diff('day', booked, at)\n",
    ),
)
MONTHS = ("jan", "Feb", "MAR", "April", "13")


def dirty(row: dict[str, str]) -> dict[str, str]:
    """Caps, nulls, spaces, other cases, odd dates; the same for the same parcel."""
    draw = np.random.default_rng(int(row["parcel"]))
    distance = "60" if draw.random() < 0.05 else "" if draw.random() < 0.1 else row["distance"]
    distance = "900" if draw.random() < 0.01 else distance
    name = draw.choice(["Ups", "ups ", " UPS", "\u00a0dhl", "DHL", "  ", ""])
    booked = f"{draw.integers(1, 31)} {draw.choice(MONTHS)} 2023"
    return {
        **row,
        "distance": distance,
        "carrier": str(name),
        "booked": str(draw.choice([booked, f" {booked} "])),
    }


def parcels(folder: Path, _housing: Path) -> Project:
    project = begin(folder, rows=900)
    edit_rows(project, dirty)
    edit_spec(project, *PARCELS)
    return project


def wines(folder: Path, _housing: Path) -> Project:
    cleaning = {
        "columns": {
            "alcohol": {"clip": [0.05, 0.95], "flag": True, "fill": "mean"},
            "hue": {"cap": 1.2, "fill": 1.0},
            "maker": {"trim": True, "case": "upper", "fill": "mode"},
        },
        "rows": {"outliers": ["magnesium"], "drop": ["proline > 1600"]},
    }
    project = wine(folder, {"clean": cleaning, "features": {"maker": "maker"}})
    draw = np.random.default_rng(1)

    def change(row: dict[str, str]) -> dict[str, str]:
        row["alcohol"] = "" if draw.random() < 0.2 else row["alcohol"]
        row["magnesium"] = "900" if draw.random() < 0.05 else row["magnesium"]
        return {
            **row,
            "hue": "" if draw.random() < 0.1 else row["hue"],
            "maker": draw.choice([" a", "A", "b", " "]),
        }

    edit_rows(project, change, "wine")
    return project


def houses(folder: Path, housing: Path) -> Project:
    cleaning = {
        "columns": {
            "total_bedrooms": {"clip": "iqr", "flag": True, "fill": "median"},
            "housing_median_age": {"cap": 52, "fill": "mode"},
            "ocean_proximity": {"trim": True, "case": "lower"},
        },
        "rows": {"drop": ["median_house_value >= 500001"], "outliers": ["population"], "duplicates": True},
    }
    return homes(folder, housing, {"clean": cleaning}, rows=1200)


WORLDS = {"binary": parcels, "multiclass": wines, "regression": houses}
EVENTS = {"binary": "parcels", "multiclass": "wine", "regression": "housing"}
Make = Callable[[Path, Path], Project]


class Ran:
    """A world after its run up to the packaged graph."""

    def __init__(self, kind: str, project: Project, to: str) -> None:
        self.kind, self.project = kind, project
        self.result = project.run(to=to)
        self.made = {s.name: s.output for s in self.result.stages}
        assert to in self.made, self.result.problems
        self.report = from_json(self.read("features", "cleaning"), CleaningReport)

    def read(self, stage: str, role: str) -> bytes:
        return self.project.store.get(self.made[stage].outputs[role]).read_bytes()

    def array(self, stage: str, role: str) -> np.ndarray:
        return np.load(self.project.store.get(self.made[stage].outputs[role]))

    def events(self) -> pd.DataFrame:
        return pq.read_table(
            self.project.store.get(self.made["ingest"].outputs[EVENTS[self.kind]])
        ).to_pandas()


@pytest.fixture(scope="module", params=WORLDS)
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, housing: Path) -> Ran:
    make: Make = WORLDS[request.param]
    return Ran(request.param, make(tmp_path_factory.mktemp(request.param), housing), "package")


def test_parity_holds_on_rows_that_try_the_cleaning(ran: Ran) -> None:
    for gate in ("parity: scores", "parity: decisions"):
        assert verdict(ran.result, gate).outcome == "pass"
    probe = pq.read_table(ran.project.store.get(ran.made["features"].outputs["probe"])).to_pandas()
    for column in ran.report.columns:
        for bound in (column.low, column.high):
            if bound is not None and not pd.api.types.is_integer_dtype(probe[column.column]):
                values = set(probe[column.column].to_numpy(float))
                assert {np.nextafter(bound, -np.inf), bound, np.nextafter(bound, np.inf)} <= values
    if ran.kind == "binary":
        assert {"31 Feb 2023x", " 29 Feb 2024 ", "31 Feb 2024"} & set(probe["booked"])


def test_a_single_request_is_answered_as_in_training(ran: Ran) -> None:
    answerer = Answerer(ran.project.store, serving_of(ran.made), "r")
    rows = np.flatnonzero(ran.array("split", "parts") == 1)[:40]
    X = ran.array("features", "X_validation")[: len(rows)]
    model = Runner(ran.read("learn", "model")).run({"features": X}, len(X))
    table = pq.read_table(ran.project.store.get(ran.made["ingest"].outputs[EVENTS[ran.kind]])).take(rows)
    shown = table.select(list(answerer.types))
    for i, row in enumerate(shown.to_pylist()):
        row |= {n: f"{v.isoformat()}Z" for n, v in row.items() if isinstance(v, datetime)}
        answer = answerer.answer([row])[0]
        if answerer.serving.task.kind == Kind.REGRESSION:
            assert answer["prediction"] == pytest.approx(model["prediction"][i], rel=1e-9)
            continue
        expected = model["probability"][i]
        got = answer["probability"]
        assert np.allclose(list(got.values()) if isinstance(got, dict) else got, expected, rtol=0, atol=1e-9)


def test_constants_are_those_of_the_training_rows(ran: Ran) -> None:
    train = ran.events()[ran.array("split", "parts") == 0]
    assert len(train) == ran.report.train_rows
    spec = ran.project.spec().spec.clean.columns
    checked = 0
    for fitted in ran.report.columns:
        c = spec[fitted.column]
        if fitted.column not in train or fitted.type != "number":
            continue
        values = train[fitted.column].astype(float)
        if isinstance(c.clip, tuple):
            assert (fitted.low, fitted.high) == pytest.approx(tuple(values.quantile(q) for q in c.clip))
        inside = values.clip(fitted.low, fitted.high)
        if isinstance(c.fill, str):
            expected = {"median": inside.median(), "mean": inside.mean(), "mode": inside.mode()[0]}[c.fill]
            assert fitted.fill == pytest.approx(expected, rel=1e-12)
            checked += 1
        filled = next(s for s in ran.report.cells if (s.column, s.step) == (fitted.column, "missing"))
        assert filled.train == int(values.isna().sum())
    assert checked


def test_rows_are_left_out_of_train_alone(ran: Ran, tmp_path: Path, housing: Path) -> None:
    parts = ran.array("split", "parts")
    plain = WORLDS[ran.kind](tmp_path, housing)
    file = plain.root / "headrace.yaml"
    spec = yaml.safe_load(file.read_text())
    del spec["clean"]["rows"]
    file.write_text(yaml.safe_dump(spec))
    before = Ran(ran.kind, plain, "features").array("split", "parts")
    gone = parts != before
    assert set(before[gone]) == {0}
    assert set(parts[gone]) == {-1}
    reasons = ran.report.rows
    assert int(gone.sum()) == sum(reasons.values()) > 0
    dropped = ran.made["split"].facts["dropped"]
    assert {r: dropped[r] for r in reasons} == reasons
    assert (
        ran.made["split"].facts["counts"]["train"]
        == int((parts == 0).sum())
        == len(ran.array("features", "X_train"))
    )
    assert (
        len(ran.array("features", "y_train"))
        == len(ran.array("features", "units_train"))
        == ran.report.train_rows
    )


def test_other_rows_change_no_constant(ran: Ran, tmp_path: Path, housing: Path) -> None:
    """Every value of validation and test rows but target, key, time and part is made absurd."""
    project = WORLDS[ran.kind](tmp_path, housing)
    parts = ran.array("split", "parts").tolist()
    file = project.root / "data" / f"{EVENTS[ran.kind]}.csv"
    with file.open(newline="") as f:
        rows = list(csv.DictReader(f))
    absurd = {"distance", "alcohol", "hue", "total_bedrooms", "housing_median_age", "population", "magnesium"}
    words = {"carrier", "maker", "ocean_proximity", "booked"}
    cells = len(parts) - parts.count(0)
    for row, part in zip(rows, parts, strict=True):
        if part in (1, 2):
            row |= dict.fromkeys(absurd & set(row), "99999") | dict.fromkeys(words & set(row), "zz")
    with file.open("w", newline="") as f:
        out = csv.DictWriter(f, list(rows[0]))
        out.writeheader()
        out.writerows(rows)
    again = Ran(ran.kind, project, "features")
    assert again.array("split", "parts").tolist() == parts
    assert again.report.columns == ran.report.columns
    assert (again.report.rows, again.report.row_bounds) == (ran.report.rows, ran.report.row_bounds)
    assert [(c.column, c.step, c.train) for c in again.report.cells] == [
        (c.column, c.step, c.train) for c in ran.report.cells
    ]
    assert again.made["features"].outputs["X_train"] == ran.made["features"].outputs["X_train"]
    assert again.report.cells != ran.report.cells or cells == 0


def test_a_history_is_served_as_it_was_filled(tmp_path: Path, housing: Path) -> None:
    ran = Ran("binary", parcels(tmp_path, housing), "features")
    raw = pd.read_csv(ran.project.root / "data" / "weather.csv")
    snapshot = snapshots_of(ran.made)["weather"]
    filled = pq.read_table(ran.project.store.get(snapshot.artifact)).to_pandas()
    cells = int(raw["wind"].isna().sum() - filled["wind"].isna().sum())
    assert ran.made["ingest"].notes["forward_filled"] == {"weather.wind": cells}
    assert cells > 10
    expected = raw.sort_values(["depot", "seen"], kind="stable").groupby("depot")["wind"].ffill(limit=3)
    np.testing.assert_array_equal(filled["wind"], expected.sort_index())  # hourly rows, ttl 3 h
    assert ran.result.plain()["cleaning"]["forward_filled"] == {"weather.wind": cells}


def test_the_order_of_columns_in_the_spec_means_nothing(tmp_path: Path, housing: Path) -> None:
    first = Ran("binary", parcels(tmp_path / "a", housing), "features")
    project = parcels(tmp_path / "b", housing)
    wind = "    weather.wind: {clip: iqr, flag: true, fill: mean}\n"
    edit_spec(project, (wind, ""), ("  columns:\n", "  columns:\n" + wind))
    second = Ran("binary", project, "features")
    assert second.made["features"].outputs == first.made["features"].outputs


@pytest.mark.parametrize(
    ("clean", "told"),
    [
        (
            "columns: {distanse: {fill: median}}",
            ["no column 'distanse' to clean", "did you mean 'distance'?"],
        ),
        ("columns: {courier: {fill: mode}}", ["no feature reads 'courier'"]),
        ("columns: {distance: {}}", ["cleaning 'distance' does nothing"]),
        (
            "columns: {distance: {trim: true, case: lower, parse: '%Y'}}",
            ["trim is for", "case is for", "parse is for"],
        ),
        ("columns: {at: {parse: '%Y'}}", ["read it as a time already"]),
        ("columns: {depot: {parse: '%d/%Q', case: upper}}", ["%Q is no part", "its case has no effect"]),
        (
            "columns: {depot: {cap: 3, clip: iqr, fill: mean}}",
            ["cap is for", "clip is for", "no mean of 'depot'"],
        ),
        ("columns: {distance: {fill: none, cap: .inf}}", ["'none' is no number", "cap of inf"]),
        ("columns: {distance: {fill: true}}", ["True is no number"]),
        ("columns: {distance: {fill: .nan}}", ["can't become nan"]),
        ("columns: {depot: {fill: 3}}", ["3.0 is no text"]),
        ("columns: {at: {fill: soon}}", ["'soon' is no date"]),
        ("columns: {at: {fill: mean}}", ["no mean of 'at'"]),
        ("columns: {distance: {clip: [0.9, 0.1]}}", ["[0.9, 0.1] are no two quantiles"]),
        ("columns: {distance: {clip: [0.9]}}", ["these are 1 numbers", "write two quantiles"]),
        ("columns: {distance: {clip: wide}}", ["can't be 'wide'", "choose from: iqr"]),
        ("columns: {distance: {fill: [1]}}", ["must be text, not a list"]),
        ("columns: {distance: {clip: [-1, 2]}}", ["are no two quantiles"]),
        ("columns: {late: {flag: true}}", ["uses the target's column 'late'"]),
        ("rows: {duplicates: [at, depo]}", ["no column 'depo' to find duplicates"]),
        ("rows: {duplicates: []}", ["duplicates names no column"]),
        ("rows: {drop: [distance, 'speed > 3']}", ["`distance` is number", "unknown column 'speed'"]),
        ("rows: {outliers: [depot, wide]}", ["'depot' is text", "no column 'wide'"]),
        ("forward_fill: {parcels: [late]}", ["not for the events table"]),
        ("forward_fill: {whether: [wind]}", ["unknown table 'whether'", "did you mean 'weather'?"]),
        ("forward_fill: {weather: [wint, seen]}", ["no column 'wint'", "'seen' is the key or a time"]),
        ("forward_fill: {weather: []}", ["names no column"]),
    ],
)
def test_mistakes_are_told_before_any_work(clean: str, told: list[str], tmp_path: Path) -> None:
    project = begin(tmp_path, ("split:", f"clean:\n  {clean}\nsplit:"), rows=60)
    edit_spec(project, ("  hour: hour(at)", "  hour: hour(at)\n  minute: minute(at)"))
    with pytest.raises(SpecError) as caught:
        project.check()
    shown = str(caught.value)
    for text in told:
        assert text in shown
    assert "clean" in shown or "features" in shown
    assert not project.runs()


def test_names_that_cleaning_adds_must_be_free(tmp_path: Path) -> None:
    change = "clean: {columns: {distance: {cap: 9, flag: true}}}\nsplit:"
    names = "  hour: hour(at)\n  distance_missing: distance\n  distance_capped: distance"
    project = begin(tmp_path, ("split:", change), ("  hour: hour(at)", names), rows=60)
    with pytest.raises(SpecError) as caught:
        project.check()
    assert [p.what for p in caught.value.problems] == [
        "cleaning 'distance' adds a feature 'distance_missing'; there is one already",
        "cleaning 'distance' adds a feature 'distance_capped'; there is one already",
    ]


def test_forward_fill_needs_a_key_and_a_time(tmp_path: Path) -> None:
    assert "time: seen, ttl: 3 h" in SPEC
    project = begin(
        tmp_path,
        ("time: seen, ttl: 3 h", ""),
        ("split:", "clean: {forward_fill: {weather: [wind]}}\nsplit:"),
        rows=60,
    )
    with pytest.raises(SpecError, match="table 'weather' has no time"):
        project.check()
