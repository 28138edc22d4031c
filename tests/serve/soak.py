"""The soak: `headrace serve` under load while everything happens to it that may.

Workers are killed, canaries turn bad, the server is reloaded, the disk fills and has room again, the log is
compacted. In the end every answer that a caller has is in the log, once, as the caller had it.
"""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from callers import Callers
from canary_world import MOOD, make_project, row
from served import Running, served, wait_until
from soak_checks import (
    WORKERS,
    Check,
    Story,
    of_broken,
    of_changes,
    of_kept,
    of_load,
    of_memory,
    of_said,
    of_statuses,
)
from soak_faults import Killer, Memory, by_age, fill, small_disk

from headrace.core.places import LOG, STORE_DIR
from headrace.logs.read import read
from headrace.project import Project

LOAD = 0.7
"""Of what the server is measured to manage."""
_LEAST = 20.0
"""Requests a second, on whatever machine."""
SHARE = 0.2
PATIENCE = 60.0
"""Seconds in which what is waited for has to come about."""
GUARDRAILS = ("error_share <= 1%", "fallback_share <= 1%", "score_drift <= 0.25")
SLOWNESS = ("p99 <= 2 * champion",)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Form:
    """How long it takes, in seconds. load: at the pace; measured: without one, before; every: between two
    kills; moods: for each there is a canary that turns so, a reload, a full disk and a compaction; warm: the
    canary behaves so long before; full: the disk is so long; spare: from this share of the time on one worker
    lives, so that its memory can be seen to grow; timed: whether what has to happen has to happen in time,
    which a machine that is busy with other tests does not allow to say."""

    load: float
    measured: float
    every: float
    warm: float
    full: float
    moods: tuple[str, ...]
    spare: float = 1.0
    disk: str = "64M"
    timed: bool = True


SHORT = Form(load=20, measured=2, every=4, warm=3, full=3, moods=("fails",), timed=False)
LONG = Form(
    load=600,
    measured=10,
    every=20,
    warm=15,
    full=25,
    moods=("fails", "slow", "nonsense"),
    spare=0.6,
    disk="1G",
)


