"""The report of a run: one page, however far the run came."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.core.evidence import Verdict
from headrace.core.told import RunTold
from headrace.report.made import Report
from headrace.report.page import Section, page, text
from headrace.report.parts.common import ORDER, estimate, moment, plural
from headrace.report.parts.data import data_section, findings_section
from headrace.report.parts.explain import explanations_section
from headrace.report.parts.frame import frame_section
from headrace.report.parts.gates import count_told, gates_section, promotion_section
from headrace.report.parts.groups import fairness_section, slices_section
from headrace.report.parts.lineage import lineage_section
from headrace.report.parts.models import leaderboard_section
from headrace.report.parts.performance import performance_section, test_told
from headrace.report.parts.script import script_sections
from headrace.report.parts.trouble import errors_section, learning_curve_section, robustness_section
from headrace.report.records import Records, read_records

SECTIONS: tuple[Callable[[RunTold, Records], Section], ...] = (
    frame_section,
    data_section,
    findings_section,
    leaderboard_section,
    performance_section,
    slices_section,
    fairness_section,
    errors_section,
    robustness_section,
    learning_curve_section,
    explanations_section,
    gates_section,
    promotion_section,
    lineage_section,
)
"""The sections of a run of the spine, in their order."""

_HEADS: Mapping[str, tuple[str, str]] = {
    "released": ("good", "Released"),
    "awaiting approval": ("warn", "Waits for an approval"),
    "blocked": ("bad", "Blocked by a gate"),
    "no-go": ("bad", "Don't ship: today's solution is as good"),
    "failed": ("bad", "Failed"),
    "stopped": ("warn", "Stopped where it was asked to"),
    "done": ("good", "Done"),
    "unfinished": ("warn", "Not finished: it is under way, or its process died"),
}


@dataclass(frozen=True)
class RunParts:
    """What the page of a run is made of. facts: a label and a value each, in plain text; banner: HTML."""

    title: str
    subtitle: str
    facts: tuple[tuple[str, str], ...]
    banner: str
    sections: tuple[Section, ...]


def run_parts(told: RunTold) -> RunParts:
    """The parts of a run's page. A pure function of what is told."""
    records = read_records(told)
    run = told.run
    return RunParts(
        f"{told.spec.get('project', '')} {run.run}".strip(),
        f"{run.name} · {moment(run.started)} · {run.author}",
        tuple(_tiles(told)),
        _banner(told),
        tuple(_sections(told, records)),
    )


def run_report(told: RunTold) -> Report:
    """The page of a run. A pure function of what is told: the same run is the same bytes."""
    parts = run_parts(told)
    html = page(
        parts.title,
        parts.sections,
        subtitle=parts.subtitle,
        facts=parts.facts,
        banner=parts.banner,
        side=True,
    )
    return Report(parts.title, html)


def _sections(told: RunTold, records: Records) -> list[Section]:
    if told.run.script:
        made = script_sections(told)
        if told.stages:
            made += [
                data_section(told, records),
                findings_section(told, records),
                gates_section(told, records),
            ]
        return [*made, lineage_section(told, records)]
    return [section(told, records) for section in SECTIONS]


def _banner(told: RunTold) -> str:
    run = told.run
    kind, head = _HEADS.get(run.status, ("warn", run.status))
    advice = run.summary.get("advice") or {}
    said = advice.get("text", "")
    lines = f"<p>{text(said)}</p>" if said else ""
    if not run.script and run.status not in ("released", "awaiting approval"):
        lines += f"<p>{text(_how_far(told))}</p>"
    problems = told.problems or tuple(_of_gates(told.verdicts))
    items = "".join(_problem(p) for p in problems)
    lines += f"<ul>{items}</ul>" if items else ""
    return f'<div class="banner {kind}"><h2>{text(head)}</h2>{lines}</div>'


def _how_far(told: RunTold) -> str:
    # Of a run whose end is not known the verdicts tell of stages that had no work to do.
    names = {s.name for s in told.stages if s.status != "failed"} | {v.stage for v in told.verdicts}
    names -= {s.name for s in told.stages if s.status == "failed"} | {"promote"}
    done = [n for n in ORDER if n in names]
    failed = next((s.name for s in told.stages if s.status == "failed"), "")
    if failed:
        return (
            f"It failed in stage {failed}, number {len(done) + 1} of {len(ORDER)}; what came before is kept."
        )
    if not done:
        return "It ended before its first stage was done."
    after = ORDER[ORDER.index(done[-1]) + 1 :] if done[-1] in ORDER else ()
    left = f"; {', '.join(after)} did not run" if after else ""
    if after == ("promote",) and any(v.stage == "promote" for v in told.verdicts):
        left = "; it ended in promote"
    return f"It came to the end of {done[-1]}, {len(done)} of {len(ORDER)} stages{left}."


def _of_gates(verdicts: Sequence[Verdict]) -> list[Mapping[str, Any]]:
    return [
        {"what": f"gate {v.gate}: {v.outcome.value}", "why": f"{v.reason} {v.evidence.where}".strip()}
        for v in verdicts
        if not v.allows
    ]  # fmt: skip


def _problem(problem: Mapping[str, Any]) -> str:
    where = f"{problem['where']}: " if problem.get("where") else ""
    lines = f"<li><b>{text(where + problem.get('what', ''))}</b>"
    for key in ("why", "fix"):
        if problem.get(key):
            lines += f"<small>{key}: {text(problem[key])}</small>"
    return lines + "</li>"


def _tiles(told: RunTold) -> list[tuple[str, str]]:
    run = told.run
    if run.script:
        last = {n: points[-1]["value"] for n, points in told.logged.get("metrics", {}).items() if points}
        return [("Script", run.name), *((n, estimate(v, None)) for n, v in list(last.items())[:4])]
    metric = told.spec.get("problem", {}).get("metric", "")
    facts = []
    if told.facts("learn").get("model"):
        facts.append(("Model", str(told.facts("learn")["model"])))
    if test_told(told):
        facts.append(("Sealed test", test_told(told)))
    seen = told.facts("evaluate").get("metrics", {}).get(metric)
    if seen:
        facts.append(("Validation", estimate(seen["value"], seen["interval"], metric)))
    counts = told.facts("split").get("counts", {})
    if counts:
        told_counts = " / ".join(f"{counts.get(p, 0):,}" for p in ("train", "validation", "test"))
        facts.append(("Train / validation / test rows", told_counts))
    if told.verdicts:
        facts.append(("Gates", count_told(told.verdicts)))
    if run.release:
        facts.append(("Release", f"{run.release}{f', {told.release.state.value}' if told.release else ''}"))
    if "seconds" in run.summary:
        facts.append(("Took", plural(round(run.summary["seconds"]), "second")))
    return facts
