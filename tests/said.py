"""What a release said in an answer, apart from what the server says of the answer."""

from __future__ import annotations

from typing import Any

SERVERS = frozenset({"id", "route", "arm", "by", "fallback", "flags", "review"})
"""Members of an answer that differ from request to request, or that the release knows nothing of."""


def said(body: Any) -> Any:
    """An answer, a list of them, or `{predictions: [...]}`, without the server's members."""
    if isinstance(body, list):
        return [said(a) for a in body]
    if "predictions" in body:
        return said(body["predictions"])
    return {k: v for k, v in body.items() if k not in SERVERS}
