"""Chi-square of two samples (Pearson, 1900; Fisher, 1922): squared changes of share over the reference's
share.

A bin of which the window can expect less than one row counts as if it expected one: else a single value that
the reference did not have would be a hundred times more than all else (Cochran, 1954, merges such bins).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headrace.checks.drift.statistic import Counts, Statistic, Values, shares


def chi_square(window: Counts, reference: Counts, _gaps: NDArray[np.float64]) -> Values:
    """Of counts `[..., columns, bins]`: 0 and more; while nothing changes and rows are independent, about as
    many as there are bins, less one. Gaps are not used.

    >>> float(np.round(chi_square(np.array([[30, 70]]), np.array([[50, 50]]), np.zeros((1, 2)))[0], 4))
    8.0
    """
    (q, m), (p, n) = shares(window), shares(reference)
    some = np.maximum(m, 1.0)
    found = ((q - p) ** 2 / np.maximum(p, 1 / some)).sum(-1)
    return np.asarray(found / (1 / some + 1 / np.maximum(n, 1.0))[..., 0], np.float64)


CHI_SQUARE = Statistic(
    "chi_square",
    chi_square,
    ordered=False,
    power=0.5,
    least=0.2,
    paper="Pearson (1900); Cochran (1954)",
    counted=True,
)
