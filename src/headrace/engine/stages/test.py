"""Stage 9: the seal is opened once the candidate is frozen, and the honest estimate is taken.

The first opening of these rows shows the estimate with its interval. A later one, of another candidate,
shows its verdict alone, judged at half the level of the one before, so that numbers can't be fished.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.core.codec import to_plain
from headrace.core.digest import digest
from headrace.core.evidence import Evidence, Interval, Outcome, Rule, judge
from headrace.data.seal import Opening, open_seal, openings, record_judgement
from headrace.engine.context import Context, Made, Output, Stage
from headrace.engine.measures import Bar, bars_of
from headrace.engine.scores import score_rows
from headrace.engine.stages.features import rows_of
from headrace.engine.stages.split import seal_of
from headrace.graph.run import Runner
from headrace.metrics.intervals import Estimate, bound, intervals
from headrace.release.manifest import TestEstimate


def _slice(ctx: Context) -> Any:
    problem = ctx.spec.problem
    value = problem.value.model_dump(mode="json") if problem.value else None
    return [problem.metric, problem.ship_at, value]


def _work(ctx: Context, made: Made) -> Output:
    opening = _open(ctx, made)
    runner = Runner(ctx.store.get(made["package"].outputs["graph"]), threads=ctx.spec.limits.threads)
    rows = rows_of(ctx, made, "test", opening=opening)
    predictions = score_rows(ctx, made, runner, rows, "test")
    ctx.progress("test", "measuring", 0, 0)
    bars = bars_of(ctx.spec)
    estimates = intervals([bar.metric for bar in bars], predictions, seed=ctx.spec.seed)
    main = next(bar for bar in bars if bar.main)
    evidence = tuple(_evidence(bar, estimates[bar.name], opening) for bar in bars if bar.rule)
    estimate = estimates[main.name]
    shown = TestEstimate(
        main.name,
        estimate.value if opening.shows_estimate else None,
        estimate.interval if opening.shows_estimate else None,
        estimate.n_rows,
        opening.number,
    )
    record_judgement(
        ctx.store,
        opening,
        outcome=_outcome(ctx, evidence),
        value=shown.value,
        interval=shown.interval,
        actor=ctx.actor,
        time=ctx.now(),
    )
    if not evidence:
        evidence = (
            Evidence("ship-at", None, applies=False, why_none="no bar is declared (problem.ship_at)"),
        )
    return Output(
        facts={"estimate": to_plain(shown)},
        notes={"opening": to_plain(opening)},  # it names its event, which is another in each ledger
        evidence=evidence,
    )


def _open(ctx: Context, made: Made) -> Opening:
    """Open the seal in the name of the frozen graph and of the bar that it is held to.

    The bar is part of the name, else one candidate could be tried against many bars for the price of one.
    A graph whose estimate has been shown has nothing left to hide: it keeps its opening under any bar.
    """
    seal, graph = seal_of(made), made["package"].outputs["graph"]
    candidate = f"{graph}:{digest(_slice(ctx))[:16]}"
    for earlier in (view.opening for view in openings(ctx.store, seal.id)):
        if earlier.shows_estimate and earlier.candidate.startswith(f"{graph}:"):
            candidate = earlier.candidate
    return open_seal(ctx.store, seal, candidate, actor=ctx.actor, clock=ctx.clock, run=ctx.run)


def _evidence(bar: Bar, estimate: Estimate, opening: Opening) -> Evidence:
    """Where the estimate is shown, the estimate; else only whether it reaches the bar at this opening's
    level: one bit, which is what the opening has paid for."""
    if opening.shows_estimate:
        return Evidence(
            bar.gate,
            estimate.value,
            unit=bar.metric.unit,
            n=estimate.n_units,
            interval=estimate.interval,
            where=f"opening {opening.number} of these rows",
            why_none=estimate.why_none,
        )
    low = bound(estimate, side="low", alpha=opening.level)
    high = bound(estimate, side="high", alpha=opening.level)
    measured = Evidence(
        bar.gate, estimate.value, n=estimate.n_units, interval=Interval(low, high, 1 - 2 * opening.level)
    )
    reached = bar.rule is not None and judge(measured, bar.rule)[0] == Outcome.PASS
    return Evidence(
        bar.gate,
        1.0 if reached else 0.0,
        unit="reached (1) or not (0)",
        n=estimate.n_units,
        where=f"opening {opening.number} of these rows, judged at level {opening.level:.2g}",
    )


def _outcome(ctx: Context, evidence: tuple[Evidence, ...]) -> str:
    held = {bar.gate: bar.rule for bar in bars_of(ctx.spec) if bar.rule}
    judged = [judge(e, _rule_for(e, held[e.gate]))[0] for e in evidence]
    return "pass" if all(o == Outcome.PASS for o in judged) else "fail"


def _rule_for(evidence: Evidence, rule: Rule) -> Rule:
    """A one-bit verdict is held to 1; an estimate to the spec's bar."""
    return Rule("==", 1) if evidence.unit.startswith("reached") else rule


def rules(ctx: Context, made: Made) -> Mapping[str, Rule]:
    """The bars of `problem.ship_at`, at the safe end of the interval."""
    held = {bar.gate: bar.rule for bar in bars_of(ctx.spec) if bar.rule}
    evidence = {e.gate: e for e in made["test"].evidence}
    return {
        **{gate: _rule_for(evidence[gate], rule) for gate, rule in held.items() if gate in evidence},
        "ship-at": Rule(">=", 0),
    }


STAGE = Stage(
    "test",
    ("ingest", "split", "features", "package"),
    _slice,
    _work,
    code=lambda _: (__name__,),
    libraries=("numpy", "onnxruntime", "duckdb", "pyarrow"),
)
