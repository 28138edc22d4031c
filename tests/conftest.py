"""What several rooms' tests share: a clock that stands still, and small real projects."""

from __future__ import annotations

import csv
import os
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from headrace.project import Project

SPEC = """
headrace: 1
project: small
problem:
  objective: fewer surprises
  decision: send a message
  task: binary
  target: late > 30
  metric: f1
  today: {rule: "hour(at) >= 20"}
  ship_at: 0.3
  owners: {default: owner@example.com}
  approval: self
data:
  events: trips
  id: trip_id
  time: at
  lead: 60 min
  zone: America/New_York
  tables:
    trips: {read: data/trips.csv}
    weather: {read: data/weather.csv, key: place, time: seen, ttl: 3 h}
  expect: ["unique(trip_id)", "distance > 0"]
split: {by: time, validation: 20%, test: 20%}
features:
  hour: hour(at)
  place: place
  distance: distance
  wind: weather.wind
models: [linear, tree]
cv: {folds: 3}
"""


def write_trips(folder: Path, *, rows: int = 1500, seed: int = 1) -> None:
    """Trips over 60 days whose lateness follows hour, place and wind, with the wind of the hour before."""
    draw = random.Random(seed)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    (folder / "data").mkdir(parents=True, exist_ok=True)
    wind: dict[tuple[str, int], float] = {}
    with (folder / "data" / "weather.csv").open("w", newline="") as f:
        out = csv.writer(f)
        out.writerow(["place", "seen", "wind"])
        for hour in range(-3, 60 * 24):
            for place in ("north", "south"):
                wind[place, hour] = max(0.0, draw.gauss(10, 5))
                seen = (start + timedelta(hours=hour)).isoformat()
                out.writerow([place, seen, f"{wind[place, hour]:.2f}" if draw.random() > 0.02 else ""])
    with (folder / "data" / "trips.csv").open("w", newline="") as f:
        out = csv.writer(f)
        out.writerow(["trip_id", "at", "place", "distance", "late"])
        for i in range(rows):
            minutes = int(i * 60 * 24 * 60 / rows)
            place = draw.choice(["north", "south"])
            at = start + timedelta(minutes=minutes)
            gust = wind[place, minutes // 60 - 1]
            late = (
                -15 + 2.2 * gust + (12 if place == "north" else 0) + draw.gauss(0, 8) + (at.hour - 12) * 0.8
            )
            out.writerow(
                [i, at.isoformat(), place, round(draw.uniform(1, 50), 1), round(late, 1) if i % 97 else ""]
            )


@pytest.fixture
def clock() -> Callable[[], datetime]:
    """A clock that moves one second at each look, from a fixed moment on."""
    moment = [datetime(2026, 1, 15, 12, tzinfo=UTC)]

    def look() -> datetime:
        moment[0] += timedelta(seconds=1)
        return moment[0]

    return look


@pytest.fixture
def small(tmp_path: Path, clock: Callable[[], datetime]) -> Project:
    """A project of 1,500 trips that runs in seconds and passes its gates."""
    folder = tmp_path / "small"
    write_trips(folder)
    (folder / "headrace.yaml").write_text(SPEC, encoding="utf-8")
    return Project(folder, clock=clock, actor="author@example.com")


@pytest.fixture(scope="session")
def housing() -> Path:
    """The California districts; not part of the repository."""
    given = os.environ.get("HEADRACE_HOUSING")
    root = Path(__file__).resolve().parent.parent
    file = Path(given) if given else root.parent / "shared" / "data" / "housing.csv"
    if not file.is_file():
        pytest.skip("housing.csv is absent: set HEADRACE_HOUSING to the California districts file")
    return file


def respec(project: Project, old: str, new: str) -> None:
    """Change the spec's text; fails where `old` is not in it."""
    file = project.root / "headrace.yaml"
    text = file.read_text(encoding="utf-8")
    assert old in text, f"{old!r} is not in the spec"
    file.write_text(text.replace(old, new), encoding="utf-8")
