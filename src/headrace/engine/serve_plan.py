"""What the spec says under `serve`, resolved for the manifest: rules and fallbacks as graphs, and what has to
be known of a row for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from headrace.core.clock import duration_micros
from headrace.core.errors import Problem, UserError
from headrace.core.ports import Store
from headrace.core.schema import Type
from headrace.core.spec import Spec
from headrace.core.spec.scalars import parse_rate, parse_size
from headrace.core.spec.serve import Fallback, Rule, Serve
from headrace.core.task import Task, code_of
from headrace.engine.context import Context, Made
from headrace.engine.reviewing import answer_types, read_by_review
from headrace.engine.stages.ingest import compiled_of
from headrace.engine.stages.package import serving_beside
from headrace.engine.stages.split import task_of
from headrace.expr import Expr, compile_exprs, parse
from headrace.release.manifest import Serving
from headrace.release.plan import (
    CanaryPlan,
    InputPolicy,
    LogPlan,
    Plan,
    PlannedFallback,
    PlannedRule,
    RuleSet,
)


def serve_plan(ctx: Context, made: Made) -> tuple[Plan, Serving]:
    """How the release of a run wants to be served, and what answering needs, rules and fallbacks included.

    Raises:
        UserError: a rule or fallback answers what is no class of the task.
    """
    spec, compiled, task = ctx.spec, compiled_of(ctx, made), task_of(made)
    serve = spec.serve or Serve()
    _check_answers(serve, task)
    zone = spec.data.zone or "UTC"
    answers = answer_types(spec, compiled.target.type)
    plan = dataclasses.replace(
        plain_plan(spec),
        before=rule_set(ctx.store, serve.rules.before, compiled.types, zone),
        after=rule_set(ctx.store, serve.rules.after, {**compiled.types, **answers}, zone),
        fallback=tuple(_fallback(ctx.store, f, compiled.types, zone) for f in serve.fallback),
    )
    read = {*plan.before.reads, *plan.after.reads} - set(answers)
    read |= {c for f in plan.fallback for c in f.reads}
    read |= {c for c in (plan.unit, plan.log.subject) if c}
    read |= set(read_by_review(ctx, made))
    return plan, serving_beside(ctx, made, {c: compiled.types[c] for c in read})


def plain_plan(spec: Spec) -> Plan:
    """The plan without rules and fallbacks: what is read of the spec alone."""
    serve = spec.serve or Serve()
    log, canary = serve.log, serve.canary
    return Plan(
        unit=serve.unit,
        p50_us=duration_micros(serve.p50),
        p99_us=duration_micros(serve.p99),
        throughput=None if serve.throughput is None else parse_rate(serve.throughput),
        replicas=None if serve.replicas == "auto" else serve.replicas,
        deadline_us=duration_micros(serve.deadline),
        queue=serve.queue,
        rows=serve.rows,
        body=parse_size(serve.body),
        inputs=InputPolicy(**serve.inputs.model_dump()),
        log=LogPlan(log.mode, duration_micros(log.window), log.full, duration_micros(log.keep), log.subject),
        canary=CanaryPlan(tuple(map(float, canary.ramp)), duration_micros(canary.bake), canary.guardrails),
    )


def rule_set(store: Store, rules: Sequence[Rule], columns: Mapping[str, Type], zone: str) -> RuleSet:
    """Rules with the one graph of their conditions."""
    if not rules:
        return RuleSet()
    conditions = {str(i): parse(rule.when, columns, zone=zone) for i, rule in enumerate(rules)}
    planned = tuple(PlannedRule(r.name, r.when, r.answer) for r in rules)
    return RuleSet(planned, store.put(compile_exprs(conditions)).digest, _columns(conditions.values()))


def _fallback(store: Store, fallback: Fallback, columns: Mapping[str, Type], zone: str) -> PlannedFallback:
    if fallback.rule is None:
        return PlannedFallback(str(fallback.value), value=fallback.value)
    rule = parse(fallback.rule, columns, zone=zone)
    return PlannedFallback(fallback.rule, store.put(compile_exprs({"0": rule})).digest, reads=rule.columns)


def _columns(exprs: Iterable[Expr]) -> tuple[str, ...]:
    return tuple(sorted({c for e in exprs for c in e.columns}))


def _check_answers(serve: Serve, task: Task) -> None:
    """Classes are known only now that the rows have been read."""
    if not task.classes:
        return
    named = [(f"rule {r.name!r}", r.answer) for r in (*serve.rules.before, *serve.rules.after)]
    named += [("the fallback", f.value) for f in serve.fallback if f.rule is None]
    classes = ", ".join(repr(c) for c in task.classes[:6]) + (", …" if len(task.classes) > 6 else "")
    problems = [
        Problem(f"{what} answers {answer!r}, which is no class", where="serve", fix=f"classes: {classes}")
        for what, answer in named
        if answer is not None and code_of(task, answer) is None
    ]
    if problems:
        raise UserError.of(problems)
