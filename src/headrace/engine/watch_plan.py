"""What the spec says under `watch` and `alerts`, resolved for the manifest."""

from __future__ import annotations

from headrace.core.clock import duration_micros
from headrace.core.spec import Spec
from headrace.core.spec.scalars import split_rate
from headrace.core.spec.watching import Costs
from headrace.engine.checking.evaluate import slice_expression
from headrace.engine.columns import ANSWER
from headrace.engine.context import Context, Made
from headrace.engine.references import make_reference
from headrace.engine.stages.ingest import compiled_of
from headrace.expr import Expr
from headrace.expr.to_onnx import compile_exprs
from headrace.metrics.binary import OUTCOMES
from headrace.release.manifest import Serving
from headrace.release.watching import HealthBounds, Prices, WatchPlan

MONTH = 30.4375 * 86_400
"""Seconds."""


def watch_plan(ctx: Context, made: Made, serving: Serving) -> WatchPlan:
    """The plan of a release that is being made. serving: what it answers with.

    Raises:
        HeadraceError: reference rows can't be read.
    """
    watch, alerts = ctx.spec.watch, ctx.spec.alerts
    known = {f.name for f in serving.fields} | set(serving.event_types())
    slices, expressions, left = _slices(ctx, made, known)
    reference, rows = make_reference(ctx, made, expressions)
    named = {ANSWER + text: e for text, e in expressions.items()}
    return WatchPlan(
        reference=reference,
        rows=rows,
        window_us=duration_micros(watch.window),
        window_rows=watch.rows,
        least=watch.least,
        labels_us=duration_micros(watch.labels),
        zone=ctx.zone,
        budget=per_month(alerts.budget),
        cool_down_us=duration_micros(alerts.cool_down),
        keep_us=duration_micros(watch.keep),
        off=watch.off,
        ignore=watch.ignore,
        slices=slices,
        graph=ctx.store.put(compile_exprs(named)).digest if named else "",
        not_sliced=left,
        fair=tuple(c for c in _fair(ctx.spec) if c in known),
        worth=_worth(ctx.spec),
        worth_unit=ctx.spec.problem.value.unit if ctx.spec.problem.value is not None else "",
        health=bounds(ctx.spec),
        prices=None if watch.costs is None else prices(ctx.spec, watch.costs),
    )


def per_month(text: str) -> float:
    """A budget of alarms as a number a month of 30.4375 days.

    >>> per_month("1 per month"), round(per_month("1 / week"), 2)
    (1.0, 4.35)
    """
    if text.endswith(" per month"):
        return float(text.removesuffix(" per month"))
    number, seconds = split_rate(text)
    return number * MONTH / seconds


def bounds(spec: Spec) -> HealthBounds:
    """What the service keeps to; its target of latency is that of `serve` where none is said."""
    health = spec.watch.health
    p99 = health.p99 or (spec.serve.p99 if spec.serve else None)
    return HealthBounds(
        p99_us=duration_micros(p99),
        errors=health.errors,
        fallback=health.fallback,
        silent_us=duration_micros(health.silent),
    )


def prices(spec: Spec, costs: Costs) -> Prices:
    """Declared prices, in the currency of `problem.value` where none is said."""
    value = spec.problem.value
    unit = costs.unit or (value.unit if value is not None else "")
    return Prices(costs.machine_hour, costs.prediction, costs.review, costs.per_1000, unit)


def _slices(
    ctx: Context, made: Made, known: set[str]
) -> tuple[tuple[str, ...], dict[str, Expr], dict[str, str]]:
    """The slices that traffic has the columns of, those of them that are expressions, and why others can't be
    watched."""
    types = compiled_of(ctx, made).types
    kept, left = [], {}
    expressions: dict[str, Expr] = {}
    for text in ctx.spec.watch.slices or ctx.spec.evaluate.slices:
        found = slice_expression(text, types, ctx.zone)
        reads = (text,) if found is None else found.columns
        missing = [c for c in reads if c not in known]
        if missing:
            left[text] = f"the release does not read {missing[0]}, so that nobody sends it"
            continue
        kept.append(text)
        if found is not None:
            expressions[text] = found
    return tuple(kept), expressions, left


def _fair(spec: Spec) -> tuple[str, ...]:
    return () if spec.evaluate.fairness is None else spec.evaluate.fairness.columns


def _worth(spec: Spec) -> dict[str, float]:
    if spec.problem.value is None:
        return {}
    told = spec.problem.value.model_dump()
    return {name: float(told[name]) for name in OUTCOMES if told.get(name) is not None}
