"""The soak: `headrace serve` under load while everything happens to it that may.

Workers are killed, canaries turn bad, the server is reloaded, the disk fills and has room again, the log is
compacted. In the end every answer that a caller has is in the log, once, as the caller had it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from canary_world import MOOD, make_project, row
from plain_world import Running, served, wait_until
from soak_load import Broken, Callers, Told

from headrace.core.places import LOG, STORE_DIR
from headrace.logs.read import read
from headrace.project import Project

LOAD = 0.7
"""Of what the server is measured to manage."""
SHARE = 0.2
GUARDRAILS = ("error_share <= 1%", "fallback_share <= 1%", "p99 <= 2 * champion", "score_drift <= 0.25")
OFF = 10.0
"""Seconds from a breach to the canary's last answer."""
_GOES_ON = 10.0
"""Seconds from room on the disk to the last refusal."""
_FULL = "the disk is full"
_WORKERS = 2

Say = Callable[[str], None]


@dataclass(frozen=True)
class Form:
    """How long it takes, in seconds. load: at the pace; measured: without one, before; every: between two
    kills; warm: a canary behaves so long; full: the disk is so long; moods: what canaries do then; spare:
    from this share of the time on one worker lives, so that its memory can be seen to grow."""

    load: float
    measured: float
    every: float
    warm: float
    full: float
    moods: tuple[str, ...]
    spare: float = 1.0
    disk: str = "64M"


SHORT = Form(load=24, measured=2, every=4, warm=3, full=3, moods=("fails",))
LONG = Form(
    load=600, measured=10, every=20, warm=15, full=25, moods=("fails", "slow"), spare=0.5, disk="1G"
)  # fmt: skip


@dataclass(frozen=True)
class Check:
    """A line of the table. ok: None: not looked at, for the reason in `found`."""

    what: str
    found: str
    bound: str
    ok: bool | None


@dataclass(frozen=True)
class Kill:
    """A worker that was killed; ports: its callers' own."""

    at: float
    pid: int
    ports: frozenset[int]


@dataclass
class Killer:
    """Kills the oldest worker again and again, as long as the block lasts. spared: lives."""

    server: Running
    every: float
    kills: list[Kill] = field(default_factory=list)
    spared: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Killer:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def spare(self) -> None:
        """Let the worker live that is the youngest now."""
        self.spared = by_age(self.server)[-1]

    def _run(self) -> None:
        while not self._stop.wait(self.every):
            victims = [pid for pid in by_age(self.server) if pid != self.spared]
            if victims:
                self.kills.append(kill(victims[0], self.server.port))


def kill(pid: int, port: int) -> Kill:
    """Stop it first: then the connections that it has are those that break."""
    os.kill(pid, signal.SIGSTOP)
    ports = callers_of(pid, port)
    os.kill(pid, signal.SIGKILL)
    return Kill(time.monotonic(), pid, ports)


def callers_of(pid: int, port: int) -> frozenset[int]:
    """The other ends of the connections that a process has on a port."""
    links = (_link(p) for p in Path(f"/proc/{pid}/fd").iterdir())
    mine = {link[8:-1] for link in links if link.startswith("socket:[")}
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    here = f":{port:04X}"
    return frozenset(int(f[2][-4:], 16) for f in lines if f[9] in mine and f[1].endswith(here))


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:  # closed in the meantime
        return ""


def by_age(server: Running) -> list[int]:
    """Its workers, the oldest first."""
    found = []
    for pid in server.children():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            found.append((int(fields[19]), pid))
    return [pid for _, pid in sorted(found)]


@dataclass
class Memory:
    """Resident megabytes of a server's processes, every second as long as the block lasts: the supervisor's,
    the largest worker's, and each one's."""

    server: Running
    supervisor: list[float] = field(default_factory=list)
    largest: list[float] = field(default_factory=list)
    each: dict[int, list[float]] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Memory:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(1.0):
            workers = {pid: mb for pid in by_age(self.server) if (mb := resident(pid))}
            for pid, mb in workers.items():
                self.each.setdefault(pid, []).append(mb)
            if workers:
                self.largest.append(max(workers.values()))
                self.supervisor.append(resident(self.server.process.pid))


