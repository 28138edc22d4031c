"""What a project rests on, looked at once more before anything is promoted: the go and the assumptions."""

from __future__ import annotations

from pathlib import Path

from headrace.core.clock import Clock
from headrace.core.errors import HeadraceError
from headrace.core.evidence import Evidence, Rule
from headrace.core.ports import Store
from headrace.core.spec import ParsedSpec
from headrace.core.views import ReleaseView, State
from headrace.engine.context import Context
from headrace.engine.releases import spec_of

ASSUMPTION = "assumption: "


def recheck(ctx: Context) -> tuple[list[Evidence], dict[str, Rule]]:
    """The go decision today, and the assumptions on the tables as they are now, with their rules.

    Tables that have not changed since they were read are not read again: ingest's key says so. Where they
    can't be read any more, every assumption is unknown.
    """
    found, rules = [], {}
    if ctx.spec.problem.go is not None:
        from headrace.engine.stages.frame import go_evidence

        found.append(go_evidence(ctx))
        rules["go"] = Rule(">=", 0)
    checks = [a.check for a in ctx.spec.problem.assumptions if a.check]
    if checks:
        measured, held = _assumptions(ctx, checks)
        found += measured
        rules |= held
    return found, rules


def _assumptions(ctx: Context, checks: list[str]) -> tuple[list[Evidence], dict[str, Rule]]:
    # Reading tables needs the libraries of training, which a machine that only serves may lack.
    from headrace.engine.memo import run_stage
    from headrace.engine.needs import require_training

    require_training()
    from headrace.engine.stages import ingest

    try:
        output = run_stage(ingest.STAGE, ctx, {}).output
        rules = ingest.rules(ctx, {"ingest": output})
    except HeadraceError as error:
        why = f"the tables can't be read any more: {error.problems[0].what}"
        names = [f"{ASSUMPTION}{check}" for check in checks]
        return [Evidence(n, None, why_none=why) for n in names], {n: Rule("==", 0) for n in names}
    mine = [e for e in output.evidence if e.gate.startswith(ASSUMPTION)]
    return mine, {e.gate: rules[e.gate] for e in mine}


def require_sound(store: Store, release: ReleaseView, *, root: Path, actor: str, clock: Clock) -> None:
    """Before a release moves to champion by name: its own spec's go and assumptions have to hold today.

    Raises:
        GateBlocked: one of them is broken, and no waiver covers it.
    """
    if release.state not in (State.CHALLENGER, State.RETIRED):
        return  # a champion is there already; a candidate is refused for what it lacks
    problem = (spec := spec_of(store, release)).problem
    if problem.go is None and not any(a.check for a in problem.assumptions):
        return
    from headrace.engine.gates import enforce, judge_all

    ctx = Context(root, store, ParsedSpec(spec), clock, actor, run=release.run)
    evidence, rules = recheck(ctx)
    enforce(ctx, judge_all(ctx, "promote", evidence, rules))
