"""Spans of time: blocks whose rows depend on each other and are resampled together, and spans in words."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from headrace.core.clock import format_duration, from_micros
from headrace.core.schema import NULL_TIME
from headrace.expr.zones import offsets

_DAY = 86_400_000_000


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


def moment_text(micros: int) -> str:
    """A moment in UTC, for people."""
    try:
        return from_micros(micros).strftime("%Y-%m-%d %H:%M:%SZ")
    except OverflowError:
        return f"{micros} us"


def span_text(ordered: NDArray[np.int64]) -> str:
    """How long ascending moments (UTC microseconds) span, from when to when."""
    first, last = int(ordered[0]), int(ordered[-1])
    days = (last - first) / _DAY
    length = f"{days:.1f} days" if days >= 1 else format_duration(timedelta(microseconds=last - first))
    return f"{length}, from {moment_text(first)} to {moment_text(last)}"