def resident(pid: int) -> float:
    """Megabytes; 0 where it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[str]:
    """A file system of its own at `place`, as long as the block lasts; or the reason why not."""
    image = place.parent.with_suffix(".img")
    place.mkdir(parents=True, exist_ok=True)
    why = "mkfs.ext4, mount or umount is not installed"
    if all(shutil.which(c) for c in ("mkfs.ext4", "mount", "umount")):
        with image.open("wb") as file:
            file.truncate(int(size[:-1]) << {"M": 20, "G": 30}[size[-1]])
        why = _done("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
        why = why or _done("mount", "-o", "loop", str(image), str(place))
    try:
        yield why
    finally:
        if not why:
            _done("umount", "-l", str(place))
        image.unlink(missing_ok=True)


def _done(*command: str) -> str:
    """What went wrong; empty: nothing."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"{command[0]}: {(done.stderr or done.stdout).strip()}" if done.returncode else ""


def fill(folder: Path) -> Path:
    """Take all the room that is left, down to the last block; the file that has it."""
    ballast = folder / "ballast"
    with ballast.open("wb") as file:
        at = 0
        for piece in (64 << 20, 1 << 20, 64 << 10, 4 << 10):
            while True:
                try:
                    os.posix_fallocate(file.fileno(), at, piece)
                except OSError:
                    break
                at += piece
    return ballast


@dataclass
class Story:
    """What happened: seconds from each breach to the canary's last answer, whether a canary answered after it
    was taken off, when the disk was full, and the answers of commands."""

    rate: float = 0.0
    breaches: dict[str, float] = field(default_factory=dict)
    early: list[str] = field(default_factory=list)
    late: int = 0
    full: tuple[float, float] | None = None
    no_disk: str = ""
    alarmed: bool = False
    reloaded: bool = False
    workers: int = 0
    failed: list[str] = field(default_factory=list)


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
        self.callers.rate = LOAD * story.rate
        self.say(f"{story.rate:,.0f} answers/s without a pace: the pace is {self.callers.rate:,.0f}/s")
        start = time.monotonic()
        with Memory(self.server) as memory, Killer(self.server, form.every) as killer:
            first, *others = form.moods
            self._canary(first)
            self._reload()
            self._full_disk()
            self._headrace("log", "compact")
            for mood in others:
                self._canary(mood)
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
        while len(by_age(self.server)) != _WORKERS and time.monotonic() < until:
            time.sleep(0.1)
        return len(by_age(self.server))

    def _canary(self, mood: str) -> None:
        """Set a canary; after a while it turns bad, and the guard has to take it off."""
        project, story, mine = Project(self.folder, actor="ops@example.com"), self.story, self.challenger
        before = len(self._taken_off())
        project.set_route(canary=(mine, SHARE), guardrails=GUARDRAILS, again=True)
        wait_until(lambda: self._of_canary(time.monotonic() - 5), 60)
        time.sleep(self.form.warm)
        if len(self._taken_off()) > before:
            story.early.append(f"{mood}: {self._taken_off()[-1]}")
            return
        (self.folder / MOOD).write_text(mood)
        broken = time.monotonic()
        wait_until(lambda: len(self._taken_off()) > before, 60)
        ended = time.monotonic()
        time.sleep(3.0)
        last = max(self._of_canary(broken), default=broken)
        story.breaches[mood] = last - broken
        story.late += len(self._of_canary(ended + 1.0))
        (self.folder / MOOD).write_text("")
        self.say(f"canary that turns bad ({mood}): no traffic {last - broken:.1f} s later")

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
            until = time.monotonic() + 20
            while (there := by_age(self.server)) and time.monotonic() < until:
                if not before & set(there) and len(there) >= _WORKERS:
                    self.story.reloaded = True
                    self.say("reloaded")
                    return
                time.sleep(0.1)

    def _full_disk(self) -> None:
        """The disk that ledger, log and counters are on is full for a while."""
        if self.story.no_disk:
            return
        ballast = fill(self.folder / STORE_DIR)
        full = time.monotonic()
        wait_until(lambda: self.callers.told[-1].status == 503 or time.monotonic() > full + 20)
        while time.monotonic() < full + self.form.full or not self._alarm():
            if time.monotonic() > full + self.form.full + 20:
                break
            time.sleep(0.25)
        ballast.unlink()
        room = time.monotonic()
        self.story.full = (full, room)
        wait_until(lambda: self.callers.told[-1].status == 200)
        refused = sum(t.status == 503 for t in self.callers.told)
        self.say(f"the disk was full for {room - full:.0f} s: {refused:,} were refused")
        time.sleep(2.0)

    def _alarm(self) -> bool:
        """Whether the metrics tell."""
        try:
            lines = self.server.ask("GET", "/metrics")[2].decode().splitlines()
        except (OSError, AttributeError):  # its worker was killed
            return self.story.alarmed
        self.story.alarmed |= any(
            line.startswith("headrace_log_refusing ") and float(line.split()[1]) > 0 for line in lines
        )
        return self.story.alarmed

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
    options = ("--workers", str(_WORKERS), "--log", "durable")
    mood = {"MOOD": str(folder / MOOD)}
    with small_disk(folder / STORE_DIR, form.disk) as no_disk:
        _, challenger = make_project(folder)
        say("a project with a champion and an approved challenger is made")
        with served(folder, *options, environ=mood) as server, Callers(server.port, row) as callers:
            run = Soak(folder, challenger, form, server, callers, say)
            run.story.no_disk = no_disk
            killer, memory = run.run()
            code = server.stop()
        logged = Counter[str]()
        kept = {}
        for entry in read(run.log):
            logged[entry.id] += 1
            kept[entry.id] = entry.release, entry.arm, entry.by, entry.answer["prediction"]
        counted, audited = run.questions()
    given = [t for t in callers.told if t.status == 200]
    return [
        *_load(run.story, form, callers),
        *_kept(given, logged, kept, counted),
        *_statuses(run.story, callers.told),
        *_broken(callers.broken, killer.kills),
        *_changes(run.story),
        *_memory(memory, killer.spared),
        Check("ended by SIGTERM with exit code", str(code), "0", code == 0),
        Check("commands that failed", "; ".join(run.story.failed) or "none", "none", not run.story.failed),
        Check("headrace audit", audited, "whole", audited.startswith("whole")),
    ]


