"""What a model is compared with on the same rows: today's rule, doing nothing, always acting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from headrace.core.task import Kind, Task
from headrace.data.rows import Rows
from headrace.engine.columns import join_vectors
from headrace.engine.context import Context, Made
from headrace.engine.stages.features import TODAY, answer_runner, raw_columns, today_codes
from headrace.engine.stages.ingest import compiled_of
from headrace.graph.encode import encode_batch
from headrace.metrics.record import Predictions


def todays_answers(ctx: Context, made: Made, rows: Rows) -> NDArray[np.float64] | None:
    """What today's rule answers on each row: class codes or values, float64 [rows], NaN where it has no
    answer. None where there is no rule."""
    compiled = compiled_of(ctx, made)
    if compiled.today is None:
        return None
    runner = answer_runner(compiled)
    wanted = {c: compiled.types[c] for c in raw_columns(compiled)}
    answers = [
        today_codes(made, compiled, runner.run(encode_batch(batch, wanted), batch.num_rows)[TODAY])
        for batch in rows.batches(list(wanted))
    ]
    return join_vectors(answers)


def against(ours: Predictions, answers: NDArray[np.float64]) -> tuple[Predictions, Predictions]:
    """The model's predictions and the rule's, on the rows where the rule has an answer."""
    known = np.isfinite(answers)
    return pick(ours, known), as_predictions(pick(ours, known), answers[known])


def as_predictions(like: Predictions, answers: NDArray[np.float64]) -> Predictions:
    """Answers that decide by themselves (class codes, or values; all finite) as predictions of the rows of
    `like`."""
    if like.task.kind is Kind.REGRESSION:
        return replace(like, score=answers)
    decision = answers.astype(np.int64)
    return replace(like, score=_certain(like.task, decision), decision=decision)


def always(like: Predictions, code: int) -> Predictions:
    """The same class decided for every row of `like`: in a binary task, 0 does nothing and 1 always acts."""
    return as_predictions(like, np.full(like.rows, float(code)))


def pick(p: Predictions, rows: NDArray[np.bool_]) -> Predictions:
    """Some of the rows."""
    decision = p.decision[rows] if p.decision is not None else None
    return replace(p, y=p.y[rows], score=p.score[rows], decision=decision, units=p.units[rows])


def _certain(task: Task, decision: NDArray[np.int64]) -> NDArray[np.float64]:
    if task.kind is Kind.MULTICLASS:
        return np.asarray(np.eye(len(task.classes))[decision], dtype=np.float64)
    return decision.astype(np.float64)
