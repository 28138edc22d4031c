"""A release whose owner's code hangs, behind a real socket in a process of its own: callers get an answer."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from served import Running, served, wait_until
from spine import begin

CODE = """
import time


def far(batch):
    if 1e6 in batch["distance"].to_pylist():
        time.sleep(90)
    if 1e7 in batch["distance"].to_pylist():
        raise ValueError("no such road")
    return batch["distance"]
"""
SERVE = """models: [tree]
serve:
  deadline: 5 s
  rules: {before: [{name: closed, when: depot = 'east', answer: true}]}
  fallback: [{rule: depot = 'north'}]
"""
ROW = {"at": "2024-02-20T12:00:00", "depot": "north", "distance": 10.0}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("hangs")
    project = begin(
        folder / "p",
        ("models: [tree]\n", SERVE),
        ("  distance: distance\n", '  far: {python: "features.py:far", of: [distance]}\n'),
    )
    (project.root / "features.py").write_text(CODE)
    assert project.run().status == "released"
    with served(project.root) as there:
        yield there


def ask(server: Running, **changed: Any) -> tuple[int, dict[str, Any]]:
    status, _, told = server.ask("POST", "/predict", {**ROW, **changed})
    return status, told


def test_who_hangs_gets_the_fallback_and_nobody_waits_for_them(server: Running) -> None:
    with ThreadPoolExecutor(4) as pool:
        hanging = [pool.submit(ask, server, distance=1e6) for _ in range(3)]
        (status, plain) = ask(server)
        assert (status, plain["by"], plain["flags"]) == (200, "model", [])
        assert not any(h.done() for h in hanging)
        for status, told in (h.result() for h in hanging):
            assert (status, told["by"], told["fallback"]) == (200, "fallback: rule (timeout)", True)
            assert (told["prediction"], told["release"], told["probability"]) == (True, None, None)


def test_what_comes_after_a_rule_that_gives_nothing(server: Running) -> None:
    """A null of the last rule leaves nothing: the caller is told why."""
    status, told = ask(server, distance=1e7, depot=None)
    assert status == 503
    (problem,) = told["errors"]
    assert re.fullmatch("the release [0-9a-z]+ failed", problem["what"]) and problem["where"] == ""
    assert "no such road" not in str(told), "what the owner's code says is for the server's log"
    status, told = ask(server, distance=1e7)
    assert (status, told["by"], told["prediction"]) == (200, "fallback: rule (error)", True)


def test_rules_and_refusals_ask_nobody_s_code(server: Running) -> None:
    status, told = ask(server, distance=1e6, depot="east")
    assert (status, told["by"], told["prediction"]) == (200, "rule: closed", True)
    status, told = ask(server, distance="far", depot=4)
    assert status == 422 and {e["where"] for e in told["errors"]} == {"distance", "depot"}
    # Five failures have opened the circuit; a request tries again after a rest, and closes it.
    seen: list[str] = []

    def closed() -> bool:
        status, told = ask(server)
        assert status == 200
        seen.append(told["by"])
        return told["by"] == "model"

    wait_until(closed)
    assert set(seen[:-1]) <= {"fallback: rule (circuit open)"}
