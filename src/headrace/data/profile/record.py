"""The record of a profile: plain values, to JSON and back."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.core.schema import Type
from headrace.data.profile.blind import Part
from headrace.data.profile.values import End

LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""The shares of the values at or below the quantiles of a profile."""


@dataclass(frozen=True)
class Histogram:
    """Bars of one width over numbers (times: UTC microseconds): `edges` [bars + 1], rows in each bar, and
    rows below the first and above the last edge."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    below: int = 0
    above: int = 0


@dataclass(frozen=True)
class Common:
    """A value and the number of its rows."""

    value: bool | float | str
    rows: int


@dataclass(frozen=True)
class Mass:
    """Rows that lie exactly at an end (`low` or `high`), beside the rows of the values next to it."""

    end: str
    value: End
    rows: int
    neighbours: tuple[int, ...]


@dataclass(frozen=True)
class Texts:
    """Texts by their looks, in rows: `numbers` and `dates` look like those, `spaced` begin or end with
    space, `empty` have no character. Lengths in characters. `variants` are groups of spellings that differ by
    case and spaces alone, of the values that were kept (`all_values`: that is all of them)."""

    shortest: int
    mean_length: float
    longest: int
    empty: int
    spaced: int
    numbers: int
    dates: int
    variants: tuple[tuple[Common, ...], ...]
    all_values: bool


@dataclass(frozen=True)
class Note:
    """Something to look at, by kind: empty, sparse, constant, unique, capped, heavy-zero, heavy-end, mixed,
    spaces, variants. `text` says it with its figures."""

    kind: str
    text: str


@dataclass(frozen=True)
class Link:
    """How a column goes with the target: `pearson` (-1 to 1; of a yes-or-no target as 1 and 0), or
    `correlation ratio` (0 to 1) with its classes."""

    measure: str
    value: float | None


@dataclass(frozen=True)
class ColumnProfile:
    """A column.

    - `distinct` leaves null out; `distinct_error` is its relative standard error, 0 where it is exact
    - `low`, `high`: ends of numbers, and of times as ISO 8601 in UTC
    - `quantiles` at `LEVELS` (times: UTC microseconds); the rank of each is off by at most `rank_error`, a
      share of the known values, 0 where they are exact; so are the bars of the histogram, by twice that
    - `top` values are the most frequent; each has at most `top_error` more rows than it says
    """

    name: str
    type: Type
    source_type: str
    rows: int
    missing: int
    distinct: int
    distinct_error: float = 0.0
    low: End = None
    high: End = None
    mean: float | None = None
    std: float | None = None
    quantiles: tuple[float, ...] = ()
    rank_error: float = 0.0
    histogram: Histogram | None = None
    top: tuple[Common, ...] = ()
    top_error: int = 0
    masses: tuple[Mass, ...] = ()
    texts: Texts | None = None
    target: Link | None = None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Correlations:
    """Pearson's r of every pair of number and boolean columns over the rows where both are known, [columns,
    columns]; `every` is 1 where all rows were looked at, else one in so many."""

    columns: tuple[str, ...]
    r: tuple[tuple[float | None, ...], ...]
    every: int = 1


@dataclass(frozen=True)
class Duplicates:
    """Rows that repeat an earlier one in every column but `but` (the declared id). `share` below 1 says that
    the number is an estimate from that share of the rows."""

    rows: int
    but: tuple[str, ...] = ()
    share: float = 1.0


@dataclass(frozen=True)
class Gap:
    """Days without rows, from the first to the last of them (ISO dates)."""

    first: str
    last: str
    days: int


@dataclass(frozen=True)
class Coverage:
    """Rows over time, by the zone's days: `starts` (ISO dates) and rows of spans of `width` days, spans
    without rows left out. `step` is the usual number of days from one day with rows to the next; gaps are
    longer than three of it. `gaps` holds the longest twenty of `gap_count`."""

    column: str
    zone: str
    width: int
    starts: tuple[str, ...]
    rows: tuple[int, ...]
    step: int
    gap_count: int
    gaps: tuple[Gap, ...]


@dataclass(frozen=True)
class TableProfile:
    """A table: `whose` rows were looked at (`train`, `all`, or `none`), the parts that were seen from outside
    alone, and columns of the source whose type has no place in headrace."""

    table: str
    whose: str
    rows: int
    columns: tuple[ColumnProfile, ...] = ()
    correlations: Correlations | None = None
    duplicates: Duplicates | None = None
    coverage: tuple[Coverage, ...] = ()
    parts: tuple[Part, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()

    def column(self, name: str) -> ColumnProfile:
        """A column by its name. Raises `KeyError` where there is none."""
        found = next((c for c in self.columns if c.name == name), None)
        if found is None:
            raise KeyError(name)
        return found


@dataclass(frozen=True)
class Profile:
    """What the tables of a project, or of a file, hold."""

    tables: tuple[TableProfile, ...]

    def table(self, name: str) -> TableProfile:
        """A table by its name. Raises `KeyError` where there is none."""
        found = next((t for t in self.tables if t.table == name), None)
        if found is None:
            raise KeyError(name)
        return found
