"""What a run advises, what its decisions are worth, and what columns mean: shared by `run` and `show`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from headrace.cli.common import number, span, table

_WIDTH = 100


def leaderboard_text(summary: Mapping[str, Any]) -> str:
    """Candidates, best first; with what 1,000 of their decisions are worth where outcomes have a worth."""
    lines = summary.get("leaderboard") or ()
    if not lines:
        return ""
    unit = next((m["worth"]["unit"] for m in lines if m.get("worth")), "")
    headers = ["model", "mean", "std", "seconds"]
    rows = [[m["model"], m["mean"], m["std"], m["seconds"]] for m in lines]
    if unit:
        headers += [unit, "interval"]
        for row, m in zip(rows, lines, strict=True):
            worth = m.get("worth") or {}
            row += [worth.get("value"), span(worth.get("interval"))]
    if any(m.get("error") or m.get("note") or m.get("chosen") for m in lines):
        headers.append("")
        for row, m in zip(rows, lines, strict=True):
            said = ["chosen" if m.get("chosen") else "", m.get("error"), m.get("note")]
            row.append("; ".join(s for s in said if s))
    return table(headers, rows, right=(1, 2, 3, 4) if unit else (1, 2, 3))


def advice_text(summary: Mapping[str, Any]) -> str:
    """Whether to ship, and why."""
    advice = summary.get("advice")
    if not advice:
        return ""
    return textwrap.fill(f"advice: {advice['text']}", _WIDTH, break_long_words=False, break_on_hyphens=False)


def worth_text(summary: Mapping[str, Any]) -> str:
    """What decisions are worth on validation and on the test, and against what else could be done."""
    validation = (summary.get("evaluation") or {}).get("worth")
    parts = [_worth(validation, "validation"), _worth(summary.get("worth"), "the test")]
    return "\n".join(p for p in parts if p)


def _worth(worth: Mapping[str, Any] | None, place: str) -> str:
    if not worth:
        return ""
    over = {"today": "today's rule", "nothing": "doing nothing", "always": "always acting"}
    text = f"worth on {place}: {number(worth['value'])} {span(worth['interval'])} {worth['unit']}"
    gains = [
        f"{'+' if gain['gain'] > 0 else ''}{number(gain['gain'])} {span(gain['interval'])} over {over[name]}"
        for name, gain in worth["gains"].items()
    ]
    return "\n  ".join([text, *gains])


def columns_text(summary: Mapping[str, Any]) -> str:
    """What the described columns mean."""
    columns = summary.get("columns") or {}
    return table(["column", "meaning"], [[n, text] for n, text in columns.items()]) if columns else ""
