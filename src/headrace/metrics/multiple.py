"""Many tests at once: p-values as they count when all of them have been looked at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headrace.core.errors import UserError


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """p-values corrected by Holm's step-down method, in the order given.

    Where one rejects what lies at or below a level, the chance of any false rejection among all of them is
    at most that level, however the tests depend on each other (Holm 1979, Scandinavian Journal of Statistics
    6). A NaN (nothing could be tested) stays NaN and is not counted.

    Raises:
        UserError: a p-value lies outside 0 to 1.

    >>> holm([0.01, 0.04, 0.03])
    (0.03, 0.06, 0.06)
    """
    p = np.asarray(p_values, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(p))
    if np.any((p[known] < 0) | (p[known] > 1)):
        raise UserError("a p-value lies outside 0 to 1", fix="pass probabilities")
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else steps
    return tuple(float(v) for v in adjusted)
