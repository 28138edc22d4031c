"""1,000,000 rows × 50 numbers in Parquet against a stored summary: the statistics of every column.

A quarter each of normal, skewed, heavy-tailed and whole numbers, nulls in every second column. Each is a
process of its own that begins at the file: what is told are seconds of the processor and the peak memory of
the whole. The floors read the same file with pyarrow and compute the population stability index of every
column in 32 quantile bins of a summary: the first finds bins by binary search, as histograms do, the other by
one table of bytes over an even grid, which is as fast as counting gets and no right answer where a column is
skewed.

Peers, measured before on a machine like this with their defaults, two samples of 1,000,000 × 50: Evidently
258 s and 4.2 GB, alibi-detect (Kolmogorov–Smirnov alone) 26 s.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.files import write_groups
from benchmarks.measured import Measured, apart, measured, middle
from benchmarks.rows import Row, row

ROWS, COLUMNS = 1_000_000, 50
RUNS = 3
PEERS = "Evidently 258 s and 4.2 GB, alibi-detect 26 s"

FLOOR = """
import json
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
pa.set_cpu_count(1)
summary = {n: np.array(e) for n, e in json.load(open("edges.json")).items()}
K = 32
counts = {n: np.zeros(K + 2, np.int64) for n in summary}
GRID = 4096
tables = {}
for n, e in summary.items():
    centres = e[0] + (np.arange(GRID) + 0.5) * (e[-1] - e[0]) / GRID
    tables[n] = (np.searchsorted(e, centres, "right").astype(np.uint8), e[0], GRID / (e[-1] - e[0]))
file = pq.ParquetFile("data.parquet")
for batch in file.iter_batches(65536, use_threads=False):
    for n, e in summary.items():
        x = batch.column(n).to_numpy(zero_copy_only=False)
        if SEARCH:
            codes = np.searchsorted(e, x[~np.isnan(x)] if batch.column(n).null_count else x, "right")
        else:
            table, low, scale = tables[n]
            x = x[~np.isnan(x)] if batch.column(n).null_count else x
            codes = table[np.clip(((x - low) * scale).astype(np.int32), 0, GRID - 1)]
        counts[n] += np.bincount(codes, minlength=K + 2)
for n, c in counts.items():
    q = np.maximum(c[1:-1] / c.sum(), 1e-4)
    p = np.full(K, 1 / K)
    print(n, float(((q - p) * np.log(q / p)).sum()))
"""


SPEC = """
headrace: 1
project: drift
problem:
  objective: compare
  decision: none
  task: binary
  target: y
  metric: roc_auc
  owners: {default: owner@example.com}
  approval: self
data:
  events: rows
  tables: {rows: {read: train.parquet}}
split: {by: random, validation: 40%, test: 20%}
features: {FEATURES}
models: [linear]
cv: {folds: 3}
evaluate: {search: false, learning_curve: false}
"""


def columns(size: int, seed: int) -> dict[str, Any]:
    """Fifty columns of numbers."""
    import numpy as np
    import pyarrow as pa

    rng = np.random.default_rng(seed)
    made: dict[str, Any] = {}
    for i in range(COLUMNS):
        values = (
            rng.normal(i, 1 + i, size),
            rng.lognormal(3, 1, size),
            rng.standard_t(3, size) * 10,
            rng.poisson(3 + i, size).astype(np.float64),
        )[i % 4]
        made[f"c{i}"] = pa.array(values, mask=rng.random(size) < 0.03) if i % 2 else pa.array(values)
    return made


def write_data(folder: Path, rows: int = ROWS) -> None:
    """The file, in row groups as an export would be; a project with rows of the same kind; and the edges that
    the floors count in."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    train = columns(50_000, 0)
    noise = np.random.default_rng(1).normal(0, 2, 50_000)
    train["y"] = pa.array(train["c0"].to_numpy() + noise > 0)
    pq.write_table(pa.table(train), folder / "train.parquet")
    names = ", ".join(f"{n}: {n}" for n in train if n != "y")
    (folder / "headrace.yaml").write_text(SPEC.replace("FEATURES", names))
    edges = {n: np.nanquantile(v.to_numpy(zero_copy_only=False), np.linspace(0, 1, 33)).tolist()
             for n, v in train.items() if n != "y"}  # fmt: skip
    (folder / "edges.json").write_text(json.dumps(edges))
    write_groups(folder / "data.parquet", (pa.table(columns(rows // 10, 2 + i)) for i in range(10)))


def run() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="headrace-drift-") as name:
        folder = Path(name)
        apart(f"import pathlib, benchmarks.bench_drift as b; b.write_data(pathlib.Path({name!r}))")
        headrace = str(Path(sys.executable).with_name("headrace"))
        measured([headrace, "run"], cwd=folder)
        (folder / "search.py").write_text(f"SEARCH = True{FLOOR}")
        (folder / "grid.py").write_text(f"SEARCH = False{FLOOR}")
        report = [headrace, "drift", "data.parquet", "--level", "0.000001", "--json"]
        # In turns, and the median of each: what else the machine does falls on all of them.
        ours, searched, gridded = [], [], []
        for _ in range(RUNS):
            searched.append(measured([sys.executable, "search.py"], cwd=folder))
            ours.append(measured(report, cwd=folder))
            gridded.append(measured([sys.executable, "grid.py"], cwd=folder))
    told = json.loads(ours[-1].output)
    assert told["rows"] == ROWS and len(told["columns"]) == COLUMNS
    return rows_of(middle(ours), middle(searched), middle(gridded))


def rows_of(ours: Measured, searched: Measured, gridded: Measured) -> list[Row]:
    what = "report of drift against a stored summary, 1M × 50 from Parquet"
    return [
        row(
            "drift",
            f"{what}: processor",
            ours.cpu,
            "s",
            floor=f"binned {searched.cpu:.2f} s, grid {gridded.cpu:.2f} s, the index alone; {PEERS}",
            ratio=ours.cpu / searched.cpu,
            reach="≤ 3 s",
            ok=ours.cpu <= 3,
        ),
        row(
            "drift",
            f"{what}: peak memory",
            ours.megabytes,
            "MB",
            floor=f"binned {searched.megabytes:.0f} MB, grid {gridded.megabytes:.0f} MB",
            ratio=ours.megabytes / searched.megabytes,
            reach="≤ 600 MB",
            ok=ours.megabytes <= 600,
        ),
    ]
