"""The linter names histories whose tables say that rows were known too early, and no honest ones."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.checks.lint import Column, Dataset, Finding, Seen, lint
from headrace.core.schema import Type
from headrace.core.task import Kind, Task
from tests.spine import begin

HOUR = 3_600_000_000
ROWS = 4_000
LEAD, WINDOW = HOUR, 6 * HOUR


def world(seed: int, *, told_early: int, kind: Kind, windows: int = WINDOW) -> Dataset:
    """Events of four depots whose lateness drifts, and the mean lateness of a depot's rows in a window that
    ends an hour before the event, or `told_early` microseconds later than that."""
    draw = np.random.default_rng(seed)
    times = np.sort(draw.integers(0, 100 * 24 * HOUR, ROWS))
    depot = draw.integers(0, 4, ROWS)
    drift = np.stack([_drift(draw, times) for _ in range(4)])[depot, np.arange(ROWS)]
    value = drift + draw.normal(0, 1, ROWS)
    late = (value > 0.8).astype(float) if kind is Kind.BINARY else value
    history = np.full(ROWS, np.nan)
    for i in range(ROWS):
        end = times[i] - LEAD + told_early
        rows = (depot == depot[i]) & (times < end) & (times >= end - windows)
        if rows.any():
            history[i] = late[rows].mean()
    return Dataset(
        Task(kind, (False, True) if kind is Kind.BINARY else ()),
        late,
        np.arange(ROWS) < 3000,
        times // (24 * HOUR),
        (Column("delay", Type.NUMBER, history),),
        (Column.of_text("depot", [f"d{d}" for d in depot]),),
        {"delay": ()},
        "time",
        times=times,
        moments=times - LEAD,
        past={"delay": Seen(("depot",), windows)},
    )


def _drift(draw: np.random.Generator, times: np.ndarray) -> np.ndarray:
    """A slow wave that no window of hours averages out."""
    days = times / (24 * HOUR)
    return np.asarray(np.sin(days * 2 * np.pi / draw.uniform(0.8, 3) + draw.uniform(0, 6)))


def named(data: Dataset) -> list[Finding]:
    return [f for f in lint(data) if f.kind == "known-later" and f.subject == "delay"]


@pytest.mark.parametrize("kind", [Kind.BINARY, Kind.REGRESSION])
@pytest.mark.parametrize("windows", [WINDOW, 24 * HOUR])
def test_a_table_that_tells_the_future_is_named(kind: Kind, windows: int) -> None:
    for seed in range(3):
        found = named(world(seed, told_early=windows, kind=kind, windows=windows))
        assert found and "later" in found[0].what, seed


@pytest.mark.parametrize("kind", [Kind.BINARY, Kind.REGRESSION])
@pytest.mark.parametrize("windows", [WINDOW, 24 * HOUR])
def test_honest_histories_are_left_alone(kind: Kind, windows: int) -> None:
    for seed in range(3):
        for told in (0, -windows // 2):  # the same, where outcomes take half a window to be known
            assert named(world(seed, told_early=told, kind=kind, windows=windows)) == [], (seed, told)


def _told(folder: Path, wait: timedelta) -> list[dict[str, Any]]:
    """Findings for parcels whose outcome is told so much after the event."""
    project = begin(
        folder,
        ("parcels: {read: data/parcels.csv}", "parcels: {read: data/parcels.csv, known_at: told}"),
        ("  wind: weather.wind\n", "  delay: {aggregate: avg(late), by: depot, window: 1 day}\n"),
    )
    file = project.root / "data" / "parcels.csv"
    with file.open(newline="") as f:
        rows = list(csv.DictReader(f))
    for row in rows:
        row["told"] = (datetime.fromisoformat(row["at"]) + wait).isoformat()
    with file.open("w", newline="") as f:
        out = csv.DictWriter(f, list(rows[0]))
        out.writeheader()
        out.writerows(rows)
    project.run(to="inspect")
    found: list[dict[str, Any]] = [
        f for f in project.runs()[-1].summary["findings"] if f["feature"] == "delay"
    ]
    return found


def test_outcomes_that_are_known_at_once_are_asked_about(tmp_path: Path) -> None:
    found = _told(tmp_path / "lie", timedelta())
    assert [f["severity"] for f in found] == ["warns"]
    assert "by told they are known no later than at in 100.0% of the rows" in found[0]["what"]
    assert _told(tmp_path / "truth", timedelta(hours=5)) == []
