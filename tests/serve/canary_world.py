"""A project with a champion and an approved challenger, whose own function misbehaves when it is told to."""

from __future__ import annotations

import functools
import random
import shutil
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from served import Running, served
from spine import PATIENT, begin, edit_spec

from headrace.core.places import STORE_DIR
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
    worth = ("  metric: f1\n", "  metric: f1\n  value: {true_positive: 4, false_positive: -1, unit: EUR}\n")
    project = begin(folder, ("  wind: weather.wind\n", calm), PATIENT, worth)
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


def serving(folder: Path, workers: int, *options: str) -> AbstractContextManager[Running]:
    """`headrace serve` of the project; the challenger's mood is in a file of the folder."""
    mood = {"MOOD": str(folder / MOOD)}
    return served(folder, "--workers", str(workers), *options, environ=mood)


def guard_of(folder: Path) -> int:
    """The process that watches the routes (0: none yet)."""
    try:
        return int((folder / STORE_DIR / "guard.lock").read_text() or 0)
    except FileNotFoundError:
        return 0


def row(draw: random.Random) -> dict[str, Any]:
    """A parcel as callers send it."""
    at = (datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=draw.randrange(58 * 24 * 60))).isoformat()
    return {"at": at, "depot": draw.choice(["north", "south"]), "distance": round(draw.uniform(1, 50), 1)}


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
