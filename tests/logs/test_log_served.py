"""Servers that are killed under load have logged every answer that a caller got; labels over HTTP."""

import contextlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from spine import _template
from written import everything

from headrace.project import Project

ROW = {"at": "2024-01-20T15:00:00Z", "depot": "north", "distance": 12.5}
CALLERS = 4


class Refused(Exception):
    """Another status than 200, and what was said."""


class Server:
    """`headrace serve` over a project, durable, on a port of its own."""

    def __init__(self, root: Path) -> None:
        command = [sys.executable, "-c", "from headrace.cli import main; main()", "serve", "-C", str(root)]
        self.process = subprocess.Popen(
            [*command, "--port", "0", "--log", "durable"], stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        said = []
        for line in self.process.stderr:
            said.append(line)
            if found := re.search(r"http://[\d.]+:(\d+)", line):
                self.port = int(found[1])
                return
        self.process.communicate(timeout=60)
        raise AssertionError(f"it did not start: {''.join(said)}")

    def ask(self, path: str, body: Any) -> Any:
        """The reply, decoded. Raises what a dead server makes of a connection, and Refused."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request("POST", path, json.dumps(body))
            reply = connection.getresponse()
            told = json.loads(reply.read())
        if reply.status != 200:
            raise Refused(reply.status, told)
        return told

    def end(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        self.process.communicate(timeout=60)


@pytest.fixture
def root(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(_template(tmp_path_factory.getbasetemp()), folder)
    return folder


def killed_under_load(root: Path, pause: float) -> list[str]:
    """The ids that callers had from a server before it was killed."""
    server = Server(root)
    had: list[str] = []
    refused: list[Refused] = []
    got_some = threading.Event()

    def call() -> None:
        while True:
            try:
                told = server.ask("/predict", [ROW, ROW])
            except Refused as error:
                refused.append(error)
                return
            except (OSError, http.client.HTTPException, ValueError):  # it is gone, or its answer was cut off
                return
            had.extend(answer["id"] for answer in told["predictions"])
            got_some.set()

    callers = [threading.Thread(target=call) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    got_some.wait(30)
    time.sleep(pause)
    server.end(signal.SIGKILL)
    for caller in callers:
        caller.join(60)
    assert refused == []
    return had


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
    server = Server(root)
    try:
        answer = server.ask("/predict", ROW)
        told = server.ask("/labels", {"id": answer["id"], "label": True})
        assert told == {"new": 1, "corrected": 0, "known": 0, "waiting": 0, "refused": 0}
        by_inputs = [{"input_depot": "north", "input_distance": 12.5, "label": False}, {"label": 1}]
        told = server.ask("/labels", by_inputs)
        assert (told["new"], told["waiting"], told["refused"]) == (1, 1, 1)
        assert told["errors"][0]["where"] == "[1]"
        told = server.ask("/labels", [{"id": answer["id"], "label": "n/a"}, {"id": "x", "label": "true"}])
        assert (told["new"], told["errors"][0]["where"]) == (1, "[0].label")
        with pytest.raises(Refused) as refused:
            server.ask("/labels", [{"label": 1}])
        assert refused.value.args[0] == 422
    finally:
        server.end(signal.SIGTERM)
    project = Project(root)
    sql = "SELECT id, label, prediction, input_depot FROM answered"
    assert project.log_query(sql).rows == [(answer["id"], False, answer["prediction"], "north")]
    project.store.close()  # type: ignore[attr-defined]  # the embedded store's
