"""Blocks of wall-clock time: rows of one block depend on each other and are resampled together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headrace.core.schema import NULL_TIME
from headrace.expr.zones import offsets


def time_blocks(times: NDArray[np.int64], block: int, zone: str | None = None) -> NDArray[np.int64]:
    """Number of the block of `block` microseconds of wall-clock time, counted from 1970-01-01 00:00.

    Times are UTC microseconds. Blocks of a day begin at midnight of the zone, also where a day has 23 or
    25 hours. Null times share one block.
    """
    blocks = np.floor_divide(_wall(times, zone), block)
    return np.where(times == NULL_TIME, np.int64(NULL_TIME), blocks)


def _wall(times: NDArray[np.int64], zone: str | None) -> NDArray[np.int64]:
    """UTC microseconds to microseconds on the zone's wall clock, by the table that the graph uses too."""
    if zone is None or zone in ("UTC", "Etc/UTC"):
        return times
    table = offsets(zone)
    moments = np.array(table.moments, dtype=np.int64) * 1_000_000
    shift = np.array(table.offsets, dtype=np.int64) * 1_000_000
    return times + shift[np.searchsorted(moments, times, "right")]
