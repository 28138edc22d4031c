"""1,000,000 rows × 50 columns: a profile with its HTML page against Polars' `describe`, and 50 expectations
against one scan by DuckDB.

Half of the columns are numbers (normal, skewed, whole, zero-heavy, capped), the rest codes, names, free
texts, booleans and times; nulls in every second one. `describe` gives nulls, mean, deviation, quartiles and
ends; the profile gives these and histograms, distinct and top values, correlations, duplicates, time coverage
and faults. Each is a fresh process on two threads that begins at the file.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.files import write_groups
from benchmarks.measured import Measured, apart, measured, middle
from benchmarks.rows import Row, row

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 1_000_000
THREADS = 2
RUNS = 5

DESCRIBE = """
import polars as pl
print(pl.read_parquet("data.parquet").describe())
"""

CONDITIONS = [
    *[f"normal_{i} > -1000000" for i in range(10)],
    *[f"skewed_{i} > 0" for i in range(5)],
    *[f"count_{i} >= 0" for i in range(5)],
    *[f"capped_{i} <= 500" for i in range(3)],
    *[f"sparse_{i} >= 0" for i in range(2)],
    *[f"flag_{i} OR NOT flag_{i}" for i in range(4)],
    *[f"code_{i} LIKE 'k%'" for i in range(8)],
    *[f"starts_with(name_{i}, 'user-')" for i in range(4)],
]
SHARES = [f"text_{i}" for i in range(4)] + [f"time_{i}" for i in range(3)]
"""Columns whose share of nulls is bounded; a mean and a maximum come beside, 50 in all."""

SCAN = f"""
import duckdb, time
started = time.perf_counter()
measures = ["count(*) FILTER (WHERE NOT (" + c + "))" for c in {CONDITIONS!r}]
measures += ["count(*) FILTER (WHERE " + c + " IS NULL) / count(*)" for c in {SHARES!r}]
measures += ["avg(capped_0)", "max(count_4)"]
db = duckdb.connect(config={{"threads": {THREADS}}})
print(len(db.execute("SELECT " + ", ".join(measures) + " FROM read_parquet('data.parquet')").fetchone()))
print(time.perf_counter() - started)
"""

EXPECT = f"""
import time
from pathlib import Path
import pyarrow.parquet as pq
from headrace.core.spec.learning import Limits
from headrace.core.spec.tables import TableSpec
from headrace.data.expect import plan_expectations
from headrace.data.measure import measure
from headrace.data.read import describe
table, path = TableSpec(read="data.parquet"), Path("data.parquet").resolve()
types = {{c.name: c.type for c in describe("data", table, root=path.parent, zone="UTC")}}
started = time.perf_counter()
texts = {CONDITIONS!r} + ["null_share(" + c + ") < 10%" for c in {SHARES!r}]
texts += ["avg(capped_0) > 100", "max(count_4) < 2000"]
planned = plan_expectations(texts, {{"data": types}}, "data")
found = measure(planned, {{"data": path}}, limits=Limits(threads={THREADS}), scratch=path.parent / "scratch")
print(len([e for e in found if e.value is not None]))
print(time.perf_counter() - started)
"""


def write_data(folder: Path, rows: int = ROWS) -> None:
    """The file, in row groups as an export would be."""
    write_groups(folder / "data.parquet", tables(rows // 10))


def tables(size: int) -> Iterator[pa.Table]:
    """Ten tables of so many rows: 25 numbers, 4 booleans, 16 texts, 5 times."""
    import numpy as np
    import pyarrow as pa

    rng = np.random.default_rng(0)
    words = np.array(
        ["lorem", "ipsum", "dolor", "sit", "amet", "sed", "eiusmod", "tempor", "magna", "aliqua"]
    )
    for block in range(10):
        columns: dict[str, pa.Array] = {}
        base = rng.normal(size=size)
        for i in range(10):
            columns[f"normal_{i}"] = pa.array(base * (i / 10) + rng.normal(size=size) * 10**i / 1000)
        for i in range(5):
            columns[f"skewed_{i}"] = pa.array(rng.lognormal(3, 1, size).round(2))
        for i in range(5):
            columns[f"count_{i}"] = pa.array(rng.poisson(3 * 4**i, size))
        for i in range(3):
            columns[f"capped_{i}"] = pa.array(np.minimum(rng.gamma(2, 100, size), 500))
        for i in range(2):
            columns[f"sparse_{i}"] = pa.array(np.where(rng.random(size) < 0.8, 0.0, rng.exponential(9, size)))
        for i in range(4):
            columns[f"flag_{i}"] = pa.array(rng.random(size) < 0.1 * (i + 1))
        for i in range(8):
            columns[f"code_{i}"] = pa.array(
                np.char.add("k", rng.zipf(1.8, size).clip(0, 10 ** (i // 2 + 1)).astype(str))
            )
        for i in range(4):
            columns[f"name_{i}"] = pa.array(
                np.char.add("user-", rng.integers(0, 10 ** (i + 4), size).astype(str))
            )
        for i in range(4):
            columns[f"text_{i}"] = pa.array([" ".join(w) for w in words[rng.integers(0, 10, (size, 3 + i))]])
        start = np.datetime64("2020-01-01", "us").astype(np.int64) + block * size * 90_000_000
        for i in range(5):
            moments = start + np.arange(size) * 90_000_000 + rng.integers(0, 3_600_000_000 * 24**i, size)
            columns[f"time_{i}"] = pa.array(moments).cast(pa.timestamp("us"))
        for n in list(columns)[::2]:
            columns[n] = pa.array(columns[n].to_numpy(zero_copy_only=False), mask=rng.random(size) < 0.05)
        yield pa.table(columns)


def inside(runs: Sequence[Measured]) -> float:
    """The least time that they printed last: without the start of the process."""
    return min(float(m.output.split()[-1]) for m in runs)


def run() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="headrace-profile-") as name:
        folder = Path(name)
        apart(f"import pathlib, benchmarks.bench_profile as b; b.write_data(pathlib.Path({name!r}))")
        (folder / "describe.py").write_text(DESCRIBE)
        (folder / "expect.py").write_text(EXPECT)
        (folder / "scan.py").write_text(SCAN)
        headrace = str(Path(sys.executable).with_name("headrace"))
        page = [headrace, "profile", "data.parquet", "--html", "profile.html", "--json"]
        # In turns, and the median of each: what else the machine does falls on both.
        describes, profiles, scans, expects = [], [], [], []
        for _ in range(RUNS):
            describes.append(measured([sys.executable, "describe.py"], cwd=folder))
            profiles.append(measured(page, cwd=folder))
            scans.append(measured([sys.executable, "scan.py"], cwd=folder))
            expects.append(measured([sys.executable, "expect.py"], cwd=folder))
        return [
            *profile_rows(middle(describes), middle(profiles)),
            expect_row(inside(scans), inside(expects)),
        ]


def profile_rows(describe: Measured, profile: Measured) -> list[Row]:
    return [
        row(
            "profile",
            "profile with histograms and HTML, 1M × 50",
            profile.seconds,
            "s",
            floor=f"Polars read_parquet and describe {describe.seconds:.2f} s "
            f"(processor: {profile.cpu:.2f} s to {describe.cpu:.2f} s)",
            ratio=profile.seconds / describe.seconds,
            reach="≤ 2 × its time",
            ok=profile.seconds <= 2 * describe.seconds,
        ),
        row(
            "profile",
            "profile with histograms and HTML, 1M × 50: peak memory",
            profile.megabytes,
            "MB",
            floor=f"Polars {describe.megabytes:.0f} MB",
            ratio=profile.megabytes / describe.megabytes,
            reach="≤ 1,000 MB",
            ok=profile.megabytes <= 1000,
        ),
    ]


def expect_row(scan: float, expect: float) -> Row:
    return row(
        "profile",
        "50 expectations, 1M × 50",
        expect,
        "s",
        floor=f"one DuckDB scan {scan:.2f} s",
        ratio=expect / scan,
        reach="≤ 1.4 × its time",
        ok=expect <= 1.4 * scan,
    )
