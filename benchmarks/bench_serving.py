"""Serving over a real socket: `headrace serve`, one worker on one core, wrk on the other.

Housing, LightGBM with 300 trees, one row a request, another row every time. Floor A is a Starlette route on
uvicorn that answers a constant, in the same run. The bare server decodes with msgspec, asks the same graph
with onnxruntime and encodes: no routes, no checks, no log. MLflow runs where `HEADRACE_BENCH_MLFLOW` names a
Python that has it, BentoML likewise (`HEADRACE_BENCH_BENTOML`; with onnxruntime for the same graph). Their
models are pipelines of scikit-learn with 300 boosted trees over pandas, which alone cap a core at about 450
requests a second.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from benchmarks.bench_flights import change
from benchmarks.measured import measured
from benchmarks.rows import Row, row, skipped
from benchmarks.serving.load import Measured, Server, possible, serving, wrk
from benchmarks.serving.peers import Asking, bento_graph, bento_model, mlflow

CONNECTIONS = (1, 8, 64)
BUFFERED = {1: 0.50, 8: 0.30, 64: 0.30}
DURABLE = {1: 0.16, 8: 0.23, 64: 0.36}
LATENCIES = {
    "buffered": ((1, "p50", 0.2), (64, "p99", 12.0)),
    "durable": ((1, "p50", 0.6), (64, "p99", 16.0)),
}
"""Connections, which, and the most ms on the machine that `QUOTED` is of. Where floor A answers fewer in the
same run, or more, they are as much longer, or shorter."""
QUOTED = {1: 10_800.0, 64: 24_300.0}
"""What floor A answered there in a second, by connections."""
SECONDS = int(os.environ.get("HEADRACE_BENCH_SECONDS", "5"))
PORT = 8790
PACKAGES = (
    *("click", "croniter", "flatbuffers", "httptools", "msgspec", "numpy", "onnxruntime", "packaging"),
    *("prometheus-client", "protobuf", "python-dateutil", "six", "tzdata", "uvloop"),
)
"""What a serving process imports, and what those ask for."""

_WHAT = {
    "buffered": "routed and logged (buffered)",
    "durable": "routed and logged (durable)",
}


def run() -> list[Row]:
    root = Path(__file__).resolve().parent.parent
    data = Path(os.environ.get("HEADRACE_HOUSING", root.parent / "shared" / "data" / "housing.csv"))
    why = possible() or ("" if data.is_file() else "housing.csv is absent (HEADRACE_HOUSING)")
    if why:
        return [skipped("serving", "requests/s", why, reach="all of the table")]
    with tempfile.TemporaryDirectory(prefix="headrace-serving-") as made:
        return _table(Path(made), data)


def _table(folder: Path, data: Path) -> list[Row]:
    rows = _rows(data)
    one, hundred = _bodies(folder, rows)
    graph = _project(folder, data)
    floor = [sys.executable, "-m", "benchmarks.serving.floors"]
    with serving([*floor, "constant", str(PORT)], PORT, rows[0]) as server:
        a = _runs(server, one)
    with serving([*floor, "bare", str(PORT), str(graph)], PORT, rows[0]) as server:
        wrk(server, one, 8, 1)
        bare, bare_many = _runs(server, one), wrk(server, hundred, 8, SECONDS)
    ours: dict[str, dict[int, Measured]] = {}
    found: list[Row] = []
    for mode in ("buffered", "durable"):
        with serving(
            _headrace("serve", "-C", "h", "--port", str(PORT), "--log", mode), PORT, rows[0], cwd=folder
        ) as server:
            wrk(server, one, 8, 1)
            ours[mode] = _runs(server, one)
            found += _rates(mode, ours[mode], a, bare)
            if mode == "buffered":
                found += _process(server)
                found.append(_many(wrk(server, hundred, 8, SECONDS), bare_many))
                memory = server.resident()
                found.append(
                    _row("resident memory after these", memory, "MB", "", None, "≤ 120", memory <= 120)
                )
    found.append(_size())
    return [*found, *_peers(folder, data, graph, one, rows[0], ours["buffered"][64])]


def _runs(server: Server, bodies: Path) -> dict[int, Measured]:
    wrk(server, bodies, 8, 1)
    return {c: wrk(server, bodies, c, SECONDS) for c in CONNECTIONS}


def _rates(
    mode: str, ours: dict[int, Measured], a: dict[int, Measured], bare: dict[int, Measured]
) -> list[Row]:
    reach = BUFFERED if mode == "buffered" else DURABLE
    found = []
    for c in CONNECTIONS:
        ratio, told = ours[c].rate / a[c].rate, f"A {a[c].rate:,.0f}; bare {bare[c].rate:,.0f}"
        what = f"{_WHAT[mode]}, {c} connection{'s' if c > 1 else ''}"
        ok = ratio >= reach[c] and not ours[c].bad
        found.append(_row(what, ours[c].rate, "/s", told, ratio, f"≥ {reach[c]:.2f} of A", ok))
    for c, of, most in LATENCIES[mode]:
        value, floor, here = getattr(ours[c], of), getattr(bare[c], of), most * QUOTED[c] / a[c].rate
        what = f"{of} ({mode}), {c} connection{'s' if c > 1 else ''}"
        reach = f"≤ {most:g} ms where A gives {QUOTED[c]:,.0f}/s: {here:.2f} here"
        found.append(_row(what, value, "ms", f"bare {floor:.2f}", value / floor, reach, value <= here))
    return found


def _many(ours: Measured, bare: Measured) -> Row:
    ratio = ours.rate / bare.rate
    told = f"bare {bare.rate:,.0f}; best peer 314 (quoted)"
    ok = ratio >= 0.9 and not ours.bad
    return _row("100 rows a request, 8 connections", ours.rate, "/s", told, ratio, "≥ 0.9 of bare", ok)


def _process(server: Server) -> list[Row]:
    memory, cold = server.resident(), server.cold
    what = "resident memory after requests of one row", "cold start to the first answer"
    return [
        _row(what[0], memory, "MB", "peers 186–1,374 (quoted)", None, "≤ 120", memory <= 120),
        _row(what[1], cold, "s", "peers 1.7–11 (quoted)", None, "≤ 0.6", cold <= 0.6),
    ]


def _size() -> Row:
    total = 0.0
    for name in PACKAGES:
        files = distribution(name).files or ()
        total += sum(p.stat().st_size for f in files if (p := Path(str(f.locate()))).is_file()) / 1e6
    own = Path(__file__).resolve().parent.parent / "src" / "headrace"
    total += sum(p.stat().st_size for p in own.rglob("*.py")) / 1e6
    return _row(
        "installed size, serving packages", total, "MB", "peers 406–830 (quoted)", None, "≤ 220", total <= 220
    )


def _peers(folder: Path, data: Path, graph: Path, bodies: Path, first: Any, ours: Measured) -> list[Row]:
    found = []
    runs = (
        ("MLflow (scikit-learn pipeline)", "HEADRACE_BENCH_MLFLOW", mlflow, 30.0, "222 quoted"),
        ("BentoML (scikit-learn pipeline)", "HEADRACE_BENCH_BENTOML", bento_model, 8.0, "815 quoted"),
        ("BentoML (the same graph)", "HEADRACE_BENCH_BENTOML", bento_graph, 2.0, "not quoted"),
    )
    for name, variable, peer, least, quoted in runs:
        what, reach = f"against {name}, 64 connections", f"≥ {least:g}×"
        python = os.environ.get(variable, "")
        if not python:
            found.append(skipped("serving", what, f"{variable} names no Python; {quoted}", reach=reach))
            continue
        try:
            rate = peer(Asking(python, folder, data, graph, bodies, first, PORT, SECONDS))
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            found.append(
                skipped("serving", what, f"{' '.join(str(error).split())[:300]}; {quoted}", reach=reach)
            )
            continue
        ratio = ours.rate / rate
        found.append(_row(what, ours.rate, "/s", f"{name} {rate:,.0f}", ratio, reach, ratio >= least))
    return found


def _project(folder: Path, data: Path) -> Path:
    """The project `h`, its champion made; the file of its graph."""
    measured(_headrace("init", "h", "--example", "housing", "--data", str(data)), cwd=folder)
    change(folder / "h" / "headrace.yaml", _plain)
    measured(_headrace("run", "-C", "h", "--json"), cwd=folder)
    from headrace.project import Project

    project = Project(folder / "h")
    _, manifest = project.release()
    return project.store.get(manifest.serving.graph)


def _plain(spec: dict[str, Any]) -> None:
    """The columns as they are, and 300 trees: the model of the floors and peers."""
    del spec["problem"]["ship_at"]
    spec["features"] = {n: f for n, f in spec["features"].items() if isinstance(f, str) and n != "auto"}
    spec |= {"models": [{"use": "boosting", "params": {"trees": 300}}], "evaluate": {"explain": False}}
    spec.pop("serve", None)  # of a list that is read once a week


def _headrace(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("headrace")), *arguments]


def _rows(data: Path) -> list[dict[str, Any]]:
    with data.open(newline="") as file:
        return [
            {k: v if k == "ocean_proximity" else float(v) if v else None for k, v in r.items()}
            for r in csv.DictReader(file)
            if r.pop("median_house_value")
        ]


def _bodies(folder: Path, rows: list[dict[str, Any]]) -> tuple[Path, Path]:
    one, hundred = folder / "one.jsonl", folder / "hundred.jsonl"
    one.write_text("\n".join(json.dumps(r) for r in rows[:4000]))
    hundred.write_text("\n".join(json.dumps(rows[i : i + 100]) for i in range(0, 4000, 100)))
    return one, hundred


def _row(what: str, value: float, unit: str, floor: str, ratio: float | None, reach: str, ok: bool) -> Row:
    return row("serving", what, value, unit, floor=floor, ratio=ratio, reach=reach, ok=ok)
