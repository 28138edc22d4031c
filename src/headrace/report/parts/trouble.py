"""Where the model errs, what breaks it, and what would make it better."""

from __future__ import annotations

from headrace.checks.errors import Errors, WorstRow
from headrace.core.evidence import Interval
from headrace.core.told import RunTold
from headrace.report.figures.compare import by_score, by_time, faults
from headrace.report.figures.model import confusion, learning_curve
from headrace.report.figures.style import rows_high
from headrace.report.page import Section, more, number, para, table, text
from headrace.report.parts.common import chance, drawn, ends, reached, share, two, why_not
from headrace.report.records import Records

_FAULTS = 20


def errors_section(told: RunTold, records: Records) -> Section:
    """Confusion, errors by score, by time and by what is missing, and the worst rows."""
    found = records.errors
    if found is None:
        return Section("errors", "Errors", why_not(told, "evaluate"))
    parts = []
    if found.confusion is not None:
        size = len(found.confusion.classes)
        note = "Rows; shaded by share of the true class."
        parts.append(drawn(confusion(found.confusion), "Confusion", note, height=min(640, 220 + 40 * size)))
    if found.by_score:
        parts.append(drawn(by_score(found.by_score, found.kind), "By tenths of the score", _read(found.kind)))
    body = two(*parts)
    if found.by_time:
        s = found.by_time[0]
        note = f"Stretches of about {s.rows:,} rows each."
        body += drawn(by_time(found.by_time, found.metric, found.kind), "Over time", note, height=300)
    body += _missing(found) + _worst(found)
    return Section("errors", "Errors", body, "Where it goes wrong on validation rows.")


def _read(kind: str) -> str:
    if kind == "regression":
        return "Rows in the order of the prediction; line and bars should agree."
    return "Rows in the order of the probability; line and bars should agree."


def _missing(found: Errors) -> str:
    if not found.by_missing:
        return ""
    rows = [
        [s.name, f"{s.rows:,}", number(s.value), ends(s.interval) or s.why_none or "–", number(s.rest),
         chance(s.p_corrected)]
        for s in found.by_missing
    ]  # fmt: skip
    headers = ["where", "rows", found.metric, "95% interval", "elsewhere", "p (Holm)"]
    return "<h3>By what is missing</h3>" + table(headers, rows, numbers=[1, 2, 4, 5])


def _worst(found: Errors) -> str:
    if not found.worst:
        return ""
    columns = list(dict.fromkeys(c for row in found.worst for c in row.cells))
    scores, ids = any(r.score is not None for r in found.worst), any(r.id for r in found.worst)
    headers = ["row", *(["id"] if ids else []), "truth", "predicted"]
    headers += [*(["probability"] if scores else []), "loss", *columns]
    rows = [_row(r, columns, scores=scores, ids=ids) for r in found.worst]
    hidden = f" Left out as personal: {', '.join(found.hidden)}." if found.hidden else ""
    loss = "the absolute error" if found.kind == "regression" else "−ln of the true class's probability"
    lead = para(f"Loss is {loss}.{hidden}", "lead")
    return more(f"The {len(rows)} worst rows", lead + table(headers, rows))


def _row(row: WorstRow, columns: list[str], *, scores: bool, ids: bool) -> list[str]:
    told = [f"{row.row:,}", *([row.id] if ids else []), row.actual, row.predicted]
    told += [number(row.score)] if scores else []
    return [*told, number(row.loss), *(row.cells.get(c, "") for c in columns)]


def robustness_section(told: RunTold, records: Records) -> Section:
    """What the metric loses when inputs go wrong."""
    found = records.robustness
    title = "Robustness"
    if found is None:
        why = (
            para("Not asked for (evaluate.robustness).", "lead")
            if reached(told, "evaluate")
            else why_not(told, "evaluate")
        )
        return Section("robustness", title, why)
    known = [f for f in found.faults if f.loss is not None]
    shown = min(_FAULTS, len(known))
    lead = (
        f"Each fault is put into {found.rows:,} validation rows, and the packaged graph answers again. "
        f"Without any, {found.metric} is {number(found.base)} there."
    )
    worst = [[w.kind, w.what, share(w.loss), _shares(w.interval) or w.why_none or "–"] for w in found.worst]
    body = table(["kind", "the worst", "share lost", "95% interval"], worst, numbers=[2])
    if known:
        note = (
            f"The {shown} worst of {len(known)}, with 95% intervals."
            if shown < len(known)
            else "With 95% intervals."
        )
        body += drawn(faults(found.faults, most=_FAULTS), "What is lost", note, height=rows_high(shown))
    rows = [
        [f.kind, f.what, number(f.metric), share(f.loss), _shares(f.interval) or f.why_none or "–"]
        for f in found.faults
    ]
    headers = ["kind", "fault", found.metric, "share lost", "95% interval"]
    return Section(
        "robustness", title, body + more("Every fault", table(headers, rows, numbers=[2, 3])), lead
    )


def _shares(interval: Interval | None) -> str:
    return f"[{share(interval.low)}, {share(interval.high)}]" if interval is not None else ""


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:].rstrip('.')}." if words else ""


def learning_curve_section(told: RunTold, records: Records) -> Section:
    """What more data would bring, or a richer model."""
    found = records.learning_curve
    title = "Learning curve"
    if found is None:
        why = (
            para("Not asked for (evaluate.learning_curve).", "lead")
            if reached(told, "evaluate")
            else why_not(told, "evaluate")
        )
        return Section("learning-curve", title, why)
    says = {
        "more data": "More data would help.",
        "a richer model": "A richer model would help.",
        "neither": "Neither more data nor a richer model was shown to help.",
    }.get(found.statement, "Unknown.")
    body = f"<p><b>{text(says)}</b> {text(_sentence(found.because))}</p>"
    if found.points:
        note = (
            f"{found.model}; points are means over draws of the training rows, whiskers go from low to high."
        )
        body += drawn(learning_curve(found), "By rows learned from", note)
        rows = [
            [share(p.share), f"{p.rows:,}", str(p.repeats), number(p.train), number(p.validation),
             f"{number(p.lowest)} to {number(p.highest)}"]
            for p in found.points
        ]  # fmt: skip
        headers = ["share", "rows", "draws", "on these rows", "on validation", "lowest to highest"]
        body += more("The figures", table(headers, rows, numbers=[1, 2, 3, 4]))
    return Section("learning-curve", title, body)
