from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from headrace.core.errors import MissingDependency, UserCodeError, UserError
from headrace.core.spec.learning import ModelSpec
from headrace.core.task import Kind
from headrace.learn import needs, registry
from headrace.learn.candidate import Candidate
from headrace.learn.registry import candidate_names, candidates, check_models, load_candidate


def test_built_ins_are_candidates_under_their_own_names() -> None:
    found = candidates()
    assert {"naive", "linear", "tree", "forest", "boosting"} <= set(found)
    for name, candidate in found.items():
        assert isinstance(candidate, Candidate)
        assert candidate.name == name
        assert candidate.summary and "\n" not in candidate.summary


def test_unknown_name_gets_a_hint() -> None:
    with pytest.raises(UserError) as caught:
        load_candidate("forrest")
    assert "no model is called 'forrest'" in str(caught.value)
    assert "did you mean 'forest'?" in str(caught.value)
    assert "module:Class" in str(caught.value)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Install a module as a plugin called `extra`."""

    def install(source: str, name: str = "extra") -> None:
        (tmp_path / "plugged.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "plugged", raising=False)
        point = EntryPoint(name=name, value="plugged:IT", group=registry.GROUP)
        monkeypatch.setattr(registry, "entry_points", lambda *, group: [point])

    return install


def test_a_plugin_comes_in_by_the_same_door(plugin) -> None:
    plugin("from headrace.learn.candidates.naive import Naive\nclass E(Naive):\n    name = 'extra'\nIT = E()")
    assert "extra" in candidate_names()
    assert load_candidate("extra").name == "extra"


def test_a_plugin_cannot_take_a_built_ins_name(plugin) -> None:
    plugin("IT = None", name="linear")
    assert load_candidate("linear").summary.startswith("ridge")


@pytest.mark.parametrize(
    ("source", "message"), [("1/0", "can't be imported: division by zero"), ("IT = 3", "is no candidate")]
)
def test_a_broken_plugin_is_named(plugin, source: str, message: str) -> None:
    plugin(source)
    with pytest.raises(UserCodeError, match=message):
        load_candidate("extra")


@pytest.mark.parametrize(
    ("path", "message", "fix"),
    [
        ("sklearn.nowhere:Thing", "no module 'sklearn.nowhere'", "module:Class"),
        ("sklearn.neighbors:KNeighborRegressor", "has no class", "did you mean 'KNeighborsRegressor'"),
        ("sklearn.preprocessing:StandardScaler", "is no estimator", "classifier or regressor"),
        ("pathlib:Path", "is no estimator", "classifier or regressor"),
        ("sklearn.linear_model:RidgeClassifier", "gives no probabilities", "predict_proba"),
    ],
)
def test_import_paths_that_are_no_estimator(path: str, message: str, fix: str) -> None:
    with pytest.raises(UserError) as caught:
        load_candidate(path)
    assert message in str(caught.value)
    assert fix in str(caught.value)
    assert path in str(caught.value)


def test_a_users_module_that_raises_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_model.py").write_text("raise RuntimeError('no licence')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserCodeError, match="no licence") as caught:
        load_candidate("broken_model:Thing")
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_check_models_reports_every_mistake_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("")
    models = (
        "linear",
        "boostng",
        ModelSpec(use="forest", params={"treez": 3, "min_leaf": "few"}),
        "linear",
        ModelSpec(use="tree", name="naive"),
        "mine:Model",
    )
    found = [(i, p.what) for i, p in check_models(models, tmp_path)]
    assert found == [
        (1, "no model is called 'boostng'"),
        (2, "forest has no parameter 'treez'"),
        (2, "min_leaf = 'few' is of the wrong type"),
        (3, "two models are called 'linear'"),
        (4, "two models are called 'naive'"),
        (5, "no module 'mine'"),
    ]
    hint = [p.fix for i, p in check_models(models, tmp_path) if i == 5]
    assert "PYTHONPATH" in hint[0]


def test_check_models_knows_the_task(tmp_path: Path) -> None:
    models = ("sklearn.linear_model:HuberRegressor",)
    assert list(check_models(models, tmp_path, Kind.REGRESSION)) == []
    [(_, problem)] = check_models(models, tmp_path, Kind.BINARY)
    assert "can't learn a binary task" in problem.what


@pytest.mark.parametrize(
    ("error", "platform", "command"),
    [
        (OSError("libgomp.so.1: cannot open shared object file"), "linux", "apt-get install libgomp1"),
        (OSError("Library not loaded: @rpath/libomp.dylib"), "darwin", "brew install libomp"),
        (
            ModuleNotFoundError("No module named 'lightgbm'", name="lightgbm"),
            "linux",
            "pip install 'headrace[train]'",
        ),
    ],
)
def test_missing_libraries_are_named_with_the_command(
    error: Exception, platform: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(module: str) -> None:
        raise error

    monkeypatch.setattr(needs, "import_module", fails)
    monkeypatch.setattr(needs.sys, "platform", platform)
    with pytest.raises(MissingDependency) as caught:
        needs.need("lightgbm")
    assert "lightgbm" in str(caught.value)
    assert command in str(caught.value)
