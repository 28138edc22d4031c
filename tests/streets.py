"""Parcels after the first release: of a world that stays or breaks, and what watching says of it."""

from __future__ import annotations

import csv
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from headrace.core.clock import iso, micros
from headrace.core.event import Draft
from headrace.project import Project

PATIENCE = 120.0
"""Seconds that a test waits for what has to happen, however busy the machine is."""
_FIRST_DAY = 60


def until(what: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def grow(
    project: Project,
    *,
    days: int = 20,
    rows: int = 3000,
    breaks: bool = True,
    more: float = 0.0,
    seed: int = 9,
) -> None:
    """Append parcels of the days behind those of `spine.write_tables`. Where the world breaks, wind and depot
    work the other way round from then on; `more` is how many minutes later everything is."""
    draw = random.Random(seed)
    start, wind = datetime(2024, 1, 1, tzinfo=UTC), {}
    sign = -1.0 if breaks else 1.0
    with (project.root / "data" / "weather.csv").open("a", newline="") as f:
        out = csv.writer(f)
        for hour in range(_FIRST_DAY * 24, (_FIRST_DAY + days) * 24):
            for depot in ("north", "south"):
                wind[depot, hour] = max(0.0, draw.gauss(10, 5))
                out.writerow([depot, (start + timedelta(hours=hour)).isoformat(), f"{wind[depot, hour]:.2f}"])
    with (project.root / "data" / "parcels.csv").open("a", newline="") as f:
        out = csv.writer(f)
        for i in range(rows):
            minutes = _FIRST_DAY * 24 * 60 + 60 + int(i * (days * 24 - 2) * 60 / rows)
            at = start + timedelta(minutes=minutes)
            depot = draw.choice(["north", "south"])
            late = sign * (2.2 * (wind[depot, minutes // 60 - 1] - 10) + (12 if depot == "north" else 0) - 6)
            late += (at.hour - 12) * 0.8 + 18 + more + draw.gauss(0, 5)
            row = [100_000 + i, at.isoformat(), depot, f"c{i % 41}", "train", round(draw.uniform(1, 50), 1)]
            out.writerow([*row, round(late, 1)])


def alarm(
    project: Project, name: str = "alert-1", *, family: str = "drift", title: str = "drift of wind"
) -> None:
    """Open an alert about the champion, as a tick of watching does."""
    champion = project.releases().champion
    assert champion is not None
    now = project._clock()
    payload = {
        "release": champion.release,
        "arm": "champion",
        "title": title,
        "family": family,
        "families": [family],
        "readings": [],
        "since": micros(now),
        "seen": micros(now),
    }
    project.store.append([Draft("alert.opened", name, iso(now), "watch", payload)])
