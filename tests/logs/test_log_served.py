"""Servers that are killed under load have logged every answer that a caller got; labels over HTTP."""

import os
import random
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from callers import Callers
from served import served, wait_until
from spine import _template
from written import everything

from headrace.project import Project

ROW = {"at": "2024-01-20T15:00:00Z", "depot": "north", "distance": 12.5}
TWO = [ROW, ROW]


@pytest.fixture
def root(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(_template(tmp_path_factory.getbasetemp()), folder)
    return folder


def killed_under_load(root: Path, pause: float) -> list[str]:
    """The ids that callers had from a server before it was killed."""
    with (
        served(root, "--log", "durable") as server,
        Callers(server.port, lambda _: TWO, connections=4, also=_ids) as callers,
    ):
        wait_until(lambda: callers.given)
        time.sleep(pause)
        server.kill()
    assert callers.odd == []
    return [one for told in callers.given for one in told.also]


def _ids(said: Any) -> list[str]:
    return [answer["id"] for answer in said["predictions"]]


def rounds(root: Path, count: int) -> None:
    chance = random.Random(3)
    had: list[str] = []
    for _ in range(count):
        had += killed_under_load(root, chance.uniform(0.0, 0.4))
    found = Counter(e.id for e in everything(root / ".headrace" / "log"))
    assert set(had) <= set(found)
    assert max(found.values()) == 1
    assert len(had) >= count * 2


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_killed_server_has_logged_what_callers_had(root: Path) -> None:
    rounds(root, 3)


@pytest.mark.deep
def test_fifty_killed_servers_have_logged_what_callers_had(root: Path) -> None:
    rounds(root, 50)


def test_labels_over_http(root: Path) -> None:
    with served(root, "--log", "durable") as server:

        def ask(path: str, body: Any) -> Any:
            status, _, told = server.ask("POST", path, body)
            assert status == 200, told
            return told

        answer = ask("/predict", ROW)
        told = ask("/labels", {"id": answer["id"], "label": True})
        assert told == {"new": 1, "corrected": 0, "known": 0, "waiting": 0, "refused": 0}
        by_inputs = [{"input_depot": "north", "input_distance": 12.5, "label": False}, {"label": 1}]
        told = ask("/labels", by_inputs)
        assert (told["new"], told["waiting"], told["refused"]) == (1, 1, 1)
        assert told["errors"][0]["where"] == "[1]"
        told = ask("/labels", [{"id": answer["id"], "label": "n/a"}, {"id": "x", "label": "true"}])
        assert (told["new"], told["errors"][0]["where"]) == (1, "[0].label")
        assert server.ask("POST", "/labels", [{"label": 1}])[0] == 422
    project = Project(root)
    sql = "SELECT id, label, prediction, input_depot FROM answered"
    assert project.log_query(sql).rows == [(answer["id"], False, answer["prediction"], "north")]
    project.store.close()  # type: ignore[attr-defined]  # the embedded store's
