"""Every form of feature in the design document, in `headrace features` and on its page."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from spine import begin

from headrace.cli.root import cli
from headrace.core.catalogue import FeatureTold
from headrace.core.document import DesignFeature, Risk
from headrace.engine.document_data import gather
from headrace.project import Project
from headrace.report.document import to_markdown

CODE = """
import pyarrow.compute as pc

def chill(batch):
    return pc.multiply(batch["weather.wind"], batch["distance"])
"""
FEATURES = (
    "  wind: weather.wind\n",
    """  wind: {expr: weather.wind, description: how hard it blows, owner: weather@example.com}
  night: hour(at) >= 20
  busy: {aggregate: count(), by: depot, window: [3 h, 1 day], description: parcels of the depot}
  gusts: {aggregate: max(wind), over: weather, by: depot, window: 6 h}
  near: {neighbours: {of: [distance, hour(at)], k: 5}}
  usual: {encode: target, of: depot}
  chill: {python: "features.py:chill", of: [weather.wind, distance]}
  more: python.chill + history.busy_3h
""",
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = begin(tmp_path_factory.mktemp("forms"), FEATURES)
    (made.root / "features.py").write_text(CODE)
    assert made.run().status == "released"
    return made


@pytest.fixture(scope="module")
def told(project: Project) -> dict[str, DesignFeature]:
    return {f.name: f for f in gather(project.store, project.spec(), project.root).features}


def test_every_form_is_told_with_its_sources(told: dict[str, DesignFeature]) -> None:
    sources = {n: f.source for n, f in told.items()}
    assert sources == {
        **dict.fromkeys(("hour", "depot", "distance", "night", "near", "usual"), ("parcels",)),
        "wind": ("weather",),
        "busy": ("parcels",),
        "gusts": ("parcels", "weather"),
        "chill": ("parcels", "weather"),
        "more": ("parcels", "weather"),
    }
    assert told["busy"].expression == "aggregate: count(), window: [3 h, 1 day], by: depot"
    assert told["chill"].expression == "python: features.py:chill, of: [weather.wind, distance]"
    assert told["near"].expression.startswith("neighbours: {of: [distance, hour(at)]")
    assert told["usual"].expression == "encode: target, of: depot"
    types = {n: told[n].type for n in ("night", "busy", "usual", "near", "chill", "depot")}
    assert types == {**dict.fromkeys(types, "number"), "night": "bool", "depot": "category"}


def test_owners_and_releases(told: dict[str, DesignFeature], project: Project) -> None:
    (release,) = project.releases().releases
    assert {f.releases for f in told.values()} == {(release,)}
    assert told["wind"].owner == "weather@example.com"
    assert told["hour"].owner == "owner@example.com"


def test_what_is_behind_a_feature_is_its_risk(told: dict[str, DesignFeature]) -> None:
    known = "rows of weather that were known (by seen) 60 min before the event"
    assert known in told["gusts"].why
    assert told["gusts"].risk is Risk.LOW
    assert "rows of parcels that were known (by at) 60 min before the event" in told["busy"].why
    for name in ("chill", "more"):
        assert told[name].risk is Risk.LOOK
        assert "features.py:chill, which could read more than its columns" in told[name].why
        assert "weather known by seen 60 min before" in told[name].why


def test_expected_values_are_those_of_the_training_rows(told: dict[str, DesignFeature]) -> None:
    assert {s.column for s in told["busy"].spreads} == {"busy_3h", "busy_1d"}
    assert all(f.spreads for f in told.values())
    (depot,) = told["depot"].spreads
    assert sorted(v for v, _ in depot.values) == ["north", "south"]
    assert sum(share for _, share in depot.values) == pytest.approx(1)
    (hour,) = told["hour"].spreads
    assert 0 <= hour.quantiles[0] < hour.quantiles[3] < hour.quantiles[-1] <= 23


def test_the_document_has_it_all(project: Project) -> None:
    text = to_markdown(project.document())
    (release,) = project.releases().releases
    row = next(line for line in text.splitlines() if line.startswith("| `wind`: how hard it blows"))
    assert "weather@example.com" in row
    assert release in row
    part = text.split("### Expected values")[1].split("###")[0]
    assert "Over the training rows of run-1" in part
    assert "| `night` | 0.0% |" in part
    assert "% true" in next(line for line in part.splitlines() if line.startswith("| `night`"))
    assert "50%:" in next(line for line in part.splitlines() if line.startswith("| `chill`"))
    served = text.split("### Feature store")[1].split("###")[0]
    assert "| weather | depot | wind |" in served


def test_a_feature_that_was_changed_shows_no_old_values(project: Project) -> None:
    file = project.root / "headrace.yaml"
    before = file.read_text()
    try:
        file.write_text(before.replace("hour(at) >= 20", "hour(at) >= 21"))
        features = {f.name: f for f in gather(project.store, project.spec(), project.root).features}
        assert features["night"].spreads == ()
        assert features["night"].releases == ()
        assert features["hour"].spreads
        assert "as they are declared now: night" in to_markdown(project.document())
    finally:
        file.write_text(before)


def test_the_list_and_the_page_tell_the_same(project: Project, tmp_path: Path) -> None:
    found: dict[str, FeatureTold] = {f.name: f for f in project.features()}
    assert {n: f.form for n, f in found.items() if n in ("busy", "near", "usual", "chill", "wind")} == {
        "busy": "history",
        "near": "neighbours",
        "usual": "target encoding",
        "chill": "function",
        "wind": "expression",
    }
    page = tmp_path / "features.html"
    done = CliRunner().invoke(cli, ["features", "-C", str(project.root), "--plot", str(page)])
    assert done.exit_code == 0, done.output
    html = page.read_text(encoding="utf-8")
    for text in ("features.py:chill", "how hard it blows", "weather@example.com", "target encoding"):
        assert text in html


def test_the_report_names_every_column_with_its_definition(project: Project) -> None:
    page = " ".join(project.report().html.split())
    assert "aggregate: max(wind), by: depot, over: weather, window: 6 h" in page
    assert "one of near" in page
    assert "made by cleaning" not in page
