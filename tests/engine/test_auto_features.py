"""`features: auto`: proposed, locked, used like any other feature, told when stale."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from spine import begin, edit_rows, statuses
from worlds import wine

from headrace.cli.root import cli
from headrace.core.errors import SpecError, UserError
from headrace.core.spec import LOCK_NAME, parse_lock, parse_spec
from headrace.project import Project

NAMED = """features:
  hour: hour(at)
  depot: depot
  distance: distance
  wind: weather.wind
"""


def auto(folder: Path, features: str = "features: {auto: {budget: 30 s}}\n") -> Project:
    return begin(folder, (NAMED, features))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that ran once with `features: auto` alone."""
    project = auto(tmp_path_factory.mktemp("auto") / "p")
    result = project.run()
    assert result.status == "released", result.problems
    return project


def edit_lock(project: Project, **changes: object) -> None:
    file = project.root / LOCK_NAME
    plain = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**plain, **changes}, sort_keys=False))


def test_a_run_makes_the_lock_and_goes_on_with_it(made: Project) -> None:
    lock = made.lock()
    assert lock is not None
    kept = lock.lock.feature_specs()
    assert any("weather.wind" in f.text for f in kept.values())  # it has to earn its place, and does
    assert "depot" in kept
    assert not any(c in f.text for f in kept.values() for c in ("late", "parcel"))
    assert made.spec().spec.feature_specs() == kept
    started = next(iter(made.store.read(kinds=("run.started",), subject=made.show().run)))
    kept_lock = made.store.get(started.payload["artifacts"]["lock"])
    assert kept_lock.read_text() == (made.root / LOCK_NAME).read_text()
    again = made.run()
    assert set(statuses(again).values()) == {"cached"}
    assert made.lock() == lock


def test_what_a_run_records_needs_no_lock(made: Project) -> None:
    kept = made.store.get(made.show().spec).read_text()
    spec = parse_spec(yaml.safe_dump(json.loads(kept))).spec
    assert not spec.awaits_proposals
    assert spec.feature_specs() == made.spec().spec.feature_specs()
    assert spec.digest() == made.spec().spec.digest()
    assert made.reproduce(new_environment=False).agrees


def test_the_lock_reads_back_as_it_was_written(made: Project) -> None:
    text = (made.root / LOCK_NAME).read_text()
    from headrace.draft.propose.write import lock_text

    assert lock_text(parse_lock(text).lock) == text


