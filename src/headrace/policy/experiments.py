"""What an experiment says by now, and what follows: pure functions of what is known of its units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import isfinite, sqrt

import numpy as np
from numpy.typing import NDArray

from headrace.core.evidence import Interval
from headrace.metrics.sequential import Arm, difference, uneven, width

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
FAULT = 0.01
"""The chance at which a split that is as planned is called faulty, over the whole experiment."""
LEAST = 100
"""Units with an outcome that each arm has before anything is said: intervals rest on the central limit."""


class Verdict(StrEnum):
    """What follows."""

    WAIT = "wait"
    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no difference"
    FAULT = "faulty split"
    HARM = "guardrail"


@dataclass(frozen=True)
class Guarded:
    """A mean or ratio of the treatment arm that may not pass a bound: sums by unit (NaN where it has none).
    least: it may not fall below the bound, else not rise above it."""

    outcome: Floats
    per: Floats
    bound: float
    least: bool = False


@dataclass(frozen=True)
class Units:
    """What is known of the units, an entry for each. treated: of the treatment arm; control: of the
    champion's (a canary's units are neither). outcome, per and before are sums over a unit's answers with an
    outcome (NaN where it has none), rows how many those are; first: when it was answered first (UTC
    microseconds). slices: values by column."""

    treated: Flags
    control: Flags
    outcome: Floats
    rows: Floats
    first: NDArray[np.int64]
    per: Floats | None = None
    before: Floats | None = None
    guardrails: Mapping[str, Guarded] = field(default_factory=dict)
    slices: Mapping[str, Sequence[object]] = field(default_factory=dict)


@dataclass(frozen=True)
class Rules:
    """How an experiment is judged. share: of units in the treatment arm. planned: units with which it ends
    (0: open). start: UTC microseconds; minimum: its shortest length, microseconds. higher: whether more is
    better."""

    share: float
    level: float = 0.05
    planned: int = 0
    higher: bool = True
    start: int = 0
    minimum: int = 0


@dataclass(frozen=True)
class Effect:
    """A difference, treatment less control. arms: units with an outcome; means: of the arms. reduction: the
    share of the variance that the covariate took out."""

    interval: Interval
    difference: float
    arms: tuple[int, int]
    means: tuple[float, float]
    reduction: float = 0.0

    @property
    def shown(self) -> int:
        """1 or -1 where the interval excludes zero on that side, else 0."""
        return (self.interval.low > 0) - (self.interval.high < 0)


@dataclass(frozen=True)
class Held:
    """A guardrail, measured on the treatment arm. broken: beyond noise, however often one looks."""

    value: float
    interval: Interval
    bound: float
    units: int
    broken: bool


@dataclass(frozen=True)
class Look:
    """An experiment at one moment. units: that came, by arm (control, treatment), with an outcome or without.
    uneven: the always-valid p-value of the split. slices: effects by `column = value`, at a level that is
    divided among them. novelty: a note where the effect of early units and of late ones differ."""

    verdict: Verdict
    reason: str
    units: tuple[int, int]
    uneven: float
    effect: Effect | None
    guardrails: Mapping[str, Held] = field(default_factory=dict)
    slices: Mapping[str, Effect] = field(default_factory=dict)
    novelty: str = ""


def look(units: Units, rules: Rules, now: int) -> Look:
    """Judge what is known by `now` (UTC microseconds). May be asked as often as one likes."""
    came = int((~units.treated).sum()), int(units.treated.sum())
    split = uneven(came, (1.0 - rules.share, rules.share))
    effect = _effect(units, rules, np.ones(len(units.treated), bool), rules.level)
    guardrails = _guardrails(units, rules)
    slices = _slices(units, rules)
    verdict, reason = _judged(rules, now, came, split, effect, guardrails)
    return Look(verdict, reason, came, split, effect, guardrails, slices, _novelty(units, rules))


def _judged(
    rules: Rules,
    now: int,
    came: tuple[int, int],
    split: float,
    effect: Effect | None,
    guardrails: Mapping[str, Held],
) -> tuple[Verdict, str]:
    if split <= FAULT:
        share = came[1] / max(sum(came), 1)
        what = f"{share:.2%} of the units are in the treatment arm, {rules.share:.2%} were planned"
        return (
            Verdict.FAULT,
            f"{what} (p = {split:.2g}); whatever divides them wrongly may also bias the outcome",
        )
    for name, held in guardrails.items():
        if held.broken:
            low, high = held.interval.low, held.interval.high
            return Verdict.HARM, f"{name}: the treatment has {held.value:.4g} [{low:.4g}, {high:.4g}]"
    if effect is None:
        return Verdict.WAIT, f"each arm needs {LEAST} units with an outcome"
    if now - rules.start < rules.minimum:
        return Verdict.WAIT, "the shortest duration is not over: weekdays and first impressions differ"
    told = f"{effect.difference:+.4g} [{effect.interval.low:.4g}, {effect.interval.high:.4g}]"
    if effect.shown:
        good = (effect.shown > 0) == rules.higher
        return (
            Verdict.BETTER if good else Verdict.WORSE
        ), f"the treatment's outcome is {told} of the control's"
    if rules.planned and sum(effect.arms) >= rules.planned:
        return Verdict.NO_DIFFERENCE, f"the planned {rules.planned:,} units are there, and {told} holds zero"
    return Verdict.WAIT, f"{told} holds zero so far"


def _effect(units: Units, rules: Rules, chosen: Flags, level: float) -> Effect | None:
    """The difference between the arms among chosen units; None where too few have an outcome."""
    known = chosen & (units.treated | units.control) & np.isfinite(units.outcome) & (units.rows > 0)
    treated = units.treated[known]
    if min(treated.sum(), (~treated).sum()) < LEAST:
        return None
    if units.per is None:
        values = units.outcome[known] / units.rows[known]
    else:
        values = _linearised(units.outcome[known], units.per[known], treated)
    reduction = 0.0
    if units.before is not None:
        values, reduction = _adjusted(values, units.before[known], treated)
    control, treatment = _arm(values[~treated]), _arm(values[treated])
    planned = rules.planned or control.units + treatment.units
    interval = difference(control, treatment, level=level, planned=max(planned, 2 * LEAST))
    return Effect(
        interval,
        treatment.mean - control.mean,
        (control.units, treatment.units),
        (control.mean, treatment.mean),
        reduction,
    )


def _arm(values: Floats) -> Arm:
    return Arm(len(values), float(values.mean()), float(values.var(ddof=1)))


def _linearised(outcome: Floats, per: Floats, treated: Flags) -> Floats:
    """A ratio of sums as a mean over units with the same variance, by the delta method (Deng, Knoblich & Lu
    2018, Applying the delta method in metric analytics, KDD): by arm `R + (outcome - R per) / mean(per)`."""
    values = np.empty(len(outcome))
    for arm in (treated, ~treated):
        if not arm.any():
            continue
        whole = per[arm].sum()
        ratio = outcome[arm].sum() / whole if whole else np.nan
        values[arm] = ratio + (outcome[arm] - ratio * per[arm]) / per[arm].mean() if whole else np.nan
    return values


def _adjusted(values: Floats, before: Floats, treated: Flags) -> tuple[Floats, float]:
    """CUPED (Deng, Xu, Kohavi & Walker 2013, WSDM): less what the covariate explains within arms. A unit
    whose covariate is unknown has the mean. Returns the values and the share of variance that went."""
    x = np.where(np.isfinite(before), before, np.nan)
    if not np.isfinite(x).any():
        return values, 0.0
    x = np.where(np.isfinite(x), x, np.nanmean(x))
    inside = [(values[a] - values[a].mean(), x[a] - x[a].mean()) for a in (treated, ~treated)]
    across = sum(float(v @ c) for v, c in inside)
    spread = sum(float(c @ c) for _, c in inside)
    whole = sum(float(v @ v) for v, _ in inside)
    if spread <= 0 or whole <= 0:
        return values, 0.0
    return values - across / spread * (x - x.mean()), across * across / (spread * whole)


def _guardrails(units: Units, rules: Rules) -> dict[str, Held]:
    """Each guarded figure of the treatment arm against its bound; the level is divided among them."""
    found = {}
    for name, of in units.guardrails.items():
        known = units.treated & np.isfinite(of.outcome) & np.isfinite(of.per) & (of.per > 0)
        if known.sum() < LEAST:
            continue
        values = _linearised(of.outcome[known], of.per[known], np.ones(int(known.sum()), bool))
        arm, level = _arm(values), rules.level / len(units.guardrails)
        half = sqrt(arm.variance) * width(arm.units, level, max(rules.planned, 2 * LEAST))
        interval = Interval(arm.mean - half, arm.mean + half, 1.0 - level)
        broken = interval.high < of.bound if of.least else interval.low > of.bound
        found[name] = Held(arm.mean, interval, of.bound, arm.units, broken)
    return found


def _slices(units: Units, rules: Rules) -> dict[str, Effect]:
    """Effects by value, at a level divided among all that are shown (Bonferroni)."""
    chosen = {
        f"{column} = {value}": np.array([v == value for v in values])
        for column, values in units.slices.items()
        for value in dict.fromkeys(values)
        if value is not None
    }
    large = {
        name: flags
        for name, flags in chosen.items()
        if min((flags & units.treated).sum(), (flags & units.control).sum()) >= LEAST
    }
    found = {}
    for name, flags in large.items():
        effect = _effect(units, rules, flags, rules.level / len(large))
        if effect is not None:
            found[name] = effect
    return found


def _novelty(units: Units, rules: Rules) -> str:
    """Whether units that came early show another effect than those that came late."""
    if not len(units.first):
        return ""
    early = units.first <= np.median(units.first)
    halves = [_effect(units, rules, flags, rules.level / 2) for flags in (early, ~early)]
    first, last = halves
    if first is None or last is None or not (isfinite(first.difference) and isfinite(last.difference)):
        return ""
    apart = first.interval.low > last.interval.high or last.interval.low > first.interval.high
    if not apart:
        return ""
    return (
        f"units that came early show {first.difference:+.4g}, those that came late {last.difference:+.4g}: "
        "the effect may be one of novelty, or of learning; let it run on"
    )
