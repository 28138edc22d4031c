"""The figures of a model card, as tables."""

from __future__ import annotations

from headrace.core.told import RunTold
from headrace.report.document.blocks import Block, Para, Table, said
from headrace.report.page import number
from headrace.report.parts.common import chance, ends, estimate, share
from headrace.report.records import Records


def test_of(told: RunTold) -> list[Block]:
    """What the opening of the seal may show."""
    found = told.facts("test").get("estimate")
    if not found:
        return [Para("The seal was not opened.")]
    if found["value"] is None:
        judged = [v for v in told.verdicts if v.stage == "test"]
        verdicts = "; ".join(f"{v.gate}: {v.outcome.value}" for v in judged)
        return [Para(f"Opening {found['opening']} of these rows: the verdict alone is shown. {verdicts}.")]
    shown = estimate(found["value"], found["interval"], found["metric"])
    return [Para(f"{shown} on {found['n']:,} rows (opening {found['opening']}).")]


def metrics_of(told: RunTold) -> list[Block]:
    """Every metric on validation."""
    metrics = told.facts("evaluate").get("metrics", {})
    if not metrics:
        return [Para("Not measured.")]
    rows = tuple(
        (n, number(m["value"]), ends(m["interval"]) or "no interval", m.get("unit", ""), f"{m['rows']:,}",
         f"{m['units']:,}")
        for n, m in metrics.items()
    )  # fmt: skip
    return [Table(("metric", "value", "95% interval", "unit", "rows", "units"), rows)]


def by_slice(records: Records) -> list[Block]:
    """Declared slices, and those that the search found."""
    found = records.slices
    if found is None:
        return [Para("Not measured.")]
    search = found.search
    named = list(found.declared) + (list(search.tested[: search.found]) if search else [])
    if not named:
        return [Para(said("", "evaluate.slices"))]
    rows = tuple(
        (s.name, f"{s.rows:,}", number(s.value), ends(s.interval) or s.why_none or "–", number(s.worse_by),
         chance(s.p_corrected))
        for s in named
    )  # fmt: skip
    return [Table(("slice", "rows", found.metric, "95% interval", "worse by", "p (Holm)"), rows)]


def fairness_of(records: Records) -> list[Block]:
    """Every measure over the groups."""
    found = records.fairness
    if found is None:
        return [Para(said("", "evaluate.fairness"))]
    rows = tuple(
        (d.column, d.measure.replace("_", " ") + (f" of {d.of}" if d.of else ""), number(d.value),
         ends(d.interval) or d.why_none or "–", f"{d.lowest} … {d.highest}" if d.lowest else "–")
        for d in found.disparities
    )  # fmt: skip
    return [
        Table(("column", "measure", "value", "95% interval", "lowest … highest"), rows),
        Para("These figures say how groups are treated; whether that is just, they don't."),
    ]


def robustness_of(records: Records) -> list[Block]:
    """The worst fault of each kind."""
    found = records.robustness
    if found is None:
        return [Para(said("", "evaluate.robustness"))]
    rows = tuple(
        (w.kind, w.what, share(w.loss),
         f"[{share(w.interval.low)}, {share(w.interval.high)}]" if w.interval else w.why_none or "–")
        for w in found.worst
    )  # fmt: skip
    return [Table(("kind", "the worst fault", f"share of {found.metric} lost", "95% interval"), rows)]
