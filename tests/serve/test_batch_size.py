"""Scoring a file takes the memory of a few blocks, whatever its size; and serving stays light."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from serve_releases import Release
from test_batch import plain_rows, write_csv, write_json, write_parquet

from headrace.core.codec import to_json

HEAVY = {"pandas", "sklearn", "onnx", "lightgbm", "scipy", "skl2onnx", "sqlglot"}

SCORE = """
import resource, sys
from pathlib import Path
from headrace.core.codec import from_json
from headrace.release.manifest import Manifest
from headrace.serve.batch.file import score_file
from headrace.stores import EmbeddedStore

folder, store = Path(sys.argv[1]), EmbeddedStore(Path(sys.argv[2]))
manifest = from_json((folder / "manifest.json").read_bytes(), Manifest)
for name in sys.argv[3:]:
    scored = score_file(store, manifest, "r7", folder / name, folder / "out.csv")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(scored.rows, scored.rejected, peak)
print(*sys.modules)
"""


def run(release: Release, folder: Path, *names: str) -> tuple[list[list[int]], set[str]]:
    """Rows, rejected rows and the process's peak memory (KB) after each file; then the modules loaded."""
    store: Any = release.store
    (folder / "manifest.json").write_bytes(to_json(release.manifest))
    done = subprocess.run(
        [sys.executable, "-c", SCORE, str(folder), str(store.root), *names],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    *lines, modules = done.stdout.splitlines()
    return [[int(x) for x in line.split()] for line in lines], set(modules.split())


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in KB on Linux alone")
@pytest.mark.parametrize("name", ["in.csv", "in.jsonl"])
def test_memory_does_not_grow_with_the_file(name: str, binary: Release, tmp_path: Path) -> None:
    rows = [{**row, "note": "x" * 1200} for row in plain_rows(1000)]
    write = write_csv if name == "in.csv" else write_json
    lines = write(tmp_path / name, rows).read_bytes().splitlines()
    head, body = (lines[:1], lines[1:]) if name == "in.csv" else ([], lines)
    block = b"\n".join(body) + b"\n"
    for file, times in ((f"small-{name}", 30), (f"large-{name}", 120)):
        with (tmp_path / file).open("wb") as out:
            out.writelines([*(h + b"\n" for h in head), *[block] * times])
    size = (tmp_path / f"large-{name}").stat().st_size // 1024
    (small, large), _ = run(binary, tmp_path, f"small-{name}", f"large-{name}")
    assert (small[:2], large[:2]) == ([30_000, 0], [120_000, 0])
    assert size > 140_000  # KB
    assert large[2] - small[2] < size / 8
    (tmp_path / f"large-{name}").unlink()  # pytest keeps the folders of three runs


def test_scoring_files_loads_nothing_heavy(binary: Release, tmp_path: Path) -> None:
    rows = plain_rows(30)
    rows[3]["seats"] = "many"
    write_csv(tmp_path / "in.csv", rows)
    write_json(tmp_path / "in.jsonl", rows)
    rows[3]["seats"] = 3
    write_parquet(tmp_path / "in.parquet", rows)
    counted, modules = run(binary, tmp_path, "in.csv", "in.jsonl", "in.parquet")
    assert [c[:2] for c in counted] == [[29, 1], [29, 1], [30, 0]]
    assert not HEAVY & modules
