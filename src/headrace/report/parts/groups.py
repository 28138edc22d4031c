"""Slices of the rows, declared and searched, and the groups of sensitive columns."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.checks.fairness import Fairness
from headrace.checks.slices import Search, Slice, Slices
from headrace.core.told import RunTold
from headrace.report.figures.compare import group_rates, slices
from headrace.report.figures.style import rows_high
from headrace.report.page import Section, more, number, para, table, text
from headrace.report.parts.common import chance, drawn, ends, plural, reached, two, why_not
from headrace.report.records import Records

_DRAWN = 40


def slices_section(told: RunTold, records: Records) -> Section:
    """The metric in parts of the rows."""
    found = records.slices
    if found is None:
        return Section("slices", "Slices", why_not(told, "evaluate"))
    metric = told.facts("evaluate").get("metrics", {}).get(found.metric, {})
    body = _declared(found, metric.get("value")) if found.declared else para(
        "No slice is declared (evaluate.slices).", "lead"
    )  # fmt: skip
    body += _search(found.search, found.metric)
    worse = bool(found.search and found.search.found)
    return Section(
        "slices", "Slices", body, f"Where {found.metric} is better or worse.", "warn" if worse else ""
    )


def _declared(found: Slices, overall: float | None) -> str:
    known = [s for s in found.declared if s.value is not None]
    order = sorted(known, key=lambda s: -(s.worse_by or 0.0))[:_DRAWN]
    drawing = drawn(
        slices(order, found.metric, overall=overall),
        "Declared slices",
        "Worst first, with 95% intervals; the dotted line is all rows.",
        height=rows_high(len(order)),
    )
    return (drawing if known else "") + _table(found.declared)


def _table(found: Sequence[Slice]) -> str:
    rows = [
        [
            s.name, f"{s.rows:,}", f"{s.units:,}", number(s.value), ends(s.interval) or s.why_none or "–",
            number(s.rest), number(s.worse_by), chance(s.p_corrected),
        ]
        for s in found
    ]  # fmt: skip
    headers = ["slice", "rows", "units", "value", "95% interval", "elsewhere", "worse by", "p (Holm)"]
    return table(headers, rows, numbers=[1, 2, 3, 5, 6, 7])


def _search(found: Search | None, metric: str) -> str:
    head = "<h3>Searched for</h3>"
    if found is None:
        return head + para("No search was asked for (evaluate.search).", "lead")
    if found.why_none:
        return head + para(f"Nothing was searched: {found.why_none}.", "lead")
    lead = (
        f"{plural(found.looked_at, 'slice')} looked at on one half of the units, the "
        f"{len(found.tested)} worst tested on the other: "
        + (f"{found.found} worse beyond chance." if found.found else "none is worse beyond chance.")
        + (f" Searched: {found.sampled}." if found.sampled else "")
    )
    named = found.tested[: found.found]
    body = head + para(lead, "note" if found.found else "lead")
    if named:
        body += drawn(
            slices(named, metric), "Slices that were found", "On the half that did not find them.",
            height=rows_high(len(named)),
        ) + _table(named)  # fmt: skip
    rest = found.tested[found.found :]
    return body + (more("The others that were tested", _table(rest)) if rest else "")


def fairness_section(told: RunTold, records: Records) -> Section:
    """How differently the groups of sensitive columns are treated."""
    found = records.fairness
    if found is None:
        why = (
            para("No sensitive column is declared (evaluate.fairness).", "lead")
            if reached(told, "evaluate")
            else why_not(told, "evaluate")
        )
        return Section("fairness", "Fairness", why)
    columns = dict.fromkeys(r.column for r in found.rates)
    body = "".join(_column(found, c) for c in columns)
    lead = "How the groups are treated. Whether that is just, figures don't say."
    return Section("fairness", "Fairness", body, lead)


def _column(found: Fairness, column: str) -> str:
    rates = [r for r in found.rates if r.column == column]
    groups = len({r.group for r in rates})
    drawings = [
        drawn(
            group_rates(rates, rate),
            *_RATE.get(rate, (rate, "")),
            height=rows_high(groups, least=220),
        )
        for rate in dict.fromkeys(r.rate for r in rates)
        if any(r.rate == rate and r.value is not None for r in rates)
    ]
    rows = [
        [
            d.measure.replace("_", " "), d.of, number(d.value),
            ends(d.interval) or d.why_none or "–", f"{d.lowest} … {d.highest}" if d.lowest else "–",
        ]
        for d in found.disparities
        if d.column == column
    ]  # fmt: skip
    headers = ["measure", "of class", "value", "95% interval", "lowest … highest"]
    return f"<h3>{text(column)}</h3>" + two(*drawings) + table(headers, rows, numbers=[2], lean=True)


_RATE = {
    "selection_rate": ("Selection rate", "Share of the rows that is decided positive."),
    "tpr": ("True positive rate", "Share of the positives that is found."),
    "fpr": ("False positive rate", "Share of the negatives that is flagged."),
    "prediction": ("Prediction", "The mean."),
    "error": ("Error", "The mean of prediction less truth."),
    "absolute_error": ("Absolute error", "The mean."),
}
