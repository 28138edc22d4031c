"""A server's log is compacted beside it, and its retention holds without anybody's doing."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from served import LONG, wait_until
from spine import clock, fresh
from written import everything, write

from headrace.cli.upkeep import Upkeep, compaction
from headrace.logs.parts import changing
from headrace.logs.segment import segments
from headrace.project import Project
from headrace.stores.files import alive
from headrace.testing.log_exam import answered

__all__ = ["clock", "fresh"]


def test_closed_segments_become_parts(fresh: Project) -> None:
    _ = fresh.store.head()
    write(fresh.log_folder, [answered(i) for i in range(10)])
    upkeep = Upkeep(compaction(fresh.root), 0.05)
    wait_until(lambda: segments(fresh.log_folder) == [])
    upkeep.close()
    assert len(everything(fresh.log_folder)) == 10
    assert len(list(fresh.log_folder.rglob("*.parquet"))) == 1


def test_it_ends_with_what_it_runs(tmp_path: Path) -> None:
    file = tmp_path / "began"
    code = (
        f"import os, pathlib, time; pathlib.Path({str(file)!r}).write_text(f'{{os.getpid()}}.')\n"
        "time.sleep(600)"
    )
    upkeep = Upkeep([sys.executable, "-c", code], 0.01)
    wait_until(lambda: file.exists() and file.read_text().endswith("."))
    upkeep.close()
    assert not alive(int(file.read_text()[:-1]))


def test_what_goes_wrong_is_heard_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Again only when it is something else, or when it went well in between."""
    runs = tmp_path / "runs"
    code = (
        f"import pathlib, sys; p = pathlib.Path({str(runs)!r}); n = len(p.read_text()) if p.exists() else 0\n"
        "p.write_text('x' * (n + 1)); sys.exit([None, 'disk', 'disk', 'torn', None, 'torn', 3][min(n, 6)])"
    )
    upkeep = Upkeep([sys.executable, "-c", code], 0.01)
    wait_until(lambda: runs.exists() and len(runs.read_text()) > 8)
    upkeep.close()
    told = [r.getMessage().rpartition(": ")[2] for r in caplog.records if r.name == "headrace.serve"]
    assert told == ["disk", "torn", "torn", "exit code 3"]


def test_a_corrupt_segment_is_heard_of(fresh: Project, caplog: pytest.LogCaptureFixture) -> None:
    _ = fresh.store.head()
    write(fresh.log_folder, [answered(1)])
    (segment,) = segments(fresh.log_folder)
    segment.write_bytes(b"something else")
    upkeep = Upkeep(compaction(fresh.root), 0.05)
    wait_until(lambda: bool(caplog.records))
    upkeep.close()
    assert "no segment of a prediction log" in caplog.records[0].getMessage()


def test_compacting_again_and_again_outlives_failures(fresh: Project) -> None:
    _ = fresh.store.head()
    write(fresh.log_folder, [answered(1)])
    command = [*compaction(fresh.root), "--every", "100 ms"]
    said = fresh.root / "said"
    with ExitStack() as busy, said.open("w") as out:
        busy.enter_context(changing(fresh.log_folder))
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=out) as child:
            try:
                wait_until(lambda: "by another process" in said.read_text() or child.poll() is not None)
                busy.close()
                wait_until(lambda: segments(fresh.log_folder) == [] or child.poll() is not None)
                assert child.poll() is None, said.read_text()
                child.terminate()
                child.wait(LONG)
            finally:
                child.kill()
    assert segments(fresh.log_folder) == []


def test_nothing_to_run() -> None:
    Upkeep([], 0.01).close()
