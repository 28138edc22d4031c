"""Local times of a zone as UTC, without Arrow, and as Arrow has it.

Ingest converts with Arrow (`assume_timezone`). A serving process does without: zoneinfo reads the same
files, and from 1900 to 2037 gives the same moments, which a test holds for every zone. Beyond, the two follow
their rules differently, so Arrow is asked there, and where it is not installed the time is refused.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from headrace.core.errors import DataError

DAY = 86_400_000_000
FIRST_DAY, LAST_DAY = -25_567, 24_836
"""1900-01-01 and 2037-12-31, as days since 1970."""

_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000


class Zone:
    """A zone's clocks. Where they show a time twice the earlier moment is meant, where they never show it the
    end of the gap. Safe for use by several threads."""

    def __init__(self, name: str) -> None:
        """Raises DataError for a zone that is not known."""
        self.name = name
        self._days: dict[int, int | None] = {}
        try:
            self._info: ZoneInfo | None = ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            self._info = None
            _by_arrow(np.zeros(1, dtype=np.int64), name)  # it may know more, or says what is wrong

    def offset(self, day: int) -> int | None:
        """What to add to local microseconds of a day (since 1970) for UTC; None on days when the clocks
        change, and outside of the years that are known here."""
        try:
            return self._days[day]
        except KeyError:
            found = self._days[day] = self._offset(day)
            return found

    def to_utc(self, local: np.ndarray) -> np.ndarray:
        """Local microseconds [n] as UTC microseconds.

        Raises:
            DataError: a time before 1900 or after 2037, and Arrow is not installed.
        """
        if self.name == "UTC" or not len(local):
            return local
        days, spots = np.unique(local // DAY, return_inverse=True)
        if self._info is None or days[0] < FIRST_DAY or days[-1] > LAST_DAY:
            return _by_arrow(local, self.name)
        offsets = [self.offset(d) for d in days.tolist()]
        moments = local + np.array([o or 0 for o in offsets], dtype=np.int64)[spots]
        changing = np.array([o is None for o in offsets])[spots]
        for i in np.flatnonzero(changing).tolist():
            moments[i] = self._moment(int(local[i]))
        return np.asarray(moments)

    def _offset(self, day: int) -> int | None:
        if self._info is None or not FIRST_DAY <= day <= LAST_DAY:
            return None
        if self.name == "UTC":
            return 0
        start = day * DAY
        hours = (start, start + DAY // 2, start + DAY)
        shifts = {self._moment(h) - h for h in hours}
        return shifts.pop() if len(shifts) == 1 else None

    def _moment(self, local: int) -> int:
        wall = (_EPOCH + timedelta(microseconds=local)).replace(tzinfo=self._info)
        before, after = _micros(wall.utcoffset()), _micros(wall.replace(fold=1).utcoffset())
        if after <= before:
            return local - before
        # A gap: the clocks went forward somewhere between the two readings.
        low, high = (local - after) // _SECOND, -(-(local - before) // _SECOND)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._at(middle) == before else (low, middle)
        return high * _SECOND

    def _at(self, second: int) -> int:
        """The offset at a second of UTC."""
        return _micros((_EPOCH_UTC + timedelta(seconds=second)).astimezone(self._info).utcoffset())


def _micros(offset: timedelta | None) -> int:
    return 0 if offset is None else offset // timedelta(microseconds=1)


def _by_arrow(local: np.ndarray, zone: str) -> np.ndarray:
    """The conversion that ingest uses."""
    try:
        import pyarrow as pa
        import pyarrow.compute as pc
    except ModuleNotFoundError:
        raise DataError(
            f"a local time of {zone} is before 1900 or after 2037, or the zone is unknown",
            why="without pyarrow only clocks of these years are known",
            fix="send the time with its offset, such as 2040-06-01T05:15:00-04:00",
        ) from None
    # Over the buffers: pa.array and to_numpy import pandas wherever it is installed.
    times: Any = pa.Array.from_buffers(pa.timestamp("us"), len(local), [None, pa.py_buffer(local.tobytes())])
    try:
        moments = pc.assume_timezone(times, zone, ambiguous="earliest", nonexistent="latest")
    except pa.ArrowInvalid as error:
        raise DataError(
            f"unknown time zone {zone!r}",
            why=str(error),
            fix="use an IANA name such as America/New_York, or install the system's tzdata",
        ) from error
    return np.frombuffer(moments.buffers()[1], np.int64, len(moments), moments.offset * 8)
