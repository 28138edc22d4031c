"""The distance of Jensen and Shannon (Lin, 1991; a metric: Endres & Schindelin, 2003): how well one can tell
from a single value whether it came from the window or the reference. Defined where a bin is empty on one
side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headrace.checks.drift.statistic import Counts, Statistic, Values, shares


def jensen_shannon(window: Counts, reference: Counts, _gaps: NDArray[np.float64]) -> Values:
    """Of counts `[..., columns, bins]`: 0 to 1 (in bits, its root). Gaps are not used.

    >>> float(np.round(jensen_shannon(np.array([[30, 70]]), np.array([[50, 50]]), np.zeros((1, 2)))[0], 4))
    0.1741
    """
    q, p = shares(window)[0], shares(reference)[0]
    middle = np.maximum((q + p) / 2, 1e-300)
    terms = q * np.log2(np.maximum(q, 1e-300) / middle) + p * np.log2(np.maximum(p, 1e-300) / middle)
    return np.asarray(np.sqrt(np.maximum(terms.sum(-1) / 2, 0.0)), np.float64)


JENSEN_SHANNON = Statistic(
    "jensen_shannon",
    jensen_shannon,
    ordered=False,
    power=1.0,
    least=0.12,
    paper="Lin (1991); Endres & Schindelin (2003)",
)