def test_features_are_listed_and_explained(made: Project, tmp_path: Path) -> None:
    def call(*arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(cli, ["features", *arguments, "-C", str(made.root)])
        assert done.exit_code == code, done.output
        return done.output

    told = {f.name: f for f in made.features()}
    wind = next(f for f in told.values() if "weather.wind" in f.definition and f.measured)
    assert wind.measured is not None and wind.measured.low > 0
    assert wind.releases and wind.spreads[0].rows > 500
    assert told["depot"].spreads[0].values[0][0] in ("north", "south")
    assert any(f.state == "dropped" and f.why for f in told.values())
    page = tmp_path / "f.html"
    assert wind.name in call("--plot", str(page))
    assert page.read_text().startswith("<!doctype html>") and wind.name in page.read_text()
    said = call("--why", wind.name)
    assert "shuffled copy" in said and wind.releases[0] in said and "owner@example.com" in said
    plain = json.loads(call("--json"))
    assert [f["name"] for f in plain["features"]] == list(told)
    assert "did you mean 'depot'" in call("--why", "depo", code=2)
    done = CliRunner().invoke(cli, ["features", "-C", str(made.root), "propose"])
    assert done.exit_code == 2 and "--again" in done.output


def test_an_edited_lock_is_what_counts(tmp_path: Path) -> None:
    project = auto(tmp_path / "p")
    project.propose()
    lock = project.lock()
    assert lock is not None
    left = {n: f for n, f in yaml.safe_load(lock.text)["features"].items() if n != "depot"}
    edit_lock(project, features={**left, "far": "distance > 40"}, pin=["far"])
    assert "depot" not in project.check().features
    assert "far" in project.check().features
    project.propose(again=True)
    again = project.lock()
    assert again is not None
    assert (
        again.lock.features["far"] == "distance > 40"
        or again.lock.feature_specs()["far"].text == "distance > 40"
    )
    assert again.lock.pin == ("far",)
    assert "depot" in again.lock.features


def test_a_stale_lock_is_told_and_used(tmp_path: Path) -> None:
    project = auto(tmp_path / "p")
    project.propose()
    before = (project.root / LOCK_NAME).read_text()
    edit_rows(project, lambda row: {**row, "distance": str(float(row["distance"]) + 1)})
    with pytest.warns(UserWarning, match="was made of other data"):
        project.run(to="split")
    assert (project.root / LOCK_NAME).read_text() == before


def test_mistakes_in_a_lock_have_its_lines(tmp_path: Path) -> None:
    project = auto(tmp_path / "p")
    project.propose()
    file = project.root / LOCK_NAME
    good = file.read_text()
    file.write_text(good.replace("\nfeatures:\n", "\nfeatures:\n  odd: nowhere + 1\n"))
    with pytest.raises(SpecError, match=r"features\.lock\.yaml:\d+ \(features\.odd\)"):
        project.check()
    file.write_text(good.replace("headrace_features: 1", "headrace_features: 2"))
    with pytest.raises(SpecError, match=r"features\.lock\.yaml:\d+"):
        project.check()


def test_beside_named_features_only_what_they_read_is_read(tmp_path: Path) -> None:
    project = auto(tmp_path / "p", "features:\n  hour: hour(at)\n  far: distance\n  auto: {budget: 30 s}\n")
    assert list(project.check().features) == ["far", "hour"]  # before there is a lock
    lock = project.propose().lock
    texts = [f.text for f in lock.feature_specs().values()]
    texts += [t.feature if isinstance(t.feature, str) else t.feature.text for t in lock.dropped.values()]
    assert not any(c in t for t in texts for c in ("courier", "part"))
    assert any("weather.wind" in t for t in texts)
    assert list(project.spec().spec.feature_specs())[:2] == ["hour", "far"]


def test_columns_that_no_proposal_may_read(tmp_path: Path) -> None:
    project = auto(tmp_path / "p", "features: {auto: {without: [distanse, weather.wind]}}\n")
    with pytest.raises(SpecError, match="did you mean 'distance'"):
        project.check()
    project = auto(tmp_path / "q", "features: {auto: {without: [distance, weather.wind]}}\n")
    lock = project.propose().lock
    texts = [f.text for f in lock.feature_specs().values()]
    texts += [t.feature if isinstance(t.feature, str) else t.feature.text for t in lock.dropped.values()]
    assert not any("distance" in t or "weather.wind" in t or "avg(wind)" in t for t in texts)
    assert any("cycle" in t for t in texts) and "at_hour_cycle" in {*lock.features, *lock.dropped}
    edit_lock(project, pin=["dep"])
    with pytest.raises(SpecError, match=r"features\.lock\.yaml:\d+ \(pin\.0\).*dep"):
        project.check()


def test_proposals_that_nobody_asked_for(tmp_path: Path) -> None:
    project = begin(tmp_path / "p")
    with pytest.raises(UserError, match="asks for no proposals"):
        project.propose()


def test_three_classes(tmp_path: Path) -> None:
    project = wine(tmp_path / "w", {"features": None})
    text = (project.root / "headrace.yaml").read_text()
    (project.root / "headrace.yaml").write_text(text + "features: auto\n")
    result = project.run(to="evaluate")
    assert result.status == "stopped", result.problems
    lock = project.lock()
    assert lock is not None
    assert lock.lock.made.loss == "log loss"
    assert {"alcohol", "proline"} <= set(lock.lock.features)
