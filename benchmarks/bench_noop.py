"""A stage that does nothing, durable: what the engine itself costs."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.rows import Row, row
from headrace.core.clock import system_clock
from headrace.core.spec import parse_spec
from headrace.engine.context import Context, Output, Stage
from headrace.engine.memo import run_stage
from headrace.stores import EmbeddedStore

RUNS = 500
CODE = ("headrace.engine.stages.frame",)

SPEC = """
headrace: 1
project: noop
problem: {task: binary, target: y, metric: f1}
data: {events: t, tables: {t: {read: t.csv}}}
split: {by: random}
features: {x: x}
"""


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddedStore(Path(folder) / "store")
        ctx = Context(Path(folder), store, parse_spec(SPEC), system_clock, "bench", "run-1")
        took = []
        for i in range(RUNS):
            stage = Stage("noop", (), lambda _, i=i: i, lambda _c, _m: Output(), lambda _: CODE)
            started = time.perf_counter()
            ran = run_stage(stage, ctx, {})
            took.append(time.perf_counter() - started)
            if ran.status != "ran":
                raise RuntimeError("a new key has to run")
    value = statistics.median(took) * 1e6
    return [
        row(
            "noop",
            "a no-op stage, durable (median)",
            value,
            "µs",
            floor="Kedro 465 µs, Dagster 20.8 ms (quoted)",
            ratio=value / 465,
            reach="≤ 1 ms",
            ok=value <= 1000,
        )
    ]
