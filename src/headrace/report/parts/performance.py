"""How good the chosen model is on rows it has not seen: metrics with intervals, the test, the curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.checks.curves import Curves
from headrace.core.codec import from_plain
from headrace.core.told import RunTold
from headrace.metrics.worth import Worth
from headrace.report.figures.model import (
    precision_recall,
    predicted_actual,
    reliability,
    residual_bands,
    residuals,
    roc,
    threshold_sweep,
)
from headrace.report.page import Html, Section, number, para, table, text
from headrace.report.parts.common import drawn, ends, estimate, reached, share, two, why_not
from headrace.report.records import Records


def performance_section(told: RunTold, records: Records) -> Section:
    """The packaged graph on validation rows, and what the opening of the seal may show."""
    if not reached(told, "evaluate"):
        return Section("performance", "Performance", why_not(told, "evaluate") + _test(told))
    body = _test(told) + _metrics(told)
    if records.worth is not None:
        body += "<h3>Worth on validation</h3>" + _worth(records.worth)
    if records.curves is not None:
        body += _curves(told, records, records.curves)
    lead = "Measured on the packaged graph, the one that serves. Intervals are 95%, over independent units."
    return Section("performance", "Performance", body, lead)


def test_told(told: RunTold) -> str:
    """The test in a line of text; empty where it was not opened."""
    found = told.facts("test").get("estimate")
    if not found:
        return ""
    if found["value"] is None:
        return "verdict alone"
    return estimate(found["value"], found["interval"], found["metric"])


def _test(told: RunTold) -> str:
    found = told.facts("test").get("estimate")
    if not found:
        return "<h3>Sealed test</h3>" + para("The seal was not opened in this run.", "lead")
    rows = f"{found['n']:,} sealed rows, opening {found['opening']} of them"
    if found["value"] is None:
        said = f"{rows}: after the first opening the verdict alone is shown, so that nobody can tune to it."
        return "<h3>Sealed test</h3>" + para(said, "lead")
    shown = f"<p class=big>{text(estimate(found['value'], found['interval'], found['metric']))}</p>"
    worth = told.facts("test").get("worth")
    return (
        "<h3>Sealed test</h3>"
        + shown
        + para(f"The honest estimate, on {rows}.", "lead")
        + (_worth(from_plain(worth, Worth)) if worth else "")
    )


def _metrics(told: RunTold) -> str:
    metrics: Mapping[str, Any] = told.facts("evaluate").get("metrics", {})
    if not metrics:
        return ""
    main = told.spec.get("problem", {}).get("metric", "")
    names = sorted(metrics, key=lambda n: n != main)
    rows = [
        [
            Html(f"<b>{text(n)}</b>") if n == main else n, number(metrics[n]["value"]),
            ends(metrics[n]["interval"]) or "no interval", metrics[n].get("unit", ""),
            f"{metrics[n]['rows']:,}", f"{metrics[n]['units']:,}",
        ]
        for n in names
    ]  # fmt: skip
    headers = ["metric", "value", "95% interval", "unit", "rows", "units"]
    return "<h3>Validation</h3>" + table(headers, rows, numbers=[1, 4, 5])


def _worth(found: Worth) -> str:
    rows = [["in itself", number(found.value), ends(found.interval) or found.why_none]]
    order = list(_OVER)
    for name in sorted(found.gains, key=lambda n: (order.index(n) if n in order else len(order), n)):
        v = found.gains[name]
        rows.append([_OVER.get(name, name), number(v.gain), ends(v.interval) or v.why_none])
    return table(["decisions are worth", found.unit or "value", "95% interval"], rows, numbers=[1])


_OVER = {
    "today": "more than today's rule",
    "nothing": "more than doing nothing",
    "always": "more than always acting",
}


def _curves(told: RunTold, records: Records, found: Curves) -> str:
    if found.kind == "regression":
        return "<h3>Predictions and truths</h3>" + _regression(told, records, found)
    unit = (told.spec.get("problem", {}).get("value") or {}).get("unit", "")
    parts = [
        drawn(roc(found), "ROC", "Each class against the rest; the dotted line ranks at random."),
        drawn(
            precision_recall(found), "Precision and recall", "Dotted: what flagging at random would reach."
        ),
    ]
    if found.thresholds:
        note = (
            "What another threshold would give on these rows; the packaged one was chosen on training rows."
        )
        parts.append(drawn(threshold_sweep(found, unit=unit), "Threshold", note))
    if records.calibration is not None:
        r = records.calibration
        note = f"Expected calibration error {estimate(r.ece, r.interval)}; without the part that is chance "
        note += f"{number(r.debiased)}. {r.said:.3g} was said on average, {r.came:.3g} came true."
        parts.append(drawn(reliability(r), "Calibration", note))
    return "<h3>Curves</h3>" + two(*parts)


def _regression(told: RunTold, records: Records, found: Curves) -> str:
    note = f"{len(found.sample):,} validation rows. {_coverage(told, found)}".strip()
    parts = [
        drawn(predicted_actual(found), "Predicted and true", note),
        drawn(
            residual_bands(found),
            "Errors by prediction",
            "Above 0 the prediction is too high. Tenths of the rows.",
        ),
    ]
    of = records.errors.residuals if records.errors else None
    if of is not None:
        note = f"Mean {number(of.mean)}, standard deviation {number(of.std)}."
        parts.append(drawn(residuals(of), "Errors", note, height=280))
    return two(*parts)


def _coverage(told: RunTold, found: Curves) -> str:
    """How many of the sample's truths lie in the intervals that answers come with."""
    sure = told.facts("learn").get("uncertainty") or {}
    reach = next((q for q in sure.get("quantiles", ()) if q is not None), None)
    if reach is None or not found.sample:
        return ""
    inside = sum(abs(p.predicted - p.actual) <= reach for p in found.sample) / len(found.sample)
    return f"{share(inside)} of their truths lie in the answers' intervals (promised: {sure['level']:.0%})."
