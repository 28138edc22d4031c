"""Runs mirrored to a real MLflow server."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.core.errors import UserError
from headrace.engine.tracking.mirror import NotMirrored, find_mirror
from headrace.project import Project

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def _program() -> str | None:
    """MLflow's server: its libraries don't fit beside ours, so it lives in an environment of its own."""
    given = os.environ.get("HEADRACE_MLFLOW")
    return given if given and Path(given).is_file() else None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of an MLflow server of our own."""
    program = _program()
    if program is None:
        pytest.skip("no MLflow server: install mlflow in another environment and name it in HEADRACE_MLFLOW")
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    command = [program, "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    quiet = {n: v for n, v in os.environ.items() if not n.startswith("PYTHON")}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env=quiet, start_new_session=True
        )
    try:
        _wait(uri, process, folder / "log")
        yield uri
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def _wait(uri: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=2):
                return
        except OSError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.5)
    raise AssertionError(log.read_text())


def _client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def _runs(uri: str, project: str = "parcels") -> dict[str, Any]:
    client = _client(uri)
    number = client.get_experiment_by_name(project).experiment_id
    return {r.data.tags["headrace.run"]: r for r in client.search_runs([number])}


def test_a_run_of_the_spine_is_mirrored(fresh: Project, server: str) -> None:
    result = fresh.run(tracking=f"mlflow:{server}")
    mirrored = _runs(server)["run-1"]
    assert mirrored.info.status == "FINISHED"
    assert mirrored.data.tags["headrace.release"] == result.release
    assert mirrored.data.params["features.distance"] == "distance"
    test = result.plain()["test"]
    assert mirrored.data.metrics["test/f1"] == pytest.approx(test["value"])
    assert mirrored.data.metrics["cv/tree"] == pytest.approx(result.plain()["leaderboard"][0]["mean"])
    names = [f.path for f in _client(server).list_artifacts(mirrored.info.run_id)]
    assert names == ["summary.json"]


def test_a_script_is_mirrored_with_its_series(
    fresh: Project, server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HEADRACE_TRACKING", f"mlflow:{server}")
    with fresh.track("series", tags={"team": "a"}) as run:
        run.log_params(depth=3)
        for i in range(700):  # more than MLflow takes at once
            run.log_metrics({"loss: train": 1 / (i + 1)})
        run.log_artifact(b"bytes", "raw.bin")
        run.note("look at the tail")
    found = next(
        r
        for r in _client(server).search_runs(
            [_client(server).get_experiment_by_name("parcels").experiment_id]
        )
        if r.data.tags.get("team") == "a"
    )
    assert (
        found.data.params == {"depth": "3"} and found.data.tags["mlflow.note.content"] == "look at the tail"
    )
    history = _client(server).get_metric_history(found.info.run_id, "loss_ train")
    assert sorted(p.step for p in history) == list(range(700))
    files = _client(server).list_artifacts(found.info.run_id)
    assert {f.path for f in files} == {"raw.bin", "summary.json"}


def test_a_server_that_is_not_there_fails_no_run(fresh: Project) -> None:
    with (
        pytest.warns(NotMirrored, match=r"run-1 is not in http://127\.0\.0\.1:9"),
        fresh.track("alone", tracking="mlflow:http://127.0.0.1:9") as run,
    ):
        run.log_metrics(loss=1.0)
    assert fresh.show("run-1").status == "done"


def test_what_is_no_mirror() -> None:
    assert find_mirror(None) is None
    with pytest.raises(UserError, match="is no mirror"):
        find_mirror("wandb:x")
