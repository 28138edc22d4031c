"""Several processes that score the parts of a batch. One that dies is started anew, and its part with it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TextIO, cast

from headrace.core.codec import from_plain, to_plain
from headrace.core.errors import DataError, HeadraceError, Problem
from headrace.serve.batch.part import Done
from headrace.serve.batch.plan import Part

DEATHS = 3
"""A part that so many processes died with is given up."""
_EVERY = 0.2
_LEAN = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
"""Arrow's own pool keeps a fifth more of a worker's memory, and is no faster here."""

Event = tuple[int, int | Done | BaseException]
"""A part's number, and rows done on the way, what came of it, or why nothing did."""


class Pool:
    """Processes that score, each led by a thread of its own. Use as a context; left early, they are ended."""

    def __init__(self, told: Mapping[str, Any], workers: int) -> None:
        """told: the worker's first line (`serve.batch.worker`)."""
        self._told = dict(told)
        self._workers = workers
        self._events: queue.Queue[Event] = queue.Queue()
        self._parts: queue.SimpleQueue[Part] = queue.SimpleQueue()
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._stop = False

    def score(
        self, parts: Iterable[Part], told: Callable[[int, int], None], took: Callable[[Done], None]
    ) -> None:
        """Score all parts. told: a part's number and how many of its rows are done; took: a part is in place.
        Both are called from this thread.

        Raises:
            HeadraceError: a part can't be scored; the others under way are given up.
        """
        left = 0
        for part in parts:
            self._parts.put(part)
            left += 1
        threads = [threading.Thread(target=self._lead, daemon=True) for _ in range(min(self._workers, left))]
        for thread in threads:
            thread.start()
        try:
            while left:
                try:
                    number, what = self._events.get(timeout=_EVERY)
                except queue.Empty:  # an interrupt is seen between two looks
                    continue
                if isinstance(what, int):
                    told(number, what)
                elif isinstance(what, BaseException):
                    raise what
                else:
                    took(what)
                    left -= 1
        finally:
            self._end()
            for thread in threads:
                thread.join()

    def _end(self) -> None:
        with self._lock:
            self._stop = True
            for process in self._running:
                process.kill()

    def _lead(self) -> None:
        """One place: a process, and others after it."""
        process: subprocess.Popen[str] | None = None
        try:
            while not self._stop:
                try:
                    part = self._parts.get_nowait()
                except queue.Empty:
                    return
                for death in range(DEATHS):
                    process = process or self._start()
                    if process is None:
                        return
                    if self._give(process, part):
                        break
                    self._bury(process)
                    process = None
                    if self._stop:
                        return
                    if death == DEATHS - 1:
                        raise DataError(
                            f"{DEATHS} processes died while they scored this part",
                            where=f"{part.file}, {part.name}",
                            why="too little memory, or somebody ended them",
                            fix="start it again, with fewer --workers",
                        )
        except BaseException as error:  # noqa: BLE001  told to the thread that waits, and raised there
            self._events.put((-1, error))
        finally:
            if process is not None:
                self._bury(process)

    def _start(self) -> subprocess.Popen[str] | None:
        with self._lock:
            if self._stop:
                return None
            process = subprocess.Popen(
                [sys.executable, "-m", "headrace.serve.batch.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**_LEAN, **os.environ, "OMP_NUM_THREADS": "1"},
                start_new_session=True,  # an interrupt of the terminal comes to us alone
            )
            self._running.add(process)
        self._write(process, self._told)
        return process

    def _write(self, process: subprocess.Popen[str], value: Any) -> bool:
        pipe = cast(TextIO, process.stdin)
        try:
            pipe.write(json.dumps(value) + "\n")
            pipe.flush()
        except OSError:
            return False
        return True

    def _give(self, process: subprocess.Popen[str], part: Part) -> bool:
        """Whether the process scored it; False: it died."""
        if not self._write(process, to_plain(part)):
            return False
        for line in cast(TextIO, process.stdout):
            if not line.endswith("\n"):
                return False
            said = json.loads(line)
            if "rows" in said:
                self._events.put((part.number, int(said["rows"])))
            elif "done" in said:
                self._events.put((part.number, from_plain(said["done"], Done)))
                return True
            else:
                raise _raised(said)
        return False

    def _bury(self, process: subprocess.Popen[str]) -> None:
        with self._lock:
            self._running.discard(process)
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what it did not read
                    pipe.close()


def _raised(said: Mapping[str, Any]) -> HeadraceError:
    """The error that a worker met."""
    import headrace.core.errors as errors

    kind = getattr(errors, said["kind"], DataError)
    made: HeadraceError = kind.of([from_plain(p, Problem) for p in said["problems"]])
    return made
