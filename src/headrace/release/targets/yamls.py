"""Records as YAML, with a line that says what they are."""

from __future__ import annotations

from typing import Any


def as_yaml(about: str, *documents: Any) -> str:
    """One file of one or more documents, keys in the order given."""
    import yaml

    texts = [yaml.safe_dump(d, sort_keys=False, allow_unicode=True, width=110) for d in documents]
    return f"# {about}\n" + "---\n".join(texts)
