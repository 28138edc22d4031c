"""Encodings from the spec to answers: three tasks, folds of their own, and mistakes told before any work."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from spine import begin, edit_spec, statuses, verdict
from worlds import homes, wine

from headrace.core.errors import SpecError
from headrace.engine.checking.lint import judged_names
from headrace.project import Project
from headrace.serve.answer import Answerer

PARCELS = """  wind: weather.wind
  who: {encode: target, of: courier}
  often: {encode: count, of: [depot, courier]}
  clock: {encode: cycle, of: hour(at), period: 24}
"""


def released(project: Project) -> Any:
    run = project.run()
    assert run.status == "released", run.problems
    assert verdict(run, "parity: scores").outcome == "pass"
    assert verdict(run, "parity: decisions").outcome == "pass"
    return run


def names_of(project: Project) -> list[str]:
    found, manifest = project.release()
    del found
    return [f.name for f in manifest.serving.fields]


def test_parcels_answer_alike_by_request_and_by_file(tmp_path: Path) -> None:
    project = begin(tmp_path, ("  wind: weather.wind\n", PARCELS))
    released(project)
    found, manifest = project.release()
    answerer = Answerer(project.store, manifest.serving, found.release)
    with (tmp_path / "data" / "parcels.csv").open(newline="") as f:
        rows: list[dict[str, Any]] = list(csv.DictReader(f))[:40]
    rows += [{**rows[0], "courier": "never seen"}, {**rows[0], "courier": ""}]
    with (tmp_path / "new.csv").open("w", newline="") as f:
        out = csv.DictWriter(f, list(rows[0]))
        out.writeheader()
        out.writerows(rows)
    sent = [
        {
            "at": r["at"],
            "depot": r["depot"],
            "distance": float(r["distance"]),
            "courier": r["courier"] or None,
        }
        for r in rows
    ]
    together = [a["probability"] for a in answerer.answer(sent)]
    alone = [answerer.answer([row])[0]["probability"] for row in sent]
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-14)
    assert project.predict(tmp_path / "new.csv", tmp_path / "out.parquet").rows == len(rows)
    written = pq.read_table(tmp_path / "out.parquet")["probability"].to_numpy()
    np.testing.assert_allclose(written, together, rtol=0, atol=1e-14)
    assert len(set(together)) > 5


def test_wines_of_encodings_alone(tmp_path: Path) -> None:
    """No expression is left in the matrix; what is searched has folds of its own, too."""
    none = dict.fromkeys(wine(tmp_path / "look").spec().spec.features)
    project = wine(
        tmp_path / "alone",
        {
            "features": {
                **none,
                "strength": {"encode": "target", "of": "round(alcohol * 2)"},
                "colour": {"encode": "target", "of": ["round(hue * 3)", "round(color_intensity / 2)"]},
            },
            "tune": {"trials": 2, "shortlist": 1},
            "evaluate": {"learning_curve": True},
        },
    )
    run = released(project)
    lines = {line["model"]: line["mean"] for line in run.plain()["leaderboard"]}
    assert max(lines.values()) > 0.6
    assert names_of(project) == ["alcohol", "color_intensity", "hue"]


def test_districts(tmp_path: Path, housing: Path) -> None:
    changes = {
        "features": {
            "place": {"encode": "target", "of": "ocean_proximity", "smooth": 5},
            "cell": {"encode": "target", "of": ["round(latitude)", "round(longitude)"]},
            "bucket": {"encode": "hash", "of": "round(latitude * 4)", "size": 16},
            "words": {"encode": "tfidf", "of": "ocean_proximity", "size": 4},
            "ocean_proximity": {"expr": "ocean_proximity", "min_count": 3, "max_categories": 2},
        },
        "clean": {"columns": {"ocean_proximity": {"case": "lower", "trim": True}}},
    }
    project = homes(tmp_path, housing, changes, rows=800)
    released(project)


@pytest.mark.parametrize(
    ("feature", "told"),
    [
        ({"encode": "target", "of": "ocean_proximty"}, "ocean_proximity"),
        ({"encode": "target", "of": "median_house_value > 3"}, "uses the target's column"),
        ({"encode": "target", "of": ["ocean_proximity", "1"]}, "reads no column"),
        ({"encode": "target", "of": "ocean_proximity", "smooth": -1}, "at least 0"),
        ({"encode": "count", "of": "ocean_proximity", "size": 8}, "size has no meaning for encode: count"),
        ({"encode": "hash", "of": ["ocean_proximity", "latitude"]}, "hash is of one expression"),
        ({"encode": "hash", "of": "ocean_proximity", "size": 1}, "at least 2"),
        ({"encode": "tfidf", "of": "latitude"}, "lower"),
        ({"encode": "cycle", "of": "latitude"}, "needs a period"),
        ({"encode": "cycle", "of": "ocean_proximity", "period": 24}, "a cycle is of a number"),
        ({"encode": "cycle", "of": "latitude", "period": 0}, "above 0"),
        ({"encode": "targt", "of": "latitude"}, "did you mean 'target'"),
        ({"expr": "latitude", "min_count": 5}, "has no rare values to group"),
        ({"expr": "ocean_proximity", "min_count": 0}, "at least 1"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, housing: Path, feature: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError) as caught:
        homes(tmp_path, housing, {"features": {"e": feature}}, rows=100).check()
    assert told in str(caught.value)
    assert "headrace.yaml:" in str(caught.value)
    assert len(caught.value.problems) == 1


def test_a_time_and_a_taken_name_are_told(tmp_path: Path) -> None:
    more = "  when: {encode: target, of: at}\n  hour_sin: distance\n"
    more += "  hour: {encode: cycle, of: hour(at), period: 24}\n"
    project = begin(tmp_path, ("  hour: hour(at)\n", more))
    with pytest.raises(SpecError) as caught:
        project.check()
    said = [p.what for p in caught.value.problems]
    assert said == ["feature 'hour' makes 'hour_sin', and there is a feature of that name",
                    "feature 'when' reads a time: at"]  # fmt: skip


def test_noise_of_many_values_does_not_pass_the_gate(tmp_path: Path) -> None:
    """A part of a parcel's number, which knows nothing: its mean target must not look better than naive."""
    noise = "  tenths: {encode: target, of: round(distance * 10), smooth: 0}\n"
    old = ("  hour: hour(at)\n", "  depot: depot\n", "  distance: distance\n")
    changes = [(line, "") for line in old] + [("  wind: weather.wind\n", noise)]
    run = begin(tmp_path, *changes, signal=0.0).run()
    assert verdict(run, "beats-naive").outcome == "fail"
    assert verdict(run, "leakage").outcome == "pass"


