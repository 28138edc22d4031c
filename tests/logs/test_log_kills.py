"""Processes that write and compact the log are killed at any moment: what was acknowledged is read, once."""

import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from served import LONG

from headrace.logs.compact import compact
from headrace.logs.read import read

WRITE = """
import os, sys, threading, time
from pathlib import Path
from headrace.logs.writer import LogWriter
from headrace.testing.log_exam import answered

folder, base, rotate = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
log = LogWriter(folder, worker=f"w{base}", mode="durable", rotate_bytes=rotate)

def work(thread):
    turn = threading.Event()
    def done(error, number):
        if error is None:
            os.write(1, b"%d\\n" % number)  # the answer is on its way to the caller
        turn.set()
    for i in range(1_000_000):
        turn.clear()
        number = base + i * 4 + thread
        log.append([answered(number)], lambda error: done(error, number))
        turn.wait()

for thread in range(4):
    threading.Thread(target=work, args=(thread,)).start()
"""
COMPACT = """
import sys
from pathlib import Path
from headrace.core.errors import StoreError
from headrace.logs.compact import compact

while True:
    compact(Path(sys.argv[1]))
"""


def start(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE)


def kill(process: subprocess.Popen[bytes]) -> bytes:
    """Kill it; what it said until then."""
    process.send_signal(signal.SIGKILL)
    told, _ = process.communicate()
    return told


def acknowledged(told: bytes) -> list[int]:
    """Numbers; the last line may be torn."""
    return [int(line) for line in told.split(b"\n")[:-1]]


def wait_for_output(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], LONG)
    assert ready


def rounds(folder: Path, count: int) -> None:
    chance = random.Random(7)
    promised: list[int] = []
    for i in range(count):
        writer = start(WRITE, folder, (i + 1) * 10_000_000, 20_000)
        wait_for_output(writer)
        compactor = start(COMPACT, folder) if i % 2 else None
        time.sleep(chance.uniform(0.0, 0.4))
        if compactor is not None and chance.random() < 0.5:
            kill(compactor)
            compactor = None
        promised += acknowledged(kill(writer))
        if compactor is not None:
            time.sleep(chance.uniform(0.0, 0.3))
            kill(compactor)
        check(folder, promised)
    compact(folder)
    check(folder, promised)
    assert len(promised) >= count, "each was killed while it wrote"


def check(folder: Path, promised: list[int]) -> None:
    """Everything that was promised is there, and nothing is there twice."""
    found = Counter(int(e.id, 16) for e in read(folder))
    assert set(promised) <= set(found)
    assert max(found.values(), default=1) == 1


def test_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    rounds(tmp_path / "log", 8)


@pytest.mark.deep
def test_fifty_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    rounds(tmp_path / "log", 50)


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_killed_writers_segment_is_closed(tmp_path: Path) -> None:
    writer = start(WRITE, tmp_path / "log", 10_000_000, 1 << 30)
    wait_for_output(writer)
    assert compact(tmp_path / "log").segments == 0
    promised = acknowledged(kill(writer))
    done = compact(tmp_path / "log")
    assert done.segments == 1
    assert done.rows >= len(promised) > 0
    check(tmp_path / "log", promised)
