"""Judge a stage's evidence, write the verdicts down, and stop where one blocks."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from headrace.core.codec import to_plain
from headrace.core.errors import GateBlocked, Problem, UserError, did_you_mean
from headrace.core.evidence import Evidence, Outcome, Rule, Verdict, Waiver, judge
from headrace.core.gates import gate_of
from headrace.core.views import waivers
from headrace.data.expect import Expectation
from headrace.engine.checking.evaluate import looked_at
from headrace.engine.checking.lint import judged_names
from headrace.engine.context import Context
from headrace.engine.measures import bars_of
from headrace.engine.skew import RULES as SKEW
from headrace.engine.speed import targets

Rules = Mapping[str, Rule]
"""The rule for each judged name."""


def judge_all(ctx: Context, stage: str, evidence: Iterable[Evidence], rules: Rules) -> tuple[Verdict, ...]:
    """Judge anew, with the waivers that hold today, and append one `gate.judged` a verdict."""
    evidence = tuple(evidence)
    if not evidence:
        return ()
    held = waivers(ctx.store.read(kinds=("gate.waived",)), ctx.clock().date().isoformat())
    verdicts = tuple(_judge(stage, e, rules[e.gate], held) for e in evidence)
    ctx.store.append([ctx.draft("gate.judged", ctx.run, verdict=to_plain(v)) for v in verdicts])
    return verdicts


def _judge(stage: str, evidence: Evidence, rule: Rule, held: Mapping[str, Waiver]) -> Verdict:
    outcome, reason = judge(evidence, rule)
    gate = gate_of(evidence.gate)
    waiver = None
    if gate.waivable and outcome in (Outcome.FAIL, Outcome.UNKNOWN):
        waiver = held.get(evidence.gate) or held.get(gate.name)
    return Verdict(evidence.gate, stage, outcome, evidence, str(rule), reason, waiver)


def enforce(ctx: Context, verdicts: Iterable[Verdict]) -> None:
    """Let pass, or raise with everything that blocks.

    Raises:
        GateBlocked: a verdict is fail or unknown and no waiver covers it. Every such verdict is one
            problem: what was measured against what, who owns the stage, what to do.
    """
    blocking = [v for v in verdicts if not v.allows]
    if blocking:
        raise GateBlocked.of([_problem(ctx, v) for v in blocking])


def _problem(ctx: Context, verdict: Verdict) -> Problem:
    gate = gate_of(verdict.gate)
    owner = ctx.spec.owner(verdict.stage)
    unknown = verdict.outcome == Outcome.UNKNOWN
    what = f"gate {verdict.gate!r} is unknown" if unknown else f"gate {verdict.gate!r} failed"
    where = f"stage {verdict.stage}" + (f", owner {owner}" if owner else "")
    fix = gate.fix
    if gate.waivable:
        fix += f"; or waive it openly: --waive {shlex.quote(verdict.gate)} --reason … --by … --until DATE"
    detail = f" — {verdict.evidence.where}" if verdict.evidence.where else ""
    return Problem(what, where=where, why=f"{gate.asks} {verdict.reason}{detail}", fix=fix)


def waive_all(
    ctx: Context, wanted: Sequence[Mapping[str, str]], expectations: Iterable[Expectation] = ()
) -> None:
    """Write waivers into the ledger, all or none. Each maps gate, reason, by and until, the last day.

    A gate is named as a whole (`expectation`: all of them) or as one judged name (`expectation: x > 0`).

    Raises:
        UserError: with one problem for each gate that is unknown or can't be waived, reason or name that
            is empty, and day that is gone by or no date.
    """
    judged = [e.gate for e in expectations] + [bar.gate for bar in bars_of(ctx.spec) if bar.rule]
    judged += [*judged_names(ctx.spec.feature_specs(), [_plain(w["gate"]) for w in wanted]), *SKEW]
    judged += list(targets(ctx.spec))
    judged += looked_at(ctx.spec, [_plain(w["gate"]) for w in wanted])
    problems = [p for w in wanted for p in _check_waiver(ctx, w, judged)]
    if problems:
        raise UserError.of(list(dict.fromkeys(problems)))
    if wanted:
        ctx.store.append([ctx.draft("gate.waived", _plain(w["gate"]), **_terms(w)) for w in wanted])


def _terms(wanted: Mapping[str, str]) -> dict[str, str]:
    until = date.fromisoformat(wanted["until"]).isoformat()  # one spelling: days are compared as text
    return {"reason": wanted["reason"].strip(), "by": wanted["by"].strip(), "until": until}


def _plain(gate: str) -> str:
    """A judged name as it is judged: one space behind the colon."""
    name, colon, thing = gate.partition(":")
    return f"{name.strip()}: {thing.strip()}" if colon and thing.strip() else name.strip()


def _check_waiver(ctx: Context, wanted: Mapping[str, str], judged: Sequence[str]) -> list[Problem]:
    problems = _check_gate(_plain(wanted["gate"]), judged)
    if not wanted.get("reason", "").strip():
        problems.append(Problem("a waiver needs a reason", fix="--reason 'why this is right this once'"))
    if not wanted.get("by", "").strip():
        problems.append(Problem("a waiver needs a name", fix="--by you@example.com"))
    today = ctx.clock().date()
    try:
        until = date.fromisoformat(wanted.get("until", ""))
    except ValueError:
        problems.append(Problem(f"{wanted.get('until', '')!r} is no date", fix="--until 2026-12-31"))
    else:
        if until < today:
            problems.append(
                Problem(f"the waiver ended on {until}, before today ({today})", fix="--until a later DATE")
            )
    return problems


def _check_gate(name: str, judged: Sequence[str]) -> list[Problem]:
    try:
        gate = gate_of(name)
    except UserError as error:
        return list(error.problems)
    if not gate.waivable:
        return [Problem(f"gate {gate.name!r} can't be waived", fix=gate.fix)]
    if name != gate.name and name not in judged:
        return [Problem(f"nothing is judged as {name!r}", fix=did_you_mean(name, [gate.name, *judged]))]
    return []
