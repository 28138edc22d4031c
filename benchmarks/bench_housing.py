"""Housing, stratified on the book's income bands, seed 42: the example as it is written."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.measured import measured
from benchmarks.rows import Row, row, skipped

WHAT = "test RMSE"
REACH = "≤ 45,500"


def run() -> list[Row]:
    root = Path(__file__).resolve().parent.parent
    data = Path(os.environ.get("HEADRACE_HOUSING", root.parent / "shared" / "data" / "housing.csv"))
    if not data.is_file():
        return [skipped("housing", WHAT, "housing.csv is absent (HEADRACE_HOUSING)", reach=REACH)]
    folder = Path(tempfile.mkdtemp(prefix="headrace-housing-"))
    command = str(Path(sys.executable).with_name("headrace"))
    try:
        measured([command, "init", "h", "--example", "housing", "--data", str(data)], cwd=folder)
        result = json.loads(measured([command, "run", "-C", "h", "--json"], cwd=folder).output)
    finally:
        shutil.rmtree(folder)
    test = result["test"]
    low, high = test["interval"]["low"], test["interval"]["high"]
    return [
        row(
            "housing",
            f"{WHAT} [{low:,.0f}, {high:,.0f}]",
            test["value"],
            "USD",
            floor="random forest 47,200; LightGBM 44,711 (quoted)",
            ratio=test["value"] / 44_711,
            reach=REACH,
            ok=test["value"] <= 45_500,
        )
    ]
