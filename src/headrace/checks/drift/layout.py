"""Which measures are taken of which columns, and all of them at once from vectors of counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.drift.chi_square import CHI_SQUARE
from headrace.checks.drift.jensen_shannon import JENSEN_SHANNON
from headrace.checks.drift.ks import KS
from headrace.checks.drift.psi import PSI
from headrace.checks.drift.statistic import Statistic, noise
from headrace.checks.drift.wasserstein import WASSERSTEIN
from headrace.core.schema import Type
from headrace.core.watching import Family
from headrace.summary.bins import LOW, NULL, WRONG, Bins, ColumnBins

STATISTICS: tuple[Statistic, ...] = (KS, WASSERSTEIN, PSI, CHI_SQUARE, JENSEN_SHANNON)
OF_ORDERED = ("ks", "wasserstein", "psi")
"""Taken of numbers."""
OF_UNORDERED = ("chi_square", "jensen_shannon")
"""Taken of texts, bools and hours of the day."""
SHARES = ("missing", "type", "range", "new")
"""Shares of values that are null, of another type, outside the reference's range, never seen."""
COUNTED = (Family.QUALITY, Family.DRIFT, Family.PREDICTION)
"""Families whose readings come of counts alone."""
NORMAL = 2 / 3
"""The power that makes of an amplitude nearly a normal variable: its square is about a gamma one
(Satterthwaite, 1946), whose cube root is (Wilson & Hilferty, 1931)."""
_HALF_NORMAL = (0.80, 0.43)
"""Mean and standard deviation of a half-normal variable's power 2/3."""


def is_output(name: str) -> bool:
    """Whether a column is what a release answered.

    >>> is_output("probability[late]"), is_output("dep_delay")
    (True, False)
    """
    return name in ("prediction", "probability") or name.startswith("probability[")


@dataclass(frozen=True)
class Measure:
    """One thing that is measured of one column. column: its number."""

    check: str
    column: int
    family: Family


