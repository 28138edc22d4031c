"""An exported folder answers by itself what the project answers: in a fresh environment, over a socket."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from exported_world import HEAVY, call, install, read_only, running, size
from spine import begin

from headrace.cli.exported import prepare
from headrace.core.errors import Corrupt, UserError
from headrace.project import Project
from headrace.serve.answer import Answerer

AT_MOST = 220_000_000


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The interpreter, once for all tests: the requirements of small releases are the same."""
    return {"venv": tmp_path_factory.mktemp("fresh") / "venv"}


def python_of(environment: dict[str, Path], folder: Path) -> Path:
    if "python" not in environment:
        environment["python"] = install(folder, environment["venv"])
    return environment["python"]


def rows_of(project: Project, count: int) -> list[dict[str, Any]]:
    with (project.root / "data" / "parcels.csv").open(newline="") as file:
        every = list(csv.DictReader(file))
    rows = every[:: len(every) // count][:count]
    return [{"at": r["at"], "depot": r["depot"], "distance": float(r["distance"])} for r in rows]


def expected(project: Project, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found, manifest = project.release()
    return Answerer(project.store, manifest.serving, found.release).answer(rows)


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("generated_client", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["generated_client"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_it_answers_as_the_project_does(
    finished: Project, tmp_path: Path, environment: dict[str, Path]
) -> None:
    folder = tmp_path / "out"
    made = finished.export("docker", folder)
    assert made.bytes < 5_000_000
    python = python_of(environment, folder)
    assert size(environment["venv"]) <= AT_MOST
    there = {p.name for p in next((environment["venv"] / "lib").glob("python*/site-packages")).iterdir()}
    assert not there & set(HEAVY)
    read_only(folder / "release")
    rows = rows_of(finished, 60)
    wanted = expected(finished, rows)
    assert len({a["probability"] for a in wanted}) > 3
    finished.export("client", tmp_path / "client.py")
    shutil.move(finished.root, tmp_path / "elsewhere")  # the folder is all that there is
    client = load(tmp_path / "client.py")
    with running(python, folder, tmp_path / "state") as address:
        assert call(address, "/health/ready")[0] == 200
        for row, answer in zip(rows[:20], wanted, strict=False):
            status, told = call(address, "/predict", row)
            assert status == 200, told
            assert {n: told[n] for n in answer} == answer
        status, told = call(address, "/predict", rows)
        same = [
            {n: a[n] for n in ("prediction", "release")} | {"probability": pytest.approx(a["probability"])}
            for a in wanted
        ]
        assert [
            {n: a[n] for n in ("prediction", "release", "probability")} for a in told["predictions"]
        ] == same
        with client.Client(address) as caller:
            answers = caller.predict_many([client.Row(**r) for r in rows])
            assert [a.prediction for a in answers] == [a["prediction"] for a in wanted]
            one = caller.predict(client.Row(**rows[0]))
            assert (one.prediction, one.probability) == (wanted[0]["prediction"], wanted[0]["probability"])
            assert (one.by, one.fallback, one.release) == ("model", False, client.RELEASE)
            caller.label(one.id, True)
            with pytest.raises(client.Refused) as refused:
                caller.predict(client.Row(at="never", depot="north", distance=1.0))
            assert refused.value.status == 422
            assert "at" in refused.value.faults[0].where
    # Started again on the same state, it goes on.
    with running(python, folder, tmp_path / "state") as address:
        assert call(address, "/predict", rows[0])[1]["prediction"] == wanted[0]["prediction"]


def test_tokens_come_with_it_and_are_revoked_by_the_next_file(
    finished: Project, tmp_path: Path, environment: dict[str, Path]
) -> None:
    folder = tmp_path / "out"
    shop = finished.make_token("shop", "caller", lasts=timedelta(days=3650)).shown
    gone = finished.make_token("gone", "caller", lasts=None).shown
    finished.revoke_token("gone")
    finished.export("compose", folder)
    kept = (folder / "secrets" / "tokens.json").read_text()
    assert shop.rpartition("_")[2] not in kept
    python = python_of(environment, folder)
    row = rows_of(finished, 1)[0]
    tokens = {"HEADRACE_TOKENS": str(folder / "secrets" / "tokens.json")}
    with running(python, folder, tmp_path / "state", **tokens) as address:
        assert call(address, "/predict", row)[0] == 401
        assert call(address, "/predict", row, gone)[0] == 401
        assert call(address, "/predict", row, shop)[0] == 200
    (folder / "secrets" / "tokens.json").write_text("[]")
    with running(python, folder, tmp_path / "state", **tokens) as address:
        assert call(address, "/predict", row, shop)[0] == 401


def test_nobody_listens_to_the_world_without_a_token(
    finished: Project, tmp_path: Path, environment: dict[str, Path]
) -> None:
    folder = tmp_path / "out"
    finished.export("docker", folder)
    python = python_of(environment, folder)
    done = subprocess.run(
        [str(python), "-m", "headrace.cli.exported", str(folder / "release")],
        env={"HEADRACE_HOST": "0.0.0.0", "HEADRACE_PORT": "0", "HEADRACE_STATE": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "anybody who reaches 0.0.0.0 could ask this server" in done.stderr


def test_what_was_changed_on_the_way_is_refused(finished: Project, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    finished.export("docker", folder)
    artifact = max((folder / "release" / "artifacts").iterdir(), key=lambda p: p.stat().st_size)
    artifact.write_bytes(artifact.read_bytes()[:-1] + b"?")
    with pytest.raises(Corrupt, match="not what its name says"):
        prepare(folder / "release", tmp_path / "state")
    (folder / "release" / "release.json").unlink()
    with pytest.raises(UserError, match="no exported release"):
        prepare(folder / "release", tmp_path / "state")


def test_nothing_else_is_overwritten(finished: Project, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(UserError, match="not empty"):
        finished.export("docker", tmp_path / "mine")
    with pytest.raises(UserError, match="one Python file"):
        finished.export("client", tmp_path / "mine")
    with pytest.raises(UserError, match="no target"):
        finished.export("dockr", tmp_path / "mine2")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    first = finished.export("docker", tmp_path / "out")
    second = finished.export("docker", tmp_path / "out")
    assert first == second
    assert json.loads((tmp_path / "out" / "release" / "release.json").read_text())["release"] == first.release


def test_a_release_with_functions_of_its_own_brings_them(tmp_path: Path) -> None:
    function = '  wind: {python: "mine.py:calm", of: [weather.wind]}\n'
    project = begin(tmp_path / "project", ("  wind: weather.wind\n", function))
    (project.root / "mine.py").write_text("def calm(batch):\n    return batch['weather.wind']\n")
    assert project.run().status == "released"
    folder = tmp_path / "out"
    project.export("docker", folder)
    assert "pyarrow==" in (folder / "requirements.txt").read_text()
    rows = rows_of(project, 20)
    wanted = expected(project, rows)
    shutil.move(project.root, tmp_path / "elsewhere")
    python = install(folder, tmp_path / "venv")
    with running(python, folder, tmp_path / "state") as address:
        told = [call(address, "/predict", row)[1] for row in rows]
    assert [t["probability"] for t in told] == [a["probability"] for a in wanted]
    shutil.rmtree(tmp_path / "venv")  # pytest keeps the folders of three runs
