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
from headrace.metrics.sample_size import two_proportions
from headrace.metrics.sequential import spread_of_shares, units_needed


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
    share = q.traffic or plan.traffic
    spread = _spread(q, baseline, effect, share)
    if effect is None or spread is None or sum(given) > 1:
        raise UserError(
            "say of what the outcome is, and which difference is worth finding",
            fix="give --effect and one of --baseline, --spread and --ratio, or `experiment` in the spec",
        )
    alpha, power = q.alpha or plan.level, q.power or plan.power
    left = spread * sqrt(1.0 - q.cuped**2)
    try:
        units = units_needed(left, effect, share=share, level=alpha, power=power)
    except ValueError as error:
        raise UserError(str(error), fix="give an effect other than zero, and a spread above it") from None
    pace = q.pace or (parse_rate(declared) * 86_400 if declared else None)
    return Needed(
        units,
        ceil(units * share),
        _single(q, baseline, left, effect, (share, alpha, power)),
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


def _spread(q: Question, baseline: float | None, effect: float | None, share: float) -> float | None:
    """The standard deviation of one unit's outcome, in the unit of the effect."""
    if q.spread is not None:
        return q.spread
    if q.ratio is not None:
        variation, correlation = q.ratio
        if not (variation > 0 and -1 <= correlation < 1):
            raise UserError(
                f"--ratio {variation:g} {correlation:g} describes no two sums",
                fix="give a coefficient of variation above 0, and a correlation from -1 to below 1",
            )
        # Delta method with equal coefficients of variation: relative variance of a ratio of two sums.
        return variation * sqrt(2.0 * (1.0 - correlation))
    if baseline is None or effect is None:
        return None
    problems = [
        Problem(f"{one:g} is no share", fix="give one between 0 and 1")
        for one in (baseline, baseline + effect)
        if not 0 < one < 1
    ]
    if problems:
        raise UserError.of(problems)
    return spread_of_shares(baseline, baseline + effect, share)


def _single(
    q: Question, baseline: float | None, spread: float, effect: float, plan: tuple[float, float, float]
) -> int:
    """Units for a z test that is looked at once: of two shares, else of two means."""
    share, alpha, power = plan
    if q.spread is None and q.ratio is None and baseline is not None and not q.cuped:
        return two_proportions(
            baseline, baseline + effect, treatment_share=share, level=alpha, power=power
        ).total
    normal = NormalDist()
    both = normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)
    return ceil((both * spread / effect) ** 2 / (share * (1 - share)))
