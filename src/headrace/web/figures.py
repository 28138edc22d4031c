"""Figures of what changes over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headrace.report.figures.drawn import NO_TEMPLATE, Drawn
from headrace.report.figures.style import BLUE, COLOURS, GREY, ORANGE, brief

RED = "#d0453b"
_MARGIN = {"l": 8, "r": 10, "t": 8, "b": 8}


@dataclass(frozen=True)
class Series:
    """A line. x: ISO moments; y: values, None leaves a gap. dash: solid, dot or dash. low, high: a band."""

    name: str
    x: Sequence[str]
    y: Sequence[float | None]
    colour: str = ""
    dash: str = "solid"
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()
    marks: Sequence[bool] = ()


def over_time(
    series: Sequence[Series], y: str, *, percent: bool = False, zero: bool = True, stacked: bool = False
) -> Drawn:
    """Lines over time. marks: the points of a series that are alarms, drawn as such."""
    data: list[dict[str, Any]] = []
    for i, s in enumerate(series):
        colour = s.colour or COLOURS[i % len(COLOURS)]
        data += _band(s, colour)
        line: dict[str, Any] = {
            "type": "scatter",
            "mode": "lines+markers" if len(s.x) <= 2 else "lines",
            "name": brief(s.name, 30),
            "x": list(s.x),
            "y": [_whole(v) for v in s.y],
            "line": {"color": colour, "width": 1.8, "dash": s.dash},
            "connectgaps": False,
            "hovertemplate": "%{y:.1%}" if percent else "%{y:.4~g}",
        }
        if stacked:
            line |= {"stackgroup": "one"}
        data.append(line)
        if any(s.marks):
            at = [k for k, m in enumerate(s.marks) if m]
            data.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": "alarm",
                    "x": [s.x[k] for k in at],
                    "y": [_whole(s.y[k]) for k in at],
                    "marker": {"color": RED, "size": 8, "symbol": "diamond"},
                    "showlegend": False,
                    "hovertemplate": "alarm: %{y:.4~g}",
                }
            )
    axis: dict[str, Any] = {
        "automargin": True,
        "title": {"text": y},
        "rangemode": "tozero" if zero else "normal",
    }
    if percent:
        axis["tickformat"] = ".1~%"
    return Drawn(data, _layout(axis, len(series) > 1))


def _band(s: Series, colour: str) -> list[dict[str, Any]]:
    if not s.low or not s.high:
        return []
    known = [k for k in range(len(s.x)) if s.low[k] is not None and s.high[k] is not None]
    if not known:
        return []
    x = [s.x[k] for k in known] + [s.x[k] for k in reversed(known)]
    y = [s.high[k] for k in known] + [s.low[k] for k in reversed(known)]
    return [
        {
            "type": "scatter", "x": x, "y": y, "fill": "toself", "fillcolor": colour, "opacity": 0.18,
            "line": {"width": 0}, "mode": "lines", "hoverinfo": "skip", "showlegend": False,
        }
    ]  # fmt: skip


def _layout(yaxis: dict[str, Any], legend: bool) -> dict[str, Any]:
    return {
        "margin": _MARGIN,
        "xaxis": {"automargin": True, "type": "date", "showgrid": False},
        "yaxis": yaxis,
        "template": NO_TEMPLATE,
        "hovermode": "x unified",
        "showlegend": legend,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    }


def two_histograms(names: Sequence[str], reference: Sequence[float], window: Sequence[float]) -> Drawn:
    """Shares by bin of the reference and of a window, beside each other. names: of the bins."""
    bars = [
        {
            "type": "bar", "name": name, "x": [brief(n, 24) for n in names], "y": list(values),
            "marker": {"color": colour, "line": {"width": 0}}, "hovertemplate": "%{x}: %{y:.2%}",
        }
        for name, values, colour in (("reference", reference, GREY), ("window", window, BLUE))
    ]  # fmt: skip
    layout = {
        "margin": _MARGIN,
        "barmode": "group",
        "bargap": 0.15,
        "xaxis": {"automargin": True, "type": "category", "tickangle": -45, "showgrid": False},
        "yaxis": {"automargin": True, "tickformat": ".0%", "title": {"text": "share of the rows"}},
        "template": NO_TEMPLATE,
        "showlegend": True,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    }
    return Drawn(bars, layout)


def _whole(value: float | None) -> float | None:
    return None if value is None or value != value else value


__all__ = ["BLUE", "GREY", "ORANGE", "RED", "Series", "over_time", "two_histograms"]
