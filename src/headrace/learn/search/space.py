"""What a search may vary: the candidate's space without what the user has set, and grids of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headrace.core.task import Task
from headrace.learn.candidate import Choice, Range, Space
from headrace.learn.records import Entry

MOST_GRID = 243
"""The largest grid, where no budget of trials makes it smaller: three levels of five parameters."""
_LEVELS = 3


def space_of(entry: Entry, task: Task) -> Space:
    """The parameters to search: those of the candidate's space that the user has not set."""
    return {n: s for n, s in entry.candidate.space(task).items() if n not in entry.given}


def described(space: Space) -> dict[str, str]:
    """A space in words."""
    return {name: _words(part) for name, part in space.items()}


def _words(part: Range | Choice) -> str:
    if isinstance(part, Choice):
        return "one of " + ", ".join(str(o) for o in part.options)
    kind = "whole, " if part.integer else ""
    return f"{kind}{part.low:g} to {part.high:g}" + (", logarithmic" if part.log else "")


def within(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """The nearest point of the space: defaults may lie outside of it, and a sampler can't place those."""
    found: dict[str, Any] = {}
    for name, part in space.items():
        value = params[name]
        if isinstance(part, Choice):
            found[name] = value if value in part.options else part.options[0]
        else:
            clipped = min(max(float(value), part.low), part.high)
            found[name] = round(clipped) if part.integer else clipped
    return found


def grid(space: Space, most: int) -> tuple[list[dict[str, Any]], str]:
    """At most `most` combinations, and in words which parameters were varied by how many levels.

    A range has three levels: its ends and its middle (on its scale). A choice has all options. Parameters
    are taken in the order in which the candidate names them, as long as the grid stays small enough; the
    rest keep their defaults.
    """
    levels: dict[str, list[Any]] = {}
    size, left = 1, []
    for name, part in space.items():
        wanted = _levels(part)
        if size * len(wanted) > most:
            left.append(name)
            continue
        levels[name] = wanted
        size *= len(wanted)
    points = [dict(zip(levels, values, strict=True)) for values in itertools.product(*levels.values())]
    if not levels:
        points = []
    text = " × ".join(f"{name} ({len(values)})" for name, values in levels.items()) or "nothing"
    note = f"grid of {len(points)}: {text}"
    if left:
        note += f"; {', '.join(left)} as by default: more than {most} combinations otherwise"
    return points, note


def _levels(part: Range | Choice) -> list[Any]:
    if isinstance(part, Choice):
        return list(part.options)
    middle = math.sqrt(part.low * part.high) if part.log else (part.low + part.high) / 2
    values: Sequence[float] = (part.low, middle, part.high)[:_LEVELS]
    if part.integer:
        return sorted({round(v) for v in values})
    return sorted({float(np.round(v, 12)) for v in values})
