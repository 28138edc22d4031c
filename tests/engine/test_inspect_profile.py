"""The profile that a run makes: training rows in full, the sealed rows from outside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from spine import begin, edit_spec, statuses
from worlds import homes, wine

from headrace.core.codec import from_json
from headrace.core.errors import NotFound
from headrace.data.profile.record import Profile, TableProfile
from headrace.engine.pins import output_of
from headrace.project import Project


def events_of(project: Project, name: str) -> TableProfile:
    return project.profile().table(name)


def test_training_rows_in_full_and_the_rest_from_outside(finished: Project) -> None:
    found = finished.profile()
    made = output_of(finished.store, finished.show(), "inspect")
    assert from_json(finished.store.get(made.outputs["profile"]).read_bytes(), Profile) == found
    events, weather = found.table("parcels"), found.table("weather")
    counts = output_of(finished.store, finished.show(), "split").facts["counts"]
    assert (events.whose, events.rows) == ("train", counts["train"])
    assert [(p.name, p.rows, p.left_out) for p in events.parts] == [
        ("validation", counts["validation"], ("late",)),
        ("test", counts["test"], ("late",)),
    ]
    assert weather.whose == "all" and weather.parts == ()
    assert weather.rows == (60 * 24 + 3) * 2
    assert events.duplicates is not None and events.duplicates.but == ("parcel",)
    assert [c.zone for c in events.coverage] == ["America/New_York"]
    link = events.column("late").target
    assert link is not None and link.measure == "pearson"
    assert link.value is not None and link.value > 0.5, "the target is late > 30"
    assert list(finished.store.read(kinds=("seal.opened",))), "the run itself has opened its seal"


def test_a_profile_opens_no_seal(tmp_path: Path) -> None:
    """Of a run that is blocked behind it, the profile is there and the seal whole."""
    project = begin(tmp_path / "project", signal=0.0)
    result = project.run()
    assert result.status in ("blocked", "no-go") and statuses(result)["inspect"] == "ran"
    assert [p.name for p in events_of(project, "parcels").parts] == ["validation", "test"]
    assert list(project.store.read(kinds=("seal.opened",))) == []


def test_three_classes_and_numbers_as_targets(tmp_path: Path, housing: Path) -> None:
    classes = wine(tmp_path / "wine", {"models": ["tree"]})
    assert classes.run().status == "released"
    link = events_of(classes, "wine").column("flavanoids").target
    assert link is not None and link.measure == "correlation ratio"
    assert link.value is not None and 0.7 < link.value < 1
    values = homes(tmp_path / "homes", housing, {"models": ["tree"]}, rows=800)
    assert values.run().status == "released"
    found = events_of(values, "housing")
    link = found.column("median_income").target
    assert link is not None and link.value == pytest.approx(0.69, abs=0.06)
    assert "capped" in {n.kind for n in found.column("median_house_value").notes}


def test_no_profile_before_the_first_run(fresh: Project) -> None:
    with pytest.raises(NotFound, match="no profile yet"):
        fresh.profile()


def test_a_run_that_stopped_at_ingest_shows_events_from_outside(tmp_path: Path) -> None:
    project = begin(tmp_path / "project", ('"distance > 0"', '"distance > 25"'))
    result = project.run()
    assert result.status == "blocked" and "split" not in statuses(result)
    events = project.profile().table("parcels")
    assert (events.whose, events.columns) == ("none", ())
    assert [(p.rows, p.left_out) for p in events.parts] == [(1200, ("late",))]
    assert project.profile().table("weather").columns[2].name == "wind"


def test_a_description_changes_no_profile(finished: Project) -> None:
    before = output_of(finished.store, finished.show(), "inspect").outputs["profile"]
    edit_spec(finished, ("  metric: f1", "  columns: {distance: by road}\n  metric: f1"))
    assert statuses(finished.run())["inspect"] == "cached"
    assert output_of(finished.store, finished.show(), "inspect").outputs["profile"] == before


def test_what_lies_in_the_test_rows_stays_there(tmp_path: Path) -> None:
    """Values of sealed rows between the ends change nothing but what is told from outside."""
    one, two = (begin(tmp_path / n) for n in ("one", "two"))
    file = two.root / "data" / "parcels.csv"
    lines = file.read_text().splitlines()
    rng = np.random.default_rng(0)
    for i in rng.integers(1_050, 1_150, 60).tolist():
        row = lines[i].split(",")
        row[3], row[5] = "c999", "25.5"
        lines[i] = ",".join(row)
    file.write_text("\n".join(lines) + "\n")
    found = []
    for project in (one, two):
        project.run()
        found.append(events_of(project, "parcels"))
    assert found[0] == found[1]
