"""The document from its record: the sections in their order, and at the end what is missing."""

from __future__ import annotations

from headrace.core.document import Design
from headrace.report.document.blocks import Block, Code, Document, Items, Para, Part
from headrace.report.document.choices import tool_choices
from headrace.report.document.features import feature_engineering
from headrace.report.document.frame import problem_definition
from headrace.report.document.runbook import runbook
from headrace.report.document.serving import ab_testing, model_serving
from headrace.report.document.tell import day, listed
from headrace.report.document.training import experiment_tracking, training_pipeline
from headrace.report.document.watching import monitoring, retraining_policy

SECTIONS = (
    problem_definition,
    feature_engineering,
    experiment_tracking,
    training_pipeline,
    model_serving,
    ab_testing,
    monitoring,
    retraining_policy,
    tool_choices,
    runbook,
)
"""Every section, in order."""

MISSING = "What is missing"


def document_of(design: Design) -> Document:
    """The whole document. The same record makes the same document."""
    document = Document(
        f"{design.spec.project}: design", _stand(design), tuple(section(design) for section in SECTIONS)
    )
    lacks = document.lacks()
    blocks: tuple[Block, ...] = (Para("Nothing: everything that this document speaks of is declared."),)
    if lacks:
        blocks = (
            Para("Not declared in the spec, in the order of this document:"),
            Items(tuple(Code(key) for key in lacks)),
        )
    return Document(document.title, document.stand, (*document.parts, Part(MISSING, blocks)))


def _stand(design: Design) -> str:
    """What the document was written from."""
    spec, newest, measured = design.spec, design.newest, design.measured
    told = [f"Written by headrace doc from the spec {spec.digest()[:12]}"]
    if not design.as_of:
        return f"{told[0]}; no run yet. Don't edit it: edit the spec."
    told.append(f"and the ledger as of {day(design.as_of)}")
    lines = [f"{' '.join(told)}."]
    if measured is not None:
        lines.append(f"Figures are of {measured.run} ({measured.status}, {day(measured.started)}).")
    if newest is not None and newest is not measured:
        blocked = [g["name"] for g in newest.summary.get("gates", ()) if _stopped(g)]
        by = f" by {listed(blocked)}" if blocked and newest.status in ("blocked", "no-go") else ""
        lines.append(f"The newest run is {newest.run}: {newest.status}{by}.")
    elif newest is not None and newest.status in ("blocked", "no-go"):
        blocked = [g["name"] for g in newest.summary.get("gates", ()) if _stopped(g)]
        lines.append(f"It was stopped by {listed(blocked)}." if blocked else "")
    if design.changed:
        lines.append(f"The spec has changed since: {listed(design.changed)}.")
    lines.append("Don't edit it: edit the spec.")
    return " ".join(line for line in lines if line)


def _stopped(gate: object) -> bool:
    return isinstance(gate, dict) and gate["verdict"] in ("fail", "unknown") and not gate.get("waiver")
