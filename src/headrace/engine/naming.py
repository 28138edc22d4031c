"""A run is named by what changed since its parent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def name_run(spec: Mapping[str, Any], parent: Mapping[str, Any] | None) -> str:
    """Compare two plain specs component by component.

    >>> name_run({"features": {"a": "x", "b": "y"}}, {"features": {"a": "x"}})
    'features: +b'
    """
    if parent is None:
        return "first run"
    parts = [
        text
        for component in sorted(set(spec) | set(parent))
        if (text := _change(component, spec.get(component), parent.get(component)))
    ]
    return "; ".join(parts) or "no change in the spec"


def _change(component: str, new: Any, old: Any) -> str:
    if new == old:
        return ""
    if isinstance(new, Mapping) and isinstance(old, Mapping):
        added = [f"+{k}" for k in new if k not in old]
        removed = [f"-{k}" for k in old if k not in new]
        changed = [f"~{k}" for k in new if k in old and new[k] != old[k]]
        return f"{component}: {_some([*added, *removed, *changed])}"
    if isinstance(new, list) and isinstance(old, list):
        labels_new, labels_old = [_label(m) for m in new], [_label(m) for m in old]
        added = [f"+{m}" for m in labels_new if m not in labels_old]
        removed = [f"-{m}" for m in labels_old if m not in labels_new]
        return f"{component}: {_some([*added, *removed]) or '~order or parameters'}"
    if new is None or old is None:
        return f"{component}: {'set' if old is None else 'default'}"
    return f"{component}: {old} → {new}"


def _label(item: Any) -> str:
    return str(item.get("name") or item.get("use")) if isinstance(item, Mapping) else str(item)


def _some(changes: list[str]) -> str:
    return " ".join(changes[:6]) + (f" (+{len(changes) - 6} more)" if len(changes) > 6 else "")