def test_what_an_encoder_is_stands_in_the_keys(tmp_path: Path) -> None:
    project = begin(tmp_path, ("  wind: weather.wind\n", PARCELS))
    first = project.run(to="learn")
    again = project.run(to="learn")
    assert set(statuses(again).values()) == {"cached"}, first.stages
    edit_spec(project, ("of: courier}", "of: courier, smooth: 3}"))
    changed = statuses(project.run(to="learn"))
    assert (changed["split"], changed["features"], changed["learn"]) == ("cached", "ran", "ran")


def test_a_column_of_an_encoder_can_be_accepted_and_waived(tmp_path: Path) -> None:
    """Its name begins with the encoder's; another name is a mistake."""
    three = {"e": {"encode": "target", "of": "round(alcohol)"}}
    wine(tmp_path / "a", {"features": three, "inspect": {"allow": {"e_class_1": "looked at"}}}).check()
    with pytest.raises(SpecError, match="'eclass' is no feature"):
        wine(tmp_path / "b", {"features": three, "inspect": {"allow": {"eclass": "looked at"}}}).check()
    specs = wine(tmp_path / "c", {"features": three}).spec().spec.feature_specs()
    wanted = ["leakage: feature e_class_1", "leakage: feature alcohol_2"]
    assert judged_names(specs, wanted)[-1] == wanted[0]
    assert wanted[1] not in judged_names(specs, wanted)
