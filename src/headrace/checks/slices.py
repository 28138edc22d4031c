"""The metric in declared slices, and the search for the slices where it is worst."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from headrace.checks.groups import Grouping, codes_of_units
from headrace.core.evidence import Evidence, Interval
from headrace.metrics.contrast import blocked, contrast, influence, take
from headrace.metrics.intervals import Estimate, interval
from headrace.metrics.measure import measure
from headrace.metrics.multiple import holm
from headrace.metrics.record import Bools, Floats, Ints, Metric, Predictions

CARRIED = 10
"""So many of the slices that look worst on one half of the units are tested on the other."""
ALPHA = 0.05
"""The chance that the search names any slice where none is worse."""
MOST_PAIRS = 400
"""Pairs of columns that the search looks into; the columns' order decides which."""
MOST_ROWS = 200_000
"""Of more rows than this so many, in whole units drawn at random, are searched."""
_RESAMPLES = 400


@dataclass(frozen=True)
class Slice:
    """One slice. value: the metric in it (None where undefined, or where rows are too few); rest: on all
    other rows; worse_by: how much worse the slice is, in the metric's unit (negative: better).
    p: one-sided chance of looking so much worse by accident; p_corrected: by Holm for all slices beside it.
    None where it can't be judged, for the reason in `why_none`."""

    name: str
    rows: int
    units: int
    value: float | None
    interval: Interval | None
    rest: float | None
    worse_by: float | None
    p: float | None
    p_corrected: float | None
    why_none: str = ""
    judged: bool = True


@dataclass(frozen=True)
class Search:
    """What the search found. looked_at: slices that were compared on one half of the units; tested: those of
    them that were tested on the other half, worst first, figures all of that half. found: how many of these
    are worse than the rest at 5%, corrected by Holm. why_none: why nothing was searched. sampled: which rows
    were searched, where not all were."""

    looked_at: int
    tested: tuple[Slice, ...]
    found: int
    why_none: str = ""
    sampled: str = ""


@dataclass(frozen=True)
class Slices:
    """Declared slices (in the order of the spec) and what the search found."""

    metric: str
    higher_is_better: bool
    declared: tuple[Slice, ...]
    search: Search | None


def declared_slices(
    metric: Metric,
    predictions: Predictions,
    groupings: Sequence[Grouping],
    *,
    min_rows: int,
    seed: int,
    progress: Callable[[str, int, int], None] = lambda text, done, total: None,
) -> tuple[Slice, ...]:
    """Every group of these groupings, measured on its rows; intervals and tests resample units.

    Values too rare for a group of their own are measured together and not judged.
    """
    slopes, units = influence(metric, predictions), codes_of_units(predictions.units)
    found = []
    total = sum(len(g.labels) for g in groupings)
    for grouping in groupings:
        for code, label in enumerate(grouping.labels):
            if not grouping.own[code] and label == f"not ({grouping.name})":
                continue
            rows = grouping.rows(code)
            one = measured(metric, predictions, label, rows, slopes, units, min_rows=min_rows, seed=seed)
            enough = one.rows >= min_rows
            found.append(replace(one, judged=grouping.own[code] or enough))
            progress("slices", len(found), total)
    return _corrected(found)


def measured(
    metric: Metric,
    predictions: Predictions,
    name: str,
    rows: Bools,
    slopes: Floats,
    units: Ints,
    *,
    min_rows: int,
    seed: int,
) -> Slice:
    """One set of rows against the rest. `slopes` are the influences of all rows (see `metrics.contrast`),
    `units` codes from 0."""
    count = int(np.count_nonzero(rows))
    held = len(np.unique(units[rows]))
    empty = Slice(name, count, held, None, None, None, None, None, None)
    if count < min_rows:
        return replace(empty, why_none=f"{count} rows; evaluate.min_rows asks for {min_rows}")
    inside = take(predictions, rows)
    estimate: Estimate = interval(metric, blocked(inside, seed=seed), seed=seed, resamples=_RESAMPLES)
    rest = measure(metric, take(predictions, ~rows)) if count < len(rows) else math.nan
    worse = float(metric.goodness(rest)) - float(metric.goodness(estimate.value))
    return replace(
        empty,
        value=_known(estimate.value),
        interval=estimate.interval,
        rest=_known(rest),
        worse_by=_known(worse),
        p=_known(contrast(slopes, rows, units).p),
        why_none=estimate.why_none,
    )


