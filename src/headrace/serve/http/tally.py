"""Counts that worker processes share: a file for each of them, mapped into memory.

Counting is an addition in memory, which other processes see at once and which survives the death of the one
that counted: counters never go back while a server runs. A file is locked as long as its process lives;
whoever reads adds the files of the dead to one that stays, so that restarts don't heap up files.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

SLOTS = 8192
"""Numbers that a process can count."""
_NAMES = 1 << 20
_SIZE = 16 + SLOTS * 8 + _NAMES
_DEAD = "dead.json"
Key = tuple[str, ...]


class Tally:
    """The numbers of one process. Not for several threads at once, but for adding to different slots.

    With a folder, others read them from there (`totals`); without, nobody does.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._file: IO[bytes] | None = None
        if folder is None:
            self._map = mmap.mmap(-1, _SIZE)
        else:
            self._file, self._map = _opened(folder)
        self._head = memoryview(self._map)[:16].cast("q")
        self.numbers = memoryview(self._map)[16 : 16 + SLOTS * 8].cast("q")
        """What is counted, by slot: add to it."""
        self._slots: dict[Key, int] = {}
        self._used = 0

    def slot(self, key: Key, count: int = 1) -> int:
        """The first of `count` slots of this key; where there is no room for another key, those of the key
        that has "other" for all but its name."""
        at = self._slots.get(key)
        if at is not None:
            return at
        name = json.dumps([*key, count]).encode() + b"\n"
        start = 16 + SLOTS * 8 + self._head[1]
        full = self._used + count > SLOTS * 3 // 4 or self._head[1] + len(name) > _NAMES * 3 // 4
        if full and any(k != "other" for k in key[1:]):
            return self.slot((key[0], *("other" for _ in key[1:])), count)
        self._map[start : start + len(name)] = name
        self._slots[key] = at = self._used
        self._used += count
        self._head[1] += len(name)  # last: who reads meanwhile sees whole names alone
        return at

    def close(self) -> None:
        """Let go of the file; what was counted stays in it."""
        self._head.release()
        self.numbers.release()
        self._map.close()
        if self._file is not None:
            self._file.close()

    def own(self) -> dict[Key, list[int]]:
        """What this process counted."""
        return _read(self._map)


def totals(folder: Path, gauges: Sequence[str]) -> tuple[dict[Key, list[int]], dict[str, list[int]]]:
    """What all processes counted, the dead among them; and the `gauges` (keys of that name alone) of the
    living, one number each."""
    found: dict[Key, list[int]] = {}
    now: dict[str, list[int]] = {name: [] for name in gauges}
    with _alone(folder):
        _bury(folder, frozenset(gauges))
        with suppress(FileNotFoundError):
            _add(found, {tuple(k): v for k, v in json.loads((folder / _DEAD).read_bytes())})
        for file in sorted(folder.glob("*.tally")):
            counted = _read(file.read_bytes())
            for name in gauges:
                now[name] += counted.pop((name,), [])
            _add(found, counted)
    return found, now


def _opened(folder: Path) -> tuple[IO[bytes], mmap.mmap]:
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        file = (folder / f"{os.getpid()}-{os.urandom(4).hex()}.tally").open("x+b")
        file.truncate(_SIZE)
        fcntl.flock(file, fcntl.LOCK_EX)
    return file, mmap.mmap(file.fileno(), _SIZE)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _bury(folder: Path, gauges: frozenset[str]) -> None:
    """Add the files of the dead to one; called alone. Written whole before a file goes: who dies in between
    leaves a file that is counted again, so its name is kept with the sums."""
    dead = []
    for file in sorted(folder.glob("*.tally")):
        with file.open("rb") as held, suppress(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            dead.append(file)
    if not dead:
        return
    sums: dict[Key, list[int]] = {}
    with suppress(FileNotFoundError):
        sums = {tuple(k): v for k, v in json.loads((folder / _DEAD).read_bytes())}
    for file in dead:
        mark = ("buried", file.name)
        if mark not in sums:
            _add(sums, {k: v for k, v in _read(file.read_bytes()).items() if k[0] not in gauges})
            sums[mark] = [1]
    written = folder / f"{_DEAD}.new"
    written.write_text(json.dumps([[list(k), v] for k, v in sums.items()]))
    written.replace(folder / _DEAD)
    for file in dead:
        file.unlink()


def _read(data: bytes | mmap.mmap) -> dict[Key, list[int]]:
    view = memoryview(data)
    try:
        length = view[:16].cast("q")[1]
        names = bytes(view[16 + SLOTS * 8 : 16 + SLOTS * 8 + length])
        numbers = view[16 : 16 + SLOTS * 8].cast("q")
        found: dict[Key, list[int]] = {}
        at = 0
        for line in names.splitlines():
            *key, count = json.loads(line)
            found[tuple(key)] = numbers[at : at + count].tolist()
            at += count
        numbers.release()
        return found
    finally:
        view.release()


def _add(into: dict[Key, list[int]], more: dict[Key, list[int]]) -> None:
    for key, numbers in more.items():
        there = into.setdefault(key, [0] * len(numbers))
        into[key] = [a + b for a, b in zip(there, numbers, strict=True)]
