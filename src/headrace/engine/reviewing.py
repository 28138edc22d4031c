"""Which answers people look at: the spec's `review`, typed, fitted and resolved for the manifest."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.core.clock import duration_micros
from headrace.core.codec import from_json
from headrace.core.review import ReviewPlan, RiskControl
from headrace.core.schema import Type
from headrace.core.spec import Spec
from headrace.core.spec.scalars import split_rate
from headrace.core.spec.serve import Review
from headrace.engine.context import Context, Made
from headrace.engine.stages.ingest import compiled_of
from headrace.expr import Expr, parse
from headrace.expr.to_onnx import compile_exprs
from headrace.metrics.record import Predictions
from headrace.policy.review import control_predictions

WHEN = "when"
"""The output of the graph of `when`."""


def answer_types(spec: Spec, target: Type) -> dict[str, Type]:
    """What `when` may say of an answer: `probability` is that of the positive class (of more than two: of the
    predicted one), `confidence` that of the predicted one. target: the type of the target's values."""
    sure = spec.uncertainty is not None
    if spec.problem.task == "regression":
        ends = {"lower": Type.NUMBER, "upper": Type.NUMBER} if sure else {}
        return {"prediction": Type.NUMBER, **ends}
    told = {"prediction": target, "probability": Type.NUMBER, "confidence": Type.NUMBER}
    return told | ({"set_size": Type.NUMBER} if sure else {})


def type_when(spec: Spec, text: str, columns: Mapping[str, Type], target: Type) -> Expr:
    """The condition over raw columns and the answer.

    Raises:
        ExprError: it can't be typed.
    """
    return parse(text, {**columns, **answer_types(spec, target)}, zone=spec.data.zone or "UTC")


def read_by_review(ctx: Context, made: Made) -> dict[str, Type]:
    """The raw columns that `when` reads, with their types."""
    when = None if ctx.spec.review is None else ctx.spec.review.when
    if when is None:
        return {}
    compiled = compiled_of(ctx, made)
    told = answer_types(ctx.spec, compiled.target.type)
    found = type_when(ctx.spec, when, compiled.types, compiled.target.type)
    return {c: compiled.types[c] for c in found.columns if c not in told}


def fit_review(spec: Spec, predictions: Predictions) -> RiskControl | None:
    """The confidence that the stated risk needs, on rows that took no part in fitting; None where no risk is
    stated."""
    review = spec.review
    if review is None or review.risk is None:
        return None
    return control_predictions(predictions, risk=review.risk, level=review.level, seed=spec.seed)


def review_plan(ctx: Context, made: Made) -> ReviewPlan | None:
    """The spec's `review`, for the manifest; None where there is none."""
    review = ctx.spec.review
    if review is None:
        return None
    graph, reads = "", tuple[str, ...]()
    if review.when is not None:
        compiled = compiled_of(ctx, made)
        condition = type_when(ctx.spec, review.when, compiled.types, compiled.target.type)
        graph, reads = ctx.store.put(compile_exprs({WHEN: condition})).digest, condition.columns
    kept = made["evaluate"].outputs.get("review")
    control = None if kept is None else from_json(ctx.store.get(kept).read_bytes(), RiskControl)
    number, seconds = (None, 86_400) if review.capacity is None else split_rate(review.capacity)
    return ReviewPlan(
        text=_text(review),
        graph=graph,
        reads=reads,
        control=control,
        audit=review.audit,
        capacity=None if number is None else int(number),
        period_us=seconds * 1_000_000,
        zone=ctx.zone,
        deadline_us=duration_micros(review.deadline),
        fallback=review.fallback,
        double=review.double,
    )


def _text(review: Review) -> str:
    if review.when is not None:
        return review.when
    if review.risk is not None:
        return f"risk {review.risk:g}"
    return f"audit {review.audit:g}"
