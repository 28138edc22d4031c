"""How many units an A/B test of two shares needs."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from statistics import NormalDist


@dataclass(frozen=True)
class SampleSize:
    """Units that each arm needs."""

    control: int
    treatment: int

    @property
    def total(self) -> int:
        return self.control + self.treatment


def two_proportions(
    baseline: float, expected: float, *, treatment_share: float, level: float = 0.05, power: float = 0.8
) -> SampleSize:
    """The units with which a two-sided z test at `level` sees the difference between two shares with the
    chance `power`, for arms of unequal size, without continuity correction (Fleiss, Levin & Paik 2003,
    Statistical Methods for Rates and Proportions, 3rd ed., section 4.5). Units have to be independent.

    baseline, expected: the shares in the control and the treatment arm. treatment_share: the share of units
    in the treatment arm.

    Raises:
        ValueError: the shares are equal, or a number is not between 0 and 1.

    >>> two_proportions(0.10, 0.12, treatment_share=0.5)
    SampleSize(control=3841, treatment=3841)
    """
    for number in (baseline, expected, treatment_share, level, power):
        if not 0 < number < 1:
            raise ValueError(f"{number} does not lie between 0 and 1")
    if baseline == expected:
        raise ValueError("no number of units shows a difference between equal shares")
    ratio = treatment_share / (1 - treatment_share)
    pooled = (baseline + ratio * expected) / (ratio + 1)
    by_chance = NormalDist().inv_cdf(1 - level / 2) * sqrt((ratio + 1) * pooled * (1 - pooled))
    missed = NormalDist().inv_cdf(power) * sqrt(ratio * baseline * (1 - baseline) + expected * (1 - expected))
    control = (by_chance + missed) ** 2 / (ratio * (expected - baseline) ** 2)
    return SampleSize(ceil(control), ceil(control * ratio))
