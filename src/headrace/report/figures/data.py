"""Figures of tables, from a profile."""

from __future__ import annotations

from headrace.data.profile.record import Correlations, Coverage
from headrace.report.figures.drawn import NO_TEMPLATE, Drawn

SHOWN = 40
_MARGIN = {"l": 10, "r": 10, "t": 10, "b": 10}


def correlation_matrix(correlations: Correlations) -> Drawn:
    """Pearson's r of every pair as a heat map; of more than 40 columns those with the strongest pairs, in the
    table's order."""
    chosen = _strongest(correlations)
    names = [correlations.columns[i] for i in chosen]
    heat = {
        "type": "heatmap",
        "z": [[correlations.r[i][j] for j in chosen] for i in chosen],
        "x": names,
        "y": names,
        "zmin": -1,
        "zmax": 1,
        "zmid": 0,
        "colorscale": [[0, "#b2482f"], [0.5, "rgba(140,140,140,0.10)"], [1, "#2f6fde"]],
        "hovertemplate": "%{y} and %{x}: r = %{z:.3f}<extra></extra>",
        "colorbar": {"title": {"text": "r"}, "thickness": 12, "len": 0.8},
    }
    axis = {"automargin": True, "type": "category", "showgrid": False}
    layout = {
        "margin": _MARGIN,
        "xaxis": axis | {"tickangle": -60},
        "yaxis": axis | {"autorange": "reversed"},
        "template": NO_TEMPLATE,
    }
    return Drawn([heat], layout)


def _strongest(correlations: Correlations) -> list[int]:
    columns = range(len(correlations.columns))
    strength = {
        i: max((abs(r or 0.0) for j, r in enumerate(correlations.r[i]) if j != i), default=0.0)
        for i in columns
    }
    return sorted(sorted(columns, key=lambda i: (-strength[i], i))[:SHOWN])


def time_coverage(coverage: Coverage) -> Drawn:
    """Rows over time as bars, one a span of days, with the gaps shaded."""
    bars = {
        "type": "bar",
        "x": list(coverage.starts),
        "y": list(coverage.rows),
        "width": coverage.width * 86_400_000,
        "offset": 0,
        "marker": {"color": "#2f6fde", "line": {"width": 0}},
        "hovertemplate": "%{x|%Y-%m-%d}: %{y:,} rows<extra></extra>",
    }
    shade = {"type": "rect", "fillcolor": "#d98324", "opacity": 0.25, "line": {"width": 0}}
    over = {"xref": "x", "yref": "y domain", "y0": 0, "y1": 1}
    layout = {
        "margin": _MARGIN,
        "shapes": [shade | over | {"x0": g.first, "x1": g.last} for g in coverage.gaps],
        "xaxis": {"automargin": True, "type": "date"},
        "yaxis": {"automargin": True, "title": {"text": "rows"}, "rangemode": "tozero"},
        "template": NO_TEMPLATE,
    }
    return Drawn([bars], layout)
