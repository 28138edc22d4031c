"""Runs beside each other: what changed, and whether their metric differs beyond noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.web.page import Asked, Page

MOST_RUNS = 8


@dataclass(frozen=True)
class Compared:
    """The page. runs: those that were chosen, the oldest first. found: what `headrace compare --json` prints;
    empty where fewer than two were chosen."""

    runs: tuple[str, ...]
    found: Mapping[str, Any]


def model(asked: Asked) -> Compared:
    """The chosen runs: `?run-NAME=1&…`, or releases by `?release-NAME=1`."""
    chosen = [k.partition("-")[2] for k in asked.query if k.startswith(("run-", "release-"))]
    chosen = sorted(dict.fromkeys(chosen), key=_number)[:MOST_RUNS]
    found = asked.project.compare(*chosen) if len(chosen) > 1 else {}
    return Compared(tuple(chosen), found)


def _number(run: str) -> tuple[int, str]:
    tail = run.rpartition("-")[2]
    return (int(tail) if tail.isdecimal() else 0, run)


PAGE = Page("compare", "compare", "", "runs side by side, with paired intervals", model, "compare.html")
