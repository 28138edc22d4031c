"""Readiness, and counts of several workers behind the real command."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import plain_world
import pytest
from asgi_client import Client
from plain_world import row
from serve_releases import Release, publish
from served import served, wait_until
from test_metrics import Told, read, value

from headrace.core.clock import system_clock
from headrace.core.codec import from_json
from headrace.core.event import Draft
from headrace.core.places import STORE_DIR
from headrace.core.routes import DEFAULT
from headrace.core.views import RELEASE_KINDS, releases
from headrace.project import Project
from headrace.release.manifest import Manifest
from headrace.serve.http.app import assemble
from headrace.serve.http.health import LATE, Health, late
from headrace.serve.intakes import Intakes
from headrace.serve.live import Live, load
from headrace.stores import EmbeddedStore


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_world.make(tmp_path_factory.mktemp("plain"))


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "project"))


def test_what_is_missing_is_said(binary: Release) -> None:
    trouble, notes = [""], [""]
    health = Health([lambda: trouble[0]], notes=[lambda *, whys: notes[0]])
    live = Live.pinned(load(binary.store, binary.name, binary.manifest, system_clock))
    client = Client(assemble(live, Intakes(binary.store, live), health=health))
    probes = ("/health/ready", "/v2/health/ready", "/v2/models/flights/ready", "/ping")
    assert [client.get(p).status_code for p in probes] == [200] * 4
    notes[0] = "release b can't be loaded"
    assert client.get("/health/ready").json() == {"status": "ok", "releases": ["r7"], "trouble": notes}
    trouble[0] = "the disk is full"
    assert [client.get(p).status_code for p in probes] == [503] * 4
    response = client.get("/health/ready")
    assert response.json()["detail"] == "the disk is full" and response.headers["retry-after"] == "1"
    assert client.get("/health/live").status_code == 200
    trouble[0], health.draining = "", True
    assert [client.get(p).status_code for p in probes] == [503] * 4
    assert "headrace_ready 0" in client.get("/metrics").text


def test_why_a_release_is_not_loaded_is_for_operators(folder: Path) -> None:
    """Its first line may be in the words of the owner's code."""
    store = EmbeddedStore(folder / STORE_DIR)
    graph = store.put(b"no graph").digest
    view = releases(store.read(kinds=RELEASE_KINDS)).releases["aaaa"]
    there = from_json(store.get(view.manifest).read_bytes(), Manifest)
    broken = replace(there, serving=replace(there.serving, graph=graph))
    publish(store, broken, "bbbb", champion=False)
    arms = [{"release": "bbbb", "share": 0.5, "role": "canary"}]
    route = {"arms": arms, "salt": "salt", "ramp": {}}
    store.append([Draft("route.set", DEFAULT, "2026-11-21T10:00:01.000000Z", "me", route)])
    store.close()
    project = Project(folder)
    tokens = {r: project.make_token(r, r, lasts=timedelta(days=1)).shown for r in ("caller", "operator")}
    with served(folder) as server:

        def told(**headers: str) -> str:
            status, _, answer = server.ask("GET", "/health/ready", headers=headers)
            assert status == 200
            return str(answer["trouble"])

        assert told() == told(authorization=f"Bearer {tokens['caller']}") == "['bbbb: not loaded']"
        why = told(authorization=f"Bearer {tokens['operator']}")
        assert "bbbb: " in why and "not loaded" not in why
        assert "release bbbb can't be loaded" in server.said


def test_late_is_later_than_a_few_seconds() -> None:
    assert late(LATE) == "" and "6 s ago" in late(6.2)


@pytest.mark.parametrize("pinned", [False, True])
def test_a_ledger_that_cannot_be_read_makes_a_worker_unready(folder: Path, pinned: bool) -> None:
    """Also one whose release is given: a token that was revoked would go unnoticed."""
    (name,) = releases(EmbeddedStore(folder / STORE_DIR).read(kinds=RELEASE_KINDS)).releases
    with served(folder, *(["--release", name] if pinned else [])) as server:
        assert server.ask("GET", "/health/ready")[0] == 200
        with contextlib.closing(
            sqlite3.connect(folder / STORE_DIR / "ledger.db", isolation_level=None)
        ) as ledger:
            ledger.execute("alter table event rename to hidden")
            try:
                wait_until(lambda: server.ask("GET", "/health/ready")[0] == 503, 30)
                assert "ledger was last read" in server.ask("GET", "/health/ready")[2]["detail"]
                assert server.ask("POST", "/predict", row(1))[0] == 200
            finally:
                ledger.execute("alter table hidden rename to event")
        wait_until(lambda: server.ask("GET", "/health/ready")[0] == 200, 30)
        assert server.stop() == 0


def test_counts_of_all_workers_outlive_them(folder: Path) -> None:
    with served(folder, "--workers", "2") as server:

        def told() -> Told:
            return read(server.ask("GET", "/metrics")[2].decode())

        def answered() -> float:
            return value(
                told(), "headrace_answers_total", route="default", release="aaaa", arm="champion", by="model"
            )

        for i in range(30):
            assert server.ask("POST", "/predict", row(i))[0] == 200
        assert answered() == 30
        assert value(told(), "headrace_workers") == 2
        before = set(server.children())
        os.kill(min(before), signal.SIGKILL)
        wait_until(lambda: len(set(server.children()) - before) == 1)
        for i in range(10):
            assert server.ask("POST", "/predict", row(i))[0] == 200
        assert answered() == 40
        wait_until(lambda: value(told(), "headrace_workers") == 2)
        now = told()
        assert value(now, "headrace_requests_total", path="/predict", method="POST", status="200") == 40
        assert (
            value(now, "headrace_log_refusing") == 0 and value(now, "headrace_following_age_seconds") < LATE
        )
        assert value(now, "headrace_connections") >= 0 and value(now, "headrace_requests_waiting") == 0
        assert server.stop() == 0
