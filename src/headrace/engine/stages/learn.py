"""Stage 6: baselines and candidates under cross-validation that matches the split; the best, refitted."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.clock import duration_micros
from headrace.core.codec import from_plain, to_json, to_plain
from headrace.core.evidence import Rule
from headrace.core.task import Feature, Kind, Task
from headrace.engine.aims import aim_for
from headrace.engine.beats import Field, evidence_of, worths
from headrace.engine.code import library_versions, user_modules
from headrace.engine.columns import EXPLAINED, evenly
from headrace.engine.context import Context, Made, Output, Stage
from headrace.engine.continuing import CHECKPOINT, learns_row_by_row, memory_of, times_of, told
from headrace.engine.encoder_columns import declared_encoders
from headrace.engine.measures import find_metric
from headrace.engine.memo import stage_key
from headrace.engine.refitting import fold_columns
from headrace.engine.stages.split import load_array, put_array, task_of
from headrace.learn.candidate import Matrix
from headrace.learn.candidates import BUILT_IN
from headrace.learn.continuing import Memory
from headrace.learn.final import Uncertain
from headrace.learn.folds import Fold, FoldKind, FoldPlan, folds
from headrace.learn.records import NAIVE, Learned, Line, ModelChoice, Part
from headrace.learn.run import Deepening, learn
from headrace.learn.search.journal import clear
from headrace.learn.search.record import SearchPlan


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
        "tune": spec.tune.model_dump(mode="json") if spec.tune else None,
        "ensemble": spec.ensemble,
        "calibrate": spec.calibrate,
        "uncertainty": spec.uncertainty.model_dump(mode="json") if spec.uncertainty else None,
        "encoders": declared_encoders(spec),
        "explain": spec.evaluate.explain,
        "libraries": _libraries(ctx),
        **({"threshold": spec.threshold} if spec.threshold is not None else {}),
    }


def _libraries(ctx: Context) -> dict[str, str]:
    """Versions of libraries that only some specs use."""
    used = {m.use for m in ctx.spec.model_specs().values()}
    names: list[str] = ["catboost"] if "catboost" in used else []
    names += ["xgboost", "xgboost-cpu"] if "xgboost" in used else []
    names += ["river"] if "river" in used else []
    return library_versions((*names, *(["optuna"] if ctx.spec.tune else [])))


def _code(ctx: Context) -> tuple[str, ...]:
    """This stage's module, and the rooms of the candidates that the spec names."""
    used = [NAIVE, *(m.use for m in ctx.spec.model_specs().values())]
    rooms = {BUILT_IN[u].partition(":")[0] for u in used if u in BUILT_IN}
    if any(":" in u for u in used):
        rooms.add("headrace.learn.candidates.sklearn_any")
    return (__name__, *sorted(rooms))


def _work(ctx: Context, made: Made) -> Output:
    choices = [ModelChoice(n, m.use, dict(m.params)) for n, m in ctx.spec.model_specs().items()]
    deepen = _deepening(ctx, made)
    output = compared(ctx, made, choices, deepen, on_holdout=ctx.spec.cv.holdout)
    clear(deepen.folder)
    return output


def compared(
    ctx: Context, made: Made, choices: Sequence[ModelChoice], deepen: Deepening, *, on_holdout: bool
) -> Output:
    """Compare models out of fold, or on the validation rows; what the stage makes of them."""
    spec, task = ctx.spec, task_of(made)
    features = tuple(from_plain(f, Feature) for f in made["features"].facts["features"])
    metric = find_metric(spec, spec.problem.metric)
    train = _part(ctx, made, "train")
    holdout = _part(ctx, made, "validation") if on_holdout else None
    drawn = None if holdout else draw_folds(ctx, made, train.y, train.units, task)
    scored, name = (holdout, "validation rows") if holdout else (train, "rows out of fold")
    tested = np.concatenate([rows for _, rows in drawn]) if drawn else np.arange(len(scored.y))
    aim = aim_for(ctx, made, scored.units[tested])
    searched = deepen.search is not None or deepen.ensemble != "off"
    judge = _part(ctx, made, "validation") if searched and not holdout else None
    memory = memory_of(ctx)
    with fold_columns(ctx, made, drawn) as refits:
        learned = learn(
            train,
            choices,
            features=features,
            task=task,
            metric=metric,
            aim=aim,
            folds=drawn,
            refits=refits,
            holdout=holdout,
            judge=judge,
            deepen=deepen,
            probes={"probe": load_array(ctx, made["features"].outputs["X_probe"])},
            explain=_explained(ctx, made) if spec.evaluate.explain else None,
            memory=memory,
            seed=spec.seed,
            threads=spec.limits.threads,
            progress=ctx.tell("learn"),
        )
    field = Field(scored, name, task, metric, aim or metric, judge)
    return Output(
        outputs=_outputs(ctx, learned, memory),
        facts=_facts(learned, worths(ctx, learned, field)),
        notes={
            "seconds": {r.model: round(r.seconds, 3) for r in learned.leaderboard},
            **({"trial_seconds": dict(learned.trial_seconds)} if learned.search else {}),
            **({"continued": told(memory.continued)} if memory is not None else {}),
        },
        evidence=tuple(evidence_of(ctx, learned, field)),
    )


