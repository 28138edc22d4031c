"""What a change of one column did to answers: the packaged graph asked again, with the column as it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.core.watching import Window
from headrace.summary.bins import FIRST, NULL, UNKNOWN, Bins, ColumnBins
from headrace.watch.why import Effect, undone


class Graph(Protocol):
    """A packaged graph, as `graph.run.Runner` is one."""

    def run(self, feeds: Mapping[str, NDArray[Any]], rows: int) -> Mapping[str, NDArray[Any]]:
        """Outputs by name, each [rows, ...]."""
        ...


def effects(
    graph: Graph,
    feeds: Mapping[str, NDArray[Any]],
    bins: Bins,
    codes: NDArray[np.uint8],
    before: Mapping[str, NDArray[Any]],
    *,
    names: tuple[str, ...] = (),
    seed: int = 0,
) -> tuple[Effect, ...]:
    """The mean answer with each column of `before` as it is, and as it was. Nothing of those whose values
    can't be given back: moments, and texts that are kept as digests.

    The other columns stay as they are: what moved together with one is not taken back.

    Args:
        feeds: what the graph reads of the window's rows, by raw column.
        codes: of these rows [rows, columns of bins]. before: counts of a column's codes in the reference.
        names: the classes, where there are more than two; the answer is of that which moved most.
    """
    known = [c for c in before if c in feeds and _has_a_way_back(bins.column(c))]
    if not known or not len(codes):
        return ()
    now = _means(graph.run(feeds, len(codes)))
    found = []
    for name in known:
        of, mine = bins.column(name), codes[:, bins.index(name)]
        was = values_of(of, undone(bins, name, mine, before[name], seed), feeds[name])
        without = _means(graph.run({**feeds, name: was}, len(codes)))
        changed = {a: abs(now[a] - without[a]) for a in now}
        answer = max(changed, key=changed.__getitem__)
        told = answer if not isinstance(answer, int) else f"probability of {names[answer]}"
        found.append(Effect(name, told, now[answer], without[answer], len(codes)))
    return tuple(found)


def _has_a_way_back(of: ColumnBins) -> bool:
    return of.type is not Type.TIME and not of.hashed


def _means(outputs: Mapping[str, NDArray[Any]]) -> dict[str | int, float]:
    """The mean prediction; or the mean probability, of each class where there are several."""
    if "probability" not in outputs:
        return {"prediction": float(np.mean(outputs["prediction"]))}
    told = np.asarray(outputs["probability"], dtype=np.float64)
    if told.ndim == 1:
        return {"probability": float(told.mean())}
    return dict(enumerate(told.mean(axis=0).tolist()))


def values_of(of: ColumnBins, codes: NDArray[np.int64], kept: NDArray[Any]) -> NDArray[Any]:
    """Raw values of codes: the middle of a bin, the category itself; what has none stays as it is."""
    made = kept.copy()
    for code in np.unique(codes).tolist():
        rows = codes == code
        if code == NULL:
            made[rows] = NULL_TEXT if of.type is Type.TEXT else np.nan
        elif FIRST <= code < of.high:
            at = code - FIRST
            if of.type is Type.NUMBER:
                made[rows] = (of.edges[at] + of.edges[at + 1]) / 2
            elif of.type is Type.BOOL:
                made[rows] = float(of.categories[at] == "true")
            elif not of.categories[at].startswith("#"):
                made[rows] = of.categories[at]
    return made


def rebuilt(bins: Bins, codes: NDArray[np.uint8], window: Window) -> dict[str, NDArray[np.generic]]:
    """Rows as a graph reads them, made of their codes: the middle of each bin, a category itself, the hour of
    the window's first day."""
    return {c.name: _column(c, codes[:, i], window) for i, c in enumerate(bins.columns)}


def _column(of: ColumnBins, codes: NDArray[np.uint8], window: Window) -> NDArray[np.generic]:
    n = len(codes)
    known = np.where(codes == UNKNOWN, 0, codes).astype(np.int64)
    if of.type is Type.TIME:
        start = window.start - window.start % 86_400_000_000
        hours = (known - FIRST).clip(0, 23)
        return np.where((known >= FIRST) & (known < of.high), start + hours * 3_600_000_000, NULL_TIME)
    if of.type is Type.TEXT:
        texts = np.empty(n, dtype=object)
        texts[:] = NULL_TEXT
        return values_of(of, known, texts)
    empty = np.full(n, np.nan)
    if of.type is Type.NUMBER and of.edges:
        empty[known == FIRST - 1] = of.edges[0]
        empty[known == of.high] = of.edges[-1]
    return values_of(of, known, empty)
