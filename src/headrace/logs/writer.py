"""The writer: takes answers from the threads that give them, and writes them in groups from one of its own.

A group is whatever came while the disk was busy with the one before: nobody waits for a timer. The caller's
thread only hands entries over; they are encoded, several at once, where they are written.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from headrace.core.answered import Answered
from headrace.core.clock import Clock, micros, system_clock
from headrace.core.errors import StoreError
from headrace.logs.frames import frame
from headrace.logs.segment import FULL, SegmentFile, rotation, trouble

Done = Callable[[Exception | None], None]
Relay = Callable[[Callable[[], None]], object]
Mode = Literal["durable", "buffered"]

_IDLE = 0.5
_RETRY = 0.1
_ROOM = 1 << 20
"""Bytes that have to be free before a log that was out of room goes on."""
_GROUP = 4096
_FRAME = 512
_LOOK = 0.25
"""Seconds between two looks at whether the segment is old or others ask for another."""


@dataclass(frozen=True)
class LogState:
    """How a writer fares: entries that wait, and that were written since it began; segments with entries that
    it has closed, to begin others; why it takes nothing now (empty: it does)."""

    waiting: int
    written: int
    rotated: int
    trouble: str


class LogWriter:
    """Implements `core.ports.Log` on segments in a folder. Safe for use by several threads; one a process,
    made after any fork."""

    def __init__(
        self,
        folder: Path,
        *,
        worker: str,
        mode: Mode = "buffered",
        window_us: int = 100_000,
        full: Literal["shed", "wait"] = "shed",
        clock: Clock = system_clock,
        relay: Relay | None = None,
        told: Callable[[StoreError | None], None] | None = None,
        most: int = 65_536,
        rotate_bytes: int = 64 << 20,
        rotate_us: int = 600_000_000,
    ) -> None:
        """
        Args:
            folder: of the log; made where it is missing.
            worker: this process's name (letters, digits, `-`, `_`, `.`): segments are named by it.
            mode: durable: `done(None)` is called when entries are on the disk. buffered: before `append`
                returns; they are written every `window_us`, which is what a killed process may lose. What
                was written survives the process at once, and a power cut when the system has flushed it.
            full: when the disk takes no more: shed: who waits is told, and nothing is taken. wait: they wait
                on, as many as `most`, until it takes some again.
            relay: where given, the `done`s of a group are called in one call, which is handed to it (such
                as a loop's `call_soon_threadsafe`); else from the writer's thread. They must not raise.
            told: called from the writer's thread with the reason when the log begins to take nothing, and
                with None when it goes on.
            most: entries that may wait; more are refused (however many come at once, where none wait).
            rotate_bytes, rotate_us: size and age at which a segment is closed and another begun.

        A full disk is no reason not to begin: it takes nothing until there is room (but lets durable entries
        wait where it may).

        Raises:
            StoreError: no segment can be made there.
        """
        self._folder = folder
        self._worker = worker
        self._durable = mode == "durable"
        self._wait = _IDLE if self._durable else window_us / 1e6
        self._patient = full == "wait"
        self._clock = clock
        self._relay = relay
        self._told = told
        self._most = most
        self._limit = rotate_bytes
        self._age = timedelta(microseconds=rotate_us)
        self._queue: deque[tuple[Sequence[Answered], Done]] = deque()
        self._taken = 0
        self._settled = 0
        self._written = 0
        self._rotated = 0
        self._closing = False
        self._trouble: StoreError | None = None
        self._kept: list[tuple[Sequence[Answered], Done]] = []
        self._gate = threading.Lock()
        self._bell = threading.Lock()
        self._bell.acquire()
        self._rotation = rotation(folder)
        self._looked = 0.0
        self._segment: SegmentFile | None = None
        self._held: SegmentFile | None = None
        self._start = 0
        try:
            self._open()
        except OSError as error:
            self._trouble = trouble(error, "begin the prediction log", folder)
            if error.errno not in FULL:
                raise self._trouble from error
        self._thread = threading.Thread(target=self._run, name="headrace-log", daemon=True)
        self._thread.start()

    @property
    def state(self) -> LogState:
        """How it fares now."""
        why = "" if self._trouble is None else str(self._trouble)
        return LogState(self._taken - self._settled, self._written, self._rotated, why)

    def append(self, entries: Sequence[Answered], done: Done) -> None:
        """See `core.ports.Log`. Never waits."""
        with self._gate:
            if self._closing:
                raise StoreError("the prediction log is closed")
            may_wait = self._patient and (self._durable or self._held is not None)
            if self._trouble is not None and not may_wait:
                raise self._trouble
            waiting = self._taken - self._settled
            if waiting and waiting + len(entries) > self._most:
                raise StoreError(
                    f"{waiting:,} answers wait to be logged",
                    where=str(self._folder),
                    why="the disk is slower than answers are given",
                    fix="ask more slowly, or give the log a faster disk",
                )
            if entries:
                self._taken += len(entries)
                self._queue.append((entries, done))
        if not entries:
            done(None)
            return
        if self._durable or self._taken - self._settled > self._most // 4:
            self._ring()
        if not self._durable:
            done(None)

    def close(self) -> None:
        """Write what is waiting. Nothing may be appended afterwards.

        Raises:
            StoreError: what was taken before (buffered) can't be written; it is lost, and the error says how
                many entries that are.
        """
        with self._gate:
            self._closing = True
        self._ring()
        self._thread.join()
        lost = self._taken - self._settled
        if lost:
            why = "" if self._trouble is None else self._trouble.problems[0].why
            raise StoreError(
                f"{lost:,} answers could not be logged",
                where=str(self._folder),
                why=why or "the disk refused",
            )

    def _ring(self) -> None:
        if self._bell.locked():
            try:
                self._bell.release()
            except RuntimeError:
                return  # another thread rang at the same moment

    def _run(self) -> None:
        if self._trouble is not None and self._told is not None:
            self._told(self._trouble)
        try:
            while not self._closing:
                self._rest()
                self._step()
            self._step()
        finally:
            self._end()

    def _rest(self) -> None:
        """Until it is time to write, somebody rings, or others ask for another segment."""
        until = time.monotonic() + (_RETRY if self._trouble else self._wait)
        while (left := until - time.monotonic()) > 0:
            if self._bell.acquire(timeout=min(left, _IDLE)):
                return
            if self._trouble is None and rotation(self._folder) != self._rotation:
                return

    def _step(self) -> None:
        """Write all that waits; see to rotation; let go of the segment that stood for what could not be
        written: whoever sees its end finds that written, and the segment that follows."""
        if self._trouble is not None and not self._recovered():
            return
        while (group := self._group()) and self._write(group):
            pass
        self._rotate()
        if self._held is not None and self._trouble is None:
            self._held.close()
            self._held = None

    def _group(self) -> list[tuple[Sequence[Answered], Done]]:
        """What to write next: what could not be written before, else the oldest that wait."""
        if self._kept:
            return self._kept
        group: list[tuple[Sequence[Answered], Done]] = []
        rows = 0
        while self._queue and rows < _GROUP:
            item = self._queue.popleft()
            group.append(item)
            rows += len(item[0])
        return group

    def _write(self, group: list[tuple[Sequence[Answered], Done]]) -> bool:
        entries = [e for part, _ in group for e in part]
        segment = self._segment
        if segment is None:
            return False
        try:
            segment.write(_framed(entries), sync=self._durable)
        except OSError as error:
            self._refused(group, trouble(error, "write to the prediction log", segment.path))
            return False
        self._kept = []
        self._written += len(entries)
        self._settle(group, None)
        return True

    def _settle(self, group: list[tuple[Sequence[Answered], Done]], error: StoreError | None) -> None:
        """Call the callers back, and forget their entries."""
        self._settled += sum(len(part) for part, _ in group)
        if not self._durable:
            return
        if self._relay is None:
            _tell(group, error)
        else:
            self._relay(lambda: _tell(group, error))

    def _refused(self, group: list[tuple[Sequence[Answered], Done]], error: StoreError) -> None:
        """Take nothing more until the medium does. Who waits (durable) is told; what callers were told is
        taken (buffered), or wait for, is kept to be written later. While something may be kept that callers
        have as answered, a segment stays open: who erases has to see that there is more to come."""
        with self._gate:
            self._trouble = error
            segment, self._segment = self._segment, None
            if self._held is None and not self._durable:
                self._held, segment = segment, None
        if segment is not None:
            segment.close()
        if self._durable and not self._patient:
            waiting = list(self._queue)
            self._queue.clear()
            self._settle([*group, *waiting], error)
        else:
            self._kept = group
        if self._told is not None:
            self._told(error)

    def _recovered(self) -> bool:
        try:
            segment = self._open()
        except OSError:
            return False
        if segment.room() < _ROOM:
            segment.close()
            self._segment = None
            return False
        with self._gate:
            self._trouble = None
        if self._told is not None:
            self._told(None)
        return True

    def _open(self) -> SegmentFile:
        self._opened = self._clock()
        start = max(micros(self._opened), self._start + 1)  # no name comes twice, also of files that are gone
        self._segment = SegmentFile(self._folder, self._worker, start)
        self._start = self._segment.start
        return self._segment

    def _rotate(self) -> None:
        """Begin another segment where this one has entries and is large or old, or where others ask for it:
        they wait for its end, whatever is in it."""
        segment = self._segment
        if segment is None:
            return
        now = time.monotonic()
        if segment.end < self._limit and now - self._looked < _LOOK:
            return
        self._looked = now
        before, self._rotation = self._rotation, rotation(self._folder)
        old = self._clock() - self._opened >= self._age
        due = segment.has_entries and (old or segment.end >= self._limit)
        if self._rotation == before and not due:
            return
        try:
            segment.sync()
            self._open()
        except OSError as error:
            self._refused([], trouble(error, "begin a segment of the prediction log", self._folder))
            return
        segment.close()
        self._rotated += segment.has_entries

    def _end(self) -> None:
        """The thread ends: nobody may wait for it any longer."""
        with self._gate:
            self._closing = True
        if self._segment is not None:
            try:
                self._segment.sync()
            except OSError as error:
                self._trouble = trouble(error, "flush the prediction log", self._segment.path)
            self._segment.close()
        if self._held is not None:
            self._held.close()
        waiting = [*self._kept, *self._queue]
        if self._durable and waiting:
            self._kept = []
            self._queue.clear()
            self._settle(waiting, self._trouble or StoreError("the prediction log's writer has ended"))


def _framed(entries: Sequence[Answered]) -> bytes:
    """Frames of entries, in slices: encoding one keeps every other thread from its turn."""
    return b"".join([frame(entries[at : at + _FRAME]) for at in range(0, len(entries), _FRAME)])


def _tell(group: Sequence[tuple[Sequence[Answered], Done]], error: StoreError | None) -> None:
    for _, done in group:
        done(error)
