"""The target of events that hold live rows: their labels, and the spec's expression for all others."""

from __future__ import annotations

from collections.abc import Collection

TRUTH = "live_truth"
"""The column that holds the labels of live rows; null in all others. Only the target reads it."""


def target_text(text: str, columns: Collection[str]) -> str:
    """The target's expression over these columns of the events."""
    return f"coalesce({TRUTH}, ({text}))" if TRUTH in columns else text
