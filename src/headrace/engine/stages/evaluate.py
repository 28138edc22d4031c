"""Stage 8: what the packaged graph does on validation rows: metrics with intervals, slices, fairness,
errors, robustness, curves, and what more data would bring."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from headrace.checks.curves import curves
from headrace.checks.errors import described, errors
from headrace.checks.fairness import fairness, fairness_evidence
from headrace.checks.learning_curve import Fit, learning_curve
from headrace.checks.robustness import Feeds, Plan, robustness, robustness_evidence
from headrace.checks.slices import Slices, declared_slices, search_slices, slice_evidence
from headrace.core.codec import from_plain, to_json, to_plain
from headrace.core.evidence import Evidence, Rule, parse_rule
from headrace.core.task import Feature, Kind
from headrace.engine.context import Context, Made, Output, Stage
from headrace.engine.continuing import learns_row_by_row, times_of
from headrace.engine.encoder_columns import declared_encoders
from headrace.engine.evaluation import Watched, watch
from headrace.engine.explaining import explaining
from headrace.engine.headlines import headlines
from headrace.engine.measures import find_metric, metrics_of
from headrace.engine.refitting import renewing
from headrace.engine.reviewing import fit_review
from headrace.engine.scores import score_rows
from headrace.engine.side_by_side import side_by_side
from headrace.engine.stages.features import rows_of
from headrace.engine.stages.split import load_array, task_of
from headrace.engine.worths import worth_on
from headrace.graph.run import Runner
from headrace.learn.candidates import BUILT_IN
from headrace.learn.curve import refit
from headrace.learn.records import Member, Part, Setting
from headrace.metrics.calibration import reliability
from headrace.metrics.contrast import take
from headrace.metrics.intervals import intervals
from headrace.metrics.measure import measure
from headrace.metrics.record import Floats, Metric, Predictions


def _slice(ctx: Context) -> Any:
    """Everything but the bounds: these are judged anew on every run, and change nothing that is measured."""
    spec, problem, review = ctx.spec.evaluate, ctx.spec.problem, ctx.spec.review
    plain = spec.model_dump(mode="json", exclude={"floor", "calibration"})
    for part in ("fairness", "robustness"):
        if plain[part] is not None:
            plain[part]["rules"] = sorted(plain[part]["rules"])
    return {
        "evaluate": plain,
        "judged": [spec.floor is not None, spec.calibration is not None],
        "metric": [problem.metric, problem.value.model_dump(mode="json") if problem.value else None],
        "events": [ctx.spec.data.id, ctx.spec.data.time, ctx.zone],
        "personal": sorted(ctx.spec.data.pii),
        "encoders": declared_encoders(ctx.spec) if spec.learning_curve else None,
        **({"review": [review.risk, review.level, ctx.spec.seed]} if review and review.risk else {}),
    }


def _work(ctx: Context, made: Made) -> Output:
    runner = Runner(ctx.store.get(made["package"].outputs["graph"]), threads=ctx.spec.limits.threads)
    predictions = score_rows(ctx, made, runner, rows_of(ctx, made, "validation"), "evaluate")
    metric = find_metric(ctx.spec, ctx.spec.problem.metric)
    watched = watch(ctx, made, runner, predictions)
    records: dict[str, Any] = {}
    evidence: list[Evidence] = []
    metrics, looked, explained = side_by_side(
        ctx.spec.limits.threads,
        lambda: _metrics(ctx, predictions),
        lambda: list(_looks(ctx, made, runner, metric, predictions, watched)),
        lambda: list(explaining(ctx, made, runner, metric, predictions)),
    )
    for role, record, found in (*looked, *explained):
        records[role] = record
        evidence += found
    return Output(
        outputs={role: ctx.store.put(to_json(record)).digest for role, record in records.items()},
        facts={"metrics": metrics, "headlines": headlines(records)},
        evidence=tuple(evidence),
    )


_Look = tuple[str, Any, tuple[Evidence, ...]]
"""The role of an artifact, the record behind it, and the evidence that has a rule."""


def _looks(
    ctx: Context, made: Made, runner: Runner, metric: Metric, predictions: Predictions, watched: Watched
) -> Iterator[_Look]:
    """One look after the other; each is an artifact of its own. What else is to be looked at goes here."""
    spec = ctx.spec.evaluate
    yield _slices(ctx, metric, predictions, watched)
    money = worth_on(ctx, predictions, _todays(ctx, made))
    if money is not None:
        yield "worth", money, ()
    if spec.fairness is not None:
        found = fairness(predictions, watched.sensitive, min_rows=spec.min_rows)
        rules_ = spec.fairness.rules
        kept = [d for d in found.disparities if d.measure in rules_]
        yield "fairness", found, fairness_evidence(replace(found, disparities=tuple(kept)))
    yield "errors", _errors(ctx, metric, predictions, watched), ()
    worth = find_metric(ctx.spec, "value") if ctx.spec.problem.value is not None else None
    threshold = made["learn"].facts.get("threshold")
    yield "curves", curves(predictions, metric, value=worth, chosen=threshold, seed=ctx.spec.seed), ()
    if ctx.spec.problem.task != "regression":
        yield _calibration(ctx, predictions)
    if spec.robustness is not None:
        yield _robustness(ctx, runner, metric, predictions, watched)
    if spec.learning_curve:
        yield _curve(ctx, made, metric)
    held = fit_review(ctx.spec, predictions)
    if held is not None:
        yield "review", held, ()


def _todays(ctx: Context, made: Made) -> Floats | None:
    """What today's rule answers on the validation rows."""
    kept = made["features"].outputs.get("today_validation")
    return np.array(load_array(ctx, kept)) if kept else None


