"""Batches on a schedule: what is due is run once, whoever calls, whatever was missed or killed."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from spine import Clock

from headrace.core.errors import DataError, NotFound, UserError
from headrace.core.schedules import Schedule, filled
from headrace.project import Project
from headrace.serve.batch.state import locked


def feed(project: Project, name: str, rows: int = 30) -> None:
    """A file of parcels below `in/`."""
    with (project.root / "data" / "parcels.csv").open(newline="") as file:
        header, *lines = csv.reader(file)
    path = project.root / "in" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *lines[:rows]])


def moments(project: Project) -> list[str]:
    return [e.payload["due"] for e in project.store.read(kinds=("schedule.ran",))]


def test_what_is_due_is_run_once(finished: Project, clock: Clock) -> None:
    feed(finished, "one.csv")
    clock.moment = datetime(2026, 3, 1, 0, 59, tzinfo=UTC)
    finished.set_schedule(
        "nightly",
        "0 2 * * *",
        "in",
        "out/{due:%Y-%m-%d}",
        zone="Europe/Berlin",
        options={"to": "duckdb:my.db#answers"},
    )
    assert finished.run_schedules() == []
    clock.forward(minutes=2)
    ((name, due, batch),) = finished.run_schedules()
    assert (name, due, batch.rows) == ("nightly", "2026-03-01T01:00:00.000000Z", 30)
    assert batch.output == str(finished.root / "out" / "2026-03-01")
    assert batch.loaded == 30
    assert (finished.root / "my.db").is_file()
    assert finished.run_schedules() == []
    # Three nights were missed: the newest alone is made up for.
    clock.forward(days=3)
    assert [due for _, due, _ in finished.run_schedules()] == ["2026-03-04T01:00:00.000000Z"]
    assert moments(finished) == ["2026-03-01T01:00:00.000000Z", "2026-03-04T01:00:00.000000Z"]
    finished.remove_schedule("nightly")
    clock.forward(days=3)
    assert finished.run_schedules() == []


def test_every_missed_moment_can_be_made_up_for(finished: Project, clock: Clock) -> None:
    for day in ("2026-03-02", "2026-03-03", "2026-03-04"):
        feed(finished, f"{day}/one.csv", rows=int(day[-1]))
    clock.moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    finished.set_schedule(
        "daily", "0 6 * * *", "in/{due:%Y-%m-%d}", "out/{due}", every=True, options={"workers": 2}
    )
    clock.forward(days=3)
    done = finished.run_schedules(["daily"])
    assert [(Path(b.output).name, b.rows) for _, _, b in done] == [
        ("2026-03-02T0600", 2),
        ("2026-03-03T0600", 3),
        ("2026-03-04T0600", 4),
    ]


def test_what_failed_is_tried_again_and_holds_nobody_up(finished: Project, clock: Clock) -> None:
    feed(finished, "good/one.csv")
    clock.moment = datetime(2026, 3, 1, tzinfo=UTC)
    finished.set_schedule("bad", "0 * * * *", "in/bad", "bad/{due}")
    finished.set_schedule("good", "0 * * * *", "in/good", "good/{due}")
    clock.forward(hours=1)
    with pytest.raises(DataError):
        finished.run_schedules()
    assert [e.subject for e in finished.store.read(kinds=("schedule.ran",))] == ["good"]
    feed(finished, "bad/one.csv")
    ((name, due, _),) = finished.run_schedules()
    assert (name, due) == ("bad", "2026-03-01T01:00:00.000000Z")


def test_one_process_at_a_time_runs_a_schedule(finished: Project, clock: Clock) -> None:
    feed(finished, "one.csv")
    clock.moment = datetime(2026, 3, 1, tzinfo=UTC)
    finished.set_schedule("hourly", "0 * * * *", "in", "out/{due}")
    clock.forward(hours=1)
    place = finished.root / ".headrace" / "serving" / "schedule-hourly"
    place.mkdir(parents=True)
    with locked(place):
        assert finished.run_schedules() == []
    assert len(finished.run_schedules()) == 1


def test_two_callers_at_once_run_it_once(finished: Project) -> None:
    feed(finished, "one.csv")
    command = [str(Path(sys.executable).with_name("headrace")), "schedule"]
    options = ["-C", str(finished.root)]
    now = datetime.now(UTC)
    past = Clock(now - timedelta(hours=2))
    project = Project(finished.root, clock=past, actor="a@example.com")
    minute = (now - timedelta(minutes=30)).minute  # not while the callers are at it
    project.set_schedule("hourly", f"{minute} * * * *", "in", "out/{due}")
    callers = [
        subprocess.Popen([*command, "run", "--json", *options], stdout=subprocess.PIPE, env=os.environ)
        for _ in range(3)
    ]
    told = [json.loads(c.communicate(timeout=120)[0]) for c in callers]
    assert [c.returncode for c in callers] == [0, 0, 0]
    assert sum(map(len, told)) == len(moments(finished)) == 1
    listed = subprocess.run(
        [*command, "list", "--json", *options], capture_output=True, check=True, timeout=60
    )
    (one,) = json.loads(listed.stdout)
    assert one["ran"] == moments(finished)[0] < one["next"]
    line = subprocess.run(
        [*command, "line", *options], capture_output=True, text=True, check=True, timeout=60
    )
    assert line.stdout.startswith("* * * * * ")
    assert f"schedule run -C {finished.root}" in line.stdout


def test_clocks_that_change(clock: Clock) -> None:
    """02:30 is there once a day, also where a zone's clocks jump over it or show it twice."""
    nightly = Schedule(
        "n", "30 2 * * *", "Europe/Berlin", "in", "out", "2026-03-28T12:00:00.000000Z", every=True
    )
    due = nightly.due(datetime(2026, 4, 1, 12, tzinfo=UTC))
    assert len(due) == 4
    assert [d.astimezone(UTC).day for d in due] == [29, 30, 31, 1]
    autumn = Schedule(
        "n", "30 2 * * *", "Europe/Berlin", "in", "out", "2026-10-24T12:00:00.000000Z", every=True
    )
    assert len(autumn.due(datetime(2026, 10, 27, 12, tzinfo=UTC))) == 3
    hourly = Schedule(
        "n", "0 * * * *", "Europe/Berlin", "in", "out", "2026-10-24T23:30:00.000000Z", every=True
    )
    due = hourly.due(datetime(2026, 10, 25, 3, 30, tzinfo=UTC))
    assert [filled("{due}", d)[11:] for d in due] == ["0200", "0200+0100", "0300", "0400"]
    assert len({d.astimezone(UTC) for d in due}) == 4


def test_nonsense_is_refused(finished: Project) -> None:
    for cron in ("61 * * * *", "* * * *", "0 0 0 * * *", "daily"):
        with pytest.raises(UserError, match="cron"):
            finished.set_schedule("x", cron, "in", "out/{due}")
    with pytest.raises(UserError, match="no zone"):
        finished.set_schedule("x", "0 0 * * *", "in", "out/{due}", zone="Berlin")
    with pytest.raises(UserError, match="same folder"):
        finished.set_schedule("x", "0 0 * * *", "in", "out")
    with pytest.raises(UserError, match="no name"):
        finished.set_schedule("../x", "0 0 * * *", "in", "out/{due}")
    with pytest.raises(NotFound):
        finished.remove_schedule("x")
    moment = datetime(2026, 3, 1, 6, 5, tzinfo=UTC)
    assert filled("a/{due:%Y}/{due}/{other}", moment) == "a/2026/2026-03-01T0605/{other}"
