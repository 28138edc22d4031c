"""Counts of rows in bins: small, of constant size, and the counts of two sets of rows add up."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import Corrupt
from headrace.core.lazy import lazily
from headrace.core.schema import Type
from headrace.summary.bins import LOW, NULL, Bins, ColumnBins
from headrace.summary.coding import Codes, Values, make_coder

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = lazily("pyarrow")

CHUNK = 32_768
"""Rows that are coded at once: their columns stay in the processor's cache."""
FARTHEST = 1e6
"""Moments take no number for farther from the center than so many spreads."""

_FORMAT = 1
_SIZES = ("<u1", "<u2", "<u4", "<i8")


@dataclass(frozen=True, eq=False)
class Counts:
    """Rows counted in bins.

    bins: the digest of the bins. rows: how many there are. codes: how many have each code, int64
    [bins.width]; a column's lie at `bins.span(name)`. sums, squares: of each number column the sum of
    `z = (x - center) / spread` over the finite values and that of its squares, float64 [columns]; 0 for other
    columns. first, last: the times of the first and last row, UTC microseconds, where they were given.
    """

    bins: str
    rows: int
    codes: NDArray[np.int64]
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]
    first: int | None = None
    last: int | None = None

    def __add__(self, other: Counts) -> Counts:
        """Both sets of rows together. Raises ValueError where their bins differ."""
        if self.bins != other.bins:
            raise ValueError(f"counts in bins {self.bins} and {other.bins} don't add up")
        firsts = [t for t in (self.first, other.first) if t is not None]
        lasts = [t for t in (self.last, other.last) if t is not None]
        return Counts(
            self.bins,
            self.rows + other.rows,
            self.codes + other.codes,
            self.sums + other.sums,
            self.squares + other.squares,
            min(firsts, default=None),
            max(lasts, default=None),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counts) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash((self.bins, self.rows, self.first, self.last))

    def of(self, bins: Bins, name: str) -> NDArray[np.int64]:
        """A column's counts by code. Raises KeyError."""
        return self.codes[bins.span(name)]

    def moments(self, bins: Bins, name: str) -> tuple[int, float, float]:
        """Of a number column: how many finite values, their mean and standard deviation (0 where there is
        none). Raises KeyError."""
        i, column = bins.index(name), bins.column(name)
        n = int(self.of(bins, name)[2:].sum())
        if n == 0:
            return 0, 0.0, 0.0
        mean = float(self.sums[i]) / n
        variance = max(0.0, float(self.squares[i]) / n - mean * mean)
        return n, column.center + mean * column.spread, float(np.sqrt(variance)) * column.spread

    def to_bytes(self) -> bytes:
        """Compact bytes; the same counts give the same."""
        most = int(self.codes.max(initial=0))
        size = 0 if most < 1 << 8 else 1 if most < 1 << 16 else 2 if most < 1 << 32 else 3
        packed = (
            _FORMAT,
            self.bins,
            self.rows,
            self.first,
            self.last,
            size,
            self.codes.astype(_SIZES[size]).tobytes(),
            self.sums.astype("<f8").tobytes(),
            self.squares.astype("<f8").tobytes(),
        )
        return zlib.compress(msgspec.msgpack.encode(packed), 1)

    @classmethod
    def from_bytes(cls, data: bytes) -> Counts:
        """`to_bytes` undone.

        Raises:
            Corrupt: these are no such bytes.
        """
        try:
            packed = msgspec.msgpack.decode(zlib.decompress(data), type=_Packed)
            _, bins, rows, first, last, size, codes, sums, squares = packed
            return cls(
                bins,
                rows,
                np.frombuffer(codes, _SIZES[size]).astype(np.int64),
                np.frombuffer(sums, "<f8").astype(np.float64),
                np.frombuffer(squares, "<f8").astype(np.float64),
                first,
                last,
            )
        except (zlib.error, msgspec.DecodeError, ValueError, IndexError) as error:
            raise Corrupt("counts of a window can't be read", why=str(error)) from error


_Packed = tuple[int, str, int, int | None, int | None, int, bytes, bytes, bytes]


