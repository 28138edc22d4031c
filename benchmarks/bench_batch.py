"""Scoring a Parquet file of housing rows with LightGBM, 300 trees: `headrace predict --workers 2` beside two
plain loops, one on each core, that read the same file, ask the same graph with onnxruntime in chunks of 10k
rows and write what it says to Parquet. Both are whole commands, from their start to their end, one after the
other and so several times; rows a second are told of one core.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measured import measured
from benchmarks.rows import Row, row, skipped

ROWS = 3_000_000
GROUP = 100_000
CORES = 2
ROUNDS = 3
SPEED, MEMORY = "≥ .9 of the floor", "≤ 400 MB"

FLOOR = """
import sys
import numpy as np
import onnxruntime as ort
import pyarrow as pa
import pyarrow.parquet as pq

graph, source, output, place, places = sys.argv[1:]
pa.set_cpu_count(1)
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
kinds = {i.name: object if "string" in i.type else np.float64 for i in session.get_inputs()}
file = pq.ParquetFile(source)
groups = list(range(file.num_row_groups))[int(place)::int(places)]
writer = None
for batch in file.iter_batches(10_000, columns=list(kinds), row_groups=groups, use_threads=False):
    feeds = {n: batch.column(n).to_numpy(zero_copy_only=False).astype(k) for n, k in kinds.items()}
    out = session.run(None, feeds)
    table = pa.table({"prediction": out[0]})
    writer = writer or pq.ParquetWriter(output, table.schema, compression="zstd")
    writer.write_table(table)
writer.close()
"""


@dataclass(frozen=True)
class Took:
    """Wall seconds of all processes together, processor seconds, and the most memory in MB: pages that
    are shared count once."""

    seconds: float
    cpu: float
    megabytes: float


def run() -> list[Row]:
    root = Path(__file__).resolve().parent.parent
    data = Path(os.environ.get("HEADRACE_HOUSING", root.parent / "shared" / "data" / "housing.csv"))
    if not data.is_file():
        return [skipped("batch", "rows/s a core", "housing.csv is absent (HEADRACE_HOUSING)", reach=SPEED)]
    folder = Path(tempfile.mkdtemp(prefix="headrace-batch-"))
    try:
        return against(folder, *project(folder, data), table(folder / "rows.parquet", data))
    finally:
        shutil.rmtree(folder)


def against(folder: Path, place: Path, graph: Path, source: Path) -> list[Row]:
    """The rows of the table. place: a project with a champion; graph: the champion's."""
    pairs = [(floor(folder, graph, source), ours(folder, place, source)) for _ in range(ROUNDS)]
    least, most = max(f.megabytes for f, _ in pairs), max(o.megabytes for _, o in pairs)
    by_wall = [(ROWS / f.seconds / CORES, ROWS / o.seconds / CORES) for f, o in pairs]
    by_cpu = [(ROWS / f.cpu, ROWS / o.cpu) for f, o in pairs]
    return [
        _speed(f"rows/s a core of {CORES}, from Parquet to Parquet", by_wall),
        _speed("rows a second of processor time (told apart from what else runs)", by_cpu),
        row(
            "batch",
            f"peak memory of all processes together, {CORES} workers",
            most,
            "MB",
            floor=f"the two loops {least:,.0f}",
            ratio=most / least,
            reach=MEMORY,
            ok=most <= 400,
        ),
    ]


def _speed(what: str, rates: Sequence[tuple[float, float]]) -> Row:
    """Medians over the rounds: of the floor, of ours, and of their ratio."""
    middle = len(rates) // 2
    ratio = sorted(o / f for f, o in rates)[middle]
    plain, made = (sorted(r[i] for r in rates)[middle] for i in (0, 1))
    return row(
        "batch",
        what,
        made,
        "/s",
        floor=f"onnxruntime in 10,000-row chunks {plain:,.0f}",
        ratio=ratio,
        reach=SPEED,
        ok=ratio >= 0.9,
    )


def ours(folder: Path, place: Path, source: Path) -> Took:
    output = folder / "scored"
    shutil.rmtree(output, ignore_errors=True)
    command = [
        *_headrace("predict", str(source), "-o", str(output)),
        "-C",
        str(place),
        "--workers",
        str(CORES),
    ]
    return together([command])


def floor(folder: Path, graph: Path, source: Path) -> Took:
    parts = [
        [str(graph), str(source), str(folder / f"floor-{i}.parquet"), str(i), str(CORES)]
        for i in range(CORES)
    ]
    return together([[sys.executable, "-c", FLOOR, *part] for part in parts])


def together(commands: Sequence[Sequence[str]]) -> Took:
    """Run commands side by side to their end, and see what they and their children take."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    began, before = time.perf_counter(), _cpu()
    running = [subprocess.Popen(list(c), env=environment, stdout=subprocess.DEVNULL) for c in commands]
    most = 0.0
    while any(p.poll() is None for p in running):
        most = max(most, sum(held(p.pid) for p in running))
        time.sleep(0.15)
    seconds = time.perf_counter() - began
    if any(p.returncode for p in running):
        raise RuntimeError(f"{commands[0]} failed")
    return Took(seconds, _cpu() - before, most)


def _cpu() -> float:
    """Processor seconds of all children that have ended, and of theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def held(pid: int) -> float:
    """MB that a process and its children hold now: their share of each page (PSS)."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        children = [
            int(c) for f in Path(f"/proc/{pid}/task").glob("*/children") for c in f.read_text().split()
        ]
    except OSError:  # it has ended
        return 0.0
    match = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return (int(match[1]) / 1024 if match else 0.0) + sum(held(c) for c in children)


def project(folder: Path, data: Path) -> tuple[Path, Path]:
    """The example with LightGBM's 300 trees alone, run; and the file of the champion's graph."""
    place = folder / "h"
    measured(_headrace("init", "h", "--example", "housing", "--data", str(data)), cwd=folder)
    spec = (place / "headrace.yaml").read_text(encoding="utf-8")
    spec = re.sub(r"\nmodels:\n(?:  .*\n)+", "\nmodels: [{use: boosting, params: {trees: 300}}]\n", spec)
    spec = re.sub(r"\n  (ship_at|auto):.*", "", spec)  # features as they are written, none proposed
    (place / "headrace.yaml").write_text(spec, encoding="utf-8")
    measured(_headrace("run", "-C", "h", "--json"), cwd=folder)
    from headrace.project import Project

    opened = Project(place)
    _, manifest = opened.release()
    return place, opened.store.get(manifest.serving.graph)


def table(path: Path, data: Path) -> Path:
    """Rows of the districts, each a little elsewhere: no two are the same."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    districts = pa_csv.read_csv(data)
    rng = np.random.default_rng(0)
    with pq.ParquetWriter(path, districts.schema) as writer:
        for _ in range(ROWS // GROUP):
            drawn = districts.take(pa.array(rng.integers(0, len(districts), GROUP)))
            moved = pa.array(drawn.column("median_income").to_numpy() * rng.uniform(0.9, 1.1, GROUP))
            spot = drawn.schema.get_field_index("median_income")
            writer.write_table(drawn.set_column(spot, "median_income", moved), row_group_size=GROUP)
    return path


def _headrace(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("headrace")), *arguments]
