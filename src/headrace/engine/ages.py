"""Which snapshot of each table a run uses, and how old it is now: never kept, asked anew each time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from headrace.core.clock import parse_duration
from headrace.core.evidence import Evidence, Rule
from headrace.engine.context import Context, Made

_DAY = 86_400.0


def tables_used(ctx: Context, made: Made) -> dict[str, dict[str, Any]]:
    """By table: the snapshot's artifact and content, its rows, when it was taken, the newest moment in it,
    and its age in days now (by the newest moment, without one by when it was taken)."""
    if "ingest" not in made:
        return {}
    output = made["ingest"]
    moments, times = output.notes.get("newest", {}), output.notes.get("taken_of", {})
    found = {}
    for name, snapshot in output.facts.get("snapshots", {}).items():
        taken = times.get(name) or output.notes.get("taken", "")
        newest = moments.get(name, "")
        since = newest or (taken if name not in moments else "")
        found[name] = {
            "artifact": snapshot["artifact"],
            "content": snapshot["content"],
            "rows": snapshot["rows"],
            "taken": taken,
            "newest": newest,
            "age_days": _days(ctx.clock(), since) if since else None,
            "age_by": "newest" if newest else "taken",
        }
    return found


def _days(now: datetime, since: str) -> float:
    return round((now - datetime.fromisoformat(since)).total_seconds() / _DAY, 6)


def fresh(ctx: Context, made: Made) -> tuple[Evidence, ...]:
    """How old each table with a `max_age` is at this moment."""
    used = tables_used(ctx, made)
    evidence = []
    for name, table in ctx.spec.data.tables.items():
        if table.max_age is None or name not in used:
            continue
        age, how = used[name]["age_days"], used[name]
        evidence.append(
            Evidence(
                f"fresh: {name}",
                age,
                unit="days",
                n=1,
                where=f"newest row {how['newest'] or '–'}, taken {how['taken']}",
                why_none="no row is dated before the moment when the table was read" if age is None else "",
            )
        )
    return tuple(evidence)


def fresh_rules(ctx: Context) -> dict[str, Rule]:
    """Each table's `max_age`, in days."""
    return {
        f"fresh: {name}": Rule("<=", parse_duration(table.max_age).total_seconds() / _DAY)
        for name, table in ctx.spec.data.tables.items()
        if table.max_age is not None
    }
