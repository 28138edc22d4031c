"""Rows of a run that people are asked about: some drawn by chance, those that the model is least sure of, or
those of a slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.core.errors import UserError
from headrace.core.review import Item
from headrace.core.schema import Type
from headrace.core.spelled import spelled
from headrace.core.task import Kind, Task, labels
from headrace.data.rows import Rows
from headrace.engine.columns import ANSWER, answering, join_vectors
from headrace.engine.context import Context, Made
from headrace.engine.requests import as_requests
from headrace.engine.scores import score_rows
from headrace.engine.stages.features import rows_of
from headrace.engine.stages.ingest import compiled_of
from headrace.engine.stages.package import serving_of
from headrace.engine.stages.split import task_of
from headrace.expr import parse
from headrace.graph.encode import encode_batch
from headrace.graph.run import Runner
from headrace.metrics.record import Ints, Predictions
from headrace.policy.review import confidence

PARTS = ("validation", "train")
"""Parts whose rows people may see. The test rows are sealed."""


@dataclass(frozen=True)
class Choice:
    """Which rows. most: no more than these (None: all, of a slice). uncertain: the least sure, otherwise
    drawn by chance. where: a SQL condition over raw columns that they have to meet (empty: none)."""

    most: int | None = None
    uncertain: bool = False
    where: str = ""
    part: str = "validation"


def items_of(
    ctx: Context, made: Made, choice: Choice, *, asked: int, deadline: int, double: bool
) -> list[Item]:
    """The items, in the order of the events table. asked, deadline: microseconds since 1970 UTC (deadline 0:
    none). Each has the chance at which it was drawn; 1 where it was picked for what it is.

    Raises:
        UserError: the least sure are wanted of a regression, the test rows, or none.
        ExprError: the condition can't be typed.
    """
    task = task_of(made)
    _check(choice, task)
    rows = rows_of(ctx, made, choice.part)
    numbers = _meeting(ctx, made, rows, choice.where) if choice.where else np.arange(rows.count)
    if not len(numbers):
        raise UserError(f"no {choice.part} row meets {choice.where!r}", fix="write another condition")
    rows = rows.only(numbers)
    runner = Runner(ctx.store.get(made["package"].outputs["graph"]), threads=ctx.spec.limits.threads)
    predictions = score_rows(ctx, made, runner, rows, "review")
    most = rows.count if choice.most is None else min(choice.most, rows.count)
    if choice.uncertain:
        decision = predictions.decision if predictions.decision is not None else np.zeros(0, np.int64)
        sure = confidence(task, predictions.score, decision)
        picked = np.sort(np.argsort(sure, kind="stable")[:most])
        chance, why = 1.0, "the model is least sure of these"
    else:
        picked = np.sort(np.random.default_rng(ctx.spec.seed).permutation(rows.count)[:most])
        chance, why = most / rows.count, "drawn by chance" if most < rows.count else ""
    why = ", ".join(w for w in (why, choice.where) if w) or "all rows"
    requests = _requests(made, rows.only(picked))
    answers = _answers(task, predictions, picked)
    numbers = rows.row_numbers()[picked]
    base = Item(
        id="",
        release=ctx.run,
        inputs={},
        answer={},
        why=why,
        asked=asked,
        deadline=deadline,
        chance=chance,
        wanted=2 if double else 1,
        source=source_of(ctx.run),
        choices=labels(task),
    )
    return [
        replace(base, id=f"{ctx.run}-{number}", inputs=inputs, answer=answer)
        for number, inputs, answer in zip(numbers.tolist(), requests, answers, strict=True)
    ]


def source_of(run: str) -> str:
    """Where items of a run's rows come from."""
    return f"rows: {run}"


def _check(choice: Choice, task: Task) -> None:
    if choice.part not in PARTS:
        why = "the test rows are sealed" if choice.part == "test" else ""
        raise UserError(
            f"people can't be asked about {choice.part} rows", why=why, fix=f"{' or '.join(PARTS)}"
        )
    if choice.most is not None and choice.most < 1:
        raise UserError("no row is asked for", fix="ask for 1 or more")
    if choice.uncertain and task.kind is Kind.REGRESSION:
        raise UserError(
            "a regression says of no row how sure it is",
            why="its intervals are equally wide for every row",
            fix="draw rows by chance (--sample), or those of a slice (--slice)",
        )


def _meeting(ctx: Context, made: Made, rows: Rows, where: str) -> Ints:
    """The numbers, from 0, of the rows that meet a condition."""
    types = compiled_of(ctx, made).types
    condition = parse(where, types, zone=ctx.zone, where="--slice")
    if condition.type is not Type.BOOL:
        raise UserError(f"{where!r} is no condition", where="--slice", fix="compare it with something")
    columns = {c: types[c] for c in condition.columns}
    if not columns:
        raise UserError(f"{where!r} reads no column", where="--slice", fix="name one")
    runner = answering({"slice": condition})
    held: list[NDArray[Any]] = []
    for batch in rows.batches(list(columns)):
        feeds = encode_batch(batch, columns)
        held.append(runner.run(feeds, batch.num_rows)[ANSWER + "slice"])
    return np.flatnonzero(join_vectors(held) == 1.0) if held else np.zeros(0, np.int64)


def _requests(made: Made, rows: Rows) -> Sequence[Mapping[str, Any]]:
    """What the release reads of rows, as a caller would send it and a server would find it."""
    serving = serving_of(made)
    columns = list(dict.fromkeys([*serving.event_types(), *(f.name for f in serving.fields)]))
    return as_requests(pa.Table.from_batches(list(rows.batches(columns))))


def _answers(task: Task, predictions: Predictions, picked: Ints) -> list[dict[str, Any]]:
    """What the packaged graph answers to some rows, as a caller would have it."""
    scores = predictions.score[picked]
    if predictions.decision is None:
        return [{"prediction": v} for v in scores.tolist()]
    classes = labels(task)
    names = [spelled(v) for v in classes]
    told = scores.tolist()
    return [
        {
            "prediction": classes[code],
            "probability": p if task.kind is Kind.BINARY else dict(zip(names, p, strict=True)),
        }
        for code, p in zip(predictions.decision[picked].tolist(), told, strict=True)
    ]
