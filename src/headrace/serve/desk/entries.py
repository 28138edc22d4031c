"""Answers as the log keeps them, and as callers get them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
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


def entry_of(
    served: Served,
    taken: Taken,
    answers: Answers,
    row: int,
    *,
    route: str,
    arm: str,
    release: str,
    took_us: int,
    of: str = "",
) -> Answered:
    """A row's answer for the log. Personal data are in it as the release's privacy policy has them."""
    inputs = served.around.inputs.kept(taken, row)
    answer = answers.answers[row]
    if "why" in answer:
        answer = {k: v for k, v in answer.items() if k != "why"}
    unit = served.manifest.plan.unit
    return Answered(
        id=new_id(),
        time=time.time_ns() // 1000,
        route=route,
        release=release,
        arm=arm,
        unit=unit_of(inputs, unit) if unit else "",
        by=answers.by[row],
        inputs=inputs,
        answer=answer,
        flags=() if taken.flags is None else taken.flags[row],
        took_us=took_us,
        of=of,
    )


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
