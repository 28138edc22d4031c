"""Stage 8: metrics with intervals on validation, measured on the packaged graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.core.codec import to_plain
from headrace.core.evidence import Rule
from headrace.engine.context import Context, Made, Output, Stage
from headrace.engine.measures import metrics_of
from headrace.engine.scores import score_rows
from headrace.engine.stages.features import rows_of
from headrace.graph.run import Runner
from headrace.metrics.intervals import intervals


def _slice(ctx: Context) -> Any:
    problem = ctx.spec.problem
    return [problem.metric, problem.value.model_dump(mode="json") if problem.value else None]


def _work(ctx: Context, made: Made) -> Output:
    runner = Runner(ctx.store.get(made["package"].outputs["graph"]), threads=ctx.spec.limits.threads)
    predictions = score_rows(ctx, made, runner, rows_of(ctx, made, "validation"), "evaluate")
    metrics = metrics_of(ctx.spec)
    ctx.tell("evaluate")("resampling", 0, 0)
    estimates = intervals(metrics.values(), predictions, seed=ctx.spec.seed)
    measured = {
        name: {
            "value": e.value,
            "interval": to_plain(e.interval) if e.interval else None,
            "rows": e.n_rows,
            "units": e.n_units,
            "unit": metrics[name].unit,
        }
        for name, e in estimates.items()
    }
    return Output(facts={"metrics": measured})


def rules(ctx: Context, made: Made) -> Mapping[str, Rule]:
    """This stage measures nothing that can block."""
    del ctx, made
    return {}


STAGE = Stage(
    "evaluate",
    ("ingest", "split", "features", "package"),
    _slice,
    _work,
    code=lambda _: (__name__,),
    libraries=("numpy", "onnxruntime", "duckdb", "pyarrow"),
)
