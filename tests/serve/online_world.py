"""Parcels and weather: a small released project with lookups and histories, and the facts of later days."""

from __future__ import annotations

import csv
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from spine import AUTHOR, PATIENT, SPEC, Clock, edit_spec

from headrace.core.spec.learning import Limits
from headrace.data.snapshot import snapshot
from headrace.project import Project
from headrace.release.manifest import Serving

START = datetime(2024, 1, 1, tzinfo=UTC)
HISTORIES = """
  late: {aggregate: avg(late), by: depot, window: [3 h, 2 days]}
  total: {aggregate: sum(late * 1.1), by: depot, window: 1 day}
  spread: {aggregate: stddev(late), by: depot, window: 2 days}
  worst: {aggregate: max(late), window: 6 h}
  best: {aggregate: min(late), by: courier}
  share_late: {aggregate: share(late > 20), by: depot, window: 1 day}
  upper: {aggregate: "quantile(late, 0.9)", by: depot, window: 2 days}
  first_late: {aggregate: first(late), by: courier, window: 5 days}
  last_late: {aggregate: last(late), by: courier, where: "distance > 10"}
  last_depot: {aggregate: last(depot), by: courier, window: 3 days}
  couriers: {aggregate: distinct(courier), by: depot, window: 1 day}
  n: {aggregate: count(), by: [depot, courier], window: 10 days}
  idle: {aggregate: since_last(), by: courier}
  gust: {aggregate: max(wind), over: weather, by: depot, window: 12 h, where: "wind > 3"}
"""


@dataclass(frozen=True)
class Tables:
    """Rows as text, as CSV files and callers have them."""

    parcels: list[dict[str, Any]]
    weather: list[dict[str, Any]]


def tables(trained: int, later: int, days: int, seed: int = 1) -> Tables:
    """Parcels over so many days, `trained` in the first half and `later` in the second, known when they are
    done; the weather of every hour, corrected now and then. No two rows of a key have the same times."""
    draw = random.Random(seed)
    weather: list[dict[str, Any]] = []
    blew: dict[tuple[str, int], float] = {}
    for hour in range(-3, days * 24):
        for depot in ("north", "south"):
            seen = START + timedelta(hours=hour)
            known = seen + timedelta(minutes=draw.choice([0, 0, 5, 90]))
            for after in (0, 30) if draw.random() < 0.1 else (0,):
                wind = round(max(0.0, draw.gauss(10, 5)), 2) if draw.random() > 0.03 else None
                told = (known + timedelta(minutes=after)).isoformat()
                blew[depot, hour] = wind or 0.0
                weather.append({"depot": depot, "seen": seen.isoformat(), "told": told, "wind": wind})
    rows = []
    for i in range(trained + later):
        share = i / trained if i < trained else 1 + (i - trained) / later
        at = START + timedelta(minutes=int(share * 60 * 24 * days / 2))
        depot = draw.choice(["north", "south"])
        wind = blew[depot, (at - START) // timedelta(hours=1) - 1]
        late: float | None = None
        if draw.random() > 0.02:
            late = round(2.2 * wind + (12 if depot == "north" else -5) + draw.gauss(0, 6), 3)
        done = None if late is None else at + timedelta(minutes=max(0.0, late), microseconds=i)
        rows.append(
            {
                "parcel": i,
                "at": at.isoformat(),
                "depot": depot if draw.random() > 0.02 else None,
                "courier": f"c{draw.randrange(40)}",
                "distance": round(draw.uniform(1, 50), 1),
                "late": late,
                "done": None if done is None else done.isoformat(),
            }
        )
    return Tables(rows, weather)


def write(folder: Path, found: Tables) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("parcels", found.parcels), ("weather", found.weather)):
        with (folder / f"{name}.csv").open("w", newline="") as f:
            out = csv.DictWriter(f, list(rows[0]))
            out.writeheader()
            out.writerows(rows)


def released(folder: Path, found: Tables, *changes: tuple[str, str], clock: Clock | None = None) -> Project:
    """A project over these tables, run and released."""
    write(folder / "data", found)
    (folder / "headrace.yaml").write_text(SPEC, encoding="utf-8")
    project = Project(folder, clock=clock or Clock(), actor=AUTHOR)
    edit_spec(
        project,
        ("parcels: {read: data/parcels.csv}", "parcels: {read: data/parcels.csv, known_at: done}"),
        ("time: seen, ttl: 3 h", "time: seen, known_at: told, ttl: 3 h"),
        ("  wind: weather.wind\n", f"  wind: weather.wind{HISTORIES}"),
        PATIENT,
        *changes,
    )
    result = project.run()
    assert result.status == "released", result.verdicts
    return project


def whole(project: Project, serving: Serving, folder: Path, found: Tables) -> Serving:
    """The same release over snapshots of these tables: what it would answer had it been trained with them."""
    write(folder, found)
    spec = project.spec().spec
    kept = {}
    for name in ("parcels", "weather"):
        table = spec.data.tables[name].model_copy(update={"read": f"{name}.csv"})
        times = [t for t in (table.time, table.known_at, "at" if name == "parcels" else None) if t]
        made = snapshot(
            name,
            table,
            store=project.store,
            root=folder,
            zone=spec.data.zone,
            limits=Limits(),
            taken="2026-01-01T00:00:00.000000Z",
            scratch=folder / "scratch",
            times=times,
        )
        kept[name] = made.artifact
    return replace(
        serving,
        lookups=tuple(replace(t, artifact=kept[t.table]) for t in serving.lookups),
        pasts={t: replace(p, artifact=kept[t]) for t, p in serving.pasts.items()},
    )


def batches(rows: Sequence[Mapping[str, Any]], table: str, size: int) -> list[dict[str, Any]]:
    """Bodies of POST /events."""
    return [{"table": table, "rows": list(rows[i : i + size])} for i in range(0, len(rows), size)]
