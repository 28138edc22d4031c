"""Figures of how well a model does, each from the plain record of the evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.report.figures.drawn import Drawn
from headrace.report.figures.style import BLUE, COLOURS, GREY, ORANGE, TEAL, brief, figure, reach

if TYPE_CHECKING:
    from headrace.checks.curves import Curves
    from headrace.checks.errors import Confusion, Residuals
    from headrace.checks.learning_curve import LearningCurve
    from headrace.metrics.calibration import Reliability


def roc(curves: Curves) -> Drawn:
    """True over false positive rate of each class against the rest; the diagonal ranks at random."""
    made = figure("false positive rate", "true positive rate")
    made.update_xaxes(range=[-0.01, 1.01]).update_yaxes(range=[-0.01, 1.02])
    made.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"dash": "dot", "color": GREY}, name="at random",
        hoverinfo="skip", showlegend=False,
    )  # fmt: skip
    for i, one in enumerate(curves.classes):
        at = [p for p in one.points if p.tpr is not None and p.fpr is not None]
        made.add_scatter(
            x=[p.fpr for p in at], y=[p.tpr for p in at], mode="lines", name=brief(one.of),
            line={"color": COLOURS[i % len(COLOURS)], "width": 2}, customdata=[p.threshold for p in at],
            hovertemplate="fpr %{x:.3f}, tpr %{y:.3f}<br>at %{customdata:.4g}",
        )  # fmt: skip
    _chosen_point(made, curves, x="fpr", y="tpr")
    return made.update_layout(showlegend=len(curves.classes) > 1)


def precision_recall(curves: Curves) -> Drawn:
    """Precision over recall of each class against the rest; dots are the class's share of the rows, what
    flagging at random reaches."""
    made = figure("recall (share of the positives found)", "precision")
    made.update_xaxes(range=[-0.01, 1.01]).update_yaxes(range=[-0.01, 1.02])
    for i, one in enumerate(curves.classes):
        colour = COLOURS[i % len(COLOURS)]
        share = one.positives / one.rows if one.rows else 0.0
        made.add_scatter(
            x=[0, 1], y=[share, share], mode="lines", hoverinfo="skip", showlegend=False,
            line={"dash": "dot", "color": colour if len(curves.classes) > 1 else GREY, "width": 1},
        )  # fmt: skip
        at = [p for p in one.points if p.tpr is not None and p.precision is not None]
        made.add_scatter(
            x=[p.tpr for p in at], y=[p.precision for p in at], mode="lines", name=brief(one.of),
            line={"color": colour, "width": 2}, customdata=[p.threshold for p in at],
            hovertemplate="recall %{x:.3f}, precision %{y:.3f}<br>at %{customdata:.4g}",
        )  # fmt: skip
    _chosen_point(made, curves, x="tpr", y="precision")
    return made.update_layout(showlegend=len(curves.classes) > 1)


def _chosen_point(made: Drawn, curves: Curves, *, x: str, y: str) -> None:
    """The point nearest the packaged threshold."""
    if curves.chosen is None or len(curves.classes) != 1:
        return
    chosen = curves.chosen
    known = [p for p in curves.classes[0].points if getattr(p, x) is not None and getattr(p, y) is not None]
    if known:
        at = min(known, key=lambda p: abs(p.threshold - chosen))
        made.add_scatter(
            x=[getattr(at, x)], y=[getattr(at, y)], mode="markers", name="chosen threshold",
            marker={"color": ORANGE, "size": 10, "line": {"width": 1.5, "color": "#fff"}},
            hovertemplate=f"chosen threshold {chosen:.4g}<br>%{{x:.3f}}, %{{y:.3f}}",
        )  # fmt: skip


def threshold_sweep(curves: Curves, *, unit: str = "") -> Drawn:
    """The declared metric, the share flagged, and the worth of 1,000 decisions (`unit`) at each threshold."""
    made = figure("threshold of the probability", "")
    at = curves.thresholds
    worth = any(p.value is not None for p in at)
    x = [p.threshold for p in at]
    if any(p.metric is not None for p in at):
        made.add_scatter(
            x=x, y=[p.metric for p in at], name=curves.metric, mode="lines", line={"color": BLUE, "width": 2}
        )
    made.add_scatter(
        x=x,
        y=[p.flagged for p in at],
        name="share flagged",
        mode="lines",
        line={"color": GREY, "dash": "dash"},
    )
    if worth:
        name = f"worth of 1,000 decisions{f', {unit}' if unit else ''}"
        made.add_scatter(
            x=x, y=[p.value for p in at], name=brief(name), mode="lines", yaxis="y2",
            line={"color": TEAL, "width": 2},
        )  # fmt: skip
        made.update_layout(
            yaxis2={"overlaying": "y", "side": "right", "tickmode": "auto", "nticks": 6,
                    "automargin": True, "showgrid": False,
                    "title": {"text": brief(unit)}, "zeroline": False}
        )  # fmt: skip
    if curves.chosen is not None:
        made.add_vline(x=curves.chosen, line={"color": ORANGE, "width": 1.5})
        made.add_annotation(
            x=curves.chosen, y=0, yref="paper", yanchor="bottom", xanchor="left", showarrow=False,
            text=f" chosen {curves.chosen:.3g}", font={"color": ORANGE, "size": 11},
        )  # fmt: skip
    return made.update_layout(showlegend=True)


def reliability(found: Reliability) -> Drawn:
    """What came true over what was said, by bins of equally many rows, with intervals; on the diagonal,
    probabilities mean what they say."""
    made = figure(f"said ({brief(found.of)})", "came true")
    ends = [b.said for b in found.bins] + [b.came for b in found.bins]
    ends += [e for b in found.bins if b.interval for e in (b.interval.low, b.interval.high)]
    low, high = max(0.0, min(ends, default=0.0)), min(1.0, max(ends, default=1.0))
    pad = 0.04 * ((high - low) or 1.0)
    made.update_xaxes(range=[low - pad, high + pad]).update_yaxes(range=[low - pad, high + pad])
    made.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={"dash": "dot", "color": GREY}, hoverinfo="skip")
    came = [b.came for b in found.bins]
    made.add_scatter(
        x=[b.said for b in found.bins], y=came, mode="markers+lines", marker={"color": BLUE, "size": 7},
        line={"color": BLUE, "width": 1},
        error_y=reach(
            came,
            [b.interval.low if b.interval else None for b in found.bins],
            [b.interval.high if b.interval else None for b in found.bins],
        ),
        customdata=[b.rows for b in found.bins],
        hovertemplate="said %{x:.3f}, came %{y:.3f}<br>%{customdata:,} rows<extra></extra>",
    )  # fmt: skip
    return made


def predicted_actual(curves: Curves) -> Drawn:
    """The prediction over the truth of a sample of rows; on the line they agree."""
    made = figure("truth", "prediction")
    both = [v for p in curves.sample for v in (p.actual, p.predicted)]
    ends = [min(both), max(both)] if both else [0.0, 1.0]
    made.add_scatter(x=ends, y=ends, mode="lines", line={"dash": "dot", "color": GREY}, hoverinfo="skip")
    made.add_scatter(
        x=[p.actual for p in curves.sample], y=[p.predicted for p in curves.sample], mode="markers",
        marker={"color": BLUE, "size": 5, "opacity": 0.45},
        hovertemplate="truth %{x:,.6~g}<br>prediction %{y:,.6~g}<extra></extra>",
    )  # fmt: skip
    return made


def residual_bands(curves: Curves) -> Drawn:
    """Prediction less truth over the prediction: its middle, half and nine tenths of the rows, by tenths of
    the predictions."""
    made = figure("prediction", "prediction less truth")
    x = [(b.low + b.high) / 2 for b in curves.residuals]
    for low, high, opacity, name in ((0.05, 0.95, 0.18, "90% of the rows"), (0.25, 0.75, 0.35, "half")):
        i, j = curves.levels.index(low), curves.levels.index(high)
        made.add_scatter(
            x=x, y=[b.quantiles[j] for b in curves.residuals], mode="lines", line={"width": 0},
            hoverinfo="skip", showlegend=False,
        )  # fmt: skip
        made.add_scatter(
            x=x, y=[b.quantiles[i] for b in curves.residuals], mode="lines", line={"width": 0}, name=name,
            fill="tonexty", fillcolor=_clear(BLUE, opacity), hoverinfo="skip",
        )  # fmt: skip
    middle = curves.levels.index(0.5)
    made.add_scatter(
        x=x, y=[b.quantiles[middle] for b in curves.residuals], mode="lines+markers", name="median",
        line={"color": BLUE}, hovertemplate="%{y:,.5~g}",
    )  # fmt: skip
    made.add_hline(y=0, line={"color": GREY, "dash": "dot", "width": 1})
    return made.update_layout(showlegend=True)


def _clear(colour: str, opacity: float) -> str:
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r},{g},{b},{opacity})"


def residuals(found: Residuals) -> Drawn:
    """How prediction less truth is spread; the outermost bars hold what lies beyond them."""
    made = figure("prediction less truth", "rows", bargap=0.04)
    made.add_bar(
        x=[(a + b) / 2 for a, b in zip(found.edges[:-1], found.edges[1:], strict=True)], y=found.counts,
        marker={"color": BLUE}, hovertemplate="about %{x:,.4~g}: %{y:,} rows<extra></extra>",
    )  # fmt: skip
    made.add_vline(x=0, line={"color": GREY, "dash": "dot", "width": 1})
    return made


def confusion(found: Confusion) -> Drawn:
    """Rows of each true class (down) by what was decided (across); shades are shares of the true class."""
    names = [brief(c, 24) for c in found.classes]
    shares = [[c / sum(row) if sum(row) else 0.0 for c in row] for row in found.counts]
    made = figure("decided", "truth")
    made.add_heatmap(
        z=shares, x=names, y=names, zmin=0, zmax=1, showscale=False, text=[list(row) for row in found.counts],
        colorscale=[[0, "rgba(61,127,214,0.04)"], [1, "rgba(61,127,214,0.85)"]], xgap=2, ygap=2,
        texttemplate="%{text:,}" if len(names) <= 12 else None,
        hovertemplate="truly %{y}, decided %{x}<br>%{text:,} rows, %{z:.1%} of the class<extra></extra>",
    )  # fmt: skip
    made.update_xaxes(type="category", showgrid=False)
    return made.update_yaxes(type="category", autorange="reversed", showgrid=False)


def learning_curve(found: LearningCurve) -> Drawn:
    """The metric over the rows that were learned from, on these rows and on validation, with the law."""
    made = figure("rows learned from", found.metric)
    ticks = [p.rows for p in found.points]
    made.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{n:,}" for n in ticks])
    at = [p for p in found.points if p.validation is not None]
    x = [p.rows for p in at]
    made.add_scatter(
        x=[p.rows for p in found.points], y=[p.train for p in found.points], name="on the rows learned from",
        mode="lines+markers", line={"color": GREY, "dash": "dot"},
    )  # fmt: skip
    made.add_scatter(
        x=x, y=[p.validation for p in at], name="on validation", mode="lines+markers",
        line={"color": BLUE, "width": 2},
        error_y=reach([p.validation for p in at], [p.lowest for p in at], [p.highest for p in at]),
    )  # fmt: skip
    if any(p.law is not None for p in at):
        made.add_scatter(
            x=x, y=[p.law for p in at], name="the law", mode="lines", line={"color": ORANGE, "dash": "dash"}
        )
    return made.update_layout(showlegend=True)
