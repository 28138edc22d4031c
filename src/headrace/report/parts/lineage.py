"""Where everything came from: stages with their keys, artifacts, code, environment, and the spec itself."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.core.told import RunTold
from headrace.report.page import Section, chip, listed, more, number, para, table, text
from headrace.report.parts.common import code, moment, short
from headrace.report.records import Records

_CHIPS = {"failed": "bad"}


def lineage_section(told: RunTold, records: Records) -> Section:
    """Enough to find every byte again."""
    run = told.run
    commit = (
        (run.commit[:12] + (", with changes that were not committed" if run.dirty else ""))
        if run.commit
        else ""
    )
    body = listed(
        [
            ("Run", run.run),
            ("Follows", run.parent),
            ("Started", f"{moment(run.started)} by {run.author}"),
            ("Ended", moment(run.finished) if run.finished else "not in the ledger"),
            ("Commit", code(commit) if commit else "the project is in no git repository"),
            ("Seed", str(told.spec.get("seed", 0)) if told.spec else ""),
            ("Spec", short(run.spec)),
            ("Group", run.group),
            ("Tags", ", ".join(f"{k} {v}" for k, v in run.tags.items())),
        ]
    )
    body += "".join(para(n, "lead") for n in run.notes)
    body += _stages(told) + _artifacts(told) + _environment(told) + _spec(told)
    if records.unreadable:
        names = ", ".join(records.unreadable)
        body += para(
            f"Written by another version of headrace in another form, and left out here: {names}.", "note"
        )
    return Section(
        "lineage", "Lineage", body, "Stages with a known key are not run again: same inputs, same bytes."
    )


def _stages(told: RunTold) -> str:
    if not told.stages:
        return ""
    rows = [
        [
            s.name, chip(s.status, _CHIPS.get(s.status, "")), number(s.seconds), number(s.worked),
            short(s.key),
            "no longer kept" if s.lost else f"{len(s.outputs)} artifacts" if s.outputs else "",
        ]
        for s in told.stages
    ]  # fmt: skip
    headers = ["stage", "went", "seconds", "seconds of work", "key", "made"]
    return "<h3>Stages</h3>" + table(headers, rows, numbers=[2, 3])


def _artifacts(told: RunTold) -> str:
    rows = [[s.name, role, code(d)] for s in told.stages for role, d in s.outputs.items()]
    return more(f"{len(rows)} artifacts", table(["stage", "role", "SHA-256"], rows)) if rows else ""


def _environment(told: RunTold) -> str:
    found = told.environment
    if not found:
        return ""
    libraries: Mapping[str, str] = found.get("distributions", {})
    head = f"Python {found.get('python', '?')} on {found.get('system', '?')} {found.get('machine', '')}"
    rows = [[n, v] for n, v in sorted(libraries.items())]
    body = table(["distribution", "version"], rows)
    return more(f"{head.strip()}, {len(rows)} distributions", body)


def _spec(told: RunTold) -> str:
    if not told.spec:
        return ""
    import yaml

    written = yaml.safe_dump(dict(told.spec), sort_keys=False, allow_unicode=True, width=100)
    return more("The spec", f"<pre>{text(written)}</pre>")
