"""How the document says numbers, gates and days."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.report.page import number, span


def day(moment: str) -> str:
    """The day of an ISO moment."""
    return moment[:10]


def figure(value: float | None, interval: Mapping[str, Any] | None = None, unit: str = "") -> str:
    """A number with its unit and interval."""
    told = f"{number(value)} {unit}".strip()
    return f"{told} {span(interval['low'], interval['high'])}" if interval else told


def verdict(gate: Mapping[str, Any] | None) -> str:
    """What a gate said, in a few words; empty where it was not judged."""
    if gate is None:
        return ""
    waived = gate.get("waiver")
    told = f"{gate['verdict']}: {gate['reason']}"
    return f"{told} (waived by {waived['by']} until {waived['until']})" if waived else told


def listed(names: tuple[str, ...] | list[str], *, last: str = "and") -> str:
    """`a, b and c`."""
    names = list(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}" if len(names) > 1 else "".join(names)


def counted(count: int, one: str, many: str = "") -> str:
    """`1 run`, `2 runs`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
