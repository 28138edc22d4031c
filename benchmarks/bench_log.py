"""The prediction log: answers a second that are on the disk before their callers go on, and what one costs.

Callers are tasks of one event loop, as in a serving process: each hands over an answer of eight inputs,
waits until it is acknowledged, and hands over the next. Beside it runs a bare loop that writes as many ready
frames as there are callers and calls fdatasync, with nothing to encode and nobody to wake: grouping cannot be
better.
Rounds of the two alternate, on the disk that temporary folders are on.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.rows import Row, row
from headrace.core.answered import Answered
from headrace.logs.frames import frame
from headrace.logs.read import read
from headrace.logs.writer import LogWriter, Mode

CALLERS = (1, 8, 64)
REACH = {1: 0.5, 8: 0.5, 64: 0.35}
ROUNDS = 5
SECONDS = 0.5
MANY = 50_000

_sync = getattr(os, "fdatasync", os.fsync)


def answer(number: int) -> Answered:
    return Answered(
        id=f"{number:032x}",
        time=1_763_740_000_000_000 + number,
        route="default",
        release="211429b25dd9",
        arm="champion",
        unit="",
        by="model",
        inputs={f"column_{i}": number * 1.37 + i for i in range(8)},
        answer={"prediction": 3.14, "lower": 1.0, "upper": 5.0},
        took_us=123,
    )


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        rows = [_durable(Path(folder), callers) for callers in CALLERS]
        return [*rows, *_buffered(Path(folder) / "buffered")]


def _durable(folder: Path, callers: int) -> Row:
    ours, bare = [], []
    for i in range(ROUNDS):
        bare.append(_bare(folder / "bare", callers))
        ours.append(_acknowledged(folder / f"log{callers}-{i}", callers, "durable"))
    value, floor = statistics.median(ours), statistics.median(bare)
    ratio, reach = value / floor, REACH[callers]
    return row(
        "log",
        f"durable, {callers} callers",
        value,
        "answers/s",
        floor=f"write {callers} + fdatasync {floor:,.0f}/s",
        ratio=ratio,
        reach=f">= {reach:g}",
        ok=ratio >= reach,
    )


def _bare(path: Path, callers: int) -> float:
    """Answers a second of a loop that writes ready frames and flushes them."""
    data = b"".join(frame([answer(i)]) for i in range(callers))
    with path.open("wb", buffering=0) as file:
        began = time.perf_counter()
        count = 0
        while (passed := time.perf_counter() - began) < SECONDS:
            file.write(data)
            _sync(file.fileno())
            count += callers
    return count / passed


def _acknowledged(folder: Path, callers: int, mode: Mode) -> float:
    """Answers a second that callers were told are safe; all of them are read afterwards."""

    async def measure() -> float:
        loop = asyncio.get_running_loop()
        log = LogWriter(folder, worker="bench", mode=mode, relay=loop.call_soon_threadsafe)
        ends = time.perf_counter() + SECONDS
        done = 0

        async def caller() -> None:
            nonlocal done
            while time.perf_counter() < ends:
                waiting = loop.create_future()
                log.append([answer(done)], waiting.set_result)
                if (error := await waiting) is not None:
                    raise error
                done += 1

        began = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(callers)))
        passed = time.perf_counter() - began
        log.close()
        if sum(1 for _ in read(folder)) != done:
            raise RuntimeError("an acknowledged answer is not in the log")
        return done / passed

    return asyncio.run(measure())


def _buffered(folder: Path) -> list[Row]:
    """What an answer costs the thread that hands it over, and the process in all."""
    log = LogWriter(folder, worker="bench", mode="buffered", most=4 * MANY)
    entries = [[answer(i)] for i in range(MANY)]
    mine, process = time.thread_time(), time.process_time()
    for entry in entries:
        log.append(entry, _ignore)
    own = (time.thread_time() - mine) / MANY
    log.close()
    whole = (time.process_time() - process) / MANY
    if sum(1 for _ in read(folder)) != MANY:
        raise RuntimeError("an answer is not in the log")
    return [
        _cost("handing over an answer, buffered", own, 10e-6),
        _cost("all of logging an answer, buffered", whole, 15e-6),
    ]


def _cost(what: str, seconds: float, most: float) -> Row:
    reach = f"<= {most * 1e6:.0f} µs"
    return row(
        "log",
        what,
        seconds * 1e6,
        "µs",
        floor="processor time",
        ratio=seconds / most,
        reach=reach,
        ok=seconds <= most,
    )


def _ignore(error: Exception | None) -> None:
    if error is not None:
        raise error