def no_rows(bins: Bins) -> Counts:
    """Counts of no rows: what others are added to."""
    columns = len(bins.columns)
    return Counts(bins.digest, 0, np.zeros(bins.width, np.int64), np.zeros(columns), np.zeros(columns))


class Counter:
    """Bins, ready to count many batches of rows. Safe for use by several threads."""

    def __init__(self, bins: Bins) -> None:
        self.bins = bins
        self._coders = [make_coder(c) for c in bins.columns]
        self._wide = [_is_wide(c) for c in bins.columns]

    def codes(self, columns: Mapping[str, Values], rows: int) -> Codes:
        """The codes of rows, uint8 [rows, columns]. A column that is not there is null in every row; other
        columns are ignored.

        Raises:
            ValueError: a column has another number of rows.
        """
        found = np.empty((len(self._coders), rows), dtype=np.uint8)
        for i, coder in enumerate(self._coders):
            at = 0
            for part in _parts(columns.get(coder.column.name), rows, coder.column.name):
                coded, _ = coder.code(part)
                found[i, at : at + len(coded)] = coded
                at += len(coded)
            found[i, at:] = NULL
        return found.T

    def count(
        self, columns: Mapping[str, Values], rows: int, times: NDArray[np.int64] | None = None
    ) -> Counts:
        """Count rows.

        columns: by name, Arrow arrays (chunked or not), vectors in raw-column form, or lists of Python
        values. A column that is not there is null in every row; other columns are ignored; values of another
        type are counted as such. times: the rows' times, UTC microseconds [rows].

        Raises:
            ValueError: a column has another number of rows.
        """
        codes = np.zeros(self.bins.width, np.int64)
        sums, squares = np.zeros(len(self._coders)), np.zeros(len(self._coders))
        for i, coder in enumerate(self._coders):
            mine = codes[self.bins.offsets[i] : self.bins.offsets[i + 1]]
            values = columns.get(coder.column.name)
            if values is None:
                mine[NULL] = rows
                continue
            for part in _parts(values, rows, coder.column.name):
                coded, numbers = coder.code(part)
                told = np.bincount(coded, minlength=len(mine))
                mine += told
                if numbers is not None:
                    far = self._wide[i] or bool(told[LOW] or told[-1])
                    some = _moments(numbers, coder.column.center, coder.column.spread, far)
                    sums[i] += some[0]
                    squares[i] += some[1]
        first = int(times.min()) if times is not None and len(times) else None
        last = int(times.max()) if times is not None and len(times) else None
        return Counts(self.bins.digest, rows, codes, sums, squares, first, last)


def count(
    bins: Bins, columns: Mapping[str, Values], rows: int, times: NDArray[np.int64] | None = None
) -> Counts:
    """`Counter.count` for one batch alone."""
    return Counter(bins).count(columns, rows, times)


def _is_wide(column: ColumnBins) -> bool:
    """Whether the reference's own numbers lie farther than `FARTHEST`."""
    if column.type is not Type.NUMBER or not column.edges:
        return False
    ends = (column.edges[0], column.edges[-1])
    return not all(abs(end / 2 - column.center / 2) < FARTHEST * column.spread / 2 for end in ends)


def _moments(numbers: NDArray[np.float64], center: float, spread: float, far: bool) -> tuple[float, float]:
    """far: whether any of them may be farther than `FARTHEST`."""
    with np.errstate(over="ignore"):
        z = numbers - center
        z /= spread
    if far:
        np.clip(z, -FARTHEST, FARTHEST, out=z)
    return float(z.sum()), float(np.dot(z, z))


def _parts(values: Values, rows: int, name: str) -> list[Values]:
    """A column in pieces of `CHUNK` rows."""
    if values is None:
        return []
    if len(values) != rows:
        raise ValueError(f"column {name!r} has {len(values)} rows, {rows} were expected")
    if isinstance(values, pa.ChunkedArray):
        return [c[i : i + CHUNK] for c in values.chunks for i in range(0, len(c), CHUNK)]
    return [values[i : i + CHUNK] for i in range(0, rows, CHUNK)]
