"""Coverage of time from counted days: spans to draw, and gaps."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

from headrace.data.profile.days import Days
from headrace.data.profile.record import Coverage, Gap

SPANS = 400
_WIDTHS = (1, 7, 28, 91, 364)
_GAPS = 20
_EPOCH = date(1970, 1, 1)


def coverage_of(column: str, zone: str, days: Days) -> Coverage | None:
    """The coverage of a time column; None of no times."""
    units, counts = days.items()
    if not units.size:
        return None
    steps = np.diff(units)
    step = int(np.median(steps)) if steps.size else 1
    apart = np.flatnonzero(steps > max(2, 3 * step))
    first = (units[apart] + 1) * days.width
    last = units[apart + 1] * days.width - 1
    lengths = last - first + 1
    longest = np.argsort(-lengths, kind="stable")[:_GAPS]
    gaps = [Gap(_day(first[i]), _day(last[i]), int(lengths[i])) for i in sorted(longest.tolist())]
    width = _width(int(units[-1] - units[0] + 1) * days.width, days.width)
    spans = units * days.width // width
    starts = np.flatnonzero(np.concatenate([[True], spans[1:] != spans[:-1]]))
    return Coverage(
        column,
        zone,
        width,
        tuple(_day(s * width) for s in spans[starts].tolist()),
        tuple(np.add.reduceat(counts, starts).tolist()),
        step * days.width,
        int(apart.size),
        tuple(gaps),
    )


def _width(days: int, unit: int) -> int:
    """The narrowest span, a multiple of the unit, of which so many days are few enough."""
    for width in _WIDTHS:
        if width % unit == 0 and days <= SPANS * width:
            return width
    return -(-days // (SPANS * unit)) * unit


def _day(number: int) -> str:
    """A day as an ISO date; beyond the years 1 to 9999 by its number."""
    try:
        return (_EPOCH + timedelta(days=int(number))).isoformat()
    except OverflowError:
        return f"day {int(number):+d} from 1970"