@dataclass
class Soak:
    """A server under load. folder: of a project with a champion and an approved challenger."""

    folder: Path
    challenger: str
    form: Form
    server: Running
    callers: Callers
    say: Say
    story: Story = field(default_factory=Story)

    @property
    def log(self) -> Path:
        """The folder of the prediction log."""
        return self.folder / STORE_DIR / LOG

    def run(self) -> tuple[Killer, Memory]:
        """All of it, until the load ends."""
        form, story = self.form, self.story
        began = time.monotonic()
        time.sleep(form.measured)
        story.rate = len(self.callers.told) / (time.monotonic() - began)
        self.callers.rate = max(LOAD * story.rate, _LEAST)
        self.say(f"{story.rate:,.0f} answers/s without a pace: the pace is {self.callers.rate:,.0f}/s")
        start = time.monotonic()
        with Memory(self.server) as memory, Killer(self.server, form.every) as killer:
            for turn, mood in enumerate(form.moods):
                self._until(start + form.spare * form.load * turn / len(form.moods))
                self._canary(mood)
                self._reload()
                self._full_disk()
                self._headrace("log", "compact")
            self._until(start + form.spare * form.load)
            if form.spare < 1:
                killer.spare()
            self._until(start + form.load)
        story.workers = self._workers()
        self.callers.stop()
        return killer, memory

    def _until(self, moment: float) -> None:
        time.sleep(max(0.0, moment - time.monotonic()))

    def _workers(self) -> int:
        """How many there are once the last that was killed is replaced."""
        until = time.monotonic() + 60
        while len(by_age(self.server)) != WORKERS and time.monotonic() < until:
            time.sleep(0.1)
        return len(by_age(self.server))

    def _canary(self, mood: str) -> None:
        """Set a canary; after a while it turns bad, and the guard has to take it off."""
        project, story, mine = Project(self.folder, actor="ops@example.com"), self.story, self.challenger
        before = len(self._taken_off())
        project.set_route(canary=(mine, SHARE), guardrails=self._rails(), again=True)
        wait_until(lambda: self._of_canary(time.monotonic() - 5))
        time.sleep(self.form.warm)
        if len(self._taken_off()) > before:
            story.early.append(f"{mood}: {self._taken_off()[-1]}")
            return
        (self.folder / MOOD).write_text(mood)
        broken = time.monotonic()
        wait_until(lambda: len(self._taken_off()) > before)
        ended = time.monotonic()
        time.sleep(3.0)
        last = max(self._of_canary(broken), default=broken)
        story.breaches[mood] = last - broken
        story.late += len(self._of_canary(ended + 1.0))
        (self.folder / MOOD).write_text("")
        self.say(f"canary that turns bad ({mood}): no traffic {last - broken:.1f} s later")

    def _rails(self) -> tuple[str, ...]:
        return (*GUARDRAILS, *SLOWNESS) if self.form.timed else GUARDRAILS

    def _of_canary(self, since: float) -> list[float]:
        """When answers came that were the canary's to give, or that it gave."""
        found = []
        for told in reversed(self.callers.told):
            if told.at < since:
                break
            if told.arm == "canary" or told.release == self.challenger:
                found.append(told.at)
        return found

    def _taken_off(self) -> list[str]:
        told = Project(self.folder).store.read(kinds=("route.rolled_back",))
        return [e.payload["reason"] for e in told]

    def _reload(self) -> None:
        """All workers are replaced. One that is killed while it begins leaves the one before: once more."""
        for _ in range(3):
            before = set(self.server.children())
            self.server.signal(signal.SIGHUP)
            until = time.monotonic() + PATIENCE
            while (there := by_age(self.server)) and time.monotonic() < until:
                if not before & set(there) and len(there) >= WORKERS:
                    self.story.reloads += 1
                    self.say("reloaded")
                    return
                time.sleep(0.1)

    def _full_disk(self) -> None:
        """The disk that ledger, log and counters are on is full for a while."""
        if self.story.no_disk:
            return
        ballast = fill(self.folder / STORE_DIR)
        full = time.monotonic()
        wait_until(lambda: self.callers.told[-1].status == 503 or time.monotonic() > full + PATIENCE)
        alarmed = False
        while time.monotonic() < full + self.form.full or not alarmed:
            alarmed = alarmed or self._alarm()
            if time.monotonic() > full + self.form.full + PATIENCE:
                break
            time.sleep(0.25)
        self.story.silent += not alarmed
        ballast.unlink()
        room = time.monotonic()
        self.story.full.append((full, room))
        wait_until(lambda: self.callers.told[-1].status == 200)
        refused = sum(t.status == 503 and t.at >= full for t in self.callers.told)
        self.say(f"the disk was full for {room - full:.0f} s: {refused:,} were refused")
        time.sleep(2.0)

    def _alarm(self) -> bool:
        """Whether the metrics tell."""
        try:
            lines = self.server.ask("GET", "/metrics")[2].decode().splitlines()
        except (OSError, http.client.HTTPException, AttributeError):  # its worker was killed
            return False
        return any(line.startswith("headrace_log_refusing ") and float(line.split()[1]) > 0 for line in lines)

    def _headrace(self, *arguments: str) -> str:
        """What a command prints; that it failed is kept."""
        command = [str(Path(sys.executable).with_name("headrace")), *arguments, "-C", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            self.story.failed.append(f"{' '.join(arguments[:2])}: {done.stderr.strip()[-300:]}")
        return done.stdout

    def questions(self) -> tuple[list[int], str]:
        """Of the log once the server has ended: entries and different ids, by `headrace log query`; and what
        `headrace audit` says."""
        self._headrace("log", "compact")
        sql = "SELECT count(*), count(DISTINCT id) FROM predictions"
        counted = self._headrace("log", "query", sql, "--json")
        rows = json.loads(counted)["rows"][0] if counted else [0, 0]
        return rows, self._headrace("audit").strip()


def soak(folder: Path, form: Form, say: Say = lambda _: None) -> list[Check]:
    """All that is to be seen of a server under load; its project is made in `folder`."""
    options = ("--workers", str(WORKERS), "--log", "durable")
    mood = {"MOOD": str(folder / MOOD)}
    with small_disk(folder / STORE_DIR, form.disk) as no_disk:
        _, challenger = make_project(folder)
        say("a project with a champion and an approved challenger is made")
        with served(folder, *options, environ=mood) as server, Callers(server.port, row) as callers:
            run = Soak(folder, challenger, form, server, callers, say)
            run.story.no_disk = no_disk
            killer, memory = run.run()
            code, said = server.stop(), server.said
        logged = Counter[str]()
        kept = {}
        for entry in read(run.log):
            logged[entry.id] += 1
            kept[entry.id] = entry.release, entry.arm, entry.by, entry.answer["prediction"]
        counted, audited = run.questions()
    given = [t for t in callers.told if t.status == 200]
    return [
        *of_load(run.story, form.load, callers),
        *of_kept(given, logged, kept, counted),
        *of_statuses(run.story, callers.told, timed=form.timed),
        *of_broken(callers.broken, killer.kills),
        *of_changes(run.story, len(form.moods), timed=form.timed),
        *of_memory(memory, killer.spared),
        Check("ended by SIGTERM with exit code", str(code), "0", code == 0),
        *of_said(run.story, said),
        Check("commands that failed", "; ".join(run.story.failed) or "none", "none", not run.story.failed),
        Check("headrace audit", audited, "whole", audited.startswith("whole")),
    ]
