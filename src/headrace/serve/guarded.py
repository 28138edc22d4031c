"""Answers as guardrails see them: by route and arm, a row a unit, in windows of a tenth of a second."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from headrace.core.answered import FAILED, INSTEAD, MODEL, Answered
from headrace.core.routes import Role
from headrace.policy.arms import Seen
from headrace.policy.routing import WINDOW

WINDOW_US = WINDOW.seconds * 1_000_000 + WINDOW.microseconds
_NOTHING = Seen.nothing()
_ARMS = (Role.CANARY.value, Role.CHAMPION.value)


class Tally:
    """A prediction log that keeps nothing but the newest answers of this process, where the log is off and
    guardrails hold nevertheless. Safe for use by several threads."""

    def __init__(self, most: int = 100_000) -> None:
        self._kept: deque[Answered] = deque(maxlen=most)

    def append(self, entries: Sequence[Answered], done: Callable[[Exception | None], None]) -> None:
        """See `core.ports.Log`."""
        self._kept.extend(entries)
        done(None)

    def close(self) -> None:
        """See `core.ports.Log`."""

    def poll(self) -> list[Answered]:
        """What came since the last look."""
        found: list[Answered] = []
        while self._kept:
            found.append(self._kept.popleft())
        return found


def windows(entries: Iterable[Answered], route: str) -> list[tuple[int, Seen, Seen]]:
    """The canary's and the champion's answers on a route, by window (its number since 1970), in order."""
    found: dict[int, dict[str, list[Answered]]] = {}
    for e in entries:
        if e.route == route and e.arm in _ARMS:
            found.setdefault(e.time // WINDOW_US, {}).setdefault(e.arm, []).append(e)
    canary, champion = _ARMS
    return [
        (number, seen(arms.get(canary, [])), seen(arms.get(champion, [])))
        for number, arms in sorted(found.items())
    ]


def seen(entries: Sequence[Answered]) -> Seen:
    """An arm's answers of one window. A unit that asked several times counts once, by the worst: answers of
    one unit say little more than one of them."""
    if not entries:
        return _NOTHING
    rows: dict[str, list[float]] = {}
    for e in entries:
        row = [float(failed(e)), float(e.by.startswith(INSTEAD)), float(e.took_us), score(e)]
        unit = e.unit or e.id
        known = rows.get(unit)
        rows[unit] = row if known is None else [*map(max, known[:3], row[:3]), row[3]]
    table = np.array(list(rows.values()), dtype=np.float64)
    return Seen(table[:, 0], table[:, 1], table[:, 2], table[:, 3], np.empty(0))


def worth_seen(values: Sequence[float]) -> Seen:
    """What decisions were worth whose truth became known now, whenever they were made."""
    return replace(_NOTHING, value=np.asarray(values, dtype=np.float64))


def failed(e: Answered) -> bool:
    """Whether the arm's own release raised, took too long, or was left alone because it had done so again and
    again. Where there was no time to ask it, or the row does not fit it, another answered all the same."""
    return e.by.startswith(INSTEAD) and e.by.partition("(")[2].startswith(FAILED)


def score(e: Answered) -> float:
    """The number that a release's answer rests on; NaN where it gave none: the probability of the positive
    class, the prediction of a regression, or, for more classes, the place of the class that is predicted
    plus its probability."""
    if e.by != MODEL:
        return math.nan
    told = e.answer.get("probability")
    if isinstance(told, Mapping):
        return _of_classes(told, e.answer.get("prediction"))
    value = e.answer.get("prediction") if told is None else told
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value)


def _of_classes(told: Mapping[str, Any], prediction: Any) -> float:
    for place, (name, probability) in enumerate(told.items()):
        if name == str(prediction) or name == prediction:
            return place + float(probability)
    values = [float(v) for v in told.values()]
    return float(np.argmax(values)) + max(values) if values else math.nan
