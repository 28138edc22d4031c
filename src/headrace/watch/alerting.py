"""Readings become alerts: grouped by what they are about, told once, resolved when they go back. Pure.

A window's readings that exceed are one alert. A later window adds to it where it is about the same thing
within the cool-down, or about the same span of traffic (labels of a window come after its columns). What
somebody sees to takes what it is about, and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from headrace.core.codec import to_plain
from headrace.core.digest import digest
from headrace.core.event import Draft
from headrace.core.watching import HARMFUL, AlertState, AlertView, Family, Reading, Window

KEPT = 12
"""Readings that an alert's event carries; the store of windows has all."""
_WORDS: Mapping[Family, str] = {
    Family.QUALITY: "data quality",
    Family.DRIFT: "data drift",
    Family.MULTIVARIATE: "columns moved together",
    Family.PREDICTION: "predictions moved",
    Family.PERFORMANCE: "performance fell",
    Family.ESTIMATED: "estimated performance fell",
    Family.CONCEPT: "the target relates otherwise",
    Family.CALIBRATION: "calibration moved",
    Family.SLICES: "a slice got worse",
    Family.FAIRNESS: "groups are treated otherwise",
    Family.HEALTH: "the service",
    Family.COST: "cost",
    Family.VALUE: "value fell",
}
_SURE = frozenset({Family.QUALITY, Family.HEALTH, Family.COST})
"""Families whose readings name the fault itself, where others name what follows from it."""
_ONLY_WRONG = frozenset((Family.QUALITY.value, check) for check in ("unknown", "vanished", "stale"))
"""Checks that say something only while something is wrong: every window with answers measures them."""

Key = tuple[str, str]


def drafts(
    window: Window,
    readings: Sequence[Reading],
    known: Iterable[AlertView],
    *,
    cool_down_us: int,
    now: str,
    actor: str,
    why: Callable[[Sequence[Reading]], Mapping[str, Any]] | None = None,
    after: int | None = None,
) -> tuple[Draft, ...]:
    """What a judged window's readings mean for the alerts `known`: events to be appended together with the
    window's own, all or none.

    Args:
        readings: all of the window that were made now; some families follow when labels have come.
        cool_down_us: the same thing within this adds to its alert.
        why: explains those that exceed, the leading one first, as plain JSON.
        after: the end of the judged window before this one (None: none is known): what was seen until then is
            seen in this one in a row.
    """
    over = ranked(r for r in readings if r.exceeds)
    mine = [a for a in known if (a.release, a.arm) == (window.release, window.arm)]
    if over:
        last = window.start if after is None else after
        return tuple(
            _told(window, part, alert, now, actor, {"after": last, "why": {} if why is None else why(part)})
            for part, alert in _parts(window, over, mine, cool_down_us)
        )
    return tuple(
        _resolved(a.alert, "its readings went back", now, actor)
        for a in mine
        if a.state is not AlertState.RESOLVED and _went_back(a, window, readings, cool_down_us)
    )


def left(
    known: Iterable[AlertView], live: Collection[tuple[str, str]], now: str, actor: str
) -> tuple[Draft, ...]:
    """Resolve what is open about releases and arms that answer no more. live: release and arm."""
    return tuple(
        _resolved(a.alert, "the release answers no more", now, actor)
        for a in known
        if a.state is not AlertState.RESOLVED and (a.release, a.arm) not in live
    )


def ranked(readings: Iterable[Reading]) -> tuple[Reading, ...]:
    """What names the fault first, then harm, then what is least likely by chance, then what is furthest
    beyond its threshold."""

    def rank(r: Reading) -> tuple[int, float, float, str, str]:
        order = 0 if r.family in _SURE else 1 if r.family in HARMFUL else 2
        return order, 1.0 if r.p is None else r.p, -_beyond(r), r.of, r.check

    return tuple(sorted(readings, key=rank))


def title(readings: Sequence[Reading]) -> str:
    """One line: what the leading reading is about, and how many more things there are."""
    first = readings[0]
    about = f": {first.of}" if first.of else f": {first.check}"
    others = len({_key(r) for r in readings}) - 1
    more = f" and {others} more" if others else ""
    return f"{_WORDS[first.family]}{about}{more}"


def _parts(
    window: Window, over: Sequence[Reading], mine: Sequence[AlertView], cool_down_us: int
) -> Iterator[tuple[Sequence[Reading], AlertView | None]]:
    """Which readings add to which alert (None: a new one). Who acknowledged an alert sees to what it is
    about; whatever else exceeds is told."""
    seen_to = [a for a in mine if a.state is AlertState.ACKNOWLEDGED]
    for alert in sorted(seen_to, key=lambda a: a.seen, reverse=True):
        known = _keys(alert)
        if part := [r for r in over if _key(r) in known]:
            yield part, alert
        over = [r for r in over if _key(r) not in known]
    if over:
        keys = {_key(r) for r in over}
        others = (a for a in mine if a.state is not AlertState.ACKNOWLEDGED)
        same = [a for a in others if _belongs(a, window, keys, cool_down_us)]
        yield over, max(same, key=lambda a: a.seen, default=None)


def _told(
    window: Window,
    over: Sequence[Reading],
    alert: AlertView | None,
    now: str,
    actor: str,
    more: Mapping[str, Any],
) -> Draft:
    payload: dict[str, Any] = {
        "release": window.release,
        "arm": window.arm,
        "families": list(dict.fromkeys(r.family.value for r in over)),
        "readings": [to_plain(r) for r in over[:KEPT]],
        "exceeding": len(over),
        "seen": window.end,
        **more,
    }
    if alert is not None:
        return Draft("alert.seen", alert.alert, now, actor, payload)
    name = digest([window.release, window.arm, window.start, sorted({_key(r) for r in over})])[:12]
    opened = {"title": title(over), "family": over[0].family.value, "since": window.start, **payload}
    return Draft("alert.opened", name, now, actor, opened)


def _belongs(alert: AlertView, window: Window, keys: set[Key], cool_down_us: int) -> bool:
    live = alert.state is AlertState.OPEN
    if live and alert.since <= window.start <= alert.seen:
        return True  # the same traffic seen from another side, or what came right after it
    recent = window.start - alert.seen <= cool_down_us
    return (live or recent) and not keys.isdisjoint(_keys(alert))


def _went_back(alert: AlertView, window: Window, readings: Sequence[Reading], cool_down_us: int) -> bool:
    long_enough = window.end - alert.seen >= max(cool_down_us, 2 * (window.end - window.start))
    measured = {_key(r) for r in readings if r.value is not None}
    told = bool(window.rows) and all((r["family"], r["check"]) in _ONLY_WRONG for r in alert.readings)
    return long_enough and (told or not measured.isdisjoint(_keys(alert)))


def _resolved(alert: str, reason: str, now: str, actor: str) -> Draft:
    return Draft("alert.resolved", alert, now, actor, {"reason": reason})


def _key(reading: Reading) -> Key:
    return reading.family.value, reading.of or reading.check


def _keys(alert: AlertView) -> set[Key]:
    return {(r["family"], r.get("of") or r["check"]) for r in alert.readings}


def _beyond(reading: Reading) -> float:
    """How far a value is beyond its threshold, in thresholds."""
    if reading.value is None or not reading.threshold:
        return math.inf if reading.exceeds else 0.0
    return abs(reading.value - reading.threshold) / abs(reading.threshold)
