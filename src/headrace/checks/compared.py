"""A set of rows against a release's reference: every statistic of every column, the worst first.

What a value means is told by thresholds that are drawn from the reference at the size of the set: while
nothing changes, one set in `1 / level` has any column beyond its threshold (`checks.drift.budget` has how,
and its papers).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from headrace.checks.drift.budget import thresholds
from headrace.checks.drift.readings import readings
from headrace.checks.drift.resample import Size
from headrace.core.watching import Reading
from headrace.summary.bins import Bins
from headrace.summary.counts import Counts
from headrace.summary.reference import Reference, ReferenceRows

LEVEL = 0.05
SPANS = 8
"""So many times the set's span the reference has to hold, for sets to be drawn by time and not by rows."""
ANY = "any"
"""In a reading's details: the chance of as surprising a value of any column."""


@dataclass(frozen=True)
class ColumnDrift:
    """One column. rows: with a value. p: the chance of as surprising a value of any column and statistic
    while nothing changes, the least of its readings (None: unremarkable, or nothing could be said). exceeds:
    whether a reading is beyond its threshold. where: what moved, in words. codes: the bins in words;
    reference, window: rows in each. mean, spread: of the numbers now; was: those in the reference."""

    name: str
    type: str
    rows: int
    readings: tuple[Reading, ...]
    exceeds: bool
    p: float | None
    where: str
    codes: tuple[str, ...]
    reference: tuple[int, ...]
    window: tuple[int, ...]
    mean: float | None = None
    spread: float | None = None
    was: tuple[float, float] | None = None

    @property
    def leading(self) -> Reading | None:
        """The reading that is the least likely; the first where nothing is known of any."""
        known = [r for r in self.readings if r.p is not None]
        return min(known, key=lambda r: (not r.exceeds, r.p)) if known else next(iter(self.readings), None)


@dataclass(frozen=True)
class Compared:
    """All of it. release: whose reference. what: the rows' name. rows, reference_rows: how many there are.
    level: the share of sets that are beyond a threshold while nothing changes. windows: how many sets were
    drawn from the reference. columns: the worst first. absent: columns that the rows don't have; ignored:
    those that may change. why_none: why there are no thresholds."""

    release: str
    what: str
    rows: int
    reference_rows: int
    level: float
    windows: int
    columns: tuple[ColumnDrift, ...]
    absent: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    why_none: str = ""

    @property
    def drifted(self) -> tuple[str, ...]:
        """The columns that are beyond a threshold."""
        return tuple(c.name for c in self.columns if c.exceeds)


def compare(
    reference: Reference,
    rows: ReferenceRows,
    counts: Counts,
    *,
    release: str,
    what: str,
    absent: Collection[str] = (),
    ignore: Collection[str] = (),
    level: float = LEVEL,
    span: int = 0,
    seed: int = 0,
) -> Compared:
    """Compare counts with a reference. absent: columns that the rows don't have at all; ignore: those that
    may change. span: the time that the rows take, microseconds (0: not known).

    Raises:
        ValueError: the counts are in other bins than the reference.
    """
    bins = reference.bins
    if counts.bins != bins.digest:
        raise ValueError(f"counts are in bins {counts.bins}, the reference in {bins.digest}")
    length = (reference.last or 0) - (reference.first or 0)
    # By time only where the reference holds the file's span often enough to show how spans differ.
    span = span if length >= SPANS * span else 0
    left = tuple(n for n in bins.names if n in absent or n in ignore)
    found = thresholds(bins, rows, Size(counts.rows, span), level, ignore=left, seed=seed)
    whole = reference.made()
    by: dict[str, list[Reading]] = {}
    for reading in readings(bins, found, whole.codes, counts.codes):
        by.setdefault(reading.of, []).append(reading)
    columns = [
        _column(bins, whole, counts, name, by.get(name, [])) for name in bins.names if name not in left
    ]
    return Compared(
        release=release,
        what=what,
        rows=counts.rows,
        reference_rows=reference.rows,
        level=level,
        windows=found.windows,
        columns=tuple(sorted(columns, key=_badness)),
        absent=tuple(n for n in bins.names if n in absent),
        ignored=tuple(n for n in bins.names if n in ignore and n not in absent),
        why_none=found.why_none,
    )


def _badness(column: ColumnDrift) -> tuple[bool, float, float, str]:
    """Beyond a threshold first; then the least likely; then by name."""
    own = [r.p for r in column.readings if r.p is not None]
    return not column.exceeds, 2.0 if column.p is None else column.p, min(own, default=2.0), column.name


def _column(bins: Bins, reference: Counts, window: Counts, name: str, told: Sequence[Reading]) -> ColumnDrift:
    column = bins.column(name)
    likely = [(float(r.details[ANY]), r) for r in told if ANY in r.details]
    least = min(likely, key=lambda pair: pair[0]) if likely else None
    n, mean, spread = window.moments(bins, name) if column.ordered else (0, 0.0, 0.0)
    before = reference.moments(bins, name) if column.ordered else (0, 0.0, 0.0)
    return ColumnDrift(
        name=name,
        type=column.type.value,
        rows=int(window.of(bins, name)[1:].sum()),
        readings=tuple(told),
        exceeds=any(r.exceeds for r in told),
        p=None if least is None else least[0],
        where="" if least is None else least[1].where,
        codes=tuple(column.told(c) for c in range(column.width)),
        reference=tuple(np.asarray(reference.of(bins, name)).tolist()),
        window=tuple(np.asarray(window.of(bins, name)).tolist()),
        mean=mean if n else None,
        spread=spread if n else None,
        was=before[1:] if before[0] else None,
    )
