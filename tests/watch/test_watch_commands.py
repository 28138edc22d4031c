"""`headrace watch`, its lists, and what watches beside a server."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spine import command
from watch_world import HOUR, START, WINDOW, LiveWorld

from headrace.cli.upkeep import Companion, watching
from headrace.core.clock import from_micros, iso
from headrace.core.event import Draft
from headrace.core.watching import AlertState
from headrace.project import Project
from headrace.project.watching import servers
from headrace.serve.http.tally import Tally
from headrace.watch.service import Look, look, service_of
from headrace.watch.tick import Ticked

PATIENCE = 90.0


def said(*words: str, status: int = 0) -> str:
    result = command(None, *words)
    assert result.exit_code == status, result.output
    return str(result.output)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project's folder with two hours of traffic, long ago."""
    world = LiveWorld(tmp_path / ".headrace")
    world.write(world.answers(START, 120))
    world.write(world.answers(START + HOUR, 90, by="fallback: value (timeout)", release=""))
    return tmp_path


def test_once_then_windows_and_readings(root: Path) -> None:
    at = ["-C", str(root)]
    assert "windows judged: 2 by their answers, 2 by their labels" in said("watch", "--once", *at)
    assert "windows judged: 0 by their answers" in said("watch", "--once", *at)
    windows = json.loads(said("watch", "windows", "--json", *at))
    assert [(w["rows"], w["late"], w["labelled"]) for w in windows] == [(120, 0, True), (90, 0, True)]
    assert windows[1]["exceeding"] == 2
    assert "champion" in said("watch", "windows", "--last", "1", *at)
    found = json.loads(said("watch", "readings", "--exceeding", "--json", *at))
    assert {r["check"] for r in found} == {"errors", "fallback"} and found[0]["window"]["rows"] == 90
    table = said("watch", "readings", "--check", "p99", *at)
    assert table.count("champion") == 2
    rows = list(csv.DictReader(io.StringIO(said("watch", "readings", "--family", "health", "--csv", *at))))
    assert {r["check"] for r in rows} >= {"p50", "uptime", "gpu"}
    none = said("watch", "readings", "--since", "2030-01-01", *at)
    assert "no such readings" in none


def test_options_before_the_command_hold_for_it(root: Path) -> None:
    assert json.loads(said("watch", "-C", str(root), "--json", "windows")) == []
    assert "no window was judged yet" in said("watch", "-C", str(root), "windows")


def test_an_alert_stands_beside_its_window(root: Path) -> None:
    project = Project(root, clock=lambda: from_micros(START + 3 * HOUR))
    assert project.watch().arrived == 2
    (alert,) = project.alerts()
    assert alert.family.value == "health" and alert.since == START + HOUR
    events = list(project.store.read(kinds=["window.judged", "alert.opened"]))
    kinds = [e.kind for e in events]
    assert kinds.index("alert.opened") == 1 + kinds.index("window.judged", 1)
    counts = project.window_counts("r1", "champion", START, START + HOUR)
    assert counts is not None and counts.rows == 120


def test_windows_in_a_row_are_those_that_were_judged(tmp_path: Path) -> None:
    world = LiveWorld(tmp_path / ".headrace")
    bad = [0, 1, 9, 11]  # nothing came from 2 to 9, and what came in 10 was as it should be
    for hour in (*bad, 10):
        world.write(world.answers(START + hour * HOUR, 60, flags=["unknown: foo"] if hour in bad else []))
    project = Project(tmp_path, clock=lambda: from_micros(START + 13 * HOUR))
    project.watch()
    (alert,) = project.alerts()
    assert (alert.windows, alert.longest, alert.run) == (4, 3, 1)


def test_an_alert_of_batches_stays_while_its_release_is_in_service(tmp_path: Path) -> None:
    world = LiveWorld(tmp_path / ".headrace")
    world.promote(WINDOW, "r2")
    world.write(world.answers(START, 60, route="batch", arm="batch", flags=["unknown: foo"]))
    project = Project(tmp_path, clock=lambda: from_micros(START + 2 * HOUR))
    for _ in range(2):
        project.watch()
        (alert,) = project.alerts()
        assert (alert.release, alert.arm, alert.state) == ("r1", "batch", AlertState.OPEN)
    world.store.append([Draft("release.retired", "r1", iso(from_micros(START + 2 * HOUR)), "me", {})])
    project.watch()
    assert project.alerts()[0].reason == "the release answers no more"


def test_a_span_that_is_none(root: Path) -> None:
    assert "--every" in said("watch", "-C", str(root), "--every", "soon", status=2)


