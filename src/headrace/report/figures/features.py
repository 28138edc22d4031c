"""Figures of features: what proposals gained, and how a column lies."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.core.catalogue import FeatureTold, Spread
from headrace.report.figures.drawn import Drawn
from headrace.report.figures.style import BLUE, GREY, ORANGE, brief, figure, reach, rows_high

MOST = 40


def gains(features: Sequence[FeatureTold]) -> Drawn:
    """What each proposal that was put to the model gained, as a share of the loss, with 90% intervals; beside
    it the best of its shuffled copies."""
    shown = [f for f in features if f.measured is not None]
    shown = sorted(shown, key=lambda f: f.measured.gain if f.measured else 0.0)[-MOST:]
    made = figure("share of the loss that it takes away", height=rows_high(len(shown)), showlegend=True)
    for states, title, colour in ((("kept", "pinned"), "kept", BLUE), (("dropped",), "dropped", GREY)):
        of = [f for f in shown if f.state in states]
        x = [f.measured.gain for f in of if f.measured]
        low, high = [f.measured.low for f in of if f.measured], [f.measured.high for f in of if f.measured]
        made.add_scatter(
            x=x,
            y=[brief(f.name) for f in of],
            error_x=reach(x, low, high),
            mode="markers",
            name=title,
            marker={"color": colour, "size": 8},
        )
    probed = [(f.name, f.measured.probe) for f in shown if f.measured and f.measured.probe is not None]
    made.add_scatter(
        x=[p for _, p in probed],
        y=[brief(n) for n, _ in probed],
        mode="markers",
        name="best shuffled copy",
        marker={"color": ORANGE, "size": 8, "symbol": "x"},
    )
    names = [brief(f.name) for f in shown]
    return made.update_layout(
        yaxis={"categoryorder": "array", "categoryarray": names, "automargin": True},
        xaxis={"tickformat": ".1%", "zeroline": True},
    )


def spread(found: Spread) -> Drawn:
    """A histogram, or the shares of the most frequent values."""
    if found.values:
        made = figure("share of the training rows", height=rows_high(len(found.values)))
        names, shares = zip(*reversed(found.values), strict=True)
        made.add_bar(x=shares, y=[brief(str(n)) for n in names], orientation="h")
        return made.update_layout(xaxis={"tickformat": ".0%"}, yaxis={"type": "category"})
    made = figure("value", "training rows", height=240, bargap=0.04)
    middles = [(a + b) / 2 for a, b in zip(found.edges, found.edges[1:], strict=False)]
    width = found.edges[1] - found.edges[0] if len(found.edges) > 1 else 1.0
    made.add_bar(x=middles, y=list(found.counts), width=width)
    return made