def search_slices(
    metric: Metric,
    predictions: Predictions,
    groupings: Sequence[Grouping],
    *,
    min_rows: int,
    seed: int,
    progress: Callable[[str, int, int], None] = lambda text, done, total: None,
) -> Search:
    """Look for the worst slices among the groups of single columns and of pairs of columns.

    Half of the units, drawn by the seed, find the slices that look worst; the other half, which had no part
    in that, tests the worst ten of them (Holm), so that the chance of naming any slice where none is worse
    stays at 5% however many were looked at (sample splitting: Cox 1975, Biometrika 62; the search is that of
    Chung et al. 2019, Slice Finder, and Sagadeeva & Boehm 2021, SliceLine, to depth 2). A slice needs
    `min_rows` rows in either half. Of more than `MOST_ROWS` rows a sample of whole units is searched.
    """
    sampled = ""
    if predictions.rows > MOST_ROWS:
        sampled = f"about {MOST_ROWS:,} of {predictions.rows:,} rows, in whole units drawn at random"
        some = _drawn(predictions.units, MOST_ROWS / predictions.rows, seed)
        predictions = take(predictions, some)
        groupings = [replace(g, codes=g.codes[some]) for g in groupings]
    units = codes_of_units(predictions.units)
    count = int(units.max()) + 1 if len(units) else 0
    if count < 20 or predictions.rows < 4 * min_rows:
        why = f"{predictions.rows} rows in {count} units; a search needs {4 * min_rows} rows in 20 units"
        return Search(0, (), 0, why)
    first = np.random.default_rng(seed).permutation(count) < count // 2
    half = first[units]
    looking = influence(metric, take(predictions, half))
    looked, best = _look(looking, _folded(units[half]), half, groupings, min_rows, progress)
    judge = ~half
    judged = take(predictions, judge)
    slopes, codes = influence(metric, judged), codes_of_units(judged.units)
    tested = [
        measured(metric, judged, name, rows[judge], slopes, codes, min_rows=min_rows, seed=seed)
        for name, rows in best
    ]
    ranked = sorted(_corrected(tested), key=lambda s: (2.0 if s.p is None else s.p, s.name))
    found = sum(s.p_corrected is not None and s.p_corrected <= ALPHA for s in ranked)
    return Search(looked, tuple(ranked), found, sampled=sampled)


def _drawn(units: Ints, share: float, seed: int) -> Ints:
    """The rows of a share of the units."""
    codes = codes_of_units(units)
    # A stream of its own: the halves are drawn by the same seed.
    kept = np.random.default_rng((seed, 1)).random(int(codes.max()) + 1) < share
    return np.flatnonzero(kept[codes])


def _look(
    slopes: Floats,
    units: Ints,
    half: Bools,
    groupings: Sequence[Grouping],
    min_rows: int,
    progress: Callable[[str, int, int], None],
) -> tuple[int, list[tuple[str, Bools]]]:
    """How many slices were looked at, and the worst of them: name and rows [all rows]."""
    singles: list[tuple[Grouping, ...]] = [(g,) for g in groupings]
    pairs = [*singles, *list(combinations(groupings, 2))[:MOST_PAIRS]]
    looked = 0
    scored: list[tuple[float, int, tuple[Grouping, ...], int]] = []
    for number, parts in enumerate(pairs):
        cells = _cells(parts)
        width = int(np.prod([len(g.labels) for g in parts]))
        sizes = np.bincount(cells[half], minlength=width)
        others = np.bincount(cells[~half], minlength=width)
        usable = (sizes >= min_rows) & (others >= min_rows) & (sizes < len(slopes))
        looked += int(usable.sum())
        z = _z_of_cells(slopes, cells[half], units, sizes, width)
        scored += [(float(z[c]), number, parts, int(c)) for c in np.flatnonzero(usable & (z < 0))]
        scored = sorted(scored, key=lambda s: s[:2])[: 4 * CARRIED]
        progress("searching slices", number + 1, len(pairs))
    return looked, list(_distinct(scored))


def _distinct(scored: Sequence[tuple[float, int, tuple[Grouping, ...], int]]) -> Iterator[tuple[str, Bools]]:
    """The worst slices that are not nearly the same rows as a worse one."""
    kept: list[Bools] = []
    for _, _, parts, cell in scored:
        rows: Bools = _cells(parts) == cell
        count = np.count_nonzero(rows)
        if any(np.count_nonzero(rows & k) > 0.8 * max(count, np.count_nonzero(k)) for k in kept):
            continue
        kept.append(rows)
        labels = []
        for grouping in reversed(parts):
            cell, code = divmod(cell, len(grouping.labels))
            labels.append(grouping.labels[code])
        yield " and ".join(reversed(labels)), rows
        if len(kept) == CARRIED:
            return


def _cells(parts: Sequence[Grouping]) -> Ints:
    cells = np.zeros(len(parts[0].codes), np.int64)
    for grouping in parts:
        cells = cells * len(grouping.labels) + grouping.codes
    return cells


def _z_of_cells(slopes: Floats, cells: Ints, units: Ints, sizes: Ints, width: int) -> Floats:
    """`contrast`'s z of every cell at once (see there), as a rank for the search."""
    count = int(units.max()) + 1
    own = np.bincount(cells * count + units, slopes, minlength=width * count).reshape(width, count)
    n = len(slopes)
    share = sizes / n
    totals = own - share[:, None] * np.bincount(units, slopes, minlength=count)
    drawn = sizes * (1 - share) * float(np.mean(slopes**2))
    spread = np.sqrt(np.maximum((totals**2).sum(axis=1), drawn))
    z: Floats = own.sum(axis=1) / np.where(spread > 0, spread, np.inf)
    return z


def _folded(units: Ints, most: int = 100) -> Ints:
    """Units as codes from 0, beyond `most` of them in blocks: the search only ranks."""
    return codes_of_units(units) % most


def _corrected(found: Sequence[Slice]) -> tuple[Slice, ...]:
    adjusted = holm([math.nan if s.p is None else s.p for s in found])
    return tuple(replace(s, p_corrected=_known(a)) for s, a in zip(found, adjusted, strict=True))


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def slice_evidence(slices: Sequence[Slice], metric: Metric) -> tuple[Evidence, ...]:
    """One piece of evidence a declared slice, for the gate `slice`."""
    return tuple(
        Evidence(
            f"slice: {s.name}",
            s.value,
            unit=metric.unit or metric.name,
            n=s.units,
            interval=s.interval,
            where=f"{s.rows} rows" + ("" if s.rest is None else f"; {s.rest:.4g} on the other rows"),
            why_none=s.why_none,
        )
        for s in slices
        if s.judged
    )
