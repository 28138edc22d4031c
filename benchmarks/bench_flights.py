"""Flights, static features only (no delay history), the last 15% of time as test: the example of `init`
without its histories."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.measured import measured
from benchmarks.rows import Row, row
from headrace.core.spec import parse_spec

PEER = "AutoGluon, 300 s (quoted): "
BARS = {"f1": ">= 0.25", "average_precision": ">= 0.2", "roc_auc": ">= 0.6"}
"""Far below: the test then measures these too, in the same opening."""
REACHES = (("f1", 0.42, 0.419), ("average_precision", 0.388, 0.386), ("roc_auc", 0.737, 0.732))


def run() -> list[Row]:
    folder = Path(tempfile.mkdtemp(prefix="headrace-flights-"))
    command = str(Path(sys.executable).with_name("headrace"))
    try:
        measured([command, "init", "flights", "--example", "flights"], cwd=folder)
        spec = folder / "flights" / "headrace.yaml"
        change(spec, static)
        result = json.loads(measured([command, "run", "-C", "flights", "--json"], cwd=folder).output)
        return rows(result)
    finally:
        shutil.rmtree(folder)


def change(file: Path, how: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite a spec, with the bars that make the test measure, and without targets of speed: on a busy
    machine these would keep the seal closed."""
    spec = parse_spec(file.read_text(encoding="utf-8")).spec.plain()
    spec["problem"]["ship_at"] = BARS
    for target in ("p50", "p99", "throughput"):
        spec["serve"].pop(target, None)
    how(spec)
    # JSON is YAML but for its dates.
    text = re.sub(r'"(\d{4}-\d{2}-\d{2})"', r"\1", json.dumps(spec))
    file.write_text(text, encoding="utf-8")


def static(spec: dict[str, Any]) -> None:
    """Leave out the histories, what reads them, and the tables that nothing reads then."""
    features = spec["features"]
    for name, feature in list(features.items()):
        if isinstance(feature, dict) or "history." in feature:
            del features[name]
    for table in ("schedule", "departures"):
        del spec["data"]["tables"][table]


def rows(result: dict) -> list[Row]:
    gates = {g["name"]: g for g in result["gates"]}
    learn = next(s["seconds"] for s in result["stages"] if s["name"] == "learn")
    found = []
    for name, reach, peer in REACHES:
        found.append(judged("flights", "test", gates[f"ship-at: {name}"], f"{PEER}{peer}", peer, reach))
    found.append(
        row(
            "flights",
            "learn time, all candidates",
            learn,
            "s",
            floor="300 s (AutoGluon's budget, quoted)",
            ratio=learn / 300,
            reach="≤ 120 s",
            ok=learn <= 120,
        )
    )
    return found


def judged(bench: str, what: str, gate: Mapping[str, Any], floor: str, peer: float, reach: float) -> Row:
    """What the test says of a metric, by the gate that judged it."""
    low, high = gate["interval"]["low"], gate["interval"]["high"]
    return row(
        bench,
        f"{what} {gate['name'].partition(': ')[2]} [{low:.3f}, {high:.3f}] by {gate['n']} days",
        gate["value"],
        "",
        floor=floor,
        ratio=gate["value"] / peer,
        reach=f"≥ {reach}",
        ok=gate["value"] >= reach,
    )
