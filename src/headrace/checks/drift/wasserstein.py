"""The distance of Wasserstein: how far values have to be carried, on average, to make one distribution of the
other (Vallender, 1974: the area between both distribution functions).

A bin stands for its middle. In units of the reference's interquartile range, and no step between two bins
costs more than one of them, so that a heavy tail does not drown what happens in the middle.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headrace.checks.drift.statistic import Counts, Statistic, Values, cumulated


def wasserstein(window: Counts, reference: Counts, gaps: NDArray[np.float64]) -> Values:
    """Of counts `[..., columns, bins]` with `gaps` `[columns, bins]`: 0 and more, in interquartile ranges.

    >>> float(np.round(wasserstein(np.array([[30, 70]]), np.array([[50, 50]]), np.array([[0.5, 0]]))[0], 4))
    0.1
    """
    return np.asarray((np.abs(cumulated(window, reference)) * gaps).sum(-1), np.float64)


WASSERSTEIN = Statistic(
    "wasserstein",
    wasserstein,
    ordered=True,
    power=1.0,
    least=0.04,
    paper="Vallender (1974)",
    unit="interquartile ranges",
)
