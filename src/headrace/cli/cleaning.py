"""What cleaning did, in a few lines of `headrace run` and `headrace show`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.cli.common import number, table
from headrace.core.clock import from_micros
from headrace.core.schema import Type


def cleaning_text(summary: Mapping[str, Any]) -> str:
    """A run's summary to text: rows left out and cells touched; empty where nothing was to be cleaned."""
    found = summary.get("cleaning") or {}
    fitted = {c["column"]: c for c in found.get("columns", ())}
    parts = []
    if found.get("rows"):
        told = ", ".join(f"{n:,} ({reason})" for reason, n in found["rows"].items())
        parts.append(f"training rows left out: {told}")
    filled = {c: n for c, n in (found.get("forward_filled") or {}).items() if n}
    if filled:
        parts.append("cells filled forward: " + ", ".join(f"{n:,} ({c})" for c, n in filled.items()))
    rows = [
        [c["column"], c["step"], _by(fitted.get(c["column"], {}), c["step"]), c["train"], c["validation"]]
        for c in found.get("cells", ())
        if (c["train"] or c["validation"]) and _worth_telling(c["step"], fitted.get(c["column"], {}))
    ]
    if rows:
        parts.append(table(["cleaned", "step", "to", "train", "validation"], rows, right=(3, 4)))
    parts += [f"{c['column']}: {c['note']}" for c in fitted.values() if c["note"]]
    return "\n".join(parts)


def _worth_telling(step: str, fitted: Mapping[str, Any]) -> bool:
    """Texts that were read as times are no news, and nulls that were filled are told once."""
    return step != "parse" and (step != "missing" or fitted.get("fill") is None)


def _by(fitted: Mapping[str, Any], step: str) -> str:
    value = fitted.get({"clip low": "low", "clip high": "high", "fill": "fill"}.get(step, ""))
    if value is None:
        return ""
    if fitted.get("type") == Type.TIME:
        return from_micros(int(value)).isoformat()
    return number(value) if isinstance(value, float) else str(value)
