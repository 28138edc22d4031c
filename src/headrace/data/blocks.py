"""Blocks of wall-clock time: rows of one block depend on each other and are resampled together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from headrace.core.schema import NULL_TIME

_DAY = 86_400_000_000


def time_blocks(times: NDArray[np.int64], block: int, zone: str | None = None) -> NDArray[np.int64]:
    """Number of the block of `block` microseconds of wall-clock time, counted from 1970-01-01 00:00.

    Blocks of a day begin at midnight of the zone, also where a day has 23 or 25 hours. Null times share
    one block (they have no other).
    """
    return np.where(times == NULL_TIME, np.int64(NULL_TIME), np.floor_divide(_wall(times, zone), block))


def _wall(times: NDArray[np.int64], zone: str | None) -> NDArray[np.int64]:
    """UTC microseconds to microseconds of the zone's wall clock. Zones are asked once a day that occurs,
    and within a day only where the clock changes on it."""
    if zone is None or zone in ("UTC", "Etc/UTC"):
        return times
    tz = ZoneInfo(zone)
    days, inverse = np.unique(np.floor_divide(times, _DAY), return_inverse=True)
    first = np.array([_offset(int(d) * _DAY, tz) for d in days], dtype=np.int64)
    last = np.array([_offset(int(d) * _DAY + _DAY - 1, tz) for d in days], dtype=np.int64)
    change = np.array(
        [
            _DAY if a == b else _change(int(d) * _DAY, int(a), tz)
            for d, a, b in zip(days, first, last, strict=True)
        ],
        dtype=np.int64,
    )
    late = times - days[inverse] * _DAY >= change[inverse]
    return times + np.where(late, last[inverse], first[inverse])


def _offset(micros: int, tz: ZoneInfo) -> int:
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
        offset = moment.astimezone(tz).utcoffset()
    except OverflowError:  # before year 1 or after year 9999 there are no zones
        return 0
    return 0 if offset is None else offset // timedelta(microseconds=1)


def _change(day: int, before: int, tz: ZoneInfo) -> int:
    """Microseconds into the UTC day at which its offset ceases to be `before`."""
    low, high = 0, _DAY
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(day + middle, tz) == before else (low, middle)
    return high
