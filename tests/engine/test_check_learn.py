from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from spine import begin, edit_spec, fresh, verdict  # noqa: F401  # a fixture
from worlds import homes, wine

from headrace.cli.root import cli
from headrace.core.errors import NotFound, SpecError
from headrace.core.task import Kind
from headrace.learn.search.record import SearchRecord


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tune": {}}, "tune has no budget"),
        ({"tune": {"method": "random"}}, "tune has no budget"),
        ({"tune": {"trials": 1}}, "1 trials are fewer than the 3 candidates"),
        ({"tune": {"budget": "0 s"}}, "tune.budget is no time at all"),
        (
            {"tune": {"trials": 9}, "models": [{"use": "linear", "params": {"penalty": 2.0}}]},
            "no model has a parameter to search",
        ),
        ({"ensemble": "blend", "models": ["linear"]}, "ensemble: blend needs at least two models"),
        (
            {"ensemble": "blend", "models": ["linear", {"use": "tree", "name": "blend"}]},
            "a model is called 'blend'",
        ),
        (
            {"tune": {"trials": 9}, "models": ["linear", {"use": "tree", "name": "linear (tuned)"}]},
            "a model is called 'linear (tuned)'",
        ),
        (
            {"calibrate": "sigmoid", "models": ["linear", {"use": "tree", "name": "linear + sigmoid"}]},
            "a model is called 'linear + sigmoid'",
        ),
    ],
)
def test_settings_that_mean_nothing_are_refused_before_any_work(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError) as caught:
        wine(tmp_path, changes).check()
    assert said in str(caught.value)
    assert "headrace.yaml:" in str(caught.value)


def test_a_regression_has_nothing_to_calibrate_and_no_class_to_abstain_from(
    tmp_path: Path, housing: Path
) -> None:
    changes = {"calibrate": "isotonic", "uncertainty": {"level": 0.9, "abstain": True}}
    with pytest.raises(SpecError) as caught:
        homes(tmp_path, housing, changes, rows=200).check()
    assert "calibrate only works for classes" in str(caught.value)
    assert "a regression can't abstain" in str(caught.value)


FULL = (
    "models: [tree]\n",
    "models: [linear, tree]\ntune: {trials: 6}\nensemble: blend\ncalibrate: sigmoid\n",
)


def test_a_run_that_searches_tells_every_trial_and_leaves_nothing_behind(tmp_path: Path) -> None:
    project = begin(tmp_path / "one", FULL)
    result = project.run()
    assert result.status == "released", result.problems
    record, seconds = project.trials()
    assert isinstance(record, SearchRecord)
    assert sum(len(c.trials) - 1 for c in record.candidates) == 6
    assert {n: len(s) for n, s in seconds.items()} == {c.model: len(c.trials) for c in record.candidates}
    assert not list((project.root / ".headrace" / "search").iterdir())
    assert "validation rows" in verdict(result, "beats-naive").evidence.where
    board = result.plain()["leaderboard"]
    assert [m["model"] for m in board if m.get("chosen")] == [result.plain()["learning"]["model"]]
    shown = CliRunner().invoke(cli, ["trials", "-C", str(project.root), "--model", "tree", "-n", "2"])
    assert shown.exit_code == 0, shown.output
    assert "bayesian search for f1, 6 trials" in shown.output and "honest" in shown.output
    told = CliRunner().invoke(cli, ["trials", "-C", str(project.root), "--json"])
    assert '"higher_is_better": true' in told.output
    unknown = CliRunner().invoke(cli, ["trials", "-C", str(project.root), "--model", "trees"])
    assert unknown.exit_code == 2 and "these were: " in unknown.output
    again = begin(tmp_path / "two", FULL).run()
    digests = [{s.name: s.output.digest for s in r.stages}["learn"] for r in (result, again)]
    assert digests[0] == digests[1]


def test_a_run_without_a_search_has_no_trials(fresh: Any) -> None:  # noqa: F811  # the fixture
    edit_spec(fresh, ("cv: {folds: 3}", "cv: {folds: 3}"))
    fresh.run()
    with pytest.raises(NotFound, match="searched no parameters"):
        fresh.trials()


@pytest.mark.parametrize("kind", [Kind.MULTICLASS, Kind.REGRESSION])
def test_other_tasks_search_combine_and_measure_their_uncertainty(
    kind: Kind, tmp_path: Path, housing: Path
) -> None:
    changes: dict[str, Any] = {"tune": {"trials": 4}, "ensemble": "stack", "uncertainty": {"level": 0.8}}
    if kind is Kind.MULTICLASS:
        project = wine(tmp_path, {**changes, "calibrate": "sigmoid", "cv": {"holdout": True}})
    else:
        project = homes(tmp_path, housing, changes, rows=400)
    result = project.run()
    assert result.status == "released", result.problems
    facts = {s.name: s.output for s in result.stages}["learn"].facts
    assert facts["uncertainty"]["level"] == 0.8
    assert facts["ensemble"]["method"] == "stack"
    assert facts["search"]["method"] == "bayesian"
