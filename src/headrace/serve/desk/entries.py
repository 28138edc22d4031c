"""Answers as the log keeps them, and as callers get them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from headrace.core.answered import MODEL, Answered
from headrace.serve.desk.around import Answers
from headrace.serve.desk.inputs import Taken
from headrace.serve.live import Served

FALLBACK = "fallback"
"""How `Answered.by` begins where no arm's release answered."""


def new_id() -> str:
    """A name for a prediction: 12 hex digits of milliseconds, then 20 of chance."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


def entries_of(
    served: Served,
    taken: Taken,
    answers: Answers,
    rows: Sequence[int],
    *,
    route: str,
    arm: str,
    release: str,
    took_us: int,
    of: Sequence[str] = (),
) -> list[Answered]:
    """Some rows' answers for the log; of: the predictions that they were shadows of, one a row. Personal data
    are in them as the release's privacy policy has them."""
    kept, given, by, flags = served.around.inputs.kept, answers.answers, answers.by, taken.flags
    unit = served.manifest.plan.unit
    now = time.time_ns() // 1000
    begin, chance = f"{now // 1000:012x}", os.urandom(10 * len(rows)).hex()
    entries = []
    for at, row in enumerate(rows):
        inputs, answer = kept(taken, row), given[row]
        if "why" in answer:
            answer = {k: v for k, v in answer.items() if k != "why"}
        entries.append(
            Answered(
                begin + chance[20 * at : 20 * at + 20],
                now,
                route,
                release or answer["release"] or "",  # a rule may have answered among fallbacks
                arm,
                unit_of(inputs, unit) if unit else "",
                by[row],
                inputs,
                answer,
                () if flags is None else flags[row],
                took_us,
                False,
                of[at] if of else "",
            )
        )
    return entries


def shown(entry: Answered, answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer as its caller gets it."""
    return {
        "id": entry.id,
        **answer,
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