def _load(story: Story, form: Form, callers: Callers) -> list[Check]:
    took = sorted(t.took * 1e3 for t in callers.told if t.status == 200)
    p50, p99 = (took[int(len(took) * q)] for q in (0.5, 0.99))
    pace = f"{callers.rate:,.0f}/s of {story.rate:,.0f}/s, {callers.connections} connections"
    return [
        Check(f"pace for {form.load:g} s", pace, "", None),
        Check("answers within", f"p50 {p50:.1f} ms, p99 {p99:.0f} ms, longest {took[-1]:,.0f} ms", "", None),
    ]


def _kept(
    given: Sequence[Told],
    logged: Counter[str],
    kept: dict[str, tuple[object, ...]],
    counted: Sequence[int],
) -> list[Check]:
    lost = [t for t in given if not logged[t.id]]
    twice = sum(n > 1 for n in logged.values())
    other = [t for t in given if t.id in kept and kept[t.id] != (t.release, t.arm, t.by, t.prediction)]
    same = list(counted) == [logged.total(), len(logged)]
    return [
        Check("answers that callers have", f"{len(given):,}", "> 0", bool(given)),
        Check("of them lacking in the log", f"{len(lost):,}", "0", not lost),
        Check("of them otherwise in the log", f"{len(other):,}", "0", not other),
        Check("ids that are twice in the log", f"{twice:,}", "0", not twice),
        Check(
            "headrace log query counts",
            "{:,} / {:,}".format(*counted),
            f"{logged.total():,} / {len(logged):,}",
            same,
        ),
    ]


