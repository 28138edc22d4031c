"""Drift of all columns together: how well a classifier tells rows of the window from rows of the reference.

A domain classifier (Ben-David et al., 2010; Rabanser, Günnemann & Lipton, 2019; as a two-sample test
Lopez-Paz & Oquab, 2017) sees what no single column shows: that two columns no longer go together as they
did. Ours is made to be told apart by its own features and to cost milliseconds: each column's rank, each
null and frequent category, and all products of two of them; those whose means differ most between the two
sides (Fan & Fan, 2008) weigh in by the independence rule (Bickel & Levina, 2004). It is fitted on four
fifths and scored on the fifth that was left out, stretches of time each; what is reported is the area under
its ROC curve.

It lies where the difference is in three columns at once, or in none of the means of products.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.drift.blocks import independent as independent_rows
from headrace.checks.drift.layout import counted, is_output
from headrace.checks.drift.resample import GROUPS, Size
from headrace.checks.drift.tail import Tail, fit_tail, quantile, surprise
from headrace.core.watching import Family, Reading
from headrace.summary.bins import FIRST, LOW, NULL, UNKNOWN, Bins
from headrace.summary.reference import ReferenceRows

MOST_ROWS = 5_000
"""Rows of each side that are looked at, evenly spread over their time."""
LEAST_ROWS = 50
DRAWS = 160
FOLDS = 5
PIECES = 8
KEPT = 20
"""Features that weigh in, at most."""
_TELLS = 2.5
_COMMON = 0.03
_CATEGORIES = 6
_NAMED = 3

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class DomainThresholds:
    """What of an area under the curve is an alarm. Small, and plain JSON.

    z: the area's distance from 1/2 in standard errors of Mann & Whitney (1947) from which on it is one; tail:
    of its surprise while nothing changes, from windows of the reference itself. windows: how many were tried;
    independent: how many of them share no row. why_none: why nothing can be known.
    """

    bins: str
    ignore: tuple[str, ...]
    rate: float
    z: float = 0.0
    tail: Tail | None = None
    windows: int = 0
    independent: int = 0
    why_none: str = ""


@dataclass(frozen=True)
class Seen:
    """What the classifier found. area: under the ROC curve, on rows that it was not fitted on. z: in standard
    errors from 1/2. names, t: the features that differ most and by how many standard errors; pairs: whether
    each is a product of two columns."""

    area: float
    z: float
    names: tuple[tuple[str, str], ...]
    t: tuple[float, ...]


def domain_thresholds(
    bins: Bins,
    rows: ReferenceRows,
    size: Size,
    rate: float,
    *,
    ignore: tuple[str, ...] = (),
    seed: int = 0,
) -> DomainThresholds:
    """Thresholds for windows of a size: the classifier is tried on stretches of the reference against what
    lies apart from them. 20,000 rows of 50 columns take seconds; the same rows give the same thresholds."""
    none = DomainThresholds(bins.digest, ignore, rate)
    made = Features(bins, rows.codes, ignore)
    stretch = _rows_in(rows, size)
    if made.width < 2:
        return replace(none, why_none="fewer than two columns are watched")
    if rows.rows < 5 * stretch or stretch < LEAST_ROWS:
        return replace(
            none, why_none=f"the reference has {rows.rows} rows, too few for windows of {size.rows}"
        )
    matrix = made.of(rows.codes)
    rng = np.random.default_rng([seed, size.rows, rows.rows])
    free = _free(bins, rows, stretch)
    last = rows.rows - stretch
    starts = np.unique(np.linspace(0, last, min(DRAWS, last + 1)).astype(np.int64))
    group = np.arange(rows.rows) * GROUPS // rows.rows
    found = []
    for start in starts:
        if free:
            order = rng.permutation(rows.rows)
            inside, apart = np.sort(order[:stretch]), np.sort(order[stretch:])
        else:
            inside = np.arange(start, start + stretch)
            if rows.run[inside[0]] != rows.run[inside[-1]] and stretch <= rows.rows // (
                2 * (rows.run[-1] + 1)
            ):
                continue
            apart = np.flatnonzero((group < group[inside[0]] - 1) | (group > group[inside[-1]] + 1))
        if size.rows < 0.8 * stretch:
            inside = np.sort(rng.choice(inside, max(LEAST_ROWS, size.rows), replace=False))
        found.append(tell(made, matrix[apart[spread(apart)]], matrix[inside[spread(inside)]]).z)
    largest = surprise(np.array(found))
    independent = len(largest) if free else max(1.0, rows.rows / stretch)
    tail = fit_tail(largest, share=0.2, gap=1, independent=min(1.0, independent / len(largest)))
    return replace(
        none,
        z=quantile(tail.threshold(rate)),
        tail=tail,
        windows=len(largest),
        independent=int(independent),
    )


def _free(bins: Bins, rows: ReferenceRows, stretch: int) -> bool:
    """Whether rows are as good as independent, so that any of them make a window."""
    step = max(1, stretch // PIECES)
    at = np.arange(rows.rows, dtype=np.int64) // step
    pieces = counted(bins, rows.codes, at, int(at[-1]) + 1)[: rows.rows // step]
    return independent_rows(bins, pieces, PIECES)


def _rows_in(rows: ReferenceRows, size: Size) -> int:
    """Rows of the reference in the time of a window."""
    if not rows.timed or not size.span:
        return size.rows
    new = np.flatnonzero(np.diff(rows.run)) + 1
    start, end = np.append(0, new), np.append(new, rows.rows) - 1
    covered = int((rows.time[end] - rows.time[start]).sum()) + 1
    return max(LEAST_ROWS, round(rows.rows * size.span / covered))


def domain_reading(
    bins: Bins, found: DomainThresholds, rows: ReferenceRows, window: NDArray[np.uint8]
) -> Reading:
    """The reading of a window: its rows' codes `[rows, columns]` in the order of time."""
    whole = Reading(family=Family.MULTIVARIATE, check="domain", n=len(window), unit="area under the curve")
    if found.why_none or found.tail is None:
        return replace(whole, why_none=found.why_none)
    if len(window) < LEAST_ROWS:
        return replace(whole, why_none=f"{len(window)} rows are too few to fit a classifier on")
    made = Features(bins, rows.codes, found.ignore)
    reference, live = rows.codes[spread(rows.codes)], window[spread(window)]
    seen = tell(made, made.of(reference), made.of(live))
    surprised = float(surprise(np.array([seen.z]))[0])
    error = (seen.area - 0.5) / seen.z if seen.z else 0.0
    told = dict.fromkeys(_told(bins, names, reference, live) for names in seen.names[:_NAMED])
    return replace(
        whole,
        value=seen.area,
        threshold=min(1.0, 0.5 + found.z * error) if error else None,
        exceeds=seen.z > found.z,
        p=found.tail.beyond(surprised),
        where="; ".join(told),
        details={
            "columns": list(dict.fromkeys(n for names in seen.names for n in names)),
            "pairs": [list(names) for names in seen.names if names[0] != names[1]],
            "t": list(seen.t),
            "reference": 0.5,
        },
    )


