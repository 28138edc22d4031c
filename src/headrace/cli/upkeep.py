"""What a server has done beside answering, by other processes: the prediction log is compacted now and then,
and live traffic is watched.

Both need Arrow, which serving does without: where it is not installed nothing is done, and `headrace log
compact` and `headrace watch` have to run where it is.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

EVERY = 600.0
"""Seconds between two compactions: as often as writers begin new segments."""
EVERY_LOOK = 30.0
"""Seconds between two looks at live traffic, and before the first."""
_GRACE = 10.0
_MOST = 2000
"""Bytes that are told of what went wrong."""

_LOG = logging.getLogger("headrace.serve")


def compaction(root: Path) -> list[str]:
    """The command that compacts a project's log, giving way to whatever else runs; empty where it can't."""
    return _polite("pyarrow", "duckdb", said=["log", "compact", "--json", "-C", str(root)])


def watching(root: Path) -> list[str]:
    """The command that watches a project's traffic, giving way to what else runs; empty where it can't."""
    return _polite(
        "pyarrow", "scipy", said=["watch", "-C", str(root), "--every", f"{EVERY_LOOK:g} s", "--attached"]
    )


def _polite(*needs: str, said: Sequence[str]) -> list[str]:
    if any(find_spec(name) is None for name in needs):
        return []
    nice = shutil.which("nice")
    polite = [] if nice is None else [nice, "-n", "10"]
    return [*polite, sys.executable, "-c", "from headrace.cli import main; main()", *said]


class Upkeep:
    """Runs a command again and again, one at a time, until it is closed."""

    def __init__(self, command: Sequence[str], every: float = EVERY) -> None:
        self._command = list(command)
        self._every = every
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="headrace-upkeep", daemon=True)
        if self._command:
            self._thread.start()

    def close(self) -> None:
        """End it, and what it runs: compacting may die at any moment."""
        self._ended.set()
        if self._command:
            self._thread.join()

    def _run(self) -> None:
        told = ""
        while not self._ended.wait(self._every):
            try:
                why = self._once()
            except OSError as error:  # no memory, too many processes: there is another time
                why = str(error)
            if why and why != told:  # not again every ten minutes
                _LOG.warning("the prediction log is not compacted: %s", why)
            told = why

    def _once(self) -> str:
        """Run the command, or as much of it as there is time for; why it failed, where it did."""
        quiet = subprocess.DEVNULL
        with tempfile.TemporaryFile() as said:
            child = subprocess.Popen(self._command, stdin=quiet, stdout=quiet, stderr=said)
            while child.poll() is None and not self._ended.wait(0.2):
                pass
            if child.poll() is None:
                child.terminate()
                try:
                    child.wait(_GRACE)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
                return ""
            if not child.returncode:
                return ""
            said.seek(max(said.tell() - _MOST, 0))
            return said.read().decode("utf-8", "replace").strip() or f"exit code {child.returncode}"


class Companion:
    """A process that lives as long as this one: its standard input ends with us, and so does it. Begun anew
    where it dies. What it says on standard error is logged, but not the same twice in a row."""

    def __init__(self, command: Sequence[str], what: str, after: float) -> None:
        """after: seconds before it begins, and before it does so anew."""
        self._command = list(command)
        self._what = what
        self._after = after
        self._ended = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="headrace-companion", daemon=True)
        if self._command:
            self._thread.start()

    def close(self) -> None:
        """End it: whatever it does may die at any moment."""
        self._ended.set()
        with self._lock:
            child = self._child
            if child is not None and child.stdin is not None:
                child.stdin.close()
        if child is not None:
            try:
                child.wait(_GRACE)
            except subprocess.TimeoutExpired:
                child.kill()
        if self._command:
            self._thread.join()

    def _run(self) -> None:
        told = ""
        while not self._ended.wait(self._after):
            with self._lock:
                if self._ended.is_set():
                    return
                try:
                    self._child = subprocess.Popen(
                        self._command,
                        stdin=subprocess.PIPE,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.PIPE,
                    )
                except OSError as error:  # no memory, too many processes: there is another time
                    _LOG.warning("%s: %s", self._what, error)
                    continue
            told = self._listen(self._child, told)

    def _listen(self, child: subprocess.Popen[bytes], told: str) -> str:
        """Until it ends; the last that it said."""
        assert child.stderr is not None  # noqa: S101  it was asked for
        with child.stderr as said:
            for line in said:
                text = line.decode("utf-8", "replace").strip()[:_MOST]
                if text and text != told:
                    _LOG.warning("%s: %s", self._what, text)
                    told = text
        child.wait()
        with self._lock:
            if child.stdin is not None:
                child.stdin.close()
            self._child = None
        return told
