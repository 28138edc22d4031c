"""A small project with two tables, and a finished run of it that tests copy instead of running their own."""

from __future__ import annotations

import csv
import functools
import random
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from headrace.cli.root import cli
from headrace.project import Project

AUTHOR = "author@example.com"
START = datetime(2026, 1, 15, 12, tzinfo=UTC)

SPEC = """
headrace: 1
project: parcels
problem:
  objective: fewer late parcels
  decision: warn the customer
  task: binary
  target: late > 30
  metric: f1
  today: {rule: "hour(at) >= 20"}
  ship_at: 0.3
  owners: {default: owner@example.com, learn: learner@example.com}
  approval: self
data:
  events: parcels
  id: parcel
  time: at
  lead: 60 min
  zone: America/New_York
  tables:
    parcels: {read: data/parcels.csv}
    weather: {read: data/weather.csv, key: depot, time: seen, ttl: 3 h}
  expect: ["unique(parcel)", "distance > 0"]
split: {by: time, validation: 20%, test: 20%}
features:
  hour: hour(at)
  depot: depot
  distance: distance
  wind: weather.wind
models: [tree]
cv: {folds: 3}
"""

PATIENT = ("cv: {folds: 3}\n", "cv: {folds: 3}\nserve: {deadline: 60 s}\n")
"""A change of the spec: a machine that is busy with other tests is no reason to refuse or to fall back."""

STAGES = ("frame", "ingest", "split", "features", "inspect", "learn", "package", "evaluate", "test")


class Clock:
    """Moves one second at each look; `forward` moves it by more."""

    def __init__(self, moment: datetime = START) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        self.moment += timedelta(seconds=1)
        return self.moment

    def forward(self, **span: float) -> None:
        self.moment += timedelta(**span)


def write_tables(folder: Path, *, rows: int = 1200, signal: float = 1.0, seed: int = 1) -> None:
    """Parcels over 60 days whose lateness follows hour, depot and the wind of the hour before."""
    draw = random.Random(seed)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    (folder / "data").mkdir(parents=True, exist_ok=True)
    wind: dict[tuple[str, int], float] = {}
    with (folder / "data" / "weather.csv").open("w", newline="") as f:
        out = csv.writer(f)
        out.writerow(["depot", "seen", "wind"])
        for hour in range(-3, 60 * 24):
            for depot in ("north", "south"):
                wind[depot, hour] = max(0.0, draw.gauss(10, 5))
                seen = (start + timedelta(hours=hour)).isoformat()
                out.writerow([depot, seen, f"{wind[depot, hour]:.2f}" if draw.random() > 0.02 else ""])
    with (folder / "data" / "parcels.csv").open("w", newline="") as f:
        out = csv.writer(f)
        out.writerow(["parcel", "at", "depot", "courier", "part", "distance", "late"])
        for i in range(rows):
            minutes = int(i * 60 * 24 * 60 / rows)
            depot = draw.choice(["north", "south"])
            at = start + timedelta(minutes=minutes)
            late = 2.2 * wind[depot, minutes // 60 - 1] + (12 if depot == "north" else 0)
            late = signal * (late + (at.hour - 12) * 0.8 - 33) + 18 + draw.gauss(0, 8 if signal else 20)
            part = "train" if i % 5 < 3 else "validation" if i % 5 == 3 else "test"
            shown = round(late, 1) if i % 97 else ""
            out.writerow([i, at.isoformat(), depot, f"c{i % 41}", part, round(draw.uniform(1, 50), 1), shown])


def edit_rows(
    project: Project, change: Callable[[dict[str, str]], dict[str, str] | None], file: str = "parcels"
) -> None:
    """Rewrite a table row by row; None leaves the row out."""
    path = project.root / "data" / f"{file}.csv"
    with path.open(newline="") as f:
        rows = [new for row in csv.DictReader(f) if (new := change(dict(row))) is not None]
    with path.open("w", newline="") as f:
        out = csv.DictWriter(f, list(rows[0]))
        out.writeheader()
        out.writerows(rows)


def edit_spec(project: Project, *changes: tuple[str, str]) -> None:
    """Change the spec's text; fails where an old text is not in it."""
    file = project.root / "headrace.yaml"
    text = file.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, f"{old!r} is not in the spec"
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")


def begin(folder: Path, *changes: tuple[str, str], clock: Clock | None = None, **tables: Any) -> Project:
    """A fresh project that has not run."""
    write_tables(folder, **tables)
    (folder / "headrace.yaml").write_text(SPEC, encoding="utf-8")
    project = Project(folder, clock=clock or Clock(), actor=AUTHOR)
    edit_spec(project, *changes)
    return project


@functools.cache
def _template(base: Path) -> Path:
    project = begin(base / "finished-template", PATIENT)
    assert project.run().status == "released"
    project.store.close()  # type: ignore[attr-defined]  # the embedded store's: leaves one file to copy
    return project.root


@pytest.fixture
def clock() -> Clock:
    """A clock that tests can move."""
    return Clock(START + timedelta(hours=1))


@pytest.fixture
def fresh(tmp_path: Path, clock: Clock) -> Project:
    """The project before its first run."""
    return begin(tmp_path / "project", clock=clock)


@pytest.fixture
def finished(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[Project]:
    """A copy of the project after one run that released."""
    folder = tmp_path / "project"
    shutil.copytree(_template(tmp_path_factory.getbasetemp()), folder)
    project = Project(folder, clock=clock, actor=AUTHOR)
    yield project
    project.store.close()  # type: ignore[attr-defined]  # the embedded store's


def command(where: Project | Path | None, *words: str, **environment: str) -> Result:
    """What a command does in a project's folder (None: in none), as if it were typed. What it raises beside
    what it tells is raised."""
    root = where.root if isinstance(where, Project) else where
    there = [] if root is None else ["-C", str(root)]
    return CliRunner().invoke(cli, [*words, *there], env=environment, catch_exceptions=False)


def statuses(result: Any) -> dict[str, str]:
    """How each stage of a run went."""
    return {s.name: s.status for s in result.stages}


def verdict(result: Any, gate: str) -> Any:
    """The verdict of a judged name."""
    found = {v.gate: v for v in result.verdicts}
    assert gate in found, f"{gate!r} was not judged: {', '.join(found)}"
    return found[gate]
