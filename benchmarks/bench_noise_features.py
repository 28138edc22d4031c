"""`features: auto` where nothing is to be found: 30 columns of noise, 20 seeds; and where something is."""

from __future__ import annotations

import csv
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.rows import Row, row

SEEDS = range(7_000, 7_020)
"""Worlds that nothing was adjusted by."""
PLANTED = 10
ROWS = 3_000
Table = dict[str, Any]
_START = datetime(2025, 1, 1, tzinfo=UTC)


def noise(rng: np.random.Generator) -> Table:
    """30 columns that know nothing: 24 numbers, three categories, a moment and a place."""
    table: Table = {f"x{i}": np.abs(rng.normal(10, 3, ROWS)).round(4) for i in range(24)}
    table |= {f"kind_{i}": [f"v{v}" for v in rng.integers(0, 30, ROWS)] for i in range(3)}
    minutes = rng.integers(0, 600 * 24 * 60, ROWS)
    table["seen"] = [(_START + timedelta(minutes=int(m))).isoformat() for m in minutes]
    table |= {
        "latitude": rng.uniform(32, 42, ROWS).round(4),
        "longitude": rng.uniform(-124, -114, ROWS).round(4),
    }
    return table


def nothing(table: Table, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """A target that is noise."""
    del table
    return np.asarray(rng.normal(size=ROWS))


def a_ratio(table: Table, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """A target that is higher where the ratio of two of the columns is above one: a third of its variance."""
    return np.where(table["x3"] > table["x7"], 0.7, -0.7) + rng.normal(size=ROWS)


def a_cycle(table: Table, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """A target that follows the hour of a moment: a fifth of its variance."""
    hours = np.array([datetime.fromisoformat(t).hour for t in table["seen"]])
    return 0.7 * np.sin(2 * np.pi * hours / 24) + rng.normal(size=ROWS)


NAMED = {f"x{i}": f"x{i}" for i in range(24)} | {"month": "month(seen)"}
"""What a project names where a part of a moment is to be found: a moment alone is taken with its parts."""


def kept(
    seed: int,
    task: str,
    target: Callable[[Table, np.random.Generator], np.ndarray[Any, Any]],
    named: dict[str, str] | None = None,
) -> list[str]:
    """The definitions that a lock keeps beside the plain columns."""
    from headrace.project import Project

    rng = np.random.default_rng(seed)
    table = noise(rng)
    y = target(table, rng)
    if task == "binary":
        table["y"] = [str(v > 0).lower() for v in y]
    elif task == "multiclass":
        table["y"] = [f"k{v}" for v in np.digitize(y, [-0.43, 0.43])]
    else:
        table["y"] = y.round(5)
    with tempfile.TemporaryDirectory(prefix="headrace-noise-") as folder:
        write(Path(folder), table, task, seed, named)
        lock = Project(folder, actor="bench@example.com").propose().lock
    return [f.text for n, f in lock.feature_specs().items() if lock.about[n].measured is not None]


def write(folder: Path, table: Table, task: str, seed: int, named: dict[str, str] | None) -> None:
    """The project."""
    (folder / "data").mkdir()
    with (folder / "data" / "rows.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(list(table))
        out.writerows(zip(*table.values(), strict=True))
    metric = {"binary": "average_precision", "multiclass": "f1_macro", "regression": "rmse"}[task]
    spec = {
        "headrace": 1,
        "project": "noise",
        "seed": seed,
        "problem": {"objective": "o", "decision": "d", "task": task, "target": "y", "metric": metric,
                    "owners": {"default": "o@example.com"}},
        "data": {"events": "rows", "tables": {"rows": {"read": "data/rows.csv"}}},
        "split": {"by": "random"},
        "features": "auto" if named is None else {**named, "auto": {}},
    }  # fmt: skip
    (folder / "headrace.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")


def run() -> list[Row]:
    started = time.perf_counter()
    counts = [len(kept(seed, _task(seed), nothing)) for seed in SEEDS]
    seconds = (time.perf_counter() - started) / len(SEEDS)
    ratios = sum(_has(kept(7_100 + s, "regression", a_ratio), "x3", "x7") for s in range(PLANTED))
    cycles = sum(_has(kept(7_200 + s, "regression", a_cycle, NAMED), "seen") for s in range(PLANTED))
    mean = float(np.mean(counts))
    told = f"most {max(counts)}, {seconds:.1f} s each"
    found = [("ratio, or the difference that says the same,", ratios), ("daily cycle", cycles)]
    return [
        _row(f"kept of pure noise, 30 columns, {len(SEEDS)} seeds ({told})", mean, "≤ 1", mean <= 1),
        *(_row(f"planted {n} found, of {PLANTED} seeds", float(v), "≥ 8", v >= 8) for n, v in found),
    ]


def _row(what: str, value: float, reach: str, ok: bool) -> Row:
    return row("noise_features", what, value, "", floor="–", ratio=None, reach=reach, ok=ok)


def _task(seed: int) -> str:
    return ("regression", "binary", "multiclass")[seed % 3]


def _has(definitions: list[str], *columns: str) -> bool:
    return any(all(c in d for c in columns) for d in definitions)
