"""How long a user waits before anything happens: `import headrace`, and `headrace --version`, cold."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.rows import Row, row

RUNS = 15


def _seconds(command: list[str]) -> float:
    """Median seconds of a whole process. One run first, so that bytecode is compiled as after an install."""
    subprocess.run(command, check=True, capture_output=True)
    took = []
    for _ in range(RUNS):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        took.append(time.perf_counter() - started)
    return statistics.median(took)


def run() -> list[Row]:
    bare = _seconds([sys.executable, "-c", "pass"])
    imported = _seconds([sys.executable, "-c", "import headrace"])
    version = _seconds([str(Path(sys.executable).with_name("headrace")), "--version"])
    quoted = "Metaflow 0.55 s (quoted)"
    return [
        row(
            "start",
            "import headrace (whole process)",
            imported,
            "s",
            floor=f"bare python {bare:.3f} s; {quoted}",
            ratio=imported / 0.55,
            reach="≤ 0.15 s",
            ok=imported <= 0.15,
        ),
        row(
            "start",
            "headrace --version (whole process)",
            version,
            "s",
            floor=f"bare python {bare:.3f} s; {quoted}",
            ratio=version / 0.55,
            reach="≤ 0.3 s",
            ok=version <= 0.3,
        ),
    ]
