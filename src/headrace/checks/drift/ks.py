"""The distance of Kolmogorov (1933) and Smirnov (1939): the largest difference of two distribution functions.

Of binned values it is taken at the bins' ends, and is at most one bin's share below that of the rows
themselves. Largest where a shift moves much mass past one point; blind to what happens in a thin tail.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headrace.checks.drift.statistic import Counts, Statistic, Values, cumulated


def ks(window: Counts, reference: Counts, _gaps: NDArray[np.float64]) -> Values:
    """Of counts `[..., columns, bins]`: 0 to 1. Gaps are not used.

    >>> float(np.round(ks(np.array([[30, 70]]), np.array([[50, 50]]), np.zeros((1, 2)))[0], 4))
    0.2
    """
    return np.asarray(np.abs(cumulated(window, reference)).max(-1, initial=0.0), np.float64)


KS = Statistic("ks", ks, ordered=True, power=1.0, least=0.08, paper="Kolmogorov (1933); Smirnov (1939)")