def spread(rows: NDArray[Any]) -> NDArray[np.int64]:
    """At most `MOST_ROWS` places, evenly spread."""
    n = len(rows)
    return np.arange(n) if n <= MOST_ROWS else (np.arange(MOST_ROWS) * n) // MOST_ROWS


class Features:
    """Codes of rows as numbers whose means and products tell: of each number the rank that its bin has among
    the reference's rows (van der Waerden's idea without his normal scores), of every column whether it is
    null where some are, of texts and bools the frequent categories. Each has mean 0 and variance 1 in the
    reference."""

    def __init__(self, bins: Bins, reference: NDArray[np.uint8], ignore: tuple[str, ...]) -> None:
        self._tables: list[tuple[int, Matrix]] = []
        self.names: list[str] = []
        for j, column in enumerate(bins.columns):
            if column.name in ignore or is_output(column.name):
                continue
            counts = np.bincount(reference[:, j], minlength=256)[: column.width].astype(np.float64)
            table = _table(counts, column.ordered, column.width)
            if table.shape[1]:
                self._tables.append((j, table))
                self.names += [column.name] * table.shape[1]

    @property
    def width(self) -> int:
        """How many there are."""
        return len(self.names)

    def of(self, codes: NDArray[np.uint8]) -> Matrix:
        """Of codes `[rows, columns]`: `[rows, width]`."""
        return np.concatenate([table[codes[:, j]] for j, table in self._tables], axis=1)

    @cached_property
    def own(self) -> NDArray[np.bool_]:
        """Which products are of two features of one column, which say nothing: but for ranks' squares."""
        names = np.array(self.names)
        same = names[:, None] == names
        np.fill_diagonal(same, False)
        return np.asarray(same | np.tri(len(names), k=-1, dtype=np.bool_))


def _table(counts: NDArray[np.float64], ordered: bool, width: int) -> Matrix:
    """What each code is worth `[256, features]`."""
    n = max(counts.sum(), 1.0)
    columns = []
    if ordered:
        inner = counts[LOW:]
        place = (np.cumsum(inner) - inner / 2) / max(inner.sum(), 1.0) - 0.5
        columns.append(np.concatenate([np.zeros(LOW), place]))
    else:
        frequent = [
            c for c in np.argsort(-counts[FIRST:-1], kind="stable") + FIRST if counts[c] > _COMMON * n
        ]
        columns += [np.arange(width) == c for c in frequent[:_CATEGORIES]]
    if counts[NULL] > _COMMON * n:
        columns.append(np.arange(width) == NULL)
    made = []
    for values in columns:
        x = np.asarray(values, np.float64)
        mean = (x * counts).sum() / n
        spread = np.sqrt((counts * (x - mean) ** 2).sum() / n)
        if spread > 1e-6:
            made.append((x - mean) / spread)
    table = np.zeros((256, len(made)), np.float32)
    for i, x in enumerate(made):
        table[:width, i] = x
    return table


