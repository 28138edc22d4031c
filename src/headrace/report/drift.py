"""The page of a comparison with a release's reference: every column with its two histograms."""

from __future__ import annotations

from headrace.checks.compared import ColumnDrift, Compared
from headrace.core.watching import Reading
from headrace.report.figures.drawn import Drawn
from headrace.report.figures.embed import embed
from headrace.report.figures.style import BLUE, GREY, figure
from headrace.report.page import Section, chip, number, page, para, table, text

DRAWN = 30
"""Columns that are drawn, the worst first."""


def drift_page(found: Compared) -> str:
    """The whole page as HTML."""
    facts = [
        ("rows", f"{found.rows:,}"),
        ("reference rows", f"{found.reference_rows:,}"),
        ("columns beyond a threshold", f"{len(found.drifted)} of {len(found.columns)}"),
    ]
    return page(
        f"Drift of {found.what}",
        [_whole(found), *(_section(c, i < DRAWN) for i, c in enumerate(found.columns))],
        subtitle=f"against release {found.release}",
        facts=facts,
        side=True,
    )


def draw_bins(column: ColumnDrift) -> Drawn:
    """Shares of rows by bin: the reference in grey, these rows beside it."""
    kept = [i for i in range(len(column.codes)) if column.reference[i] or column.window[i]]
    made = figure(y="share of rows")
    for name, counts, colour in (("reference", column.reference, GREY), ("these rows", column.window, BLUE)):
        total = max(1, sum(counts))
        shares = [counts[i] / total for i in kept]
        made.add_bar(x=[text(column.codes[i]) for i in kept], y=shares, name=name, marker={"color": colour})
    made.update_layout(showlegend=True, barmode="group", bargap=0.15, bargroupgap=0)
    made.update_xaxes(type="category")
    made.update_yaxes(tickformat=".0%")
    return made


def _whole(found: Compared) -> Section:
    lead = (
        f"Thresholds are drawn from the reference at this size and hold for all columns together: "
        f"{found.level:.0%} of unchanged files have a column beyond one."
    )
    rows = [
        [
            c.name,
            chip("drifted", "bad") if c.exceeds else "",
            c.leading.check if c.leading else "",
            number(c.leading.value) if c.leading else "",
            number(c.leading.threshold) if c.leading else "",
            _chance(c.p),
            c.where.removeprefix(f"{c.name}: "),
        ]
        for c in found.columns
    ]
    body = table(
        ["column", "", "check", "value", "threshold", "p", "what moved"], rows, numbers=(3, 4, 5), lean=True
    )
    if found.why_none:
        body = para(f"No thresholds: {found.why_none}.", "note") + body
    for name, told in (("Not in the file", found.absent), ("Ignored", found.ignored)):
        if told:
            body += para(f"{name}: {', '.join(told)}.")
    mark = "bad" if found.drifted else "good" if not found.why_none else "warn"
    return Section("columns", "Columns", body, "" if found.why_none else lead, mark)


def _section(column: ColumnDrift, drawn: bool) -> Section:
    told = [_told(r) for r in column.readings]
    body = table(
        ["check", "value", "threshold", "p", "p of any column", "rows"], told, numbers=(1, 2, 3, 4, 5)
    )
    if column.mean is not None and column.was is not None:
        body += para(
            f"Mean {number(column.mean)}, spread {number(column.spread)}; in the reference "
            f"{number(column.was[0])} and {number(column.was[1])}."
        )
    if drawn:
        body = (
            embed(draw_bins(column), label=f"{column.name} in the reference and in these rows", height=300)
            + body
        )
    anchor = "column-" + "".join(c if c.isalnum() else "_" for c in column.name)
    return Section(
        anchor,
        column.name,
        body,
        column.where.removeprefix(f"{column.name}: "),
        "bad" if column.exceeds else "",
    )


def _told(reading: Reading) -> list[str]:
    told = number(reading.value) if reading.value is not None else reading.why_none
    limit = "" if reading.threshold is None else number(reading.threshold)
    whole = reading.details.get("any")
    return [reading.check, told, limit, _chance(reading.p), _chance(whole), f"{reading.n:,}"]


def _chance(p: float | None) -> str:
    return "" if p is None else f"{p:.2g}"
