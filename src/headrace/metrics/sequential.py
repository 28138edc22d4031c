"""Intervals and tests that hold at every look: whoever peeks each day, and stops at will, errs no more often
than was said."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, lgamma, log, sqrt
from statistics import NormalDist

from headrace.core.evidence import Interval


@dataclass(frozen=True)
class Arm:
    """What is known of an arm: units, the mean of the outcome over them, and the variance between units."""

    units: int
    mean: float
    variance: float


def mixture(level: float, planned: int) -> float:
    """The mixture's scale with which the interval is narrowest at `planned` units (Waudby-Smith, Arbour,
    Sinha, Kennedy & Ramdas 2024, Time-uniform central limit theory and asymptotic confidence sequences,
    Annals of Statistics 52)."""
    twice = -2.0 * log(level)
    return sqrt((twice + log(twice + 1.0)) / planned)


def width(units: int, level: float, planned: int) -> float:
    """Half the interval's width in standard deviations of one unit, after so many units: the boundary of the
    normal mixture martingale (Robbins 1970, Annals of Mathematical Statistics 41), which the running mean
    crosses at any time at all with a chance of at most `level`."""
    rho = mixture(level, planned) ** 2
    grown = units * rho + 1.0
    return sqrt(2.0 * grown / (units * units * rho) * log(sqrt(grown) / level))


def difference(control: Arm, treatment: Arm, *, level: float, planned: int) -> Interval:
    """The difference of means, treatment less control, with an asymptotic confidence sequence: the chance
    that it ever fails to hold the truth, at any look, is at most `level`, from some hundred units on
    (Waudby-Smith et al. 2024; as in Maharaj, Sinha, Arbour, Waudby-Smith et al. 2023, Anytime-valid
    confidence sequences in an enterprise A/B testing platform).

    planned: the units of both arms together at which it is to be narrowest. Unbounded with fewer than two
    units in an arm.
    """
    effect = treatment.mean - control.mean
    if min(control.units, treatment.units) < 2:
        return Interval(-float("inf"), float("inf"), 1.0 - level)
    units = control.units + treatment.units
    one = sqrt(units * (control.variance / control.units + treatment.variance / treatment.units))
    half = one * width(units, level, planned)
    return Interval(effect - half, effect + half, 1.0 - level)


def units_needed(spread: float, effect: float, *, share: float, level: float, power: float) -> int:
    """The units of both arms with which the sequence excludes zero by then with the chance `power`, where the
    truth is `effect`. It may do so earlier: this many is the most that are waited for.

    spread: the standard deviation between units, alike in both arms. share: of the treatment arm.

    Raises:
        ValueError: an effect of zero, or a number that is out of reach.
    """
    for number in (share, level, power):
        if not 0 < number < 1:
            raise ValueError(f"{number} does not lie between 0 and 1")
    if effect == 0 or not spread > 0:
        raise ValueError("no number of units shows an effect of zero, or measures what does not vary")
    one = spread / sqrt(share * (1.0 - share))
    missed = NormalDist().inv_cdf(power)
    # Where the interval is narrowest: a width in units of its own, whatever their number.
    twice = -2.0 * log(level)
    grown = 1.0 + twice + log(twice + 1.0)
    crossed = sqrt(2.0 * grown / (grown - 1.0) * log(sqrt(grown) / level))
    return -int(-((crossed + missed) ** 2 * one * one / (effect * effect)) // 1)


def units_for_shares(baseline: float, expected: float, *, share: float, level: float, power: float) -> int:
    """`units_needed` where the outcome is a share: `baseline` in the control, `expected` in the treatment.

    Raises:
        ValueError: the shares are equal, or a number does not lie between 0 and 1.
    """
    for number in (baseline, expected):
        if not 0 < number < 1:
            raise ValueError(f"{number} does not lie between 0 and 1")
    spread = spread_of_shares(baseline, expected, share)
    return units_needed(spread, expected - baseline, share=share, level=level, power=power)


def spread_of_shares(baseline: float, expected: float, share: float) -> float:
    """The standard deviation between units that stands for both arms' own: weighted as the difference of
    their means weighs them."""
    return sqrt((1.0 - share) * expected * (1.0 - expected) + share * baseline * (1.0 - baseline))


def uneven(counts: tuple[int, ...], shares: tuple[float, ...], *, strength: float = 100.0) -> float:
    """Whether units came to the arms in other shares than were planned: an always-valid p-value (Lindon &
    Malek 2022, Anytime-valid inference for multinomial count data, NeurIPS): one over the Bayes factor of a
    Dirichlet prior, centred on the plan, against the plan.

    strength: of the prior; the larger, the smaller the faults that it is best at. Its smallest value over all
    looks is what counts: with an even split it ever falls to α with a chance of at most α.
    """
    total = sum(counts)
    if total == 0:
        return 1.0
    evidence = lgamma(strength) - lgamma(strength + total)
    for count, share in zip(counts, shares, strict=True):
        prior = strength * share
        evidence += lgamma(prior + count) - lgamma(prior) - count * log(share)
    return min(1.0, exp(min(-evidence, 0.0)))
