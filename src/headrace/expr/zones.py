"""The offsets of a time zone as data: one definition for the graph and for SQL.

A zone is taken from the tz database between 1900 and 2100. Before, its offset of 1900-01-01 holds; after,
that of 2100-01-01 (UTC).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

FROM, UNTIL = datetime(1900, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400


@dataclass(frozen=True)
class Offsets:
    """`moments` (UTC seconds since 1970, ascending) where the offset from UTC changes; `offsets` in seconds,
    one more than moments: `offsets[i]` holds before `moments[i]`."""

    moments: tuple[int, ...]
    offsets: tuple[int, ...]

    def local_moments(self) -> tuple[int, ...]:
        """Where, on the wall clock, the next offset takes over: a wall time that occurs twice is the first
        of the two; one that is skipped keeps the offset before the gap (PEP 495, fold=0)."""
        pairs = zip(self.moments, self.offsets, self.offsets[1:], strict=False)
        return tuple(moment + max(before, after) for moment, before, after in pairs)


def offsets(zone: str) -> Offsets:
    """Read a zone of the tz database. Steps a day at a time and bisects each change to the second.

    Raises:
        ZoneInfoNotFoundError, ValueError: no such zone.
    """
    info = ZoneInfo(zone)
    low, high = int(FROM.timestamp()), int(UNTIL.timestamp())
    found, values, before = [], [_offset(info, low)], low
    for after in range(low + _DAY, high + 1, _DAY):
        while (now := _offset(info, after)) != values[-1]:
            moment = _first_change(info, before, after, values[-1])
            found.append(moment)
            values.append(_offset(info, moment))
            before = moment
            if values[-1] == now:
                break
        before = after
    return Offsets(tuple(found), tuple(values))


def _offset(info: ZoneInfo, second: int) -> int:
    moment = (_EPOCH + timedelta(seconds=second)).astimezone(info)
    return (moment.utcoffset() or timedelta()) // timedelta(seconds=1)


def _first_change(info: ZoneInfo, low: int, high: int, value: int) -> int:
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(info, middle) == value:
            low = middle
        else:
            high = middle
    return high


def utc_of(wall: datetime, zone: str) -> datetime:
    """The moment a naive wall-clock time of the zone names (the first of two; in a gap, as before it).

    Raises:
        OverflowError: the moment is outside the years 1 to 9999.
    """
    info = ZoneInfo(zone)
    low, high = (edge.astimezone(info).utcoffset() or timedelta() for edge in (FROM, UNTIL))
    if wall < FROM.replace(tzinfo=None) + low:
        return (wall - low).replace(tzinfo=UTC)
    if wall >= UNTIL.replace(tzinfo=None) + high:
        return (wall - high).replace(tzinfo=UTC)
    return wall.replace(tzinfo=info).astimezone(UTC)


def edge_offsets(zone: str) -> tuple[int, int]:
    """The offsets in seconds that hold before 1900 and from 2100 on."""
    info = ZoneInfo(zone)
    return _offset(info, int(FROM.timestamp())), _offset(info, int(UNTIL.timestamp()))
