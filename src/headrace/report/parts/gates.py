"""Every gate with its verdict, and where the release stands."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.core.evidence import Outcome, Verdict
from headrace.core.told import RunTold
from headrace.report.page import Html, Section, chip, listed, more, number, para, table
from headrace.report.parts.common import code, ends, held, moment, plural
from headrace.report.records import Records


def count_told(verdicts: Sequence[Verdict]) -> str:
    """How many gates passed, failed, and so on, in words."""
    passed = sum(v.outcome is Outcome.PASS for v in verdicts)
    waived = sum(v.waiver is not None for v in verdicts)
    blocked = sum(not v.allows for v in verdicts)
    told = [f"{passed} of {sum(v.outcome is not Outcome.NOT_APPLICABLE for v in verdicts)} pass"]
    told += [f"{waived} waived"] if waived else []
    told += [f"{blocked} block"] if blocked else []
    return ", ".join(told)


def gates_section(told: RunTold, records: Records) -> Section:
    """All verdicts in the order they were given; what does not pass on top."""
    del records
    if not told.verdicts:
        return Section("gates", "Gates", para("No gate was judged in this run.", "lead"))
    blocked = [v for v in told.verdicts if not v.allows]
    waived = [v for v in told.verdicts if v.waiver is not None]
    rest = [v for v in told.verdicts if v.allows and v.waiver is None]
    body = ""
    if blocked:
        body += f"<h3>In the way ({len(blocked)})</h3>" + _table(blocked)
    if waived:
        rows = [[v.gate, v.waiver.reason, v.waiver.by, v.waiver.until, v.reason] for v in waived if v.waiver]
        headers = ["gate", "why it may pass", "by", "until", "measured"]
        body += f"<h3>Waived ({len(waived)})</h3>" + table(headers, rows) + more("Measured", _table(waived))
    head = f"<h3>{'The others' if body else 'All'} ({len(rest)})</h3>" if rest else ""
    body += head + (_table(rest) if rest else "")
    mark = "bad" if blocked else "warn" if waived else "good"
    return Section("gates", "Gates", body, f"{count_told(told.verdicts)}.", mark)


def verdict_chip(verdict: Verdict) -> Html:
    """A verdict as a chip; a waiver says so."""
    return chip("waived") if verdict.waiver is not None else chip(verdict.outcome.value)


def _table(verdicts: Sequence[Verdict]) -> str:
    rows = [
        [
            v.stage, v.gate, verdict_chip(v), f"{number(v.evidence.value)} {v.evidence.unit}".strip(),
            ends(v.evidence.interval), held(v.rule) if v.outcome is not Outcome.NOT_APPLICABLE else "",
            f"{v.evidence.n:,}" if v.evidence.n else "", _where(v),
        ]
        for v in verdicts
    ]  # fmt: skip
    headers = ["stage", "gate", "verdict", "measured", "95% interval", "rule", "n", "where, or why"]
    return table(headers, rows, numbers=[6], lean=True)


def _where(v: Verdict) -> str:
    if v.outcome in (Outcome.UNKNOWN, Outcome.NOT_APPLICABLE):
        return v.reason
    return v.evidence.where


def promotion_section(told: RunTold, records: Records) -> Section:
    """The release against the champion, and who approved what."""
    del records
    verdicts = [v for v in told.verdicts if v.stage == "promote"]
    release = told.release
    if release is None and not verdicts:
        return Section("promotion", "Promotion", para("This run made no release.", "lead"))
    body = ""
    if release is not None:
        by = ", ".join(release.approved_by)
        body += listed(
            [
                ("Release", code(release.release)),
                ("State now", release.state.value),
                ("Made", f"{moment(release.made)} by {release.author}, in {release.run}"),
                ("Approved by", by + (" (its own author)" if by and release.self_approved else "")),
                ("Promoted", moment(release.promoted) if release.promoted else ""),
            ]
        )
    body += _table(verdicts) if verdicts else ""
    margin = told.spec.get("promote", {}).get("margin", 0.02)
    lead = f"Against the champion on the same rows; it may lose at most {margin:.0%} at the safe end. "
    lead += f"{plural(len(verdicts), 'gate')} judged." if verdicts else ""
    mark = "bad" if any(not v.allows for v in verdicts) else ""
    return Section("promotion", "Promotion", body, lead.strip(), mark)