def test_what_nobody_thought_of_ends_no_watching(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    look_once = Project.watch

    def trips(project: Project, **changes: Any) -> Ticked:
        looks.append(1)
        if len(looks) == 1:
            raise ZeroDivisionError("of ours")
        done = look_once(project, **changes)
        os.kill(os.getpid(), signal.SIGTERM)
        return done

    monkeypatch.setattr(Project, "watch", trips)
    said("watch", "--every", "0.5 s", "-C", str(root))
    assert len(looks) == 2 and len(Project(root).windows()) == 2
    looks.clear()
    with pytest.raises(ZeroDivisionError):
        said("watch", "--once", "-C", str(root))


def test_beside_a_server_it_ends_with_it(root: Path) -> None:
    started = watching(root)
    assert started[-1] == "--attached"
    child = subprocess.Popen(started, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdin is not None and child.stderr is not None
    try:
        until(lambda: len(Project(root).windows()) == 2)
    finally:
        child.stdin.close()  # as it is when the server dies
        child.wait(PATIENCE)
        told = child.stderr.read()
        child.stderr.close()
    assert (child.returncode, told) == (0, b"")


def test_a_companion_begins_anew_and_ends_with_us(tmp_path: Path) -> None:
    mark = tmp_path / "marks"
    code = (
        "import os, sys\n"
        f"with open({str(mark)!r}, 'a') as f: f.write(f'{{os.getpid()}}\\n')\n"
        f"if len(open({str(mark)!r}).readlines()) < 3: sys.exit(1)\n"
        "sys.stdin.buffer.read()\n"
    )
    companion = Companion([sys.executable, "-c", code], "watching", 0.01)
    try:
        until(lambda: mark.exists() and len(mark.read_text().splitlines()) >= 3)
    finally:
        companion.close()
    pids = mark.read_text().split()
    assert len(pids) == 3
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids[-1]), 0)
    Companion([], "nothing", 0.01).close()


def test_what_servers_count_is_known_by_the_minute(tmp_path: Path) -> None:
    world = LiveWorld(tmp_path / ".headrace")
    place = tmp_path / "serving"
    tally = Tally(place / "1")
    for name, number in (("headrace_workers", 1), ("headrace_requests_waiting", 4)):
        tally.numbers[tally.slot((name,))] = number
    tally.numbers[tally.slot(("headrace_resident_memory_bytes",))] = 5_000_000
    answered = tally.slot(("headrace_requests_total", "/predict", "POST", "200"))
    refused = tally.slot(("headrace_requests_total", "/predict", "POST", "422"))
    with world.file() as file:
        tally.numbers[answered] = 100
        look(file, START, lambda: servers(place))
        assert not service_of(file, START, START + HOUR).statuses  # since when is not known
        tally.numbers[answered] += 40
        tally.numbers[refused] += 10
        look(file, START + 10 * 60_000_000, lambda: servers(place))
        found = service_of(file, START, START + HOUR)
        assert found.share("422") == pytest.approx(0.2) and round(found.requests) == 50
        assert (found.workers, found.waiting, found.memory, found.looks) == (1, 4, 5_000_000, 2)
        look(file, START + 20 * 60_000_000, lambda: {"2": Look({"200": 7}, 1)})  # another server
        assert round(service_of(file, START, START + HOUR).requests) == 50
    tally.close()
    assert servers(tmp_path / "nothing") == {}


@pytest.mark.deep
def test_real_processes_killed_at_random(tmp_path: Path) -> None:
    world = LiveWorld(tmp_path / ".headrace")
    for i in range(40):
        world.write(world.answers(START + i * HOUR, 120))
    chance = random.Random(5)
    started = [sys.executable, "-c", "from headrace.cli import main; main()", "watch", "-C", str(tmp_path)]
    began = time.monotonic()
    subprocess.run([*started, "--help"], check=True, capture_output=True)
    usual = time.monotonic() - began  # of a start, on this machine now
    quiet = subprocess.DEVNULL
    killed = 0
    while len(world.told()) < 40 and killed < 30:
        child = subprocess.Popen([*started, "--once"], stdout=quiet, stderr=quiet)
        try:
            child.wait(usual * chance.uniform(1, 6))
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
            killed += 1
    said("watch", "--once", "-C", str(tmp_path))
    for side in ("arrived", "labelled"):
        found = [w for w in world.told(side) if w[3]]  # since then there was silence, which is told, too
        assert sorted(found) == [("champion", i, i + 1, 120) for i in range(40)]
        assert len(world.told(side)) <= 41
