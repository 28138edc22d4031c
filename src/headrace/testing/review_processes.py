"""Items, and processes that are spawned and killed, for the exam of review queues."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from headrace.core.ports import ReviewQueue
from headrace.core.review import Item, Period

MakeQueue = Callable[[Path], ReviewQueue]

DAY = 86_400_000_000
NOW = 1_800_000_000_000_000
LEASE = 60_000_000


def item(number: int, **changes: Any) -> Item:
    """A question with two answers that is due in a day."""
    made = Item(
        id=f"p{number}",
        release="r1",
        inputs={"distance": 12.5, "depot": "Zürich", "fragile": None},
        answer={"prediction": True, "probability": 0.61},
        why="confidence 0.61 < 0.9",
        asked=NOW + number,
        deadline=NOW + number + DAY,
        choices=(False, True),
    )
    return replace(made, **changes)


def day(capacity: int | None) -> Period:
    """The day that begins now."""
    return Period(NOW, NOW + DAY, capacity)


def send(make: MakeQueue, place: Path, number: int) -> set[str]:
    """Send items of which not all fit; those that were taken."""
    queue = make(place)
    mine = [item(1000 * number + n) for n in range(40)]
    over: set[str] = set()
    for start in range(0, 40, 4):
        over |= queue.put(mine[start : start + 4], period=day(50))
    return {i.id for i in mine} - over


def review(make: MakeQueue, place: Path, number: int) -> set[str]:
    """Take and decide until nothing is left; what was decided."""
    queue, done = make(place), set()
    while (found := queue.take(f"reviewer {number}", now=NOW + 100, lease=LEASE)) is not None:
        queue.decide(found.item.id, f"reviewer {number}", False, now=NOW + 100)
        done.add(found.item.id)
    return done


def in_processes(
    work: Callable[[MakeQueue, Path, int], set[str]], make: MakeQueue, place: Path, count: int
) -> list[set[str]]:
    """What each of so many processes tells of its work."""
    spawn = multiprocessing.get_context("spawn")
    ends = [spawn.Pipe(duplex=False) for _ in range(count)]
    children = [
        spawn.Process(target=_tell, args=(work, make, place, n, end)) for n, (_, end) in enumerate(ends)
    ]
    for child in children:
        child.start()
    told: list[set[str]] = [mine.recv() for mine, _ in ends]
    for child in children:
        child.join()
    return told


def _tell(
    work: Callable[[MakeQueue, Path, int], set[str]],
    make: MakeQueue,
    place: Path,
    number: int,
    end: Connection,
) -> None:
    end.send(work(make, place, number))


def killed(make: MakeQueue, place: Path, round_: int) -> list[str]:
    """What a process was told is kept before it was killed in the middle of its work."""
    spawn = multiprocessing.get_context("spawn")
    mine, theirs = spawn.Pipe(duplex=False)
    child = spawn.Process(target=_send_for_ever, args=(make, place, round_, theirs))
    child.start()
    theirs.close()
    told = [mine.recv()]
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        told.append(mine.recv())
    child.kill()
    child.join()
    while True:
        try:
            told.append(mine.recv())
        except EOFError:
            return told


def _send_for_ever(make: MakeQueue, place: Path, round_: int, end: Connection) -> None:
    queue, number = make(place), 10**6 * round_
    while True:
        number += 1
        queue.put([item(number)])
        end.send(f"p{number}")
