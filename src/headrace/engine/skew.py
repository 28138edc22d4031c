"""Whether requests get what training computed: real rows, sent as a caller would send them.

Training fills lookups and histories for batches of rows from the tables; a server finds them for one request.
The two are one arithmetic by construction. This is the measurement that they are: validation rows go as
requests, own columns alone, through the code that serves, and the features and scores are compared with those
of the training path (`Rows.batches`, then the graph).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.core.errors import DataError, HeadraceError
from headrace.core.evidence import Evidence, Rule, Verdict, judge
from headrace.core.views import RunView
from headrace.engine.columns import evenly, join_vectors
from headrace.engine.context import Context, Made
from headrace.engine.pins import output_of
from headrace.engine.requests import as_requests
from headrace.engine.stages.features import rows_of
from headrace.engine.stages.package import TOLERANCE, serving_of
from headrace.graph.encode import encode_batch
from headrace.graph.run import Runner
from headrace.release.manifest import Serving

ROWS = 500
"""So many validation rows, evenly spaced, are sent."""
NAMED = 3
"""So many features are named with an example."""
REQUESTS, ONLINE = "skew: requests", "skew: online"
RULES = {gate: Rule("==", 0) for gate in (REQUESTS, ONLINE)}

Feeds = Mapping[str, NDArray[Any]]
Ask = Callable[[Mapping[str, Any]], tuple[Feeds, Feeds]]
"""Answers one request: what the graph read of it, by raw column, and what it gave."""
Ways = Mapping[str, Callable[[Serving], Ask | None]]
"""The ways in which a release is asked, by judged name; None: there is nothing to ask that way."""


@dataclass(frozen=True)
class Differing:
    """A feature whose values are not those of training, in `rows` of the rows that were sent. The example is
    the row `row` of the events table (from 0): None is null."""

    rows: int
    row: int
    trained: float | None
    served: float | None

    def told(self, name: str) -> str:
        trained, served = ("null" if v is None else f"{v:.6g}" for v in (self.trained, self.served))
        return f"{name} in {self.rows} rows (row {self.row}: {trained} in training, {served} as a request)"


@dataclass(frozen=True, eq=False)
class _Sample:
    """The rows that are sent: requests, and what the training path makes of them."""

    numbers: NDArray[np.int64]
    requests: Sequence[Mapping[str, Any]]
    feeds: Feeds


@dataclass(eq=False)
class _Answers:
    """What came back. Live. `refused` says by position which rows were not answered, and why."""

    feeds: dict[str, list[NDArray[Any]]] = field(default_factory=dict)
    scores: list[NDArray[Any]] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)


def not_asked(why: str) -> list[Evidence]:
    """The question does not arise."""
    return [Evidence(gate, None, applies=False, why_none=why) for gate in RULES]


def skew(ctx: Context, made: Made, ways: Ways | None) -> list[Evidence]:
    """Send rows in each of `ways` and compare. None: nobody can be asked, and that is unknown."""
    if ways is None:
        why = "nothing that serves was handed over to be asked"
        return [Evidence(gate, None, why_none=why) for gate in RULES]
    # What was hashed or masked is kept in no other form: it is sent as it is kept, and not treated again.
    serving = dataclasses.replace(serving_of(made), treated={}, pii_key="")
    sample: _Sample | None = None
    found = []
    for gate in RULES:
        try:
            ask = ways[gate](serving)
            if ask is None:
                none = "no online store holds a table of this release"
                found.append(Evidence(gate, None, applies=False, why_none=none))
                continue
            sample = sample or _sample(ctx, made, serving)
            ctx.tell("promote")("sending rows as requests", 0, len(sample.requests))
            found.append(_compared(ctx, made, gate, sample, _asked(ctx, ask, sample)))
        except HeadraceError as error:
            found.append(Evidence(gate, None, why_none=f"rows can't be sent: {error.problems[0].what}"))
    return found


def skew_of_release(ctx: Context, run: RunView, ways: Ways) -> tuple[Verdict, ...]:
    """Ask a release now, as its run was: facts that have come to the online store since may have changed
    what a server sees of the past. `ctx` bears the release's own spec. Nothing is written down.

    Raises:
        NotFound: what its run made is no longer kept.
    """
    stages = ("ingest", "split", "features", "learn", "package")
    made = {stage: output_of(ctx.store, run, stage) for stage in stages}
    found = []
    for evidence in skew(ctx, made, ways):
        outcome, reason = judge(evidence, RULES[evidence.gate])
        found.append(Verdict(evidence.gate, "promote", outcome, evidence, str(RULES[evidence.gate]), reason))
    return tuple(found)


def _sample(ctx: Context, made: Made, serving: Serving) -> _Sample:
    every = rows_of(ctx, made, "validation")
    rows = every.only(evenly(every.count, ROWS))
    types = {f.name: f.type for f in serving.fields}
    sent = list(serving.event_types())
    batches = list(rows.batches(list(dict.fromkeys([*sent, *types]))))
    feeds = [encode_batch(b, types) for b in batches]
    table = pa.Table.from_batches([b.select(sent) for b in batches])
    # Through JSON and back: it knows one kind of number and no NaN.
    requests = msgspec.json.decode(msgspec.json.encode(as_requests(table)))
    return _Sample(rows.row_numbers(), requests, {n: join_vectors(f[n] for f in feeds) for n in types})


def _asked(ctx: Context, ask: Ask, sample: _Sample) -> _Answers:
    """Every row as a request of its own."""
    answers = _Answers()
    for i, request in enumerate(sample.requests):
        try:
            feeds, outputs = ask(request)
        except DataError as error:
            answers.refused[i] = error.problems[0].what
            continue
        answers.kept.append(i)
        answers.scores.append(_scores(outputs))
        for name, column in feeds.items():
            answers.feeds.setdefault(name, []).append(column)
        if i % 100 == 99:
            ctx.tell("promote")("sending rows as requests", i + 1, len(sample.requests))
    return answers


def _scores(outputs: Feeds) -> NDArray[Any]:
    return outputs["prediction"] if "probability" not in outputs else outputs["probability"]


def _compared(ctx: Context, made: Made, gate: str, sample: _Sample, answers: _Answers) -> Evidence:
    kept = np.array(answers.kept, np.int64)
    numbers = sample.numbers[kept]
    trained = {n: v[kept] for n, v in sample.feeds.items()}
    served = {n: join_vectors(v) for n, v in answers.feeds.items()}
    differs = np.zeros(len(kept), np.bool_)
    features: dict[str, Differing] = {}
    scores = 0
    if len(kept):
        for name, column, was, now in _features(ctx, made, trained, served):
            differs |= column
            if column.any():
                at = int(np.flatnonzero(column)[0])
                features[name] = Differing(
                    int(column.sum()), int(numbers[at]), _value(was[at]), _value(now[at])
                )
        runner = Runner(ctx.store.get(made["package"].outputs["graph"]), threads=ctx.spec.limits.threads)
        wanted = _scores(runner.run({n: trained[n] for n in runner.inputs}, len(kept)))
        apart = _apart(wanted, np.concatenate(answers.scores)).reshape(len(kept), -1).any(axis=1)
        scores = int(apart.sum())
        differs |= apart
    worst = sorted(features.items(), key=lambda f: (-f[1].rows, f[0]))
    told = [f.told(n) for n, f in worst[:NAMED]]
    told += [f"and {len(worst) - NAMED} more features"] if len(worst) > NAMED else []
    told += [f"scores in {scores} rows"] if scores else []
    if answers.refused:
        first = min(answers.refused)
        told.append(
            f"{len(answers.refused)} rows are refused (row {sample.numbers[first]}: {answers.refused[first]})"
        )
    return Evidence(
        gate,
        float(differs.sum() + len(answers.refused)),
        unit="rows that differ",
        n=len(sample.requests),
        where="; ".join(told),
        details={
            "features": {n: dataclasses.asdict(f) for n, f in worst},
            "scores": scores,
            "refused": len(answers.refused),
            "tolerance": TOLERANCE,
        },
    )


def _features(
    ctx: Context, made: Made, trained: Feeds, served: Feeds
) -> Iterator[tuple[str, NDArray[np.bool_], NDArray[Any], NDArray[Any]]]:
    """Each feature: where it differs, its values in training and as requests."""
    graph = Runner(ctx.store.get(made["features"].outputs["graph"]), threads=ctx.spec.limits.threads)
    rows = len(next(iter(served.values())))
    matrices = [
        graph.run({n: feeds[n] for n in graph.inputs}, rows)["features"] for feeds in (trained, served)
    ]
    apart = _apart(*matrices)
    for i, feature in enumerate(made["features"].facts["features"]):
        yield feature["name"], apart[:, i], matrices[0][:, i], matrices[1][:, i]


def _apart(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.bool_]:
    """Where two arrays differ beyond rounding, as parity has it; null is like null alone."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    with np.errstate(invalid="ignore"):
        near = np.abs(first - second) <= TOLERANCE * np.maximum(1.0, np.abs(first))
    return np.asarray(~(near | (first == second) | (np.isnan(first) & np.isnan(second))))


def _value(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
