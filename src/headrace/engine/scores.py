"""Rows through the packaged graph, with their true values: what evaluation and the test measure."""

from __future__ import annotations

import numpy as np

from headrace.core.task import Kind
from headrace.data.rows import Rows
from headrace.engine.columns import answering, join_vectors
from headrace.engine.context import Context, Made
from headrace.engine.stages.features import TARGET, units_of
from headrace.engine.stages.ingest import compiled_of
from headrace.engine.stages.split import task_of
from headrace.engine.targets import codes
from headrace.graph.encode import encode_batch
from headrace.graph.run import Runner
from headrace.metrics.record import Predictions


def score_rows(ctx: Context, made: Made, runner: Runner, rows: Rows, stage: str) -> Predictions:
    """Answer every row of a part with a packaged graph, in bounded memory but for the answers themselves.

    Raises:
        HeadraceError: the graph reads a column that these rows don't have.
    """
    compiled, task = compiled_of(ctx, made), task_of(made)
    # The target alone: a champion's rows don't have what the run's features read.
    answers = answering({"target": compiled.target})
    wanted = {**{c: compiled.types[c] for c in compiled.target.columns}, **runner.inputs}
    ys, scores, decisions, at = [], [], [], 0
    tell = ctx.tell(stage)
    for batch in rows.batches(list(wanted)):
        feeds = encode_batch(batch, wanted)
        got = runner.run(feeds, batch.num_rows)
        scores.append(got["prediction"] if task.kind == Kind.REGRESSION else got["probability"])
        if task.kind != Kind.REGRESSION:
            decisions.append(got["decision"])
        truth = answers.run(feeds, batch.num_rows)[TARGET]
        ys.append(codes(task, compiled.target.type, truth))
        at += batch.num_rows
        tell("scoring", at, rows.count)
    return Predictions(
        task=task,
        y=join_vectors(ys),
        score=join_vectors(scores).astype(np.float64),
        decision=join_vectors(decisions).astype(np.int64) if decisions else None,
        units=units_of(ctx, made, rows),
    )
