"""Small HTML tables for notebooks: what `_repr_html_` of a result returns. No styling of the page's own."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

_COLOURS = {
    "pass": "#1a7f37",
    "released": "#1a7f37",
    "champion": "#1a7f37",
    "fail": "#cf222e",
    "blocked": "#cf222e",
    "no-go": "#cf222e",
    "failed": "#cf222e",
    "unknown": "#9a6700",
    "awaiting approval": "#9a6700",
}


def table(headers: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str = "") -> str:
    """A table; everything in it is escaped. Verdicts and states are coloured, numbers shortened."""
    head = "".join(f"<th style='text-align:left'>{escape(h)}</th>" for h in headers)
    body = "".join("<tr>" + "".join(_cell(v) for v in row) + "</tr>" for row in rows)
    caption = f"<p><b>{escape(title)}</b></p>" if title else ""
    return f"{caption}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    if value is None:
        return "<td>–</td>"
    if isinstance(value, float):
        shown = f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
        return f"<td style='text-align:right'>{shown}</td>"
    colour = _COLOURS.get(str(value))
    style = f" style='color:{colour};font-weight:600'" if colour else ""
    return f"<td{style}>{escape(str(value))}</td>"
