"""Readings in the watch file: a row each, written when a window is judged, read by window or by check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from headrace.core.watching import Family, Reading, Window
from headrace.stores.watch_file import Kept, WatchFile
from headrace.watch.windows import window_of

_SELECT = """SELECT r.window, s.family, s.kind, s.about, s.unit, r.value, r.threshold, r.exceeds, r.p, r.low,
    r.high, r.n, m.place, m.why, m.details
    FROM reading r JOIN series s ON s.id = r.series
    LEFT JOIN remark m ON m.series = r.series AND m.window = r.window"""

_BACK = 500
"""Windows that are looked back on for when something began."""


@dataclass(frozen=True)
class Asked:
    """Which readings: of windows that end at `start` or later, and at `end` at the latest; of a release, an
    arm, a family, a check, a column or slice; those that exceed alone. None, or empty: whatever it is."""

    start: int | None = None
    end: int | None = None
    release: str = ""
    arm: str = ""
    family: str = ""
    check: str = ""
    of: str | None = None
    exceeding: bool = False


@dataclass(frozen=True)
class Found:
    """A reading and its window."""

    window: Window
    reading: Reading


def write(file: WatchFile, window: int, readings: Sequence[Reading]) -> None:
    """Keep a window's readings in place of those of the same checks. Inside `WatchFile.changing`."""
    known = {tuple(key): i for i, *key in file.rows("SELECT id, family, kind, about, unit FROM series")}
    keys = [_key(r) for r in readings]
    series = [known[k] if k in known else _series(file, r) for k, r in zip(keys, readings, strict=True)]
    both = list(zip(series, readings, strict=True))
    file.run_many(
        "INSERT OR REPLACE INTO reading VALUES (?,?,?,?,?,?,?,?,?)",
        [(s, window, r.value, r.threshold, r.exceeds, r.p, r.low, r.high, r.n) for s, r in both],
    )
    file.run_many("DELETE FROM remark WHERE series = ? AND window = ?", [(s, window) for s in series])
    file.run_many(
        "INSERT OR REPLACE INTO remark VALUES (?,?,?,?,?)",
        [
            (s, window, r.where, r.why_none, msgspec.json.encode(r.details) if r.details else None)
            for s, r in both
            if r.where or r.why_none or r.details
        ],
    )


def _key(r: Reading) -> tuple[object, ...]:
    return r.family.value, r.check, r.of, r.unit


def _series(file: WatchFile, r: Reading) -> int:
    key = _key(r)
    found = file.rows("SELECT id FROM series WHERE family=? AND kind=? AND about=? AND unit=?", key)
    if not found:
        file.run("INSERT INTO series (family, kind, about, unit) VALUES (?,?,?,?)", key)
        return _series(file, r)
    return int(found[0][0])


def windows(file: WatchFile, asked: Asked, *, most: int | None = None) -> list[Kept]:
    """Judged windows in the order of their ends; the newest `most`."""
    where, values = _windows(asked)
    return file.windows(" AND ".join(["w.arrived > 0", *where]), values, most=most)


def readings(file: WatchFile, asked: Asked, *, most: int | None = None) -> Iterator[Found]:
    """Readings by window, oldest first; of the newest `most` windows."""
    kept = {k.id: k for k in windows(file, asked, most=most)}
    if not kept:
        return
    spans = {number: window_of(k) for number, k in kept.items()}
    condition = " AND exceeds = 1" if asked.exceeding else ""
    ends = (min(kept), max(kept))
    found: dict[int, list[Reading]] = {number: [] for number in kept}
    for number, family, check, of, unit in _wanted(file, asked):
        remarks = {
            at: told
            for at, *told in file.rows(
                "SELECT window, place, why, details FROM remark WHERE series = ? AND window BETWEEN ? AND ?",
                (number, *ends),
            )
        }
        for window, *row in file.rows(
            "SELECT window, value, threshold, exceeds, p, low, high, n FROM reading "
            f"WHERE series = ? AND window BETWEEN ? AND ?{condition}",
            (number, *ends),
        ):
            if window in found:
                key = (family, check, of, unit)
                found[window].append(_made(key, row, remarks.get(window)))
    for number, made in found.items():
        for reading in made:
            yield Found(spans[number], reading)


def _made(key: tuple[Family, str, str, str], row: Sequence[Any], remark: Sequence[Any] | None) -> Reading:
    family, check, of, unit = key
    value, threshold, exceeds, p, low, high, n = row
    place, why, details = remark or ("", "", None)
    told = {} if details is None else msgspec.json.decode(details)
    return Reading(
        family, check, of, value, threshold, bool(exceeds), p, low, high, n, unit, place, why, told
    )


def exceeding(file: WatchFile, windows: Sequence[int]) -> dict[int, int]:
    """How many readings of each window are alarms, of those that have any."""
    wanted = set(windows)
    found = file.rows("SELECT window, count(*) FROM reading WHERE exceeds = 1 GROUP BY window")
    return {at: number for at, number in found if at in wanted}


def earlier(file: WatchFile, window: Window, reading: Reading) -> Iterator[tuple[Window, Reading]]:
    """The windows before one with the same reading, the newest first."""
    series = _series(file, reading)
    before = file.windows(
        "s.release = ? AND s.arm = ? AND w.stop <= ? AND w.arrived > 0",
        (window.release, window.arm, window.start),
        most=_BACK,
    )
    for kept in reversed(before):
        for row in file.rows(f"{_SELECT} WHERE r.series = ? AND r.window = ?", (series, kept.id)):
            yield window_of(kept), _reading(row)


def _wanted(file: WatchFile, asked: Asked) -> list[tuple[int, Family, str, str, str]]:
    """The series that are asked for: number, family, check, of, unit."""
    conditions, values = [], []
    for column, value in (("family", asked.family), ("kind", asked.check)):
        if value:
            conditions.append(f"{column} = ?")
            values.append(value)
    if asked.of is not None:
        conditions.append("about = ?")
        values.append(asked.of)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    rows = file.rows(f"SELECT id, family, kind, about, unit FROM series {where} ORDER BY id", values)
    return [(number, Family(family), *rest) for number, family, *rest in rows]


def _windows(asked: Asked) -> tuple[list[str], list[object]]:
    where: list[str] = []
    values: list[object] = []
    for condition, value in (
        ("w.stop >= ?", asked.start),
        ("w.stop <= ?", asked.end),
        ("s.release = ?", asked.release or None),
        ("s.arm = ?", asked.arm or None),
    ):
        if value is not None:
            where.append(condition)
            values.append(value)
    return where, values


def _reading(row: Sequence[Any]) -> Reading:
    _, family, check, of, unit, value, threshold, exceeds, p, low, high, n, *remark = row
    key = (Family(family), check, of, unit)
    told = (remark[0] or "", remark[1] or "", remark[2])
    return _made(key, (value, threshold, exceeds, p, low, high, n), told)
