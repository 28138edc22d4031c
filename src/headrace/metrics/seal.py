"""How much error each opening of a seal may spend."""

from __future__ import annotations

import math


def opening_level(alpha: float, k: int) -> float:
    """The one-sided level at which opening `k` (1, 2, …) of the same rows is judged.

    The first, which shows its estimate, at alpha / 2: the safe end of a two-sided interval. Those behind it,
    which show a verdict alone, at alpha / 16, alpha / 32, …, each at half the level of the one before.

    Verdicts alone would let the levels go on from alpha / 4 (the union bound over the one path of failures;
    Dwork et al. 2015, Science 349, on adaptive looks). But the estimate tells more than a verdict: an
    attacker who takes the first candidate, or its opposite, and mixes it with just so much noise that the
    next level is most likely to be reached, would then pass falsely with probability 1.7 alpha (0.085 at
    0.05, by integration over a normal statistic). With the levels as they are it is 0.83 alpha. The level is
    0, so that nothing passes, once it is too small for a float.

    Raises:
        ValueError: `alpha` is no probability between 0 and 1, or `k` is below 1.

    >>> opening_level(0.05, 1), opening_level(0.05, 2), opening_level(0.05, 3)
    (0.025, 0.003125, 0.0015625)
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}, a probability between 0 and 1 was expected")
    if k < 1:
        raise ValueError(f"opening {k} was asked for, they count from 1")
    return alpha / 2 if k == 1 else math.ldexp(alpha, -(k + 2))