def tell(made: Features, reference: Matrix, window: Matrix) -> Seen:
    """Fit on four fifths of both sides, score the fifth left out, for each fifth in turn."""
    sides = [np.array_split(side, FOLDS) for side in (reference, window)]
    sums = [[_sums(part) for part in parts] for parts in sides]
    totals = [[sum(x[i] for x in of) for i in range(5)] for of in sums]
    areas = []
    for fold in range(FOLDS):
        rest = [[t - x for t, x in zip(totals[s], sums[s][fold], strict=True)] for s in (0, 1)]
        weights = _weights(made, rest[0], rest[1])
        scores = [weights.score(sides[s][fold]) for s in (0, 1)]
        areas.append(_area(scores[0], scores[1]))
    area = float(np.mean(areas))
    n, m = len(reference), len(window)
    error = float(np.sqrt((n + m + 1) / (12.0 * n * m)))
    whole = _weights(made, totals[0], totals[1])
    names = tuple((made.names[i], made.names[j]) for i, j in whole.places)
    return Seen(area, (area - 0.5) / error, names, tuple(float(f"{t:.3g}") for t in whole.t))


def _sums(part: Matrix) -> list[Any]:
    """Rows, sums, sums of squares, of products and of squared products."""
    square = part * part
    return [
        len(part),
        part.sum(0, dtype=np.float64),
        square.sum(0, dtype=np.float64),
        (part.T @ part).astype(np.float64),
        (square.T @ square).astype(np.float64),
    ]


@dataclass(frozen=True)
class _Weights:
    """places: features `(i, i)` or products `(i, j)` in order of t. linear: [width]; products: [kept, 2] and
    their weights."""

    places: tuple[tuple[int, int], ...]
    t: tuple[float, ...]
    linear: NDArray[np.float64]
    products: NDArray[np.int64]
    weights: NDArray[np.float64]

    def score(self, part: Matrix) -> NDArray[np.float64]:
        return np.asarray(
            part @ self.linear + (part[:, self.products[:, 0]] * part[:, self.products[:, 1]]) @ self.weights
        )


def _weights(made: Features, reference: list[Any], window: list[Any]) -> _Weights:
    """Of the means of both sides: differences in standard errors, and weights of the largest."""
    first = _means(reference[0], reference[1], reference[2], window[0], window[1], window[2])
    second = _means(reference[0], reference[3], reference[4], window[0], window[3], window[4])
    t1, t2 = np.abs(first[0]), np.where(made.own, 0.0, np.abs(second[0]))
    k = len(t1)
    both = np.concatenate([t1, t2.ravel()])
    most = np.argpartition(-both, min(KEPT, len(both) - 1))[:KEPT]
    most = most[np.argsort(-both[most], kind="stable")]
    use = most[(both[most] > _TELLS) | (np.arange(len(most)) == 0)]
    linear = np.zeros(k)
    linear[use[use < k]] = first[1][use[use < k]]
    pairs = use[use >= k] - k
    products = np.stack([pairs // k, pairs % k], axis=1)
    places = tuple((int(u), int(u)) if u < k else (int((u - k) // k), int((u - k) % k)) for u in use)
    return _Weights(places, tuple(both[use]), linear, products, second[1].ravel()[pairs])


def _means(
    n: int, total: NDArray[Any], squares: NDArray[Any], m: int, other: NDArray[Any], others: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The difference of means in standard errors, and over the variance."""
    difference = other / m - total / n
    variance = (squares + others) / (n + m) - ((total + other) / (n + m)) ** 2
    variance = np.maximum(variance, 1e-9)
    error = np.sqrt(variance * (1 / n + 1 / m))
    return np.where(variance > 1e-8, difference / error, 0.0), difference / variance


def _area(reference: NDArray[np.float64], window: NDArray[np.float64]) -> float:
    """The share of pairs in which the window's row has the higher score; ties count half."""
    ordered = np.sort(reference)
    below = np.searchsorted(ordered, window, "left") + np.searchsorted(ordered, window, "right")
    return float(below.mean() / (2 * len(reference)))


def _told(bins: Bins, names: tuple[str, str], reference: NDArray[np.uint8], window: NDArray[np.uint8]) -> str:
    """A feature in words: of two columns how their ranks went together."""
    one, two = names
    if one == two:
        return f"{one} changed"
    if not (bins.column(one).ordered and bins.column(two).ordered):
        return f"{one} and {two} go together differently"
    was, now = (_together(side[:, bins.index(one)], side[:, bins.index(two)]) for side in (reference, window))
    return f"{one} and {two} go together differently: rank correlation went from {was:.2f} to {now:.2f}"


def _together(one: NDArray[np.uint8], two: NDArray[np.uint8]) -> float:
    use = (one >= LOW) & (two >= LOW) & (one != UNKNOWN) & (two != UNKNOWN)
    if use.sum() < 3 or np.ptp(one[use]) == 0 or np.ptp(two[use]) == 0:
        return 0.0
    return float(np.corrcoef(one[use].astype(np.float64), two[use].astype(np.float64))[0, 1])
