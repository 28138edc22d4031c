"""How much error each opening of a seal may spend."""

from __future__ import annotations

import math


def opening_level(alpha: float, k: int) -> float:
    """The one-sided level at which opening `k` (1, 2, …) of the same rows is judged: alpha / 2^k.

    However many candidates come, and however they are chosen from the verdicts before, the chance that
    any unworthy one passes is at most alpha / 2 + alpha / 4 + … = alpha (the union bound; a verdict
    tells an attacker one bit, and a tree of pass-or-fail answers is what Dwork et al. 2015, Science 349,
    call a reusable holdout). The level is 0, so that nothing passes, once it is too small for a float.

    Raises:
        ValueError: `alpha` is no probability between 0 and 1, or `k` is below 1.

    >>> opening_level(0.05, 1), opening_level(0.05, 2)
    (0.025, 0.0125)
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}, a probability between 0 and 1 was expected")
    if k < 1:
        raise ValueError(f"opening {k} was asked for, they count from 1")
    return math.ldexp(alpha, -k)
