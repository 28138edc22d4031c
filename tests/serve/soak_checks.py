"""What a soak has to have found: every line of its table."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from callers import Broken, Callers, Told
from soak_faults import Kill, Memory

OFF = 10.0
"""Seconds from a breach to the canary's last answer."""
_GOES_ON = 10.0
"""Seconds from room on the disk to the last refusal."""
_LOG = "the prediction log"
"""What refusals tell of while the disk is full; why is in the server's own log."""
_FULL = "the disk is full"
WORKERS = 2


@dataclass(frozen=True)
class Check:
    """A line of the table. ok: None: not looked at, for the reason in `found`."""

    what: str
    found: str
    bound: str
    ok: bool | None


@dataclass
class Story:
    """What happened. breaches: seconds from each to the canary's last answer; early: canaries that were taken
    off while they behaved; late: answers by canaries that were taken off; full: when the disk was, from and
    to; silent: how often no metric told of it; failed: commands."""

    rate: float = 0.0
    breaches: dict[str, float] = field(default_factory=dict)
    early: list[str] = field(default_factory=list)
    late: int = 0
    full: list[tuple[float, float]] = field(default_factory=list)
    no_disk: str = ""
    silent: int = 0
    reloads: int = 0
    workers: int = 0
    failed: list[str] = field(default_factory=list)


def of_load(story: Story, seconds: float, callers: Callers) -> list[Check]:
    """What was asked, and how fast it was answered."""
    took = sorted(t.took * 1e3 for t in callers.told if t.status == 200)
    p50, p99 = (took[int(len(took) * q)] for q in (0.5, 0.99))
    pace = f"{callers.rate:,.0f}/s of {story.rate:,.0f}/s, {callers.connections} connections"
    return [
        Check(f"pace for {seconds:g} s", pace, "", None),
        Check("answers within", f"p50 {p50:.1f} ms, p99 {p99:.0f} ms, longest {took[-1]:,.0f} ms", "", None),
    ]


def of_kept(
    given: Sequence[Told],
    logged: Counter[str],
    kept: Mapping[str, tuple[object, ...]],
    counted: Sequence[int],
) -> list[Check]:
    """Answers that callers have, and the log's."""
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


def of_statuses(story: Story, told: Sequence[Told], *, timed: bool) -> list[Check]:
    """Refusals: those of a full disk, and all others. timed: they end soon after there is room."""
    most = _GOES_ON if timed else math.inf
    odd = [t for t in told if t.status not in (200, 429, 503) or (t.status != 200 and not t.soon)]
    refused = [t for t in told if t.status == 503 and t.soon]
    busy = sum(t.status == 429 and t.soon for t in told)
    rooms = [(t, _room(story, t, most)) for t in refused]
    shed = [t.at - room for t, room in rooms if room is not None]
    odd += [t for t, room in rooms if room is None]
    others = Counter(f"{t.status} {t.why}" for t in odd)
    seconds = sum(room - full for full, room in story.full)
    what = f"503 with Retry-After while the disk was full ({seconds:.0f} s)"
    found = f"{len(shed):,}, the last {max(shed, default=0.0):.1f} s after there was room"
    disk = (
        Check(what, found, f"> 0, ≤ {most:g} s" if timed else "> 0", bool(shed))
        if story.full
        else Check("a full disk", f"left out: {story.no_disk}", "", None)
    )
    alarm = Check("full disks that no metric told of", str(story.silent), "0", not story.silent)
    spoken = ", ".join(f"{n} × {what}" for what, n in others.most_common(3)) or "0"
    return [
        disk,
        *([alarm] if story.full else []),
        Check("429 with Retry-After", f"{busy:,}", "", None),
        Check("other refusals and errors", spoken, "0", not others),
    ]


def _room(story: Story, told: Told, most: float) -> float | None:
    """When there was room again, of a refusal for a disk that was full until at most so long before."""
    if _LOG not in told.why:
        return None
    return next((room for full, room in story.full if full <= told.at <= room + most), None)


def of_broken(broken: Sequence[Broken], kills: Sequence[Kill]) -> list[Check]:
    """Broken requests: those on connections of killed workers or closed idle by those that ended, and all
    others."""

    def excused(b: Broken) -> bool:
        return any(b.opened <= k.at and b.port in k.ports for k in kills)

    theirs = Counter(b.how for b in broken if b.dropped and not excused(b))
    mine = len(broken) - theirs.total()
    spoken = ", ".join(f"{n} × {how}" for how, n in theirs.items()) or "0"
    return [
        Check("workers killed", str(len(kills)), "> 0", bool(kills)),
        Check("requests broken by their end, asked again", f"{mine:,}", "", None),
        Check("other broken requests", spoken, "0", not theirs),
    ]


def of_changes(story: Story, turns: int, *, timed: bool) -> list[Check]:
    """Canaries, the reload, and the workers that are left. timed: seconds are judged too."""
    most = f"≤ {OFF:g} s" if timed else ""
    off = [
        Check(f"from breach to the canary's last answer ({mood})", f"{s:.1f} s", most, not timed or s <= OFF)
        for mood, s in story.breaches.items()
    ]
    late = Check("answers by a canary that was taken off", str(story.late), "0" if timed else "", None)
    early = "; ".join(story.early) or "none"
    return [
        *off,
        Check("canaries taken off without reason", early, "none", not story.early),
        replace(late, ok=not story.late) if timed else late,
        Check("reloads", str(story.reloads), str(turns), story.reloads == turns),
        Check("workers in the end", str(story.workers), str(WORKERS), story.workers == WORKERS),
    ]


def of_said(story: Story, said: str) -> list[Check]:
    """What the server wrote: why it refused; nothing that it did not expect, and no worker that ended by
    itself."""
    odd = [
        line
        for line in said.splitlines()
        if "Traceback" in line or (" ended (" in line and "SIGKILL" not in line)
    ]
    found = "; ".join(odd[:3]) or "none"
    why = Check(
        "the server wrote that the disk is full", "yes" if _FULL in said else "no", "yes", _FULL in said
    )
    return [
        *([why] if story.full else []),
        Check("errors that the server did not expect", found, "none", not odd),
    ]


def of_memory(memory: Memory, spared: int) -> list[Check]:
    """First and last quarter of the time."""
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
