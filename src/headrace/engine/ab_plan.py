"""How many units an experiment needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, sqrt
from statistics import NormalDist

from headrace.core.errors import Problem, UserError
from headrace.core.spec import ParsedSpec
from headrace.core.spec.plans import ExperimentPlan
from headrace.core.spec.scalars import parse_rate
from headrace.metrics.sequential import units_needed


@dataclass(frozen=True)
class Question:
    """What is asked; None: as the spec's `experiment` says, or its default. One of baseline (a share), spread
    (standard deviation of a mean) and ratio (coefficient of variation of both sums, their correlation; the
    effect is relative then). cuped: the correlation with a covariate. pace: units a day."""

    baseline: float | None = None
    spread: float | None = None
    ratio: tuple[float, float] | None = None
    effect: float | None = None
    traffic: float | None = None
    alpha: float | None = None
    power: float | None = None
    cuped: float = 0.0
    pace: float | None = None


@dataclass(frozen=True)
class Needed:
    """What it takes. units: of both arms, looking at any time; single_look: looking once, at the end."""

    units: int
    treatment: int
    single_look: int
    effect: float
    alpha: float
    power: float
    pace: float | None
    days: float | None


def answer(question: Question, spec: Callable[[], ParsedSpec]) -> Needed:
    """How many units, and how long that takes. The spec is read where the question leaves something open.

    Raises:
        UserError: what is asked can't be planned.
    """
    q = question
    plan = ExperimentPlan()
    declared: str | None = None
    given = [q.baseline is not None, q.spread is not None, q.ratio is not None]
    if not any(given) or q.effect is None or q.pace is None:
        plan, declared = _declared(spec, needed=not any(given) or q.effect is None)
    baseline = q.baseline if any(given) else plan.baseline
    effect = q.effect
    if effect is None and plan.expected is not None and baseline is not None:
        effect = plan.expected - baseline
    spread = _spread(q, baseline, effect)
    if effect is None or spread is None or sum(given) > 1:
        raise UserError(
            "say of what the outcome is, and which difference is worth finding",
            fix="give --effect and one of --baseline, --spread and --ratio, or `experiment` in the spec",
        )
    share, alpha, power = q.traffic or plan.traffic, q.alpha or plan.level, q.power or plan.power
    left = spread * sqrt(1.0 - q.cuped**2)
    try:
        units = units_needed(left, effect, share=share, level=alpha, power=power)
    except ValueError as error:
        raise UserError(str(error), fix="give an effect other than zero, and a spread above it") from None
    pace = q.pace or (parse_rate(declared) * 86_400 if declared else None)
    return Needed(
        units,
        ceil(units * share),
        _single(left, effect, share, alpha, power),
        effect,
        alpha,
        power,
        pace,
        None if pace is None else units / pace,
    )


def _declared(spec: Callable[[], ParsedSpec], *, needed: bool) -> tuple[ExperimentPlan, str | None]:
    try:
        found = spec().spec
    except UserError:
        if needed:
            raise
        return ExperimentPlan(), None
    plan = found.experiment or ExperimentPlan()
    return plan, plan.units or found.context.volume


def _spread(q: Question, baseline: float | None, effect: float | None) -> float | None:
    """The standard deviation of one unit's outcome, in the unit of the effect."""
    if q.spread is not None:
        return q.spread
    if q.ratio is not None:
        variation, correlation = q.ratio
        # Delta method with equal coefficients of variation: relative variance of a ratio of two sums.
        return variation * sqrt(2.0 * (1.0 - correlation))
    if baseline is None or effect is None:
        return None
    problems = [
        Problem(f"{share:g} is no share", fix="give one between 0 and 1")
        for share in (baseline, baseline + effect)
        if not 0 < share < 1
    ]
    if problems:
        raise UserError.of(problems)
    return sqrt(0.5 * (baseline * (1 - baseline) + (baseline + effect) * (1 - baseline - effect)))


def _single(spread: float, effect: float, share: float, alpha: float, power: float) -> int:
    """Units for a z test that is looked at once."""
    normal = NormalDist()
    both = normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)
    return ceil((both * spread / effect) ** 2 / (share * (1 - share)))