@dataclass(frozen=True)
class Layout:
    """The measures of some bins, in their order: those of each statistic, then shares."""

    bins: Bins
    families: tuple[Family, ...] = COUNTED
    ignore: tuple[str, ...] = ()

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """Every measure; values come in this order."""
        found = [Measure(s.name, j, self._family(j)) for s in STATISTICS for j in self._of(s)]
        for check in SHARES:
            found += [Measure(check, j, Family.QUALITY) for j in self._shares(check)]
        return tuple(found)

    def floors(self, inflation: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The least centre and spread of amplitudes to the power `NORMAL` that are believed: of a column that
        never changed in the reference the resamples would say that it can't. Of shares those of a normal
        variable, as much larger as the column's counts vary more than independent ones (`[columns]`)."""
        least = {s.name: (0.0, s.least) for s in STATISTICS}
        pairs = np.array([least.get(m.check, _HALF_NORMAL) for m in self.measures]).reshape(-1, 2)
        larger = np.maximum(inflation, 1.0) ** (NORMAL / 2)
        of_shares = np.array([m.check not in least for m in self.measures], np.bool_)
        pairs[of_shares] *= larger[self.columns[of_shares]][:, None]
        return pairs[:, 0], pairs[:, 1]

    @cached_property
    def columns(self) -> NDArray[np.int64]:
        """The column of each measure."""
        return np.array([m.column for m in self.measures], dtype=np.int64)

    def _family(self, j: int) -> Family:
        return Family.PREDICTION if is_output(self.bins.columns[j].name) else Family.DRIFT

    def _watched(self, family: Family | None) -> list[int]:
        return [
            j
            for j, c in enumerate(self.bins.columns)
            if c.name not in self.ignore and (family or self._family(j)) in self.families
        ]

    def _of(self, statistic: Statistic) -> list[int]:
        kinds = OF_ORDERED, OF_UNORDERED
        columns = self.bins.columns
        return [
            j
            for j in self._watched(None)
            if columns[j].inner > 0 and statistic.name in kinds[not columns[j].ordered]
        ]

    def _shares(self, check: str) -> list[int]:
        return [j for j in self._watched(Family.QUALITY) if _has(self.bins.columns[j], check)]

    @cached_property
    def _padded(self) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """By statistic: where its columns' counts lie `[columns, bins]` (behind the last: a zero), and the
        gaps between the bins."""
        found = {}
        for s in STATISTICS:
            columns = self._of(s)
            width = max((self.bins.columns[j].inner + 2 for j in columns), default=0)
            at = np.full((len(columns), width), self.bins.width, dtype=np.int64)
            gaps = np.zeros((len(columns), width))
            for row, j in enumerate(columns):
                k = self.bins.columns[j].inner + 2
                at[row, :k] = self.bins.offsets[j] + LOW + np.arange(k)
                gaps[row, : k - 1] = spaces(self.bins.columns[j]) if self.bins.columns[j].ordered else 0.0
            found[s.name] = (at, gaps)
        return found

    @cached_property
    def _share_codes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the counts of each share lie (one or two codes), and its column."""
        codes, columns = [], []
        for check in SHARES:
            for j in self._shares(check):
                c, at = self.bins.columns[j], self.bins.offsets[j]
                two = {
                    "missing": (at + NULL, -1),
                    "type": (at + WRONG, -1),
                    "range": (at + LOW, at + c.high),
                    "new": (at + c.high, -1),
                }[check]
                codes.append([i if i >= 0 else self.bins.width for i in two])
                columns.append(j)
        return np.array(codes, np.int64).reshape(-1, 2), np.array(columns, np.int64)

    def rows(self, counts: NDArray[Any]) -> NDArray[np.float64]:
        """Rows behind each measure: `[..., measures]`; of shares all that are known of, of statistics those
        that have a value."""
        padded = np.concatenate([counts, np.zeros((*counts.shape[:-1], 1), counts.dtype)], -1)
        parts = [padded[..., self._padded[s.name][0]].sum(-1) for s in STATISTICS]
        starts = np.array(self.bins.offsets[:-1], dtype=np.int64)
        known = np.add.reduceat(counts, starts, axis=-1) if len(starts) else counts[..., :0]
        return np.concatenate([*parts, known[..., self._share_codes[1]]], -1).astype(np.float64)

    def values(self, window: NDArray[Any], reference: NDArray[Any]) -> NDArray[np.float64]:
        """Values of all measures `[..., measures]` from counts `[..., codes]` of both; of shares the window's
        share."""
        w, r = (
            np.concatenate([c, np.zeros((*c.shape[:-1], 1), c.dtype)], -1, dtype=np.float64)
            for c in (window, reference)
        )
        parts = []
        for s in STATISTICS:
            at, gaps = self._padded[s.name]
            parts.append(s.value(w[..., at], r[..., at], gaps) if at.size else w[..., at].sum(-1))
        codes, columns = self._share_codes
        n = self.rows(window)[..., len(self.measures) - len(columns) :]
        return np.concatenate([*parts, w[..., codes].sum(-1) / np.maximum(n, 1.0)], -1)

    def expected(self, reference: NDArray[Any], rows: NDArray[Any]) -> NDArray[np.float64]:
        """Shares that the reference lets expect `[..., shares]`. It can't have seen what it had not seen: of
        a number that is beyond all of them there is one more in as many rows (by symmetry); of values never
        seen at most about half of what is rare (Good, 1953: as many as were seen once)."""
        codes, columns = self._share_codes
        padded = np.concatenate([reference, np.zeros((*reference.shape[:-1], 1), reference.dtype)], -1)
        seen = padded[..., codes].sum(-1).astype(np.float64)
        starts = np.array(self.bins.offsets, dtype=np.int64)
        rare = padded[..., starts[columns] + LOW] * self._is_new
        n = rows[..., len(self.measures) - len(columns) :]
        return np.asarray((seen + rare / 2 + 1) / (n + 2))

    @cached_property
    def _is_new(self) -> NDArray[np.float64]:
        checks = [m.check for m in self.measures[len(self.measures) - len(self._share_codes[1]) :]]
        return np.array([1.0 if c == "new" else 0.0 for c in checks])

    def amplitudes(
        self, values: NDArray[Any], window_rows: NDArray[Any], expected: NDArray[Any], rows: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Values in units that do not depend on the rows. Shares by the arcsine of their root, whose noise is
        the same for every share (Freeman & Tukey, 1950)."""
        scale = noise(window_rows, rows)
        found = np.empty(np.broadcast(values, scale).shape)
        for part, s in self._slices:
            found[..., part] = (
                2 * np.abs(_arc(values[..., part]) - _arc(expected)) / scale[..., part]
                if s is None
                else s.amplitude(values[..., part], scale[..., part])
            )
        return found

    def undo(
        self,
        amplitude: NDArray[Any],
        window_rows: NDArray[Any],
        expected: NDArray[Any],
        rows: NDArray[Any],
        values: NDArray[Any],
    ) -> NDArray[np.float64]:
        """The values of amplitudes; of shares the one above what is expected (1 where there is none), or
        where `values` are below it, and so far below is possible, the one below."""
        scale = noise(window_rows, rows)
        found = np.empty(np.broadcast(amplitude, scale).shape)
        for part, s in self._slices:
            if s is None:
                usual, far = _arc(expected), amplitude[..., part] * scale[..., part] / 2
                fell = (values[..., part] < expected) & (usual > far)
                angle = np.where(fell, usual - far, np.minimum(usual + far, math.pi / 2))
                found[..., part] = np.sin(angle) ** 2
            else:
                found[..., part] = s.undo(amplitude[..., part], scale[..., part])
        return found

    @cached_property
    def _slices(self) -> tuple[tuple[slice, Statistic | None], ...]:
        found: list[tuple[slice, Statistic | None]] = []
        at = 0
        for s in STATISTICS:
            found.append((slice(at, at + len(self._padded[s.name][0])), s))
            at = found[-1][0].stop
        return (*found, (slice(at, len(self.measures)), None))


def _arc(share: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(np.arcsin(np.sqrt(np.clip(share, 0.0, 1.0))))


def _has(column: ColumnBins, check: str) -> bool:
    """Whether a share can be anything but 0."""
    if is_output(column.name):
        return check == "missing"
    if check == "range":
        return column.type in (Type.NUMBER, Type.TIME) and bool(column.edges)
    return check != "new" or (column.type is Type.TEXT and column.tells_new)


def spaces(column: ColumnBins) -> NDArray[np.float64]:
    """How far it is from each bin of a number to the next, from the one below to the one above: k + 1
    distances in interquartile ranges, none above 1. A bin stands for its middle."""
    edges = np.array(column.edges)
    middle = (edges[:-1] + edges[1:]) / 2
    at = np.concatenate([edges[:1], middle, edges[-1:]])
    k = len(middle)
    low, high = middle[k // 4], middle[min(k - 1, 3 * k // 4)]
    unit = high - low if high > low else column.spread
    return np.minimum(np.diff(at) / unit, 1.0)


def flat_codes(bins: Bins, codes: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Codes of rows `[rows, columns]` as places in a vector of counts, and whether each is known."""
    offsets = np.array(bins.offsets[:-1], dtype=np.int64)
    return codes.astype(np.int64) + offsets, codes < bins.widths


def counted(bins: Bins, codes: NDArray[np.uint8], pieces: NDArray[np.int64], n: int) -> NDArray[np.float32]:
    """Counts `[n, codes]` of rows by the piece that each is in; those of none (-1) are left out."""
    places, known = flat_codes(bins, codes)
    use = known & (pieces >= 0)[:, None]
    at = (pieces[:, None] * bins.width + places)[use]
    return np.bincount(at, minlength=n * bins.width).reshape(n, bins.width).astype(np.float32)
