"""Counts that worker processes share: a file for each of them, mapped into memory.

Counting is an addition in memory, which other processes see at once and which survives the death of the one
that counted: counters never go back while a server runs. A file is locked as long as its process lives;
whoever reads adds the files of the dead to one that stays, so that restarts don't heap up files.
"""

from __future__ import annotations

import errno
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

    With a folder, others read them from there (`totals`); without, nobody does, and where the disk was full
    nobody does until `share` finds room.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._map = mmap.mmap(-1, _SIZE)
        self._view()
        self._slots: dict[Key, int] = {}
        self._used = 0
        self.share()

    @property
    def shared(self) -> bool:
        """Whether others see them."""
        return self._file is not None

    def share(self) -> None:
        """Let others see them, if there is a folder and room for a file in it."""
        if self._folder is None or self._file is not None:
            return
        opened = _opened(self._folder)
        if opened is None:
            return
        end = 16 + SLOTS * 8 + self._head[1]
        counted = self._map[:end]
        self._head.release()
        self.numbers.release()
        self._file, self._map = opened, mmap.mmap(opened.fileno(), _SIZE)
        self._map[:end] = counted
        self._view()

    def _view(self) -> None:
        self._head = memoryview(self._map)[:16].cast("q")
        self.numbers = memoryview(self._map)[16 : 16 + SLOTS * 8].cast("q")
        """What is counted, by slot: add to it."""

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
        dead = _dead(folder)
        with suppress(OSError):  # a full disk: they are where they were, and counted below
            _bury(folder, dead, frozenset(gauges))
        with suppress(FileNotFoundError):
            add(found, {tuple(k): v for k, v in json.loads((folder / _DEAD).read_bytes())})
        for file in sorted(folder.glob("*.tally")):
            if ("buried", file.name) in found:
                continue
            counted = _read(file.read_bytes())
            for name in gauges:
                number = counted.pop((name,), [])
                now[name] += [] if file in dead else number
            add(found, counted)
    return found, now


def _opened(folder: Path) -> IO[bytes] | None:
    """A file of our own; None where the disk is full."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{os.getpid()}-{os.urandom(4).hex()}.tally"
    try:
        with _alone(folder):
            file = path.open("x+b")
            try:
                _take(file)
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError:
                file.close()
                raise
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return None
    return file


def _take(file: IO[bytes]) -> None:
    """Room for all of it. A hole is filled when it is written to, and a process that writes to one through
    its memory dies (SIGBUS) where the disk is full by then."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, _SIZE)
    else:
        file.write(bytes(_SIZE))
        file.flush()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _dead(folder: Path) -> list[Path]:
    """The files that nobody holds."""
    dead = []
    for file in sorted(folder.glob("*.tally")):
        with file.open("rb") as held, suppress(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            dead.append(file)
    return dead


def _bury(folder: Path, dead: Sequence[Path], gauges: frozenset[str]) -> None:
    """Add the files of the dead to one; called alone. Written whole before a file goes: who dies in between
    leaves a file that is counted again, so its name is kept with the sums."""
    if not dead:
        return
    sums: dict[Key, list[int]] = {}
    with suppress(FileNotFoundError):
        sums = {tuple(k): v for k, v in json.loads((folder / _DEAD).read_bytes())}
    for file in dead:
        mark = ("buried", file.name)
        if mark not in sums:
            add(sums, {k: v for k, v in _read(file.read_bytes()).items() if k[0] not in gauges})
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


def add(into: dict[Key, list[int]], more: dict[Key, list[int]]) -> None:
    """Add counts to others."""
    for key, numbers in more.items():
        there = into.setdefault(key, [0] * len(numbers))
        into[key] = [a + b for a, b in zip(there, numbers, strict=True)]
