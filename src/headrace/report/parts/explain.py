"""Why the model answers as it does."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.core.told import RunTold
from headrace.explain.record import Effects, Explanations, Importance
from headrace.report.figures.explain import contributions, dependence, importance
from headrace.report.figures.style import rows_high
from headrace.report.page import Section, more, number, para, table
from headrace.report.parts.common import drawn, ends, reached, two, why_not
from headrace.report.records import Records

_BARS, _LINES = 20, 15


def explanations_section(told: RunTold, records: Records) -> Section:
    """Importance, contributions and partial dependence."""
    found, title = records.explanations, "Explanations"
    if found is None:
        off = told.spec.get("evaluate", {}).get("explain") is False
        why = (
            para("Not asked for (evaluate.explain)." if off else "None were kept in this run.", "lead")
            if reached(told, "evaluate")
            else why_not(told, "evaluate")
        )
        return Section("explanations", title, why)
    lead = (
        f"From {found.rows:,} of {found.of_rows:,} validation rows in {found.units:,} units. What the model "
        "leans on is no proof of what causes what."
    )
    body = _importance(found) + _effects(found) + _curves(found)
    if found.notes:
        body += more("How to read this", "".join(para(n) for n in found.notes))
    return Section("explanations", title, body, lead)


def _importance(found: Explanations) -> str:
    known = [i for i in found.columns if i.drop is not None]
    if not known:
        return ""
    body = drawn(
        importance(found.columns, found.unit or found.metric, most=_BARS),
        "Permutation importance by column",
        f"How much worse {found.metric} gets when a column's values are those of other rows; {found.repeats} "
        "repeats, 95% intervals.",
        height=rows_high(min(len(known), _BARS)),
    )
    body += more("By column", _table(found.columns, "read by"))
    if found.features:
        body += more("By feature", _table(found.features, "reads"))
    return body


def _table(found: Sequence[Importance], linked: str) -> str:
    rows = [
        [
            i.name, number(i.drop), ends(i.interval) or i.why_none or "–", number(i.spread),
            ", ".join(i.linked), "personal" if i.personal else "",
        ]
        for i in found
    ]  # fmt: skip
    headers = ["name", "worse by", "95% interval", "spread of repeats", linked, ""]
    return table(headers, rows, numbers=[1, 3])


def _effects(found: Explanations) -> str:
    parts = [_one(found.sampled, "Contributions by column")] if found.sampled else []
    if found.trees is not None:
        parts.append(_one(found.trees, "TreeSHAP by feature"))
    elif found.why_no_trees:
        parts.append(para(f"No TreeSHAP: {found.why_no_trees}.", "lead"))
    return "".join(parts)


def _one(found: Effects, caption: str) -> str:
    of = f" of {found.of}" if found.of else ""
    note = (
        f"{found.method}. {found.rows:,} rows; they start from {number(found.base)} and add up to the "
        f"{found.unit}{of}. Blue: the row's value is low among the rows, orange: high, grey: no order."
    )
    return drawn(
        contributions(found, most=_LINES), caption, note, height=rows_high(min(len(found.effects), _LINES))
    )


def _curves(found: Explanations) -> str:
    if not found.curves:
        return ""
    drawings = [
        drawn(dependence(c), c.name + (f": {c.of}" if c.of else ""), height=260) for c in found.curves
    ]
    head = "<h3>Partial dependence</h3>" + para(
        "The answer averaged over rows with the value put in; the band is the middle 80% of the rows' own "
        "curves. Values that never occur together may be among them.",
        "lead",
    )
    return head + two(*drawings)
