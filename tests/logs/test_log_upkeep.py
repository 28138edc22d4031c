"""A server's log is compacted beside it, and its retention holds without anybody's doing."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from spine import clock, fresh
from written import everything, write

from headrace.cli.upkeep import Upkeep, compaction
from headrace.logs.segment import segments
from headrace.project import Project
from headrace.testing.log_exam import answered

__all__ = ["clock", "fresh"]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_closed_segments_become_parts(fresh: Project) -> None:
    _ = fresh.store.head()
    write(fresh.log_folder, [answered(i) for i in range(10)])
    upkeep = Upkeep(compaction(fresh.root), 0.05)
    until(lambda: segments(fresh.log_folder) == [])
    upkeep.close()
    assert len(everything(fresh.log_folder)) == 10
    assert len(list(fresh.log_folder.rglob("*.parquet"))) == 1


def test_it_ends_with_what_it_runs(tmp_path: Path) -> None:
    code = f"import pathlib, time; pathlib.Path({str(tmp_path / 'began')!r}).touch(); time.sleep(600)"
    upkeep = Upkeep([sys.executable, "-c", code], 0.01)
    until((tmp_path / "began").exists)
    began = time.monotonic()
    upkeep.close()
    assert time.monotonic() - began < 30


def test_nothing_to_run() -> None:
    Upkeep([], 0.01).close()
