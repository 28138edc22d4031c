"""Spans of time that traffic is counted by: they begin at whole multiples of their length in a zone."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from headrace.core.clock import from_micros, micros

HOUR, DAY = 3_600_000_000, 86_400_000_000
MINUTE = 60_000_000
_WEEK = 7
_MONDAY = date(1970, 1, 5).toordinal()
"""Weeks begin on Mondays; other numbers of days are counted from this one too."""


def edges(first: int, last: int, length: int, zone: str) -> NDArray[np.int64]:
    """The beginnings of all spans that hold a moment between `first` and `last` (UTC microseconds), and the
    end of the newest: int64 [spans + 1].

    Whole days begin at midnight, and so have 23 or 25 hours where clocks are changed; lengths that divide a
    day begin at their multiples on the clock, those of an hour and less at multiples of the time since
    midnight, so that an hour that comes twice is two spans. Other lengths are counted from 1970, UTC.
    """
    if length % DAY == 0:
        return _days(first, last, length // DAY, ZoneInfo(zone))
    if length < DAY and DAY % length == 0:
        return _within_days(first, last, length, ZoneInfo(zone))
    start = first // length * length
    return np.arange(start, (last // length + 1) * length + 1, length, dtype=np.int64)


def span_of(moment: int, length: int, zone: str) -> tuple[int, int]:
    """The span that holds a moment: its beginning and its end."""
    start, end = edges(moment, moment, length, zone)
    return int(start), int(end)


def starts(times: NDArray[np.int64], length: int, zone: str) -> NDArray[np.int64]:
    """The beginning of the span that holds each moment: int64 [rows]."""
    if not len(times):
        return np.empty(0, np.int64)
    cuts = edges(int(times.min()), int(times.max()), length, zone)
    return cuts[np.searchsorted(cuts, times, side="right") - 1]


def phase_of(moment: int, zone: str) -> tuple[int, int]:
    """The day of the week (Monday is 0) and the hour on the clock."""
    local = from_micros(moment).astimezone(ZoneInfo(zone))
    return local.weekday(), local.hour


def _days(first: int, last: int, days: int, zone: ZoneInfo) -> NDArray[np.int64]:
    day = _day_of(first, zone)
    day -= (day - _MONDAY) % days
    cuts = [_midnight(day, zone)]
    while cuts[-1] <= last:
        day += days
        cuts.append(_midnight(day, zone))
    return np.array(cuts, dtype=np.int64)


def _within_days(first: int, last: int, length: int, zone: ZoneInfo) -> NDArray[np.int64]:
    found: list[NDArray[np.int64]] = []
    day = _day_of(first, zone)
    end = _midnight(day, zone)
    while end <= last:
        start, end = end, _midnight(day + 1, zone)
        found.append(_of_day(day, start, end, length, zone))
        day += 1
    cuts = np.concatenate([*found, np.array([end], dtype=np.int64)])
    low = np.searchsorted(cuts, first, side="right") - 1
    high = np.searchsorted(cuts, last, side="right")
    return cuts[low : high + 1]


def _of_day(day: int, start: int, end: int, length: int, zone: ZoneInfo) -> NDArray[np.int64]:
    """The beginnings of the spans of a day."""
    if length <= HOUR or end - start == DAY:
        return np.arange(start, end, length, dtype=np.int64)
    at = date.fromordinal(day)
    clock = [
        datetime.combine(at, time.min, zone) + timedelta(microseconds=k * length)
        for k in range(DAY // length)
    ]
    cuts = {micros(c) for c in clock}  # one that the clock skips is the moment after the gap
    return np.array(sorted(c for c in cuts if start <= c < end), dtype=np.int64)


def _day_of(moment: int, zone: ZoneInfo) -> int:
    """The number of the local day that holds a moment."""
    day = from_micros(moment).astimezone(zone).date().toordinal()
    while _midnight(day, zone) > moment:
        day -= 1
    while _midnight(day + 1, zone) <= moment:
        day += 1
    return day


def _midnight(day: int, zone: ZoneInfo) -> int:
    """When a local day begins."""
    return micros(datetime.combine(date.fromordinal(day), time.min, zone))
