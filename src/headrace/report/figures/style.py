"""What all Plotly figures share: colours that colour-blind readers tell apart on light and on dark ground,
and quiet axes. A page puts its own ink and lines in (`draw.js`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.report.figures.drawn import NO_TEMPLATE, Drawn

BLUE, ORANGE, TEAL, PINK, GREY = "#3d7fd6", "#dd7f1e", "#1f9d88", "#bb5a9e", "#8a94a3"
"""Blue, vermilion, green and purple after Okabe and Ito (2008), moved to a lightness between white and black;
grey is for what things are compared with."""
COLOURS = (BLUE, ORANGE, TEAL, PINK, "#7b6ad0", "#b08d1a", GREY)


def figure(x: str = "", y: str = "", **layout: Any) -> Drawn:
    """An empty figure with titled axes; `layout` goes to Plotly."""
    made = Drawn()
    made.update_layout(
        template=NO_TEMPLATE,
        colorway=COLOURS,
        margin={"l": 12, "r": 14, "t": 12, "b": 12},
        xaxis={"title": {"text": x}, "automargin": True, "zeroline": False},
        yaxis={"title": {"text": y}, "automargin": True, "zeroline": False},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title": {"text": ""}},
        showlegend=False,
        hovermode="closest",
    )
    return made.update_layout(**layout)


def rows_high(count: int, *, each: int = 26, least: int = 180) -> int:
    """How many pixels a figure of `count` lines one below the other needs."""
    return max(least, 96 + each * count)


def reach(values: Sequence[float | None], low: Sequence[float | None], high: Sequence[float | None]) -> Any:
    """Plotly's error bars from interval ends; a missing end has none."""
    pairs = list(zip(values, low, high, strict=True))
    return {
        "type": "data",
        "symmetric": False,
        "array": [None if v is None or h is None else h - v for v, _, h in pairs],
        "arrayminus": [None if v is None or lo is None else v - lo for v, lo, _ in pairs],
        "thickness": 1.4,
        "width": 3,
    }


def brief(name: str, most: int = 44) -> str:
    """A name that fits beside a figure. Plotly reads some HTML in texts: `<` is written out of its way."""
    cut = name if len(name) <= most else name[: most - 1] + "…"
    return cut.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
