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
FALLBACK = "fallback"
"""How `Answered.by` begins where no arm's release answered."""


def new_id() -> str:
    """A name for a prediction: 12 hex digits of milliseconds, then 20 of chance."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


def entries_of(
    served: Served,
    taken: Taken,
    answers: Answers,
    *,
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
    begin = f"{now // 1000:012x}"
    for start in range(0, len(answers.answers), SLICE):
        span = slice(start, start + SLICE)
        given = answers.answers[span]
        chance = os.urandom(10 * len(given)).hex()
        yield [
            Answered(
                begin + chance[20 * at : 20 * at + 20],
                now,
                route,
                release or answer["release"] or "",  # a rule may have answered among fallbacks
                arm,
                unit_of(inputs, unit) if unit else "",
                by,
                inputs,
                {k: v for k, v in answer.items() if k != "why"} if "why" in answer else answer,
                flags,
                took_us,
                False,
                shadowed,
                filled.get(start + at) or {},
            )
            for at, inputs, answer, by, flags, shadowed in zip(
                range(len(given)),
                around.inputs.kept(taken, span),
                given,
                answers.by[span],
                taken.flags[span] if taken.flags else repeat(()),
                of[span] if of else repeat(""),
                strict=False,
            )
        ]


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
    return [
        {
            "id": entry.id,
            **answer,
            "route": entry.route,
            "arm": entry.arm,
            "by": entry.by,
            "fallback": entry.by is not MODEL and entry.by.startswith(FALLBACK),
            "flags": entry.flags,
            "review": entry.review,
        }
        for entry, answer in zip(entries, answers, strict=True)
    ]


def unit_of(row: Any, column: str) -> str:
    """Whom a row is about, as text: a whole number has no fraction."""
    value = row.get(column) if isinstance(row, Mapping) else None
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)
