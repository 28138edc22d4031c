"""Figures of tables, from a profile: for pages and for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.data.profile.record import Correlations, Coverage

if TYPE_CHECKING:
    import plotly.graph_objects as go

SHOWN = 40


def correlation_matrix(correlations: Correlations) -> go.Figure:
    """Pearson's r of every pair as a heat map; of more than 40 columns those with the strongest pairs, in the
    table's order."""
    import plotly.graph_objects as go

    chosen = _strongest(correlations)
    names = [correlations.columns[i] for i in chosen]
    r = [[correlations.r[i][j] for j in chosen] for i in chosen]
    figure = go.Figure(
        go.Heatmap(
            z=r, x=names, y=names, zmin=-1, zmax=1, zmid=0,
            colorscale=[[0, "#b2482f"], [0.5, "rgba(140,140,140,0.10)"], [1, "#2f6fde"]],
            hovertemplate="%{y} and %{x}: r = %{z:.3f}<extra></extra>",
            colorbar={"title": {"text": "r"}, "thickness": 12, "len": 0.8},
        )
    )  # fmt: skip
    figure.update_layout(
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        xaxis={"automargin": True, "tickangle": -60, "type": "category", "showgrid": False},
        yaxis={"automargin": True, "autorange": "reversed", "type": "category", "showgrid": False},
        template="none",
    )
    return figure


def _strongest(correlations: Correlations) -> list[int]:
    columns = range(len(correlations.columns))
    strength = {
        i: max((abs(r or 0.0) for j, r in enumerate(correlations.r[i]) if j != i), default=0.0)
        for i in columns
    }
    return sorted(sorted(columns, key=lambda i: (-strength[i], i))[:SHOWN])


def time_coverage(coverage: Coverage) -> go.Figure:
    """Rows over time as bars, one a span of days, with the gaps shaded."""
    import plotly.graph_objects as go

    width = coverage.width * 86_400_000
    figure = go.Figure(
        go.Bar(
            x=coverage.starts, y=coverage.rows, width=width, offset=0,
            marker={"color": "#2f6fde", "line": {"width": 0}},
            hovertemplate="%{x|%Y-%m-%d}: %{y:,} rows<extra></extra>",
        )
    )  # fmt: skip
    for gap in coverage.gaps:
        figure.add_vrect(x0=gap.first, x1=gap.last, fillcolor="#d98324", opacity=0.25, line_width=0)
    figure.update_layout(
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        xaxis={"automargin": True, "type": "date"},
        yaxis={"automargin": True, "title": {"text": "rows"}, "rangemode": "tozero"},
        template="none",
    )
    return figure
