"""Figures that set things beside each other: candidates, trials, slices, groups, faults, times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headrace.report.figures.drawn import Drawn
from headrace.report.figures.style import BLUE, COLOURS, GREY, ORANGE, TEAL, brief, figure, reach

if TYPE_CHECKING:
    from headrace.checks.errors import Band, Stretch
    from headrace.checks.fairness import GroupRate
    from headrace.checks.robustness import Fault
    from headrace.checks.slices import Slice
    from headrace.learn.search.record import SearchRecord


def leaderboard(lines: Sequence[Mapping[str, Any]], metric: str, *, chosen: str = "") -> Drawn:
    """Each candidate's mean over the folds, with one standard deviation to each side. `lines` are those of a
    run's leaderboard."""
    known = [m for m in lines if m["mean"] is not None]
    made = figure(f"{metric} (mean ± standard deviation)")
    mean = [m["mean"] for m in known]
    spread = [m["std"] for m in known]
    colours = [ORANGE if m["model"] == chosen else _of_line(m["model"]) for m in known]
    made.add_scatter(
        x=mean, y=[brief(m["model"]) for m in known], mode="markers",
        marker={"size": 10, "color": colours},
        error_x={"type": "data", "array": spread, "thickness": 1.4, "width": 3, "color": GREY},
        hovertemplate="%{y}: %{x:.5~g}<extra></extra>",
    )  # fmt: skip
    return _down(made)


def _of_line(model: str) -> str:
    return GREY if model in ("naive", "today") else BLUE


def _down(made: Drawn) -> Drawn:
    """One thing a line, the first on top."""
    return made.update_yaxes(type="category", autorange="reversed", showgrid=False)


def trials(search: SearchRecord) -> Drawn:
    """Every complete trial's mean over the folds, in the order they were made, and the best so far; trial 0
    are the defaults."""
    made = figure("trial", search.metric)
    for i, one in enumerate(search.candidates):
        colour = COLOURS[i % len(COLOURS)]
        done = [t for t in one.trials if t.mean is not None]
        made.add_scatter(
            x=[t.number for t in done], y=[t.mean for t in done], mode="markers", name=brief(one.model),
            marker={"color": colour, "size": 7, "opacity": 0.7}, legendgroup=one.model,
            text=[brief(", ".join(f"{k} {_short(v)}" for k, v in t.params.items()), 160) for t in done],
            hovertemplate="trial %{x}: %{y:.5~g}<br>%{text}",
        )  # fmt: skip
        best = max if search.higher_is_better else min
        so_far = [best(t.mean for t in done[: k + 1] if t.mean is not None) for k in range(len(done))]
        made.add_scatter(
            x=[t.number for t in done], y=so_far, mode="lines", legendgroup=one.model, showlegend=False,
            line={"color": colour, "shape": "hv", "width": 1.5}, hoverinfo="skip",
        )  # fmt: skip
    most = max((len(c.trials) for c in search.candidates), default=0)
    made.update_xaxes(dtick=1 if most <= 20 else None)
    return made.update_layout(showlegend=True)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def slices(found: Sequence[Slice], metric: str, *, overall: float | None = None) -> Drawn:
    """The metric in each slice with its interval; the line is the metric on all rows."""
    known = [s for s in found if s.value is not None]
    made = figure(metric)
    values = [s.value for s in known]
    made.add_scatter(
        x=values, y=[brief(s.name) for s in known], mode="markers", marker={"color": BLUE, "size": 9},
        error_x=reach(
            values,
            [s.interval.low if s.interval else None for s in known],
            [s.interval.high if s.interval else None for s in known],
        ),
        customdata=[[s.rows, s.units] for s in known],
        hovertemplate="%{y}: %{x:.4~g}<br>%{customdata[0]:,} rows in %{customdata[1]:,} units<extra></extra>",
    )  # fmt: skip
    if overall is not None:
        made.add_vline(x=overall, line={"color": GREY, "dash": "dot"})
    return _down(made)


def group_rates(rates: Sequence[GroupRate], rate: str) -> Drawn:
    """One rate of every group of a sensitive column, with intervals."""
    known = [r for r in rates if r.rate == rate and r.value is not None]
    made = figure(rate.replace("_", " "))
    for i, of in enumerate(dict.fromkeys(r.of for r in known)):
        mine = [r for r in known if r.of == of]
        values = [r.value for r in mine]
        made.add_scatter(
            x=values, y=[brief(r.group) for r in mine], mode="markers", name=brief(of or rate),
            marker={"size": 9, "color": COLOURS[i % len(COLOURS)]},
            error_x=reach(
                values,
                [r.interval.low if r.interval else None for r in mine],
                [r.interval.high if r.interval else None for r in mine],
            ),
            customdata=[r.rests_on for r in mine],
            hovertemplate="%{y}: %{x:.4~g}, from %{customdata:,} rows<extra></extra>",
        )  # fmt: skip
    many = len({r.of for r in known}) > 1
    return _down(made).update_layout(showlegend=many)