def _statuses(story: Story, told: Sequence[Told]) -> list[Check]:
    odd = [t for t in told if t.status not in (200, 429, 503) or (t.status != 200 and not t.soon)]
    refused = [t for t in told if t.status == 503 and t.soon]
    busy = sum(t.status == 429 and t.soon for t in told)
    full, room = story.full or (0.0, 0.0)
    shed = [t for t in refused if story.full and _FULL in t.why and full <= t.at <= room + _GOES_ON]
    others = Counter(f"{t.status} {t.why}" for t in [*odd, *(t for t in refused if t not in shed)])
    what = f"503 with Retry-After while the disk was full ({room - full:.0f} s)"
    last = max((t.at - room for t in shed), default=0.0)
    found = f"{len(shed):,}, the last {last:.1f} s after there was room"
    disk = (
        Check(what, found, f"> 0, ≤ {_GOES_ON:g} s", bool(shed))
        if story.full
        else Check("a full disk", f"left out: {story.no_disk}", "", None)
    )
    alarm = Check("headrace_log_refusing told", "yes" if story.alarmed else "no", "yes", story.alarmed)
    spoken = ", ".join(f"{n} × {what}" for what, n in others.most_common(3)) or "0"
    return [
        disk,
        *([alarm] if story.full else []),
        Check("429 with Retry-After", f"{busy:,}", "", None),
        Check("other refusals and errors", spoken, "0", not others),
    ]


def _broken(broken: Sequence[Broken], kills: Sequence[Kill]) -> list[Check]:
    def excused(b: Broken) -> bool:
        return any(b.opened <= k.at and b.port in k.ports for k in kills)

    theirs = Counter(b.how for b in broken if not excused(b))
    mine = len(broken) - theirs.total()
    spoken = ", ".join(f"{n} × {how}" for how, n in theirs.items()) or "0"
    return [
        Check("workers killed", str(len(kills)), "> 1", len(kills) > 1),
        Check("requests broken by that, asked again", f"{mine:,}", "", None),
        Check("other broken requests", spoken, "0", not theirs),
    ]


def _changes(story: Story) -> list[Check]:
    off = [
        Check(f"canary that {mood}: from breach to its last answer", f"{s:.1f} s", f"≤ {OFF:g} s", s <= OFF)
        for mood, s in story.breaches.items()
    ]
    early = "; ".join(story.early) or "none"
    return [
        *off,
        Check("canaries taken off without reason", early, "none", not story.early),
        Check("answers by a canary that was taken off", str(story.late), "0", not story.late),
        Check("reloaded", "yes" if story.reloaded else "no", "yes", story.reloaded),
        Check("workers in the end", str(story.workers), str(_WORKERS), story.workers == _WORKERS),
    ]


def _memory(memory: Memory, spared: int) -> list[Check]:
    checks = [
        _grown("memory of the largest worker", memory.largest),
        _grown("memory of the supervisor", memory.supervisor),
    ]
    if spared:
        checks.append(_grown("memory of a worker that lives", memory.each.get(spared, [])))
    return checks


def _grown(what: str, samples: Sequence[float]) -> Check:
    """First and last quarter."""
    quarter = len(samples) // 4
    if not quarter:
        return Check(what, "not measured", "measured", False)
    first, last = statistics.median(samples[:quarter]), statistics.median(samples[-quarter:])
    most = 1.2 * first + 16
    return Check(what, f"{first:.0f} MB, then {last:.0f} MB", f"≤ {most:.0f} MB", last <= most)


def table(checks: Sequence[Check]) -> str:
    """For people."""
    wide = max(len(c.what) for c in checks)
    marks = {True: "ok", False: "NO", None: "  "}
    lines = [
        f"{marks[c.ok]}  {c.what:<{wide}}  {c.found}{f'  ({c.bound})' if c.bound else ''}" for c in checks
    ]
    return "\n".join(lines)


def broken(checks: Sequence[Check]) -> list[Check]:
    """Those that don't hold."""
    return [c for c in checks if c.ok is False]
