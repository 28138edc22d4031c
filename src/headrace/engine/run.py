"""One run: the spine from end to end, with every gate, and what came of it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from headrace.core.codec import to_json, to_plain
from headrace.core.errors import AwaitingApproval, Conflict, GateBlocked, HeadraceError
from headrace.core.views import RUN_KINDS, RunView, runs
from headrace.engine.advice import NO_GO, advise, keeps_today
from headrace.engine.ages import tables_used
from headrace.engine.author import commit
from headrace.engine.context import Context, Output
from headrace.engine.environment import record
from headrace.engine.gates import enforce, judge_all
from headrace.engine.memo import Ran, run_stage, stage_key
from headrace.engine.naming import declared, name_run, origin, parent_of, renamed, titled
from headrace.engine.plan import Step, steps
from headrace.engine.promote import ask_before_the_seal, promote_run
from headrace.engine.result import RunResult, Trail
from headrace.engine.skew import Ways
from headrace.engine.speed import Timed
from headrace.engine.stages import test

STATUS_OF = {GateBlocked: "blocked", AwaitingApproval: "awaiting approval"}


def begin(ctx: Context) -> tuple[Context, str]:
    """Write `run.started` and give the run its number and its name. Safe with other runs at once."""
    plain = ctx.spec.plain()
    spec = ctx.store.put(to_json(plain)).digest
    lock = ctx.parsed.lock
    locked = {"lock": ctx.store.put(lock.text.encode()).digest} if lock is not None else {}
    surroundings = record(ctx.store)
    head, dirty = commit(ctx.root)
    came, named = origin(ctx), ""
    system = declared(plain, came, ctx.store, head)

    def payload(earlier: Mapping[str, RunView]) -> dict[str, Any]:
        nonlocal named
        parent = parent_of(earlier)
        named = titled(ctx, name_run(system, ctx.store, parent))
        return {
            "name": named,
            "spec": spec,
            "spec_digest": ctx.spec.digest(),
            "parent": parent.run if parent else "",
            "commit": head,
            "dirty": dirty,
            "seed": ctx.spec.seed,
            "environment": surroundings,
            "pinned": {n: s.artifact for n, s in ctx.pinned.items()},
            "given": to_plain(ctx.given),
            "origin": came,
            "artifacts": {"spec": spec, "environment": surroundings, "modules": came["modules"], **locked},
        }

    run = number_run(ctx, payload)
    return dataclasses.replace(ctx, run=run), named


def number_run(ctx: Context, payload: Callable[[Mapping[str, RunView]], Mapping[str, Any]]) -> str:
    """Append `run.started` with what `payload` says of the runs before; the new run's id."""
    while True:
        _, expect = ctx.store.head()
        earlier = runs(ctx.store.read(kinds=RUN_KINDS))
        run = f"run-{len(earlier) + 1}"
        try:
            ctx.store.append([ctx.draft("run.started", run, **payload(earlier))], expect=expect)
        except Conflict:
            continue
        return run


def execute(
    ctx: Context, *, until: str = "", ways: Ways | None = None, timed: Timed | None = None
) -> RunResult:
    """Run the spine, to its end or to the end of the stage `until`. Gates and awaited approvals end a run
    in good order; where a stage met a mistake of the user's or a fault of ours, the result carries it as
    `error`. `ways` are how a release is asked before it is promoted, `timed` is
    how that is timed.

    Raises:
        StoreError: the ledger can't be written.
    """
    started = time.perf_counter()
    ctx, name = begin(ctx)
    trail = Trail()
    try:
        for step in steps(ctx):
            if step.stage is test.STAGE:
                ask_before_the_seal(ctx, step.stage, trail, ways, timed)
            run_step(ctx, step, trail)
            if step.stage.name == until:
                return _finish(ctx, name, trail, started, "stopped", None)
        promote_run(ctx, name, trail, ways, timed)
    except (GateBlocked, AwaitingApproval) as stop:
        status = NO_GO if keeps_today(trail.verdicts) else STATUS_OF[type(stop)]
        return _finish(ctx, name, trail, started, status, stop)
    except HeadraceError as error:
        return dataclasses.replace(_finish(ctx, name, trail, started, "failed", error), error=error)
    return _finish(ctx, name, trail, started, "released", None)


def run_step(ctx: Context, step: Step, trail: Trail) -> None:
    """Run a stage unless its key is known, judge its evidence, and go on through open gates alone.

    Raises:
        GateBlocked: a verdict blocks.
        HeadraceError: what the stage raised.
    """
    stage = step.stage.name
    ctx.progress(stage, "starts", 0, 0)
    before = time.perf_counter()
    try:
        ran = run_stage(step.stage, ctx, trail.made)
    except HeadraceError:
        key = ""
        with suppress(HeadraceError):  # where no key could be made: that is what failed
            key = stage_key(step.stage, ctx, trail.made)
        trail.stages.append(Ran(stage, "failed", time.perf_counter() - before, key, Output()))
        raise
    trail.stages.append(ran)
    ctx.progress(stage, ran.status, 1, 1)
    evidence = (*ran.output.evidence, *step.live(ctx, trail.made))
    verdicts = judge_all(ctx, stage, evidence, step.rules(ctx, trail.made))
    trail.verdicts += verdicts
    enforce(ctx, verdicts)


def _finish(
    ctx: Context, name: str, trail: Trail, started: float, status: str, stop: HeadraceError | None
) -> RunResult:
    result = RunResult(
        run=ctx.run,
        name=renamed(ctx, name, trail.made),
        status=status,
        stages=tuple(trail.stages),
        verdicts=tuple(trail.verdicts),
        release=trail.release,
        seconds=time.perf_counter() - started,
        exit_code=stop.exit_code if stop else 0,
        problems=stop.problems if stop else (),
        advice=advise(ctx.spec, status, trail.verdicts, trail.facts("learn")),
        tables=tables_used(ctx, trail.made),
    )
    ctx.store.append([ctx.draft("run.finished", ctx.run, **result.plain())])
    return result
