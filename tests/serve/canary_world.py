"""A project with a champion and an approved challenger, whose own function misbehaves when it is told to."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from spine import begin, edit_spec

from headrace.project import Project

MOOD = "mood.txt"
CODE = """
import os
import time

import pyarrow.compute as pc


def calm(batch):
    return batch["weather.wind"]


def gust(batch):
    mood = ""
    if os.path.exists(os.environ.get("MOOD", "")):
        with open(os.environ["MOOD"]) as file:
            mood = file.read()
    if mood == "fails":
        raise ValueError("no such road")
    if mood == "slow":
        time.sleep(0.15)
    wind = batch["weather.wind"]
    return pc.add(pc.multiply(wind, 0), 1000.0) if mood == "nonsense" else wind
"""


def make_project(folder: Path) -> tuple[str, str]:
    """Champion and challenger of a new project."""
    calm = '  wind: {python: "features.py:calm", of: [weather.wind]}\n'
    # A machine that is busy with other tests is no reason to fall back.
    patient = ("cv: {folds: 3}\n", "cv: {folds: 3}\nserve: {deadline: 20 s}\n")
    worth = ("  metric: f1\n", "  metric: f1\n  value: {true_positive: 4, false_positive: -1, unit: EUR}\n")
    project = begin(folder, ("  wind: weather.wind\n", calm), patient, worth)
    (folder / "features.py").write_text(CODE)
    first = project.run()
    assert first.status == "released", first.problems
    edit_spec(
        project,
        (calm, calm.replace("features.py:calm", "features.py:gust")),
        ("approval: self", "approval: other"),
        ("cv: {folds: 3}", "cv: {folds: 3}\npromote: {margin: 0.9}"),
    )
    second = project.run()
    assert second.status == "awaiting approval", second.problems
    project.approve(second.release, by="colleague@example.com")
    project.store.close()  # type: ignore[attr-defined]  # the embedded store's
    return first.release, second.release


@contextmanager
def server(folder: Path, workers: int, *options: str) -> Iterator[tuple[int, int]]:
    """`headrace serve`: its port, and its process."""
    environment = {**os.environ, "MOOD": str(folder / MOOD), "OMP_NUM_THREADS": "1"}
    command = [str(Path(sys.executable).with_name("headrace")), "serve", "-C", str(folder), "--port", "0"]
    command += ["--workers", str(workers), *options]
    told = folder / "serve.log"
    with told.open("w") as log:
        process = subprocess.Popen(command, stderr=log, env=environment)
    try:
        wait_until(lambda: "http://" in told.read_text() or process.poll() is not None, 60)
        found = re.search(r"http://127.0.0.1:(\d+)", told.read_text())
        assert found is not None, told.read_text()
        yield int(found[1]), process.pid
    finally:
        process.terminate()
        process.wait(timeout=60)


def guard_of(folder: Path) -> int:
    """The process that watches the routes."""
    return int((folder / ".headrace" / "guard.lock").read_text())


@dataclass
class Traffic:
    """Callers, so many requests a second together. `told`: when, from which arm and release, and
    how each was answered."""

    port: int
    rate: float
    callers: int = 8
    told: list[tuple[float, str, str, int]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Traffic:
        self._threads = [
            threading.Thread(target=self._call, args=(seed,), daemon=True) for seed in range(self.callers)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=10)

    def _call(self, seed: int) -> None:
        draw = random.Random(seed)
        every = self.callers / self.rate
        due = time.monotonic() + draw.random() * every
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as line:
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                due = max(due + every, time.monotonic() - 0.5)
                try:
                    line.request("POST", "/predict", body=json.dumps(row(draw)))
                    answer = line.getresponse()
                    told = json.loads(answer.read())
                except (OSError, http.client.HTTPException):
                    line.close()  # a worker was killed; the next request opens another
                    time.sleep(0.05)
                    continue
                seen = (time.monotonic(), told.get("arm", ""), told.get("release", ""), answer.status)
                self.told.append(seen)


def row(draw: random.Random) -> dict[str, Any]:
    """A parcel as callers send it."""
    at = (datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=draw.randrange(58 * 24 * 60))).isoformat()
    return {"at": at, "depot": draw.choice(["north", "south"]), "distance": round(draw.uniform(1, 50), 1)}


def wait_until(true: Any, seconds: float) -> float:
    """How long it took until it was so."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, "it did not come about"
        time.sleep(0.02)
    return time.monotonic() - began


def events(folder: Path, *kinds: str) -> list[Any]:
    """What the ledger holds of these kinds."""
    return list(Project(folder).store.read(kinds=kinds))


@functools.cache
def _template(base: Path) -> tuple[Path, str, str]:
    folder = base / "canary-template"
    return folder, *make_project(folder)


@pytest.fixture
def canaried(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str, str]:
    """A project, its champion and an approved challenger."""
    template, champion, challenger = _template(tmp_path_factory.getbasetemp())
    shutil.copytree(template, tmp_path / "project")
    return Project(tmp_path / "project", actor="ops@example.com"), champion, challenger
