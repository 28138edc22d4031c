"""Stage 6: baselines and candidates under cross-validation that matches the split; the best, refitted."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.codec import from_plain, to_plain
from headrace.core.evidence import Evidence, Interval, Rule
from headrace.core.task import Feature, Kind, Task
from headrace.engine.aims import aim_for, goal_evidence
from headrace.engine.code import user_modules
from headrace.engine.columns import read_columns
from headrace.engine.context import Context, Made, Output, Stage, micros
from headrace.engine.measures import find_metric
from headrace.engine.stages.features import rows_of
from headrace.engine.stages.ingest import compiled_of, snapshots_of
from headrace.engine.stages.split import load_array, put_array, task_of
from headrace.engine.worths import worth_on
from headrace.learn.candidates import BUILT_IN
from headrace.learn.folds import Fold, FoldKind, FoldPlan, folds
from headrace.learn.measure import decide
from headrace.learn.run import NAIVE, TODAY, Learned, ModelChoice, Part, learn
from headrace.metrics.intervals import paired
from headrace.metrics.record import Metric, Predictions
from headrace.metrics.threshold import Aim, choose_cut


def _slice(ctx: Context) -> Any:
    spec = ctx.spec
    return {
        "models": {n: [m.use, dict(m.params)] for n, m in spec.model_specs().items()},
        "own": user_modules(ctx.root, [m.use for m in spec.model_specs().values()]),
        "cv": spec.cv.model_dump(mode="json"),
        "metric": [spec.problem.metric, to_plain(dict(spec.problem.value or {}))],
        "goal": spec.problem.goal,
        "today": spec.problem.today.model_dump(mode="json") if spec.problem.today else None,
        "split": [spec.split.by, spec.split.gap],
    }


def _code(ctx: Context) -> tuple[str, ...]:
    """This stage's module, and the rooms of the candidates that the spec names."""
    used = [NAIVE, *(m.use for m in ctx.spec.model_specs().values())]
    rooms = {BUILT_IN[u].partition(":")[0] for u in used if u in BUILT_IN}
    if any(":" in u for u in used):
        rooms.add("headrace.learn.candidates.sklearn_any")
    return (__name__, *sorted(rooms))


def _work(ctx: Context, made: Made) -> Output:
    spec, task = ctx.spec, task_of(made)
    features = tuple(from_plain(f, Feature) for f in made["features"].facts["features"])
    metric = find_metric(spec, spec.problem.metric)
    train = _part(ctx, made, "train")
    holdout = _part(ctx, made, "validation") if spec.cv.holdout else None
    drawn = None if holdout else _folds(ctx, made, train, task)
    scored, name = (holdout, "validation rows") if holdout else (train, "rows out of fold")
    pieces = [tested for _, tested in drawn] if drawn else [np.arange(len(scored.y))]
    aim = aim_for(ctx, made, scored.units[np.concatenate(pieces)])
    learned = learn(
        train,
        [ModelChoice(n, m.use, dict(m.params)) for n, m in spec.model_specs().items()],
        features=features,
        task=task,
        metric=metric,
        aim=aim,
        folds=drawn,
        holdout=holdout,
        probes={"probe": load_array(ctx, made["features"].outputs["X_probe"])},
        seed=spec.seed,
        threads=spec.limits.threads,
        progress=ctx.tell("learn"),
    )
    field = _Field(scored, name, pieces, task, metric, aim or metric)
    worths = _worths(ctx, learned, field)
    return Output(
        outputs={
            "model": ctx.store.put(learned.graph).digest,
            "probe_scores": put_array(ctx, learned.native["probe"]).digest,
            "scores": ctx.store.put(_archive(learned)).digest,
        },
        facts={
            "model": learned.best,
            "threshold": learned.threshold,
            "leaderboard": [
                {
                    "model": r.model,
                    "mean": r.mean,
                    "std": r.std,
                    "params": dict(r.params),
                    "error": r.error,
                    **({"worth": worths[r.model]} if r.model in worths else {}),
                }
                for r in learned.leaderboard
            ],
        },
        notes={"seconds": {r.model: round(r.seconds, 3) for r in learned.leaderboard}},
        evidence=tuple(_evidence(ctx, learned, field)),
    )


def _part(ctx: Context, made: Made, part: str) -> Part:
    outputs = made["features"].outputs
    today = outputs.get(f"today_{part}")
    return Part(
        X=load_array(ctx, outputs[f"X_{part}"]),
        y=np.array(load_array(ctx, outputs[f"y_{part}"])),
        units=np.array(load_array(ctx, outputs[f"units_{part}"])),
        today=np.array(load_array(ctx, today)) if today else None,
    )


def _folds(ctx: Context, made: Made, train: Part, task: Task) -> list[Fold]:
    """Folds that match the split: forward in time, by group, or keeping the classes' shares."""
    spec = ctx.spec
    n, k = len(train.y), spec.cv.folds
    if spec.split.by == "time":
        name = spec.data.time or ""
        path = ctx.store.get(snapshots_of(made)[spec.data.events].artifact)
        times = read_columns(path, {name: compiled_of(ctx, made).types[name]})[name]
        mine = times[rows_of(ctx, made, "train").row_numbers()]
        plan = FoldPlan(FoldKind.WALK, k, times=mine, blocks=train.units, gap=micros(spec.split.gap))
    elif spec.split.group is not None:
        plan = FoldPlan(FoldKind.GROUP, k, groups=train.units)
    elif task.kind != Kind.REGRESSION:
        plan = FoldPlan(FoldKind.STRATIFIED, k, strata=train.y.astype(np.int64))
    else:
        plan = FoldPlan(FoldKind.RANDOM, k)
    return folds(plan, n, seed=spec.seed)


