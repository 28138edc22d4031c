"""The tables that were read, what their training rows hold, how they were cleaned, what is personal; and the
faults that the linter looked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.checks.lint.record import Finding, Severity
from headrace.core.schema import Type
from headrace.core.told import RunTold
from headrace.data.profile.notes import share as share_of
from headrace.data.profile.record import ColumnProfile, TableProfile
from headrace.data.profile.values import moment as moment_of
from headrace.features.clean import CleaningReport
from headrace.report.figures.small import histogram_svg
from headrace.report.page import Html, Section, chip, more, number, para, table, text
from headrace.report.parts.common import moment, plural, reached, share, short, spelled, why_not
from headrace.report.records import Records, Scanned

_SHOWN = 60


def data_section(told: RunTold, records: Records) -> Section:
    """Tables and snapshots, parts, profile, cleaning, personal data."""
    if not reached(told, "ingest"):
        body = why_not(told, "ingest")
        return Section("data", "Data", body + _privacy(records.privacy), mark="")
    body = _tables(told) + _parts(told) + _profile(told, records) + _cleaning(told, records.cleaning)
    body += _privacy(records.privacy)
    return Section("data", "Data", body, "What was read, and which rows serve for what.")


def _tables(told: RunTold) -> str:
    used: Mapping[str, Any] = told.run.summary.get("tables") or {}
    snapshots = told.facts("ingest").get("snapshots", {})
    taken = told.notes("ingest").get("taken_of", {})
    rows = []
    for name, snapshot in snapshots.items():
        said = used.get(name, {})
        age = said.get("age_days")
        rows.append(
            [
                name, snapshot.get("source", ""), f"{snapshot['rows']:,}", str(len(snapshot["columns"])),
                short(snapshot["artifact"]), moment(said.get("newest", "")),
                moment(said.get("taken") or taken.get(name, "")), _age(age),
            ]
        )  # fmt: skip
    if not rows:
        return para("No table was kept.", "note")
    headers = ["table", "source", "rows", "columns", "snapshot", "newest row", "taken", "age then"]
    return table(headers, rows, numbers=[2, 3, 7])


def _age(days: float | None) -> str:
    if days is None:
        return "–"
    return f"{days:,.0f} days" if days >= 2 else f"{days * 24:.1f} hours"


def _parts(told: RunTold) -> str:
    counts = told.facts("split").get("counts", {})
    if not counts:
        return "" if reached(told, "split") else why_not(told, "split")
    total = sum(counts.values()) or 1
    serve = {
        "train": "learned from, and cross-validated",
        "validation": "measured on; candidates that were searched for are judged here",
        "test": "sealed: opened for the honest estimate alone",
    }
    rows = [[n, f"{counts[n]:,}", share(counts[n] / total), serve[n]] for n in serve if n in counts]
    split = told.spec.get("split", {})
    left = told.facts("split").get("dropped", {})
    by = f"Split by {split.get('by', '–')}" + (f" (block {split['block']})" if "block" in split else "")
    dropped = f"; left out: {spelled({k: f'{v:,} rows' for k, v in left.items() if v})}" if any(
        left.values()
    ) else ""  # fmt: skip
    return (
        "<h3>Parts</h3>"
        + para(by + dropped + ".", "lead")
        + table(["part", "rows", "share", "what for"], rows, numbers=[1, 2])
    )


def _profile(told: RunTold, records: Records) -> str:
    if records.profile is None:
        return ""
    events = told.spec.get("data", {}).get("events", "")
    meanings = told.spec.get("problem", {}).get("columns", {})
    parts = []
    for one in records.profile.tables:
        if not one.columns:
            continue
        whose = "training rows" if one.whose == "train" else "rows"
        head = f"{one.table}: {one.rows:,} {whose}, {len(one.columns)} columns"
        parts.append(more(head, _columns(one, meanings, events), opened=one.table == events))
    return "<h3>What it holds</h3>" + "".join(parts) if parts else ""


def _columns(one: TableProfile, meanings: Mapping[str, str], events: str) -> str:
    rows = []
    for c in one.columns[:_SHOWN]:
        full = c.name if one.table == events else f"{one.table}.{c.name}"
        said = meanings.get(full, "")
        name = Html(f"<b>{text(c.name)}</b>" + (f"<br><small>{text(said)}</small>" if said else ""))
        said_of = "<br>".join(text(n.text) for n in c.notes)
        notes = Html(f"<div class=say>{said_of}</div>" if said_of else "")
        rows.append(
            [name, str(c.type), share_of(c.missing, c.rows), f"{c.distinct:,}", _shape(c), _ends(c), notes]
        )
    headers = ["column", "type", "missing", "distinct", "shape", "range, or most frequent", "to look at"]
    cut = len(one.columns) - len(rows)
    tail = para(f"{cut} more columns are in `headrace profile`.") if cut > 0 else ""
    return table(headers, rows, numbers=[2, 3], lean=True) + tail


def _shape(c: ColumnProfile) -> Html:
    if c.histogram is None:
        return Html("")
    h = c.histogram
    drawn = histogram_svg(h.edges, h.counts, low="", high="", label=f"histogram of {c.name}")
    return Html(f"<div class=spark>{drawn}</div>")


def _ends(c: ColumnProfile) -> str:
    if c.histogram is not None or c.type is Type.TIME:
        low, high = (v if isinstance(v, str) else number(v) for v in (c.low, c.high))
        return f"{low} to {high}"
    known = c.rows - c.missing
    return ", ".join(f"{_value(t.value)} ({share_of(t.rows, known)})" for t in c.top[:3])


def _value(value: bool | float | str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | int):
        return number(value)
    return value if len(value) <= 30 else value[:29] + "…"


def _cleaning(told: RunTold, report: CleaningReport | None) -> str:
    forward: Mapping[str, Any] = told.notes("ingest").get("forward_filled", {})
    if report is None or not (report.cells or report.columns or report.rows or forward):
        declared = told.spec.get("clean")
        return "" if declared else "<h3>Cleaning</h3>" + para("None is declared.", "lead")
    cells = [[c.column, c.step, f"{c.train:,}", f"{c.validation:,}"] for c in report.cells]
    fitted = [
        [c.column, number(c.low), number(c.high), _constant(c.fill, c.type), c.note] for c in report.columns
    ]
    rows = [[reason, f"{n:,}"] for reason, n in report.rows.items()]
    body = "<h3>Cleaning</h3>"
    if cells:
        body += table(["column", "step", "cells in train", "in validation"], cells, numbers=[2, 3])
    if rows:
        body += table(["training rows left out because", "rows"], rows, numbers=[1])
    if fitted:
        headers = ["column", "clipped below", "above", "null becomes", "note"]
        body += more("What was fitted", table(headers, fitted, numbers=[1, 2]))
    if forward:
        body += para(f"Filled forward by time: {spelled(forward)} cells.")
    return body


def _constant(fill: str | float | bool | int | None, kind: Type) -> str:
    if fill is None:
        return "–"
    if kind is Type.TIME and isinstance(fill, int | float):
        return moment_of(float(fill))
    return spelled(fill)


def _privacy(proof: Scanned | None) -> str:
    if proof is None:
        return ""
    looked = sum(len(s.columns) for s in proof.scans)
    done = {f"{t}.{c}": do for t, of in proof.treatments.items() for c, do in of.items()}
    found = [f for s in proof.scans for f in s.findings]
    untreated = sum(n for s in proof.scans for n in s.untreated.values())
    body = "<h3>Personal data</h3>" + para(
        f"Every value of {plural(looked, 'column')} was looked at before anything was kept. "
        + (
            f"{plural(len(found), 'column')} looked personal. "
            if found
            else "None looked personal. "
        )
        + (f"{plural(untreated, 'value')} lacked the form of their treatment." if untreated else ""),
        "lead",
    )  # fmt: skip
    if done:
        body += table(["column", "treatment"], [[c, do] for c, do in done.items()])
    if found:
        rows = [[s.table, f.column, f.kind, str(f)] for s in proof.scans for f in s.findings]
        body += table(["table", "column", "kind", "evidence (shapes alone)"], rows)
    return body


def findings_section(told: RunTold, records: Records) -> Section:
    """Leaks and faults that the linter found."""
    title = "Leaks and faults"
    found = records.findings
    if found is None:
        return Section("findings", title, why_not(told, "inspect"))
    looked = f"Looked at {found.train_rows:,} training and {found.validation_rows:,} validation rows"
    looked += f" ({found.sampled})." if found.sampled else "."
    if not found.findings:
        return Section("findings", title, para("Nothing was found."), looked)
    open_ = [f for f in found.findings if not f.accepted]
    blocks = any(f.severity is Severity.BLOCKS for f in open_)
    body = table(["", "about", "what", "what to do", "seen"], _lines(found.findings), lean=True)
    return Section("findings", title, body, looked, mark="bad" if blocks else "warn" if open_ else "")


def _lines(findings: Sequence[Finding]) -> list[list[str]]:
    order = sorted(findings, key=lambda f: (bool(f.accepted), f.severity is not Severity.BLOCKS))
    return [
        [
            chip("accepted") if f.accepted else chip("blocks", "bad")
            if f.severity is Severity.BLOCKS else chip("warns", "warn"),
            f.subject or "the table", f"{f.kind}: {f.what}",
            f"accepted: {f.accepted}" if f.accepted else f.remedy, "; ".join(f.examples[:3]),
        ]
        for f in order
    ]  # fmt: skip
