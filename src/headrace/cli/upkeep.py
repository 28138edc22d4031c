"""What a server has done beside answering: the prediction log is compacted now and then, by another process.

Compacting needs Arrow, which serving does without: where it is not installed nothing is done, and
`headrace log compact` has to run where it is.
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
_GRACE = 10.0
_MOST = 2000
"""Bytes that are told of what went wrong."""

_LOG = logging.getLogger("headrace.serve")


def compaction(root: Path) -> list[str]:
    """The command that compacts a project's log, giving way to whatever else runs; empty where it can't."""
    if find_spec("pyarrow") is None or find_spec("duckdb") is None:
        return []
    nice = shutil.which("nice")
    polite = [] if nice is None else [nice, "-n", "10"]
    code = "from headrace.cli import main; main()"
    return [*polite, sys.executable, "-c", code, "log", "compact", "--json", "-C", str(root)]


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