def faults(found: Sequence[Fault], *, most: int = 20) -> Drawn:
    """What the metric loses with each fault in place, as a share of it, the worst first."""
    known = sorted((f for f in found if f.loss is not None), key=lambda f: -(f.loss or 0.0))[:most]
    made = figure("share of the metric lost")
    colours = dict(zip(("missing", "scale", "noise"), (ORANGE, BLUE, TEAL), strict=True))
    for kind in dict.fromkeys(f.kind for f in known):
        mine = [f for f in known if f.kind == kind]
        values = [f.loss for f in mine]
        made.add_scatter(
            x=values, y=[brief(f"{f.what} missing" if kind == "missing" else f.what) for f in mine],
            mode="markers", name=kind, marker={"size": 8, "color": colours.get(kind, GREY)},
            error_x=reach(
                values,
                [f.interval.low if f.interval else None for f in mine],
                [f.interval.high if f.interval else None for f in mine],
            ),
            hovertemplate="%{y}: %{x:.1%}<extra></extra>",
        )  # fmt: skip
    order = [brief(f"{f.what} missing" if f.kind == "missing" else f.what) for f in known]
    made.update_xaxes(tickformat=".0%", zeroline=True)
    made.update_yaxes(categoryorder="array", categoryarray=order)
    return _down(made).update_layout(showlegend=True)


def by_score(bands: Sequence[Band], kind: str) -> Drawn:
    """What was predicted and what came, by tenths of the rows in the order of their score."""
    predicted, actual = _words(kind)
    made = figure("tenths of the rows, lowest first", "")
    x = list(range(1, len(bands) + 1))
    told = [[b.rows, b.low, b.high, b.error] for b in bands]
    made.add_bar(
        x=x, y=[b.actual for b in bands], name=actual, marker={"color": BLUE}, customdata=told,
        hovertemplate="%{y:.4~g} of %{customdata[0]:,} rows<br>"
        "from %{customdata[1]:.4~g} to %{customdata[2]:.4~g}",
    )  # fmt: skip
    made.add_scatter(
        x=x, y=[b.predicted for b in bands], name=predicted, mode="lines+markers", line={"color": ORANGE},
        hovertemplate="%{y:.4~g}",
    )  # fmt: skip
    return made.update_layout(showlegend=True, bargap=0.25).update_xaxes(dtick=1)


def _words(kind: str) -> tuple[str, str]:
    if kind == "regression":
        return "mean prediction", "mean truth"
    if kind == "multiclass":
        return "mean confidence", "share right"
    return "mean probability", "share that came true"


def by_time(stretches: Sequence[Stretch], metric: str, kind: str) -> Drawn:
    """The metric over stretches of time with equally many rows, with what was predicted and what came."""
    predicted, actual = _words(kind)
    made = figure("", metric)
    x = [s.start for s in stretches]
    made.add_scatter(
        x=x,
        y=[s.metric for s in stretches],
        name=metric,
        mode="lines+markers",
        line={"color": BLUE, "width": 2},
    )
    for name, values, colour in (
        (predicted, [s.predicted for s in stretches], ORANGE),
        (actual, [s.actual for s in stretches], TEAL),
    ):
        made.add_scatter(
            x=x, y=values, name=name, mode="lines", line={"color": colour, "dash": "dot"}, visible=_seen(kind)
        )
    return made.update_layout(showlegend=True).update_xaxes(type="date")


def _seen(kind: str) -> Any:
    """A regression's truth is of another size than its errors: drawn when asked for."""
    return "legendonly" if kind == "regression" else True


def series(name: str, points: Sequence[Mapping[str, Any]]) -> Drawn:
    """A script's metric by step; what was not finite leaves a gap."""
    made = figure("step", brief(name))
    made.add_scatter(
        x=[p["step"] for p in points], y=[p["value"] for p in points], connectgaps=False,
        mode="lines+markers" if len(points) <= 60 else "lines", line={"color": BLUE},
        hovertemplate="step %{x}: %{y:.6~g}<extra></extra>",
    )  # fmt: skip
    return made
