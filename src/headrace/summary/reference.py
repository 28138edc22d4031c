"""What live traffic is compared with: the counts of a release's reference rows, and some of the rows."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.core.codec import from_json, to_json
from headrace.core.errors import Corrupt
from headrace.summary.bins import UNKNOWN, Bins
from headrace.summary.counts import Counts

PREDICTION, PROBABILITY = "prediction", "probability"
"""The columns of answers: the prediction, and the probability of the positive class. With more than two
classes there is a column `probability[CLASS]` for each."""

MOST_ROWS = 20_000
"""Rows that are kept, at most."""
RUNS = 40
"""Of more rows so many runs of consecutive ones are kept, evenly spread: within a run rows depend on each
other as they come, and all of them together are like the whole."""
MOST_BLOCKS = 512
"""Blocks of consecutive rows that all reference rows are counted in, at most."""


@dataclass(frozen=True)
class SliceError:
    """How well a slice (`depot = north`) was predicted: `value` of the metric with its interval; None where
    too few rows."""

    name: str
    rows: int
    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Reference:
    """The counts of the reference rows of a release, at most 100 kB for 50 columns.

    bins: of the raw columns that the graph reads, and of its answers. counts: by column, in its codes.
    rows: how many there are, `parts` says of which parts. Answers are counted of validation rows alone, which
    took no part in fitting; so where training rows had to join them, fewer rows have answers. sums, squares:
    as `Counts` has them. outputs: which columns are answers. metric: what the release is judged by, with its
    value on the validation rows; slices: the same by slice. sliced: bins of the values of slices that are
    expressions, named by their text.
    """

    bins: Bins
    rows: int
    counts: tuple[tuple[int, ...], ...]
    sums: tuple[float, ...]
    squares: tuple[float, ...]
    first: int | None
    last: int | None
    parts: Mapping[str, int]
    outputs: tuple[str, ...]
    metric: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    slices: tuple[SliceError, ...] = ()
    sliced: Bins = field(default_factory=lambda: Bins(()))
    format: int = 1

    @property
    def watchable(self) -> Bins:
        """What slices may be of: columns, and expressions."""
        return Bins((*self.bins.columns, *self.sliced.columns))

    def made(self) -> Counts:
        """The counts, as those of a window are."""
        return Counts(
            self.bins.digest,
            self.rows,
            np.array([n for column in self.counts for n in column], dtype=np.int64),
            np.array(self.sums),
            np.array(self.squares),
            self.first,
            self.last,
        )


def by_column(bins: Bins, counts: Counts) -> tuple[tuple[int, ...], ...]:
    """Counts as `Reference.counts` has them."""
    return tuple(tuple(counts.of(bins, name).tolist()) for name in bins.names)


def write_reference(reference: Reference) -> bytes:
    """A reference as JSON."""
    return to_json(reference)


def read_reference(data: bytes) -> Reference:
    """`write_reference` undone.

    Raises:
        Corrupt: these are no such bytes.
    """
    try:
        return from_json(data, Reference)
    except msgspec.DecodeError as error:
        raise Corrupt("the reference of a release can't be read", why=str(error)) from error


@dataclass(frozen=True, eq=False)
class ReferenceRows:
    """Some reference rows in the order of their times, and all of them counted in blocks.

    codes: uint8 [n, columns], as `Bins` has the columns; `UNKNOWN` (255) where a row has no answer, because
    the model was fitted on it: such rows count for raw columns alone. time: UTC microseconds [n]; the row's
    number where the events have no time. unit: the independent unit that a row belongs to [n]. run: which run
    of consecutive rows it is of [n]: 0 for all where every row is kept. score: probability of the positive
    class, or prediction, float64 [n]; of more than two classes [n, K]; NaN without answer. truth: code of the
    class, or value, float64 [n]. decision: code of the predicted class, int64 [n]; -1 for regression and
    without answer. timed: whether `time` is one. sliced: uint8 [n, expressions], in the bins that
    `Reference.sliced` has ([0, 0] where it has none).

    blocks: the counts of every reference row (also those that are not kept) in blocks of consecutive ones,
    uint32 [m, bins.width]; sums over blocks are counts of that many rows, with all the dependence that is
    longer than a block. starts: each block's first time [m]; sizes: its rows [m]. What of a column is unknown
    is in no count.
    """

    codes: NDArray[np.uint8]
    time: NDArray[np.int64]
    unit: NDArray[np.int64]
    run: NDArray[np.int64]
    score: NDArray[np.float64]
    truth: NDArray[np.float64]
    decision: NDArray[np.int64]
    blocks: NDArray[np.uint32]
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    timed: bool = True
    sliced: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0), np.uint8))

    @property
    def rows(self) -> int:
        """How many rows are kept."""
        return len(self.codes)

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Which rows have an answer."""
        return ~np.isnan(self.score if self.score.ndim == 1 else self.score[:, 0])


def write_rows(rows: ReferenceRows) -> bytes:
    """Rows as an .npz file. The same rows are the same bytes."""
    out = io.BytesIO()
    np.savez_compressed(out, **{**vars(rows), "timed": np.array(rows.timed)})
    return out.getvalue()


def read_rows(data: bytes) -> ReferenceRows:
    """`write_rows` undone.

    Raises:
        Corrupt: these are no such bytes.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as held:
            arrays: dict[str, Any] = {name: held[name] for name in held.files}
        return ReferenceRows(**{**arrays, "timed": bool(arrays["timed"])})
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise Corrupt("the reference rows of a release can't be read", why=str(error)) from error


def keep(count: int, most: int = MOST_ROWS, runs: int = RUNS) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which of `count` rows in order are kept, and of which run each is.

    >>> keep(10, most=4, runs=2)
    (array([3, 4, 8, 9]), array([0, 0, 1, 1]))
    """
    if count <= most:
        return np.arange(count), np.zeros(count, np.int64)
    each = most // runs
    ends = (np.arange(1, runs + 1) * count) // runs
    rows = (ends[:, None] - each + np.arange(each)[None, :]).ravel()
    return rows, np.repeat(np.arange(runs), each)


def block_of(count: int, most: int = MOST_BLOCKS) -> NDArray[np.int64]:
    """The block of each of `count` rows in order: at most `most`, as even as can be.

    >>> block_of(5, most=2)
    array([0, 0, 0, 1, 1])
    """
    return (np.arange(count) * min(count, most)) // max(count, 1)


def add_blocks(
    bins: Bins, blocks: NDArray[np.uint32], codes: NDArray[np.uint8], block: NDArray[np.int64]
) -> None:
    """Count coded rows [n, columns] of these blocks [n] into `blocks` [m, bins.width]."""
    width = bins.width
    flat = blocks.reshape(-1)
    for i in range(len(bins.columns)):
        column = codes[:, i].astype(np.int64)
        there = column != UNKNOWN
        at = block[there] * width + bins.offsets[i] + column[there]
        low = int(at.min()) if len(at) else 0
        told = np.bincount(at - low) if len(at) else np.zeros(0, np.int64)
        flat[low : low + len(told)] += told.astype(np.uint32)
