"""What serving processes count of themselves, looked at with every tick and kept by the minute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from headrace.checks.live.health import Service
from headrace.stores.watch_file import WatchFile
from headrace.watch.spans import MINUTE

_MOST_MINUTES = 1440
"""Counts between two looks are spread over the time between, and over no more than a day."""


@dataclass(frozen=True)
class Look:
    """What a server says of itself at a moment. statuses: requests by status since it began. workers: that
    live; waiting: requests under way; memory: bytes."""

    statuses: Mapping[str, int] = field(default_factory=dict)
    workers: int = 0
    waiting: int = 0
    memory: int = 0


Ask = Callable[[], Mapping[str, Look]]
"""Asks every server of the project that shares its counts, by a name of its own."""

_Kept = tuple[dict[str, float], int, int, int, int]


def nobody() -> Mapping[str, Look]:
    """There is no server to ask."""
    return {}


def look(file: WatchFile, now: int, ask: Ask) -> None:
    """Keep what servers count: what came since the last look is spread evenly over the time between.

    Raises:
        StoreError: the file can't be written.
    """
    told = ask()
    if not told:
        return
    with file.changing():
        workers = sum(t.workers for t in told.values())
        waiting = sum(t.waiting for t in told.values())
        memory = sum(t.memory for t in told.values())
        _add(file, now // MINUTE, Service({}, workers, waiting, memory, 1))
        for name, seen in told.items():
            found = file.rows("SELECT at, told FROM server WHERE name = ?", (name,))
            if found:
                at, before = found[0][0], msgspec.json.decode(found[0][1], type=dict[str, int])
                _spread(file, at // MINUTE, now // MINUTE, _since(before, seen.statuses))
            file.run(
                "INSERT OR REPLACE INTO server VALUES (?,?,?)",
                (name, now, msgspec.json.encode(seen.statuses)),
            )
        gone = [(str(n),) for (n,) in file.rows("SELECT name FROM server") if n not in told]
        file.run_many("DELETE FROM server WHERE name = ?", gone)


def _since(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    return {s: n - before.get(s, 0) for s, n in now.items() if n > before.get(s, 0)}


def _spread(file: WatchFile, first: int, last: int, counts: Mapping[str, int]) -> None:
    if not counts:
        return
    first = max(first, last - _MOST_MINUTES)
    each = {s: n / (last - first + 1) for s, n in counts.items()}
    for minute in range(first, last + 1):
        _add(file, minute, Service(each))


def _add(file: WatchFile, minute: int, more: Service) -> None:
    known = _kept(file, minute, minute + 1)
    both = more if known is None else known + more
    plain = (dict(both.statuses), both.workers, both.waiting, both.memory, both.looks)
    file.run("INSERT OR REPLACE INTO service VALUES (?,?)", (minute, msgspec.msgpack.encode(plain)))


def service_of(file: WatchFile, start: int, end: int) -> Service:
    """What servers counted in a span (UTC microseconds), by whole minutes.

    Raises:
        StoreError: the file can't be read.
    """
    return _kept(file, start // MINUTE, -(-end // MINUTE)) or Service()


def _kept(file: WatchFile, first: int, last: int) -> Service | None:
    total: Service | None = None
    for (told,) in file.rows("SELECT told FROM service WHERE minute >= ? AND minute < ?", (first, last)):
        found = Service(*msgspec.msgpack.decode(told, type=_Kept))
        total = found if total is None else total + found
    return total
