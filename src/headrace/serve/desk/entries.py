"""Answers as the log keeps them, and as callers get them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

from headrace.core.answered import MODEL, Answered
from headrace.core.clock import from_micros, iso
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.serve.desk.around import Answers
from headrace.serve.desk.inputs import Taken
from headrace.serve.live import Served

SLICE = 512
"""Rows of a large request that are worked at in one go, before others have their turn."""
_DRAWN = 256
"""Names for which chance is drawn at once."""
_NOTHING: Mapping[str, Any] = {}
FALLBACK = "fallback"
"""How `Answered.by` begins where no arm's release answered."""


class Names:
    """Makes names for predictions: 12 hex digits of milliseconds, then 20 of chance. For one event loop.

    Chance is drawn for many at once: to ask the system takes longer than to make the rest of a row's entry.
    """

    def __init__(self) -> None:
        self._chance = ""
        self._used = 0
        self._begin = -1, ""

    def make(self, now: int, count: int) -> list[str]:
        """So many names. now: microseconds since 1970."""
        begun, begin = self._begin
        if begun != now // 1000:
            begin = f"{now // 1000:012x}"
            self._begin = now // 1000, begin
        start, end = self._used, self._used + 20 * count
        if end > len(self._chance):
            self._chance = os.urandom(10 * max(count, _DRAWN)).hex()
            start, end = 0, 20 * count
        self._used, chance = end, self._chance
        return [begin + chance[at : at + 20] for at in range(start, end, 20)]


def entries_of(
    served: Served,
    taken: Taken,
    answers: Answers,
    *,
    names: Names,
    route: str,
    arm: str,
    release: str,
    took_us: int,
    of: Sequence[str] = (),
) -> Iterator[list[Answered]]:
    """Rows' answers for the log, in slices; of: the predictions that they were shadows of, one a row.
    Personal data are in them as the release's privacy policy has them."""
    around = served.around
    unit = served.manifest.plan.unit
    filled = filled_in(answers.feeds, around.filled, answers.spots) if around.filled else {}
    now = time.time_ns() // 1000
    for start in range(0, len(answers.answers), SLICE):
        span = slice(start, start + SLICE)
        given, inputs = answers.answers[span], around.inputs.kept(taken, span)
        rows = len(given)
        yield list(
            map(
                Answered,
                names.make(now, rows),
                repeat(now),
                repeat(route),
                # none: a rule may have answered among fallbacks
                repeat(release) if release else [answer["release"] or "" for answer in given],
                repeat(arm),
                [unit_of(row, unit) for row in inputs] if unit else repeat(""),
                answers.by[span],
                inputs,
                map(_without_why, given),
                taken.flags[span] if taken.flags else repeat(()),
                repeat(took_us),
                repeat(False),
                of[span] if of else repeat(""),
                [filled.get(i, _NOTHING) for i in range(start, start + rows)] if filled else repeat(_NOTHING),
            )
        )


def _without_why(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """An answer without its contributions, which the log does not keep."""
    return {k: v for k, v in answer.items() if k != "why"} if "why" in answer else answer


def filled_in(
    feeds: Mapping[str, Any], columns: Sequence[tuple[str, Type]], spots: Sequence[int] | None = None
) -> dict[int, dict[str, Any]]:
    """By row, what the server filled in of these columns, as JSON has it: null where nothing was found, times
    as text in UTC. spots: rows where anything was (None: all). Nothing where a column is not there: no model
    was asked."""
    try:
        found = [(name, feeds[name].tolist(), _PLAIN[kind]) for name, kind in columns]
    except KeyError:
        return {}
    rows = range(len(found[0][1])) if spots is None else spots
    return {row: {name: plain(values[row]) for name, values, plain in found} for row in rows}


_PLAIN: Mapping[Type, Callable[[Any], Any]] = {
    Type.NUMBER: lambda v: None if v != v else v,
    Type.BOOL: lambda v: None if v != v else v != 0,
    Type.TEXT: lambda v: None if v == NULL_TEXT else v,
    Type.TIME: lambda v: None if v == NULL_TIME else iso(from_micros(v)),
}


def shown(entries: Sequence[Answered], answers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Answers as their callers get them."""
    told: list[dict[str, Any]] = []
    like: Answered | None = None
    more: dict[str, Any] = {}
    for entry, answer in zip(entries, answers, strict=True):
        if like is None or not _alike(entry, like):
            like, more = entry, _more(entry)
        told.append({"id": entry.id, **answer, **more})
    return told


def _alike(entry: Answered, other: Answered) -> bool:
    """Whether callers are told the same of two rows of a release and arm, beside their answers."""
    return entry.by is other.by and entry.flags is other.flags and entry.review is other.review


def _more(entry: Answered) -> dict[str, Any]:
    return {
        "route": entry.route,
        "arm": entry.arm,
        "by": entry.by,
        "fallback": entry.by is not MODEL and entry.by.startswith(FALLBACK),
        "flags": entry.flags,
        "review": entry.review,
    }


def unit_of(row: Any, column: str) -> str:
    """Whom a row is about, as text: a whole number has no fraction."""
    value = row.get(column) if isinstance(row, Mapping) else None
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)
