"""Stage 1: is the problem stated, and is the decision to go ahead still valid?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.core.evidence import Evidence, Rule
from headrace.engine.context import Context, Made, Output, Stage


def _slice(ctx: Context) -> Any:
    # The day is part of it: a go decision expires without any change of the spec.
    return [ctx.spec.problem.model_dump(mode="json"), ctx.clock().date().isoformat()]


def _work(ctx: Context, made: Made) -> Output:
    del made
    problem = ctx.spec.problem
    stated = {
        "problem.objective": problem.objective,
        "problem.decision": problem.decision,
        "problem.owners.default": ctx.spec.owner("frame"),
    }
    missing = [name for name, text in stated.items() if not text.strip()]
    complete = Evidence(
        "spec-complete",
        float(len(missing)),
        unit="fields missing",
        n=len(stated),
        where=f"missing: {', '.join(missing)}" if missing else "",
    )
    facts = {
        "task": problem.task,
        "metric": problem.metric,
        "goal": problem.goal or "",
        "use": problem.use,
        "supervision": problem.supervision,
        "columns": dict(problem.columns),
        "assumptions": [{"text": a.text, "check": a.check or ""} for a in problem.assumptions],
    }
    return Output(facts=facts, evidence=(complete, go_evidence(ctx)))


def go_evidence(ctx: Context) -> Evidence:
    """How many days the go decision still holds, today."""
    go = ctx.spec.problem.go
    if go is None:
        return Evidence("go", None, applies=False, why_none="no go decision is declared (problem.go)")
    left = (go.expires - ctx.clock().date()).days
    return Evidence(
        "go",
        float(left),
        unit="days left",
        n=1,
        where=f"decided by {go.decided_by} on {go.on}, expires {go.expires}",
    )


def rules(ctx: Context, made: Made) -> Mapping[str, Rule]:
    """Nothing is missing; at least today is left."""
    del ctx, made
    return {"spec-complete": Rule("==", 0), "go": Rule(">=", 0)}


STAGE = Stage("frame", (), _slice, _work, code=lambda _: (__name__,))
