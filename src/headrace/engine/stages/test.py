"""Stage 9: the seal is opened once the candidate is frozen, and the honest estimate is taken.

The first opening of these rows shows the estimate with its interval. A later one, of another candidate,
shows its verdict alone, judged at half the level of the one before, so that numbers can't be fished.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.codec import to_plain
from headrace.core.digest import digest
from headrace.core.evidence import Evidence, Interval, Outcome, Rule, judge
from headrace.data.seal import Opening, open_seal, openings, record_judgement
from headrace.engine.context import Context, Made, Output, Stage
from headrace.engine.measures import Bar, bars_of
from headrace.engine.rivals import against, todays_answers
from headrace.engine.scores import score_rows
from headrace.engine.stages.features import rows_of
from headrace.engine.stages.split import seal_of
from headrace.engine.worths import worth_on
from headrace.graph.run import Runner
from headrace.metrics.intervals import Estimate, bound, intervals, paired
from headrace.metrics.measure import measure
from headrace.metrics.record import Predictions
from headrace.release.manifest import TestEstimate


def _slice(ctx: Context) -> Any:
    problem = ctx.spec.problem
    value = problem.value.model_dump(mode="json") if problem.value else None
    today = problem.today.model_dump(mode="json") if problem.today and _speaks_of_today(ctx) else None
    return [problem.metric, problem.ship_at, value, problem.goal, today]


@dataclass(frozen=True)
class _Measured:
    """A bar as measured: the estimate that its rule speaks of, and what it was made of, for people.

    Of a relative bar the estimate is that of how much better we are than the multiple of today's.
    """

    bar: Bar
    estimate: Estimate
    told: str = ""

    def ends(self, level: float) -> Interval:
        """One-sided ends at `level`, of what the rule is about."""
        low = bound(self.estimate, side="low", alpha=level)
        high = bound(self.estimate, side="high", alpha=level)
        return self._turned(Interval(low, high, 1 - 2 * level))

    @property
    def value(self) -> float:
        return -self.estimate.value if self._upside_down else self.estimate.value

    @property
    def interval(self) -> Interval | None:
        return self._turned(self.estimate.interval) if self.estimate.interval else None

    @property
    def unit(self) -> str:
        if self.bar.factor is None:
            return self.bar.metric.unit
        return f"{self.bar.name} less {self.bar.factor:g} × today's"

    @property
    def _upside_down(self) -> bool:
        """Pairs are compared so that more is better; `fpr <= 0.8 * today` speaks of fpr itself."""
        return self.bar.factor is not None and not self.bar.metric.higher_is_better

    def _turned(self, interval: Interval) -> Interval:
        return Interval(-interval.high, -interval.low, interval.level) if self._upside_down else interval


def _work(ctx: Context, made: Made) -> Output:
    opening = _open(ctx, made)
    runner = Runner(ctx.store.get(made["package"].outputs["graph"]), threads=ctx.spec.limits.threads)
    rows = rows_of(ctx, made, "test", opening=opening)
    predictions = score_rows(ctx, made, runner, rows, "test")
    ctx.progress("test", "measuring", 0, 0)
    bars = bars_of(ctx.spec)
    answers = todays_answers(ctx, made, rows) if _speaks_of_today(ctx) else None
    measured = _measure(ctx, bars, predictions, answers)
    evidence = tuple(_evidence(m, opening) for m in measured if m.bar.rule)
    main = next(m for m in measured if m.bar.main and m.bar.factor is None)
    estimate = main.estimate
    shown = TestEstimate(
        main.bar.name,
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
    worth = worth_on(ctx, predictions, answers) if opening.shows_estimate else None
    return Output(
        facts={"estimate": to_plain(shown), "worth": to_plain(worth) if worth else None},
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


def _speaks_of_today(ctx: Context) -> bool:
    return ctx.spec.problem.value is not None or any(b.factor is not None for b in bars_of(ctx.spec))


def _measure(
    ctx: Context, bars: tuple[Bar, ...], ours: Predictions, answers: NDArray[np.float64] | None
) -> list[_Measured]:
    """Every bar's estimate. The declared metric is always measured itself too, for the estimate shown."""
    seed = ctx.spec.seed
    plain = [b for b in bars if b.factor is None]
    plain += [replace(b, factor=None, rule=None) for b in bars if b.main and b.factor is not None]
    estimates = intervals({b.name: b.metric for b in plain}.values(), ours, seed=seed)
    found = [_Measured(b, estimates[b.name]) for b in plain]
    for bar in bars:
        if bar.factor is None or answers is None:
            continue
        mine, theirs = against(ours, answers)
        estimate = paired(bar.metric, mine, theirs, seed=seed, factor=bar.factor)
        values = measure(bar.metric, mine), measure(bar.metric, theirs)
        told = f"{bar.name} {values[0]:.4g}, today's {values[1]:.4g} on {mine.rows} of {ours.rows} rows"
        found.append(_Measured(bar, estimate, told))
    return found


def _evidence(measured: _Measured, opening: Opening) -> Evidence:
    """Where the estimate is shown, the estimate; else only whether it reaches the bar at this opening's
    level: one bit, which is what the opening has paid for."""
    bar, estimate = measured.bar, measured.estimate
    where = f"opening {opening.number} of these rows"
    if opening.shows_estimate:
        return Evidence(
            bar.gate,
            measured.value,
            unit=measured.unit,
            n=estimate.n_units,
            interval=measured.interval,
            where=f"{measured.told}, {where}" if measured.told else where,
            why_none=estimate.why_none,
        )
    ends = measured.ends(opening.level)
    known = Evidence(bar.gate, measured.value, n=estimate.n_units, interval=ends)
    reached = bar.rule is not None and judge(known, bar.rule)[0] == Outcome.PASS
    return Evidence(
        bar.gate,
        1.0 if reached else 0.0,
        unit="reached (1) or not (0)",
        n=estimate.n_units,
        where=f"{where}, judged at level {opening.level:.2g}",
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
        "ship-at": Rule(">=", 0),  # of no bar at all: not applicable
    }


STAGE = Stage(
    "test",
    ("ingest", "split", "features", "package"),
    _slice,
    _work,
    code=lambda _: (__name__,),
    libraries=("numpy", "onnxruntime", "duckdb", "pyarrow"),
)
