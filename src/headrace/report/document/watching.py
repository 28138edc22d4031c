"""Monitoring and drift, and the retraining policy: plans, and worded as such."""

from __future__ import annotations

from headrace.core.document import Design
from headrace.report.document.blocks import (
    Block,
    Code,
    Heading,
    Inline,
    Items,
    Lack,
    Para,
    Part,
    Table,
    Words,
    said,
)

_KINDS = {
    "data": "Do inputs still look like the training rows?",
    "model": "Do answers still look like those of validation?",
    "concept": "Is the relation between inputs and truth still the same, once the truth is known?",
    "operational": "Does the service answer, soon enough, and without errors?",
}


def monitoring(design: Design) -> Part:
    """The section."""
    blocks: list[Block] = [
        Para(
            "These are plans: headrace does not watch live traffic yet. What it does today is to compare "
            "snapshots "
            "of tables by hand and to hold their age to a gate."
        ),
        Items(
            (
                (
                    "columns of two snapshots, with their population stability index: ",
                    Code("headrace data diff"),
                ),
                ("age of a table at each run: ", _ages(design)),
                ("expectations and assumptions, measured at each run and before a promotion"),
            )
        ),
    ]
    for kind, asks in _KINDS.items():
        blocks += [Heading(f"{kind[0].upper()}{kind[1:]}"), Para(asks), _monitors(design, kind)]
    return Part("Monitoring and drift", tuple(blocks))


def _ages(design: Design) -> Inline:
    aged = [f"{n} {t.max_age}" for n, t in sorted(design.spec.data.tables.items()) if t.max_age]
    return ", ".join(aged) if aged else "no table has a max_age, so none is held"


def _monitors(design: Design, kind: str) -> Block:
    rows = tuple(
        (", ".join(m.columns) or "all", m.tool, Code(m.threshold), m.action)
        for m in design.spec.monitoring
        if m.watches == kind
    )
    if not rows:
        return Para(Lack(f"monitoring (watches: {kind})"))
    return Table(("looks at", "tool", "threshold", "action"), rows)


def retraining_policy(design: Design) -> Part:
    """The section."""
    plan = design.spec.retraining
    spec = design.spec
    approval = "somebody other than the author" if spec.problem.approval == "other" else "the author"
    gates = (
        f"Whoever starts it, a new release passes the same gates and is approved by {approval} "
        "(problem.approval). headrace does not start runs by itself yet: a scheduler or a person does."
    )
    if plan is None:
        return Part("Retraining policy", (Para(Lack("retraining")), Para(gates)))
    causes: Block = Items(tuple(plan.when)) if plan.when else Para(Lack("retraining.when"))
    every: Words = (f"Every {plan.every}.",) if plan.every else Lack("retraining.every")
    return Part(
        "Retraining policy",
        (
            Heading("By the calendar"),
            Para(every),
            Heading("By what is seen"),
            causes,
            Heading("Approval"),
            Para(said(plan.approval, "retraining.approval")),
            Para(gates),
        ),
    )