def _archive(learned: Learned) -> bytes:
    """Out-of-fold scores of every line, as one .npz."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{n: np.asarray(s) for n, s in learned.scores.items()})
    return buffer.getvalue()


@dataclass(frozen=True)
class _Field:
    """Where candidates met: the rows that were scored, in the pieces (folds) that were scored together."""

    rows: Part
    name: str
    pieces: Sequence[NDArray[np.int64]]
    task: Task
    metric: Metric
    aim: Metric | Aim


def _worths(ctx: Context, learned: Learned, field: _Field) -> dict[str, Any]:
    """What 1,000 decisions of each line are worth (`metrics.worth.Worth`), where outcomes have a worth."""
    if ctx.spec.problem.value is None:
        return {}
    found: dict[str, Any] = {}
    for name, scores in learned.scores.items():
        usable = _finite(scores)
        rule = None if field.rows.today is None else field.rows.today[usable]
        found[name] = to_plain(worth_on(ctx, _predictions(learned, name, field, usable), rule))
    return found


def _evidence(ctx: Context, learned: Learned, field: _Field) -> list[Evidence]:
    """The best candidate against both baselines, paired over the rows that all of them were scored on."""
    best = next(r for r in learned.leaderboard if r.model == learned.best)
    found = [_compared("beats-naive", ctx, learned, NAIVE, field)]
    today = ctx.spec.problem.today
    if today is None:
        found.append(
            Evidence("beats-today", None, applies=False, why_none="no solution of today is declared")
        )
    elif today.rule is not None:
        found.append(_compared("beats-today", ctx, learned, TODAY, field))
    else:
        found.append(_against_number(float(today.value or 0.0), today.source, best.folds, field.metric))
    if isinstance(field.aim, Aim) and field.aim.needs:
        scores, rows = learned.scores[learned.best], field.rows
        known = _finite(scores)
        rule = None if rows.today is None else rows.today[known]
        cut = choose_cut(field.aim, rows.y[known], scores[known], units=rows.units[known], today=rule)
        found.append(goal_evidence(cut, int(known.sum())))
    return found


def _compared(gate: str, ctx: Context, learned: Learned, other: str, field: _Field) -> Evidence:
    if other not in learned.scores:
        return Evidence(gate, None, why_none=f"{other} could not be scored")
    usable = _finite(learned.scores[learned.best]) & _finite(learned.scores[other])
    ours, theirs = (_predictions(learned, name, field, usable) for name in (learned.best, other))
    estimate = paired(field.metric, ours, theirs, seed=ctx.spec.seed)
    return Evidence(
        gate,
        estimate.value,
        unit=f"{field.metric.name} better",
        n=estimate.n_units,
        interval=estimate.interval,
        where=f"{learned.best} against {other} on {estimate.n_rows} {field.name}",
        why_none=estimate.why_none,
    )


def _finite(scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(scores.reshape(len(scores), -1)).all(axis=1), dtype=np.bool_)


def _predictions(learned: Learned, name: str, field: _Field, usable: NDArray[np.bool_]) -> Predictions:
    scores, y = learned.scores[name], field.rows.y
    if name == TODAY and field.task.kind == Kind.BINARY:
        decision: NDArray[np.int64] | None = (scores >= 0.5).astype(np.int64)  # a rule decides by itself
    else:
        decision = decide(
            field.task, field.aim, y, scores, field.pieces, units=field.rows.units, today=field.rows.today
        )
    return Predictions(
        task=field.task,
        y=y[usable],
        score=scores[usable],
        units=field.rows.units[usable],
        decision=None if decision is None else decision[usable],
    )


def _against_number(value: float, source: str, folds_: tuple[float, ...], metric: Metric) -> Evidence:
    """Today's solution as a number: compared as one, with the spread over the folds as the only interval."""
    oriented = [float(metric.goodness(f)) - float(metric.goodness(value)) for f in folds_]
    mean = float(np.mean(oriented))
    interval = None
    if len(oriented) > 1:
        from scipy.stats import t

        half = float(t.ppf(0.975, len(oriented) - 1) * np.std(oriented, ddof=1) / np.sqrt(len(oriented)))
        interval = Interval(mean - half, mean + half)
    return Evidence(
        "beats-today",
        mean,
        unit=f"{metric.name} better",
        n=len(oriented),
        interval=interval,
        where=f"against {value:g}" + (f" ({source})" if source else "") + ", over the folds",
        why_none="" if interval else "one fold has no spread: use cross-validation, or give today's rule",
    )


def rules(ctx: Context, made: Made) -> Mapping[str, Rule]:
    """Better beyond noise: the paired interval lies above zero. No constraint of the goal is missed."""
    del ctx, made
    above = Rule(">", 0, safe_end=True)
    return {"beats-naive": above, "beats-today": above, "goal-reachable": Rule("==", 0)}


STAGE = Stage(
    "learn",
    ("ingest", "split", "features"),
    _slice,
    _work,
    code=_code,
    libraries=("numpy", "scipy", "scikit-learn", "lightgbm", "onnx", "skl2onnx"),
)
