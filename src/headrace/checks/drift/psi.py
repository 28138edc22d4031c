"""The population stability index: each bin's change of share times the change of its logarithm, added up.

It is the symmetric divergence of Jeffreys (1946), the sum of both Kullback–Leibler divergences; as an index
of score cards: Lewis (1994). Its expectation while nothing changes is about (bins - 1)(1/window +
1/reference) (Yurdakul & Naranjo, 2020), which is why no constant such as 0.2 fits two sizes of windows. An
empty bin counts as half a row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headrace.checks.drift.statistic import Counts, Statistic, Values


def psi(window: Counts, reference: Counts, _gaps: NDArray[np.float64]) -> Values:
    """Of counts `[..., columns, bins]`: 0 and more, without unit. Gaps are not used.

    >>> float(np.round(psi(np.array([[30, 70]]), np.array([[50, 50]]), np.zeros((1, 2)))[0], 4))
    0.1695
    """
    m, n = (np.maximum(c.sum(-1, keepdims=True), 1.0) for c in (window, reference))
    q, p = np.maximum(window, 0.5) / m, np.maximum(reference, 0.5) / n
    terms = (q - p) * np.log(q / p)
    return np.asarray(np.where((window > 0) | (reference > 0), terms, 0.0).sum(-1), np.float64)


PSI = Statistic(
    "psi", psi, ordered=False, power=0.5, least=0.2, paper="Jeffreys (1946); Yurdakul & Naranjo (2020)"
)
