"""Rows of the log, cut by release, arm and span of time, and counted in the release's bins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.answered import INSTEAD, MODEL
from headrace.summary.bins import Bins
from headrace.summary.counts import Counter, Counts
from headrace.summary.traffic import BEAT, Traffic, bins_of, counted
from headrace.watch.arms import Arms
from headrace.watch.chunks import Chunk, Who, picked
from headrace.watch.intake import Span
from headrace.watch.spans import edges

_LONGEST = 120
"""Characters of a reason, rule or flag that are kept."""


@dataclass(frozen=True, eq=False)
class Binned:
    """How a release's answers are counted. span_us: how long the spans are; zone: where they begin at
    midnight. counter: its bins, made ready (None: it has none). event: its raw columns that callers send;
    others the server fills in. outputs: the columns of answers."""

    span_us: int
    zone: str
    counter: Counter | None = None
    event: frozenset[str] = frozenset()
    outputs: frozenset[str] = frozenset()


class Counting:
    """Counts chunks of the log. binned: by release; it is asked for each release once."""

    def __init__(self, arms: Arms, binned: Callable[[str], Binned]) -> None:
        self._arms = arms
        self._ask = binned
        self._known: dict[str, Binned] = {}

    def __call__(self, chunk: Chunk) -> Iterator[Span]:
        """Spans of a chunk's rows, with their counts."""
        if not chunk.rows:
            return
        for (release, arm), rows in apart(chunk, self._arms).items():
            if release not in self._known:
                self._known[release] = self._ask(release)
            how = self._known[release]
            cuts = edges(int(chunk.times[rows].min()), int(chunk.times[rows].max()), how.span_us, how.zone)
            place = np.searchsorted(cuts, chunk.times[rows], side="right") - 1
            for at in np.unique(place).tolist():
                mine = rows[place == at]
                counts = None if how.counter is None else count_rows(chunk, mine, how, how.counter)
                yield Span(release, arm, int(cuts[at]), int(cuts[at + 1]), counts, _traffic(chunk, mine))


def apart(chunk: Chunk, arms: Arms) -> dict[tuple[str, str], NDArray[np.int64]]:
    """Rows by release and arm. What another gave in an arm's place is of the arm's release."""
    found: dict[tuple[str, str], list[NDArray[np.int64]]] = {}
    for number, who in enumerate(chunk.who):
        rows = np.flatnonzero(chunk.which == number)
        if not who.by.startswith(INSTEAD) and who.release:
            found.setdefault((who.release, who.arm), []).append(rows)
            continue
        of = [arms.of(who.route, who.arm, int(t)) or who.release for t in chunk.times[rows]]
        for release in dict.fromkeys(of):
            mine = rows[[r == release for r in of]]
            found.setdefault((release, who.arm), []).append(mine)
    return {key: np.sort(np.concatenate(parts)) for key, parts in sorted(found.items())}


def columns_of(chunk: Chunk, how: Binned, bins: Bins) -> dict[str, Any]:
    """The columns that the bins are of, as far as rows have them."""
    found = {}
    for column in bins.columns:
        part = "answer" if column.name in how.outputs else "input" if column.name in how.event else "filled"
        found[column.name] = chunk.values(part, column.name, column.type, how.zone)
    return found


def by_model(chunk: Chunk, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of the rows that an arm's own model answered: of others nothing is known about its answers."""
    own = np.array([w.by == MODEL for w in chunk.who], np.bool_)
    return rows[own[chunk.which[rows]]]


def count_rows(chunk: Chunk, rows: NDArray[np.int64], how: Binned, counter: Counter) -> Counts:
    """Some rows in a release's bins. Answers that the model did not give are in no count of an answer."""
    bins, columns = counter.bins, columns_of(chunk, how, counter.bins)
    raw = {n: _some(v, rows, chunk) for n, v in columns.items() if n not in how.outputs}
    counts = counter.count(raw, len(rows), chunk.times[rows])
    modelled = by_model(chunk, rows)
    answers = {n: _some(v, modelled, chunk) for n, v in columns.items() if n in how.outputs}
    told = counter.count(answers, len(modelled))
    codes, sums, squares = counts.codes.copy(), counts.sums.copy(), counts.squares.copy()
    for name in answers:
        at, i = bins.span(name), bins.index(name)
        codes[at] = told.codes[at]
        sums[i], squares[i] = told.sums[i], told.squares[i]
    return replace(counts, codes=codes, sums=sums, squares=squares)


def _some(values: Any, rows: NDArray[np.int64], chunk: Chunk) -> Any:
    return values if len(rows) == chunk.rows else picked(values, rows)


def _traffic(chunk: Chunk, rows: NDArray[np.int64]) -> Traffic:
    times, took = chunk.times[rows], chunk.took[rows]
    bins, numbers = np.unique(bins_of(took), return_counts=True)
    who, each = np.unique(chunk.which[rows], return_counts=True)
    by: dict[str, int] = {}
    unanswered = 0
    for number, count in zip(who.tolist(), each.tolist(), strict=True):
        told: Who = chunk.who[number]
        by[told.by[:_LONGEST]] = by.get(told.by[:_LONGEST], 0) + count
        unanswered += count if not told.release else 0
    inside = set(rows.tolist()) if chunk.flags or chunk.missing or chunk.stale else set()
    return Traffic(
        rows=len(rows),
        first=int(times.min()),
        last=int(times.max()),
        slowest=int(took.max()),
        unanswered=unanswered,
        reviews=int(chunk.review[rows].sum()),
        took=dict(zip(bins.tolist(), numbers.tolist(), strict=True)),
        by=counted(by),
        flags=counted(_told(chunk.flags, inside)),
        stale=counted(_told(chunk.stale, inside)),
        missing=counted(_told(chunk.missing, inside)),
        beats=set(np.unique(times // BEAT).tolist()),
    )


def _told(noted: Mapping[int, Sequence[str]], rows: set[int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for row, names in noted.items():
        if row in rows:
            for name in names:
                found[name[:_LONGEST]] = found.get(name[:_LONGEST], 0) + 1
    return found
