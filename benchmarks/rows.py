"""A line of the benchmark table."""

from __future__ import annotations

from typing import TypedDict


class Row(TypedDict):
    """`value` in `unit`; `floor` is what it is measured against; `ratio` is what `reach` speaks of.

    `ok` is None where nothing could be measured: then `reach` counts as not reached.
    """

    bench: str
    what: str
    value: float | None
    unit: str
    floor: str
    ratio: float | None
    reach: str
    ok: bool | None


def row(
    bench: str,
    what: str,
    value: float | None,
    unit: str,
    *,
    floor: str,
    ratio: float | None,
    reach: str,
    ok: bool | None,
) -> Row:
    """A line, by keyword where the eye needs it."""
    return Row(bench=bench, what=what, value=value, unit=unit, floor=floor, ratio=ratio, reach=reach, ok=ok)


def skipped(bench: str, what: str, why: str, *, reach: str) -> Row:
    """A line for what could not be measured here."""
    return row(bench, what, None, "", floor=f"skipped: {why}", ratio=None, reach=reach, ok=None)


def within(
    bench: str, what: str, ours: float, peer: float, unit: str, *, floor: str, times: float, of: str
) -> Row:
    """A line of what we take (`of`: time, memory), which may be so many times what the peer takes."""
    return row(
        bench,
        what,
        ours,
        unit,
        floor=floor,
        ratio=ours / peer,
        reach=f"≤ {times:g} × its {of}",
        ok=ours <= times * peer,
    )
