"""A command as a whole process: seconds, and the peak memory of its largest process."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measured:
    """Wall seconds, peak resident memory in MB, what was printed, and seconds of the processors."""

    seconds: float
    megabytes: float
    output: str
    cpu: float = 0.0


def measured(command: Sequence[str], *, cwd: Path) -> Measured:
    """Run a command to its end.

    Raises:
        RuntimeError: it ended with an error; the message holds what it printed.
    """
    started = time.perf_counter()
    with (
        (cwd / "out.txt").open("wb+") as out,
        (cwd / "err.txt").open("wb+") as err,
        subprocess.Popen(list(command), cwd=cwd, stdout=out, stderr=err) as process,
    ):
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        output, errors = out.read().decode(), err.read().decode()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{output}\n{errors}")
    return Measured(seconds, usage.ru_maxrss / 1024, output, usage.ru_utime + usage.ru_stime)


def middle(runs: Sequence[Measured]) -> Measured:
    """The medians of several runs, the largest memory, and what the last printed."""
    return Measured(
        statistics.median(m.seconds for m in runs),
        max(m.megabytes for m in runs),
        runs[-1].output,
        statistics.median(m.cpu for m in runs),
    )


def apart(code: str) -> None:
    """Run Python code in a process of its own: a child's peak memory begins at its parent's.

    Raises:
        subprocess.CalledProcessError: it ended with an error.
    """
    subprocess.run([sys.executable, "-c", code], check=True)
