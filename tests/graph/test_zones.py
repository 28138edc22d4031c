"""Local times as UTC without Arrow: the moments that Arrow gives, in every zone from 1900 to 2037."""

from __future__ import annotations

import zoneinfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from headrace.core.errors import DataError
from headrace.graph.zones import DAY, FIRST_DAY, LAST_DAY, Zone

HOUR = DAY // 24
COMMON = ("America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia")


def by_arrow(local: np.ndarray, zone: str) -> np.ndarray:
    moments = pc.assume_timezone(
        pa.array(local, pa.timestamp("us")), zone, ambiguous="earliest", nonexistent="latest"
    )
    return np.asarray(moments.cast(pa.int64()))


def awkward(zone: str, every_days: int) -> np.ndarray:
    """Local times: some of every so many days, and around every change of the zone's clocks."""
    first, last = FIRST_DAY * DAY, (LAST_DAY + 1) * DAY
    days = np.arange(first, last, every_days * DAY, dtype=np.int64)
    utc = np.arange(first, last, DAY // 2, dtype=np.int64)
    local = np.asarray(pc.local_timestamp(pa.array(utc, pa.timestamp("us", zone))).cast(pa.int64()))
    changed = utc[:-1][np.diff(local - utc) != 0]
    around = (changed[:, None] + np.arange(-6, 7) * HOUR // 2).ravel()
    around = np.concatenate([around, around + 1, around - 1])
    offsets = np.unique(local - utc)
    near = (around[:, None] + offsets[None, [0, -1]]).ravel()
    found = np.concatenate([days, days + 13 * HOUR + 12_345_678, near])
    return np.unique(found[(found >= first) & (found < last)])


@pytest.mark.parametrize("zone", COMMON)
def test_every_change_of_the_clocks_is_as_arrow_has_it(zone: str) -> None:
    local = awkward(zone, every_days=1)
    assert np.array_equal(Zone(zone).to_utc(local), by_arrow(local, zone))


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.deep) for part in range(1, 6))])
def test_every_zone_is_as_arrow_has_it(part: int) -> None:
    """A sixth of all zones a part."""
    differs = []
    for zone in sorted(zoneinfo.available_timezones() - {"localtime", "Factory"})[part::6]:
        local = awkward(zone, every_days=5)
        ours, arrows = Zone(zone).to_utc(local), by_arrow(local, zone)
        if not np.array_equal(ours, arrows):
            differs.append((zone, int((ours != arrows).sum())))
    assert not differs


def test_a_day_has_one_offset_or_none() -> None:
    zone = Zone("America/New_York")
    summer, change = 15_887, 15_774  # 2013-07-01, 2013-03-10
    assert zone.offset(summer) == 4 * HOUR
    assert zone.offset(change) is None and zone.offset(LAST_DAY + 1) is None
    gap = np.array([change * DAY + 2 * HOUR + HOUR // 2])
    assert zone.to_utc(gap)[0] == change * DAY + 7 * HOUR  # 02:30 never was: 03:00 EDT


def test_beyond_the_known_years_arrow_is_asked() -> None:
    local = np.array([60_000 * DAY, -60_000 * DAY, 0], dtype=np.int64)
    assert np.array_equal(Zone("America/New_York").to_utc(local), by_arrow(local, "America/New_York"))


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(DataError, match="unknown time zone 'Mars/Base'"):
        Zone("Mars/Base")