def _deepening(ctx: Context, made: Made) -> Deepening:
    """What the spec asks for beyond the comparison. Trials are kept under the stage's key."""
    spec, tune = ctx.spec, ctx.spec.tune
    plan = folder = None
    if tune is not None:
        plan = SearchPlan(
            method=tune.method,
            seconds=None if tune.budget is None else duration_micros(tune.budget) / 1e6,
            trials=tune.trials,
            shortlist=tune.shortlist,
            choose=tune.choose,
            prune=tune.prune,
            processes=tune.processes,
        )
        folder = ctx.root / ".headrace" / "search" / stage_key(STAGE, ctx, made)[:32]
    return Deepening(
        search=plan,
        ensemble=spec.ensemble,
        calibrate=spec.calibrate,
        uncertain=uncertain_of(ctx),
        threshold=spec.threshold,
        folder=folder,
    )


def uncertain_of(ctx: Context) -> Uncertain | None:
    """How sure predictions are asked to be."""
    unsure = ctx.spec.uncertainty
    return None if unsure is None else Uncertain(unsure.level, unsure.abstain)


def _outputs(ctx: Context, learned: Learned, memory: Memory | None) -> dict[str, str]:
    """The artifacts. `search` (`learn.search.record.SearchRecord`) is there where there was a search,
    `contributions` (see `learn.candidate.Explained`) where the model is one of boosted trees, `checkpoint`
    (`learn.continuing.Checkpoint`) where a candidate learns row by row."""
    made = {
        "model": ctx.store.put(learned.graph).digest,
        "probe_scores": put_array(ctx, learned.native["probe"]).digest,
        "scores": ctx.store.put(_archive(learned)).digest,
    }
    if learned.search is not None:
        made["search"] = ctx.store.put(to_json(learned.search)).digest
    if learned.contributions is not None:
        made["contributions"] = put_array(ctx, learned.contributions).digest
    if memory is not None:
        made[CHECKPOINT] = ctx.store.put(to_json(memory.checkpoint())).digest
    return made


def _explained(ctx: Context, made: Made) -> Matrix:
    """Validation rows whose scores are explained."""
    X = load_array(ctx, made["features"].outputs["X_validation"])
    return np.ascontiguousarray(X[evenly(len(X), EXPLAINED)])


def _facts(learned: Learned, worth: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "model": learned.best,
        "threshold": learned.threshold,
        "leaderboard": [_fact(line, learned.best, worth) for line in learned.leaderboard],
        "choice": learned.choice,
        "recipe": [to_plain(m) for m in learned.recipe],
    }
    if learned.search is not None:
        facts["search"] = {
            "method": learned.search.method,
            "clock": learned.search.clock,
            "trials": {c.model: len(c.trials) - 1 for c in learned.search.candidates},
        }
    if learned.ensemble is not None:
        facts["ensemble"] = to_plain(learned.ensemble)
    if learned.calibrator is not None:
        facts["calibration"] = learned.calibrator.name
    if learned.conformal is not None:
        facts["uncertainty"] = {**to_plain(learned.conformal), "why_none": learned.conformal.why_none}
    return facts


def _fact(line: Line, best: str, worth: Mapping[str, Any]) -> dict[str, Any]:
    fact = {"model": line.model, "mean": line.mean, "std": line.std, "params": dict(line.params)}
    fact |= {"error": line.error}
    fact |= {"chosen": True} if line.model == best else {}
    fact |= {"note": line.note} if line.note else {}
    return fact | ({"worth": worth[line.model]} if line.model in worth else {})


def _part(ctx: Context, made: Made, part: str) -> Part:
    outputs = made["features"].outputs
    today = outputs.get(f"today_{part}")
    return Part(
        X=load_array(ctx, outputs[f"X_{part}"]),
        y=np.array(load_array(ctx, outputs[f"y_{part}"])),
        units=np.array(load_array(ctx, outputs[f"units_{part}"])),
        today=np.array(load_array(ctx, today)) if today else None,
        times=times_of(ctx, made, part) if learns_row_by_row(ctx.spec) else None,
    )


def draw_folds(
    ctx: Context,
    made: Made,
    y: NDArray[np.float64],
    units: NDArray[np.int64],
    task: Task,
    chosen: NDArray[np.int64] | None = None,
) -> list[Fold]:
    """Folds that match the split: forward in time, by group, or keeping the classes' shares. y and units are
    those of the training rows, or of some: `chosen` are their numbers among them."""
    spec = ctx.spec
    n, k = len(y), spec.cv.folds
    if spec.split.by == "time":
        times = times_of(ctx, made, "train")
        mine = times if times is None or chosen is None else times[chosen]
        plan = FoldPlan(FoldKind.WALK, k, times=mine, blocks=units, gap=duration_micros(spec.split.gap) or 0)
    elif spec.split.group is not None:
        plan = FoldPlan(FoldKind.GROUP, k, groups=units)
    elif task.kind != Kind.REGRESSION:
        plan = FoldPlan(FoldKind.STRATIFIED, k, strata=y.astype(np.int64))
    else:
        plan = FoldPlan(FoldKind.RANDOM, k)
    return folds(plan, n, seed=spec.seed)


def _archive(learned: Learned) -> bytes:
    """Out-of-fold scores of every line, as one .npz."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{n: np.asarray(s) for n, s in learned.scores.items()})
    return buffer.getvalue()


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
    libraries=(
        *("numpy", "scipy", "scikit-learn", "lightgbm", "xgboost", "xgboost-cpu", "catboost"),
        *("optuna", "onnx", "skl2onnx"),
    ),
)