def _metrics(ctx: Context, predictions: Predictions) -> dict[str, Any]:
    metrics = metrics_of(ctx.spec)
    ctx.tell("evaluate")("resampling", 0, 0)
    estimates = intervals(metrics.values(), predictions, seed=ctx.spec.seed)
    return {
        name: {
            "value": e.value,
            "interval": to_plain(e.interval) if e.interval else None,
            "rows": e.n_rows,
            "units": e.n_units,
            "unit": metrics[name].unit,
        }
        for name, e in estimates.items()
    }


def _slices(ctx: Context, metric: Metric, predictions: Predictions, watched: Watched) -> _Look:
    spec, seed, tell = ctx.spec.evaluate, ctx.spec.seed, ctx.tell("evaluate")
    low = spec.min_rows
    declared = declared_slices(metric, predictions, watched.declared, min_rows=low, seed=seed, progress=tell)
    search = None
    if spec.search:
        search = search_slices(metric, predictions, watched.searched, min_rows=low, seed=seed, progress=tell)
    found = Slices(metric.name, metric.higher_is_better, declared, search)
    return "slices", found, slice_evidence(declared, metric) if spec.floor is not None else ()


def _errors(ctx: Context, metric: Metric, predictions: Predictions, watched: Watched) -> Any:
    found = errors(
        predictions,
        metric,
        times=watched.times,
        missing=watched.missing,
        min_rows=ctx.spec.evaluate.min_rows,
        seed=ctx.spec.seed,
    )
    id_ = ctx.spec.data.id
    shown = id_ is not None and id_ not in watched.hidden
    worst = described(
        predictions,
        watched.picked,
        watched.numbers,
        watched.worst,
        ids=watched.worst.get(id_) if shown and id_ else None,
        hidden=watched.hidden,
    )
    return replace(found, worst=worst, hidden=watched.hidden)


def _robustness(
    ctx: Context, runner: Runner, metric: Metric, predictions: Predictions, watched: Watched
) -> _Look:
    spec = ctx.spec.evaluate.robustness
    if spec is None:
        raise ValueError("no robustness is declared")
    base = take(predictions, watched.sampled)

    def answer(feeds: Feeds) -> Predictions:
        got = runner.run(feeds, base.rows)
        regression = base.task.kind is Kind.REGRESSION
        return replace(
            base,
            score=np.asarray(got["prediction" if regression else "probability"], np.float64),
            decision=None if regression else np.asarray(got["decision"], np.int64),
        )

    groups: dict[str, list[str]] = {}
    for name in runner.inputs:
        table = name.partition(".")[0]
        if table in ctx.spec.data.tables and table != ctx.spec.data.events and "." in name:
            groups.setdefault(table, []).append(name)
    plan = Plan(
        types=runner.inputs,
        groups=groups,
        spreads=watched.spreads,
        missing=spec.missing,
        scale=spec.scale,
        noise=spec.noise,
    )
    found = robustness(
        metric, watched.sample, answer, plan, seed=ctx.spec.seed, progress=ctx.tell("evaluate")
    )
    judged = tuple(e for e in robustness_evidence(found) if e.gate.partition(": ")[2] in spec.rules)
    return "robustness", found, judged


