"""Clusters of places: k-means (Lloyd 1982, begun as Arthur & Vassilvitskii 2007), its centres on the grid."""

from __future__ import annotations

import numpy as np

from headrace.features.neighbours.grid import Numbers

MOST_ROWS = 100_000
"""Rows that centres are fitted on, evenly drawn where there are more."""


def fit_centres(places: Numbers, clusters: int, seed: int) -> Numbers:
    """Centres [clusters, axes] as whole numbers of steps, in ascending order; zero rows where none are asked.

    Where there are fewer distinct places than clusters, the last place stands for the missing ones: no row is
    ever nearest to it but those that are nearest to itself.
    """
    if not clusters:
        return np.zeros((0, places.shape[1]))
    distinct = np.unique(places, axis=0)
    if len(distinct) <= clusters:
        least = distinct if len(distinct) else np.zeros((1, places.shape[1]))
        return np.concatenate([least, np.repeat(least[-1:], clusters - len(least), axis=0)])
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    some = places
    if len(places) > MOST_ROWS:
        some = places[np.linspace(0, len(places) - 1, MOST_ROWS).astype(np.int64)]
    # one thread: several would add up in another order
    with threadpool_limits(1):
        found = KMeans(clusters, n_init=4, random_state=seed).fit(some).cluster_centers_
    rounded: Numbers = np.rint(found)
    return rounded[np.lexsort(rounded.T[::-1])]
