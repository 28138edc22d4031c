"""Tool choices: rules that read the context, each with the words that it rests on, and what was declared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headrace.core.clock import parse_duration
from headrace.core.document import Design
from headrace.core.spec import Spec
from headrace.core.spec.scalars import parse_rate
from headrace.report.document.blocks import Block, Code, Heading, Inline, Lack, Para, Part, Table, Words

SMALL_TEAM = 8
"""People who can share one machine's ledger without stepping on each other."""
BATCH_LATENCY = 3600.0
"""Seconds from which answers can wait for a batch."""
TIGHT_LATENCY = 0.01
"""Seconds below which a graph has to stay small."""
ONE_SERVER = 100.0
"""Answers a second up to which one server is planned for; live load has to confirm it."""
SLOW_MODELS = ("knn", "svm", "mlp")
"""Candidates whose cost of an answer grows with the training rows or with width."""
OPAQUE_MODELS = ("forest", "extra_trees", "boosting", "xgboost", "catboost", "knn", "svm", "mlp")
"""Candidates that can't be read off as a formula or a single tree."""
_EXPLAIN = ("explain", "interpret", "regulat", "audit")


@dataclass(frozen=True)
class Choice:
    """One line of the table: what is chosen, the rule, and the reason that quotes the context."""

    what: str
    chosen: Words
    rule: str
    reason: Words


def tool_choices(design: Design) -> Part:
    """The section."""
    spec = design.spec
    choices = [rule(design) for rule in RULES]
    rows = tuple((c.what, c.chosen, c.rule, c.reason) for c in choices)
    declared: Block = (
        Table(("choice", "reason"), tuple((n, r) for n, r in sorted(spec.context.choices.items())))
        if spec.context.choices
        else Para(Lack("context.choices"))
    )
    return Part(
        "Tool choices",
        (
            Heading("Context"),
            Table(("", "as declared"), _context(spec)),
            Heading("What follows from it"),
            Para("Rules that read the context; where it says nothing, the line says what is assumed."),
            Table(("choice", "chosen", "rule", "reason"), rows),
            Heading("Declared choices"),
            declared,
        ),
    )


def _context(spec: Spec) -> tuple[tuple[Words, ...], ...]:
    context = spec.context
    team = f"{context.team} {'person' if context.team == 1 else 'people'}" if context.team else None
    lines: dict[str, str | None] = {
        "team": team,
        "skills": context.skills,
        "maturity": context.maturity,
        "latency": context.latency,
        "volume": context.volume,
        "budget": context.budget,
        "constraints": "; ".join(context.constraints),
    }
    return tuple((name, value or Lack(f"context.{name}")) for name, value in lines.items())


def _quoted(key: str, value: object) -> tuple[Inline, ...]:
    return (Code(f"context.{key}: {value}"),)


def _store(design: Design) -> Choice:
    team = design.spec.context.team
    rule = f"up to {SMALL_TEAM} people: the embedded store; more: Postgres, which is planned and not built"
    if team is None:
        return Choice(
            "store", "embedded (SQLite and files)", rule, ("a small team is assumed; ", Lack("context.team"))
        )
    if team <= SMALL_TEAM:
        return Choice(
            "store", "embedded (SQLite and files)", rule, (*_quoted("team", team), " share one machine")
        )
    told = (
        *_quoted("team", team),
        " need a store on a server; until it is there, one machine keeps the ledger",
    )
    return Choice("store", "embedded for now, Postgres planned", rule, told)


def _answering(design: Design) -> Choice:
    spec = design.spec
    latency = spec.context.latency
    rule = "an answer may wait an hour or more: batch; less: REST"
    declared = spec.serve.mode if spec.serve else None
    if latency is None:
        chosen: Words = declared or "REST, as assumed"
        return Choice("way of answering", chosen, rule, Lack("context.latency"))
    waits = parse_duration(latency).total_seconds() >= BATCH_LATENCY
    derived = "batch" if waits else "rest"
    why = (*_quoted("latency", latency), " leaves time for a batch" if waits else " is too soon for a batch")
    if declared is None or declared == derived:
        return Choice("way of answering", derived, rule, why)
    if declared in ("streaming", "edge") and not waits:
        return Choice("way of answering", f"{declared}, as declared (planned)", rule, why)
    differs = (*why, "; ", Code(f"serve.mode: {declared}"), " says otherwise, and holds")
    return Choice("way of answering", f"{declared}, as declared", rule, differs)


