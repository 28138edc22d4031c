"""Processes that are killed: what was acknowledged is there, and nothing is there by half."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from headrace.core.digest import digest_file
from headrace.stores import EmbeddedStore, audit
from headrace.testing.store_exam import draft

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills by signal 9")

# Both print a line only after the store has acknowledged.
APPENDER = """
import sys
from pathlib import Path
from headrace.stores import EmbeddedStore
from headrace.testing.store_exam import draft
store = EmbeddedStore(Path(sys.argv[1]))
first = int(sys.argv[2])
while True:
    size = 1 + first % 7
    events = store.append([draft(first + n, subject="killed") for n in range(size)])
    first += size
    print(first, events[-1].seq, flush=True)
"""

PUTTER = """
import random, sys
from pathlib import Path
from headrace.stores import EmbeddedStore
store = EmbeddedStore(Path(sys.argv[1]))
seed = int(sys.argv[2])
while True:
    data = random.Random(seed).randbytes(3_000_000)
    if seed % 3 == 0:
        source = data
    else:
        source = store.scratch() if seed % 3 == 1 else Path(sys.argv[1]).parent / f"source-{seed}"
        source.write_bytes(data)
    print(store.put(source).digest, flush=True)
    seed += 1
"""


@contextmanager
def killed(script: str, place: Path, number: int, lines: int, wait: float) -> Iterator[IO[str]]:
    """Start the script, kill it `wait` seconds after its line number `lines`; its whole output."""
    command = [sys.executable, "-c", script, str(place), str(number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        head = [process.stdout.readline() for _ in range(lines)]
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            process.kill()
        with (place.parent / f"acknowledged-{number}").open("w+") as out:
            out.writelines(head)
            out.write(process.stdout.read())
            out.seek(0)
            yield out
        assert process.wait() == -9


def whole(lines: IO[str]) -> list[str]:
    """The lines that were printed to their end."""
    return [line.strip() for line in lines if line.endswith("\n")]


def test_killed_while_appending(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "store")
    rng = random.Random(5)
    first = acknowledged = 0
    for _ in range(6):
        with killed(APPENDER, store.root, first, rng.randint(1, 40), rng.uniform(0, 0.02)) as out:
            for line in whole(out):
                first, acknowledged = map(int, line.split())
        kept = [e.payload["number"] for e in store.read()]
        assert len(kept) >= acknowledged
        # A batch that was written but not acknowledged is there as a whole.
        first = kept[-1] + 1
        assert kept == list(range(first))
        sizes, total = [], 0
        while total < first:
            sizes.append(1 + total % 7)
            total += sizes[-1]
        assert total == first
    assert audit(store).ok
    store.append([draft(first)])


def test_killed_while_putting(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "store")
    rng = random.Random(6)
    acknowledged: set[str] = set()
    for number in range(6):
        with killed(PUTTER, store.root, number * 1000, rng.randint(1, 4), rng.uniform(0, 0.06)) as out:
            acknowledged.update(whole(out))
        kept = {a.digest for a in store.artifacts()}
        assert acknowledged <= kept
        assert all(digest_file(store.get(name)) == name for name in kept)
        assert all(a.size == 3_000_000 for a in store.artifacts())
    EmbeddedStore(store.root).put(b"the first put of a process sweeps")
    assert list((store.root / "tmp").iterdir()) == []
