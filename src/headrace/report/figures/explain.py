"""Figures of why a model answers as it does, from the record of explanations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace.report.figures.drawn import Drawn
from headrace.report.figures.style import BLUE, GREY, ORANGE, brief, figure, reach

if TYPE_CHECKING:
    from headrace.explain.record import Curve, Effects, Importance


def importance(found: Sequence[Importance], unit: str, *, most: int = 20) -> Drawn:
    """How much worse the metric gets without each column, with intervals; the largest on top."""
    known = [i for i in found if i.drop is not None][:most]
    made = figure(f"how much worse the metric gets{f' ({unit})' if unit else ''}")
    drops = [i.drop for i in known]
    made.add_bar(
        x=drops, y=[brief(i.name) for i in known], orientation="h", marker={"color": BLUE},
        error_x={**reach(
            drops,
            [i.interval.low if i.interval else None for i in known],
            [i.interval.high if i.interval else None for i in known],
        ), "color": GREY},
        hovertemplate="%{y}: %{x:.4~g}<extra></extra>",
    )  # fmt: skip
    made.update_xaxes(zeroline=True)
    return made.update_yaxes(type="category", autorange="reversed", showgrid=False)


def contributions(found: Effects, *, most: int = 15) -> Drawn:
    """What each column added to the answer, one dot a row: blue where its value is low among the rows, orange
    where it is high, grey where values have no order."""
    made = figure(f"contribution ({found.unit})")
    chosen = found.effects[:most]
    for place, effect in enumerate(chosen):
        xs = [d.contribution for d in effect.dots]
        made.add_scatter(
            x=xs, y=[place + off for off in _spread(xs)], mode="markers", name=brief(effect.name),
            marker={
                "size": 4, "opacity": 0.7, "cmin": 0, "cmax": 1,
                "color": [GREY if d.rank is None else _between(d.rank) for d in effect.dots],
            },
            hovertemplate=f"{brief(effect.name)}: %{{x:+.4~g}}<extra></extra>",
        )  # fmt: skip
    made.update_xaxes(zeroline=True)
    return made.update_yaxes(
        tickmode="array", tickvals=list(range(len(chosen))), ticktext=[brief(e.name, 30) for e in chosen],
        range=[len(chosen) - 0.4, -0.6], showgrid=False,
    )  # fmt: skip


def _spread(xs: Sequence[float]) -> list[float]:
    """Heights that keep dots of about the same value apart, within a third of a line: the same each time."""
    if not xs:
        return []
    low, high = min(xs), max(xs)
    width = (high - low) / 60 or 1.0
    seen: dict[int, int] = {}
    found = []
    for x in xs:
        at = int((x - low) / width)
        count = seen.get(at, 0)
        seen[at] = count + 1
        step = (count + 1) // 2
        found.append(min(step, 10) * 0.033 * (1 if count % 2 else -1))
    return found


def _between(rank: float) -> str:
    """From blue (0) over grey to orange (1)."""
    ends = (BLUE, GREY, ORANGE)
    place = min(1.0, max(0.0, rank)) * 2
    a, b = ends[min(int(place), 1)], ends[min(int(place), 1) + 1]
    part = place - min(int(place), 1)
    mixed = (round(int(a[i : i + 2], 16) * (1 - part) + int(b[i : i + 2], 16) * part) for i in (1, 3, 5))
    return "#" + "".join(f"{c:02x}" for c in mixed)


def dependence(found: Curve) -> Drawn:
    """The answer averaged over rows as one column's value is changed; the band holds the middle 80% of the
    rows' own curves. Null stands by itself at the left."""
    made = figure(brief(found.name), brief(f"probability of {found.of}" if found.of else "prediction"))
    numeric = all(
        isinstance(p.at, int | float) and not isinstance(p.at, bool) for p in found.points if p.at is not None
    )
    known = [p for p in found.points if p.at is not None]
    null = [p for p in found.points if p.at is None]
    if numeric:
        x = [p.at for p in known]
        made.add_scatter(x=x, y=[p.high for p in known], mode="lines", line={"width": 0}, hoverinfo="skip")
        made.add_scatter(
            x=x, y=[p.low for p in known], mode="lines", line={"width": 0}, fill="tonexty",
            fillcolor="rgba(61,127,214,0.18)", hoverinfo="skip",
        )  # fmt: skip
        made.add_scatter(
            x=x, y=[p.mean for p in known], mode="lines+markers", line={"color": BLUE},
            marker={"size": 4}, hovertemplate="%{x:.4~g}: %{y:.4~g}<extra></extra>",
        )  # fmt: skip
        for p in null:
            made.add_hline(y=p.mean, line={"color": ORANGE, "dash": "dot", "width": 1.5})
            made.add_annotation(
                x=1,
                xref="x domain",
                xanchor="right",
                y=p.mean,
                yanchor="bottom",
                showarrow=False,
                text="null",
            )
        return made
    ordered = known + null
    made.add_scatter(
        x=["null" if p.at is None else brief(str(p.at), 18) for p in ordered], y=[p.mean for p in ordered],
        mode="markers", marker={"color": BLUE, "size": 8},
        error_y=reach([p.mean for p in ordered], [p.low for p in ordered], [p.high for p in ordered]),
        hovertemplate="%{x}: %{y:.4~g}<extra></extra>",
    )  # fmt: skip
    return made.update_xaxes(type="category")
