"""Following the log: what is new since the last look, at a cost that grows with what is new alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from headrace.core.answered import Answered
from headrace.logs.frames import HEADER, Frame, scan
from headrace.logs.parts import FILE, Parts, load, reading
from headrace.logs.read import EVERYTHING, Wanted, part_tables, part_tables_of
from headrace.logs.segment import is_open, opened, segments


@dataclass
class _Open:
    """A segment that is being followed: it stays readable here when its file is removed."""

    path: Path
    fd: int
    at: int = len(HEADER)


class Tail:
    """Follows a log. Every entry that is written after the tail was made is given once, whatever becomes of
    its segment meanwhile. For one thread."""

    def __init__(self, folder: Path, wanted: Wanted = EVERYTHING, *, start: int | None = None) -> None:
        """With `start` (UTC microseconds) the first `poll` also gives what was answered from then on.

        Raises:
            StoreError: the log can't be read.
        """
        self._folder = folder
        self._wanted = wanted
        self._open: dict[str, _Open] = {}
        self._done: set[str] = set()
        self._stamp: tuple[int, int] | None = None
        self._counts = Parts()
        self._first: list[Answered] = []
        with reading(folder):
            self._counts = self._load()
            self._done.update(self._counts.recent, self._counts.taken)
            if start is not None:
                self._first = self._since(start)
            for path in segments(folder):
                found = None if path.name in self._done else self._follow(path)
                if found is not None:
                    entries = self._read(found)
                    if start is not None:
                        self._first += [e for e in entries if e.time >= start]

    def poll(self) -> list[Answered]:
        """What is new, in the order in which each process wrote it.

        Raises:
            StoreError: the log can't be read.
            Corrupt: a part is not what was written.
        """
        found, self._first = self._first, []
        with reading(self._folder):
            self._counts = self._load()
            taken = frozenset((*self._counts.taken, *self._counts.recent))
            here = segments(self._folder)
            self._done &= taken | {p.name for p in here}  # while both are of one moment
            for path in here:
                if path.name not in self._open and path.name not in self._done and path.name not in taken:
                    self._follow(path)
            missed = taken - self._done - self._open.keys()
            if missed:
                found += self._of_parts(missed)
                self._done |= missed
        for name, segment in list(self._open.items()):
            over = not is_open(segment.path)  # before it is read: nothing is written afterwards
            found += self._read(segment)
            if over:
                os.close(segment.fd)
                del self._open[name]
                self._done.add(name)
        return [e for e in found if self._wanted.holds(e)]

    def close(self) -> None:
        """Let go of the files."""
        for segment in self._open.values():
            os.close(segment.fd)
        self._open.clear()

    def _load(self) -> Parts:
        """`parts.json`, read again only where it was replaced."""
        try:
            told = (self._folder / FILE).stat()
            stamp = (told.st_ino, told.st_mtime_ns)
        except FileNotFoundError:
            stamp = (0, 0)
        if stamp == self._stamp:
            return self._counts
        self._stamp = stamp
        return load(self._folder)

    def _follow(self, path: Path) -> _Open | None:
        """Begin to follow a segment; None where its writer removed it, as it wrote nothing to it."""
        fd = opened(path)
        if fd is None:
            return None
        self._open[path.name] = found = _Open(path, fd)
        return found

    def _read(self, segment: _Open) -> list[Answered]:
        """The whole entries behind what was read."""
        size = os.fstat(segment.fd).st_size
        if size <= segment.at:
            return []
        data = os.pread(segment.fd, size - segment.at, segment.at)
        found: list[Answered] = []
        end = 0
        for piece in scan(data):
            if isinstance(piece, Frame):
                found += piece.entries
                end = piece.end
        segment.at += end
        return found

    def _since(self, start: int) -> list[Answered]:
        """What the parts hold from a moment on."""
        from headrace.logs.columns import to_entries

        since = Wanted(start, self._wanted.end, self._wanted.route, self._wanted.release, self._wanted.arm)
        return [
            entry
            for part in self._counts.parts
            if since.may_be_in(part)
            for table in part_tables(self._folder, part, since)
            for entry in to_entries(table)
        ]

    def _of_parts(self, names: frozenset[str]) -> list[Answered]:
        """What the parts hold of segments that came and went between two looks."""
        from headrace.logs.columns import to_entries

        return [
            entry
            for part in self._counts.parts
            for table in part_tables_of(self._folder, part, names)
            for entry in to_entries(table)
        ]