def _calibration(ctx: Context, predictions: Predictions) -> _Look:
    found = reliability(predictions, seed=ctx.spec.seed)
    evidence = Evidence(
        "calibration",
        found.ece,
        unit="expected calibration error",
        n=found.units,
        interval=found.interval,
        where=f"{found.of}: {found.said:.3g} was said, {found.came:.3g} came true",
        why_none=found.why_none,
    )
    return "calibration", found, (evidence,) if ctx.spec.evaluate.calibration is not None else ()


def _curve(ctx: Context, made: Made, metric: Metric) -> _Look:
    """Of the chosen model; where it is an ensemble, of the member that counts most."""
    recipe = [from_plain(m, Member) for m in made["learn"].facts["recipe"]]
    features = tuple(from_plain(f, Feature) for f in made["features"].facts["features"])
    setting = Setting(features, task_of(made), ctx.spec.seed, ctx.spec.limits.threads)
    member = max(recipe, key=lambda m: abs(m.weight))
    train, scored = (part_of(ctx, made, p) for p in ("train", "validation"))
    made_ = refit(
        train,
        scored,
        member,
        setting=setting,
        metric=metric,
        renew=renewing(ctx, made),
        progress=ctx.tell("evaluate"),
    )
    fits = [Fit(f.share, f.rows, f.units, measure(metric, f.seen), f.scored) for f in made_.fits]
    found = learning_curve(
        member.name,
        metric,
        fits,
        reference=made_.reference,
        richer=made_.richer,
        seed=ctx.spec.seed,
        why_none=made_.why_none,
    )
    return "learning_curve", found, ()


def part_of(ctx: Context, made: Made, part: str) -> Part:
    """A part's feature matrix, truth and units, as the learner saw them."""
    outputs = made["features"].outputs
    return Part(
        X=load_array(ctx, outputs[f"X_{part}"]),
        y=np.array(load_array(ctx, outputs[f"y_{part}"])),
        units=np.array(load_array(ctx, outputs[f"units_{part}"])),
        times=times_of(ctx, made, part) if learns_row_by_row(ctx.spec) else None,
    )


def _code(ctx: Context) -> tuple[str, ...]:
    """This stage's module; with a learning curve the rooms of the candidates that may be fitted."""
    if not ctx.spec.evaluate.learning_curve:
        return (__name__,)
    used = ["boosting", "forest", *(m.use for m in ctx.spec.model_specs().values())]
    rooms = {BUILT_IN[u].partition(":")[0] for u in used if u in BUILT_IN}
    if any(":" in u for u in used):
        rooms.add("headrace.learn.candidates.sklearn_any")
    return (__name__, *sorted(rooms))


def rules(ctx: Context, made: Made) -> Mapping[str, Rule]:
    """The floor of slices, the bounds of fairness, robustness and calibration: at the interval's safe end."""
    spec = ctx.spec.evaluate
    held: dict[str, Rule] = {}
    for evidence in made["evaluate"].evidence:
        kind, _, thing = evidence.gate.partition(": ")
        text: str | None = None
        if kind == "slice":
            text = spec.floor
        elif kind == "fairness" and spec.fairness is not None:
            text = spec.fairness.rules[evidence.details["measure"]]
        elif kind == "robustness" and spec.robustness is not None:
            text = spec.robustness.rules[thing]
        elif kind == "calibration":
            text = spec.calibration
        if text is not None:
            held[evidence.gate] = parse_rule(text, safe_end=True)
    return held


STAGE = Stage(
    "evaluate",
    ("ingest", "split", "features", "learn", "package"),
    _slice,
    _work,
    code=_code,
    libraries=("numpy", "onnxruntime", "duckdb", "pyarrow", "scipy", "scikit-learn", "lightgbm"),
)
