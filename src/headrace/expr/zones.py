"""The offsets of a time zone as data: one definition for the graph and for SQL.

A zone is taken from the `tzdata` package (not from the machine, whose copy may differ) between 1900 and
2100. Before, its offset of 1900-01-01 holds; after, that of 2100-01-01 (UTC).
"""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from zoneinfo import ZoneInfo

FROM, UNTIL = datetime(1900, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400
_HEADER = struct.Struct(">4s1s15x6l")


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


def zone_exists(zone: str) -> bool:
    """Whether the tz database has a zone of that name."""
    return _data(zone) is not None


def offsets(zone: str) -> Offsets:
    """The offsets of an existing zone."""
    info, low, high = _info(zone), int(FROM.timestamp()), int(UNTIL.timestamp())
    values, moments = [_offset(info, low)], []
    for moment in _changes(zone, info, high):
        value = _offset(info, moment)
        if low < moment < high and value != values[-1]:  # some changes are of the name alone
            moments.append(moment)
            values.append(value)
    return Offsets(tuple(moments), tuple(values))


def edge_offsets(zone: str) -> tuple[int, int]:
    """The offsets in seconds that hold before 1900 and from 2100 on."""
    info = _info(zone)
    return _offset(info, int(FROM.timestamp())), _offset(info, int(UNTIL.timestamp()) - 1)


def utc_of(wall: datetime, zone: str) -> datetime:
    """The moment a naive wall-clock time of the zone names (the first of two; in a gap, as before it).

    Raises:
        OverflowError: the moment is outside the years 1 to 9999.
    """
    low, high = (timedelta(seconds=s) for s in edge_offsets(zone))
    if wall < FROM.replace(tzinfo=None) + low:
        return (wall - low).replace(tzinfo=UTC)
    if wall >= UNTIL.replace(tzinfo=None) + high:
        return (wall - high).replace(tzinfo=UTC)
    return wall.replace(tzinfo=_info(zone)).astimezone(UTC)


def _data(zone: str) -> bytes | None:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*", zone):
        return None
    path = files("tzdata").joinpath("zoneinfo", *zone.split("/"))
    data = path.read_bytes() if path.is_file() else b""
    return data if data.startswith(b"TZif") else None


def _info(zone: str) -> ZoneInfo:
    data = _data(zone)
    if data is None:
        raise ValueError(f"no zone '{zone}'")
    return ZoneInfo.from_file(io.BytesIO(data), zone)


def _changes(zone: str, info: ZoneInfo, until: int) -> list[int]:
    """The moments listed in the zone's file (RFC 8536), and those its closing rule makes after the last."""
    data = _data(zone) or b""
    _, _, utc, std, leaps, times, kinds, chars = _HEADER.unpack_from(data)
    second = _HEADER.size + times * 5 + kinds * 6 + chars + leaps * 8 + std + utc
    _, _, utc, std, leaps, times, kinds, chars = _HEADER.unpack_from(data, second)
    listed = list(struct.unpack_from(f">{times}q", data, second + _HEADER.size))
    rule = data[second + _HEADER.size + times * 9 + kinds * 6 + chars + leaps * 12 + std + utc :]
    if b"," not in rule:
        return listed  # the last offset holds for good
    step = 10 * _DAY  # a rule changes the clock twice a year at most
    before = max([int(FROM.timestamp()), *listed])
    while before < until:
        after = min(before + step, until)
        if _offset(info, after) != _offset(info, before):
            listed.append(_first_change(info, before, after))
        before = after
    return listed


def _first_change(info: ZoneInfo, low: int, high: int) -> int:
    value = _offset(info, low)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(info, middle) == value else (low, middle)
    return high


def _offset(info: ZoneInfo, second: int) -> int:
    moment = (_EPOCH + timedelta(seconds=second)).astimezone(info)
    return (moment.utcoffset() or timedelta()) // timedelta(seconds=1)
