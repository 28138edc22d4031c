"""Flights with histories, an hour before departure: the test's figures from the raw tables in one run, and a
table that tells the future."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.bench_flights import change, judged
from benchmarks.measured import measured
from benchmarks.rows import Row, row

REACHES = (("f1", 0.46, 0.466, 0.419), ("average_precision", 0.46, None, 0.386))
"""What to reach; what a hand-made recipe has, and what static features have at most (quoted)."""


def run() -> list[Row]:
    folder = Path(tempfile.mkdtemp(prefix="headrace-histories-"))
    command = str(Path(sys.executable).with_name("headrace"))
    try:
        measured([command, "init", "flights", "--example", "flights"], cwd=folder)
        spec = folder / "flights" / "headrace.yaml"
        change(spec, _boosting)
        started = time.perf_counter()
        result = json.loads(measured([command, "run", "-C", "flights", "--json"], cwd=folder).output)
        return [*_reached(result, time.perf_counter() - started), _leak(folder / "flights", command)]
    finally:
        shutil.rmtree(folder)


def _boosting(spec: dict[str, Any]) -> None:
    """The candidate that wins alone: what it takes to come from raw tables to a tested release."""
    spec["models"] = [m for m in spec["models"] if isinstance(m, dict)]


def _reached(result: dict[str, Any], seconds: float) -> list[Row]:
    gates = {g["name"]: g for g in result["gates"]}
    found = []
    for name, reach, recipe, static in REACHES:
        peer = f"static {static}" + (f"; hand-made {recipe}" if recipe else "") + " (quoted)"
        gate = gates[f"ship-at: {name}"]
        found.append(judged("histories", "flights, lead 60 min: test", gate, peer, static, reach))
    found.append(
        row(
            "histories",
            "flights: raw tables to a tested release, all gates",
            seconds,
            "s",
            floor="–",
            ratio=None,
            reach="≤ 120 s",
            ok=seconds <= 120,
        )
    )
    return found


def _leak(root: Path, command: str) -> Row:
    """A table of the flights' delays that says they were known a day before: the linter has to name it."""
    flights = pq.read_table(root / "data" / "flights.parquet", columns=["sched_dep", "origin", "arr_delay"])
    early = pc.subtract(flights.column("sched_dep"), pa.scalar(24 * 3_600_000_000, pa.duration("us")))
    pq.write_table(flights.append_column("told", early), root / "data" / "leak.parquet")

    def plant(spec: dict[str, Any]) -> None:
        spec["data"]["tables"] = {
            "flights": spec["data"]["tables"]["flights"],
            "leak": {"read": "data/leak.parquet", "time": "told"},
        }
        spec["features"] = {
            "minute": "minute(sched_dep)",
            "planted": {
                "aggregate": "share(arr_delay > 30)",
                "over": "leak",
                "by": "origin",
                "window": "23 h",
            },
        }
        spec["problem"].pop("assumptions")
        spec["problem"].pop("columns")

    change(root / "headrace.yaml", plant)
    # Not measured(): the run has to end with an error, which is a finding that blocks.
    told = subprocess.run(
        [command, "run", "-C", "flights", "--to", "inspect", "--json"],
        cwd=root.parent,
        capture_output=True,
        check=False,
    )
    findings = [f for f in json.loads(told.stdout)["findings"] if f["feature"] == "planted"]
    return row(
        "histories",
        "a history over a table whose times lie by a day: blocked by the linter",
        float(len(findings)),
        "findings",
        floor="–",
        ratio=None,
        reach="≥ 1",
        ok=any(f["severity"] == "blocks" for f in findings),
    )