def _servers(design: Design) -> Choice:
    spec = design.spec
    source = ("serve.throughput", spec.serve.throughput) if spec.serve and spec.serve.throughput else None
    source = source or (("context.volume", spec.context.volume) if spec.context.volume else None)
    rule = f"up to {ONE_SERVER:g} answers a second: one server; more: several behind a balancer"
    if source is None:
        return Choice("servers", "one", rule, ("little traffic is assumed; ", Lack("context.volume")))
    one = parse_rate(source[1]) <= ONE_SERVER
    why = (Code(f"{source[0]}: {source[1]}"), f" is {parse_rate(source[1]):.3g} a second")
    return Choice("servers", "one" if one else "several behind a balancer (planned)", rule, why)


def _models(design: Design) -> Choice:
    spec = design.spec
    names = {n: m.use for n, m in spec.model_specs().items()}
    barred, why = _barred(spec)
    rule = (
        f"answers within less than {TIGHT_LATENCY * 1000:g} ms: no {', '.join(SLOW_MODELS)}; a constraint "
        "that speaks of explaining, regulation or audit: linear and tree alone"
    )
    kept = [n for n, use in names.items() if use not in barred]
    against = [n for n, use in names.items() if use in barred]
    chosen = ", ".join(kept) or "none"
    if against:
        reason: Words = (*why, f" speaks against {', '.join(against)}, which the spec names")
        return Choice("candidates", f"{chosen} (not {', '.join(against)})", rule, reason)
    return Choice("candidates", chosen, rule, (*why, " bars none of them") if why else ("nothing bars any",))


def _barred(spec: Spec) -> tuple[set[str], tuple[Inline, ...]]:
    context, barred, why = spec.context, set[str](), list[Inline]()
    targets = [
        ("context.latency", context.latency),
        ("serve.p99", spec.serve.p99 if spec.serve else None),
    ]
    tight = next(
        ((k, v) for k, v in targets if v and parse_duration(v).total_seconds() < TIGHT_LATENCY), None
    )
    if tight:
        barred |= set(SLOW_MODELS)
        why.append(Code(f"{tight[0]}: {tight[1]}"))
    legible = next((c for c in context.constraints if any(w in c.lower() for w in _EXPLAIN)), None)
    if legible:
        barred |= set(OPAQUE_MODELS)
        why += [", "] * bool(why) + [Code(f"context.constraints: {legible}")]
    return barred, tuple(why)


def _tracking(design: Design) -> Choice:
    maturity = design.spec.context.maturity
    rule = (
        "established: the ledger, and a mirror in the MLflow server that others read; else the ledger alone"
    )
    if maturity is None:
        return Choice("experiment tracking", "the ledger", rule, Lack("context.maturity"))
    if maturity == "established":
        return Choice("experiment tracking", "the ledger with a mirror", rule, _quoted("maturity", maturity))
    return Choice(
        "experiment tracking", "the ledger", rule, (*_quoted("maturity", maturity), " has no server to feed")
    )


def _lookups(design: Design) -> Choice:
    rule = (
        "no side table and no history: none; lookups without a ttl: packaged with the release; with one, or "
        "histories: the online store"
    )
    if design.unread:
        return Choice("feature store", "not known yet", rule, "tables can't be read")
    aged = ", ".join(f"{t.name} ({t.ttl})" for t in design.tables if t.ttl)
    of = ", ".join(sorted({h.table for h in design.histories}))
    why = "; ".join([f"ttl of {aged}"] * bool(aged) + [f"histories of {of}"] * bool(of))
    if why:
        return Choice("feature store", "the online store, filled from the release", rule, why)
    if design.tables:
        names = ", ".join(t.name for t in design.tables)
        return Choice("feature store", "packaged tables", rule, f"features read {names}")
    return Choice("feature store", "none", rule, "every feature is computed from what the caller sends")


def _scheduler(design: Design) -> Choice:
    rule = "anything that the policy does by itself: headrace worker; else a person starts runs"
    acts = [r for r in design.spec.policy.reactions if r.do != "alert"]
    if not acts:
        return Choice("scheduler", "none: a person starts runs", rule, Lack("policy.reactions"))
    on = ", ".join(dict.fromkeys(r.cron or r.on for r in acts))
    return Choice("scheduler", "headrace worker", rule, (Code(f"policy.reactions: {on}"),))


def _format(design: Design) -> Choice:
    limits = design.spec.limits
    return Choice(
        "model format",
        "one ONNX graph",
        "always: nothing is unpickled, and training and serving run the same bytes",
        (
            Code(f"limits.size: {limits.size}"),
            " and ",
            Code(f"limits.latency: {limits.latency}"),
            " are gates",
        ),
    )


RULES: tuple[Callable[[Design], Choice], ...] = (
    _store, _answering, _servers, _models, _format, _lookups, _tracking, _scheduler,
)  # fmt: skip
"""Every rule, in the order of the table."""
