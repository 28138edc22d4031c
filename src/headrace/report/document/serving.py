"""Model serving, and the A/B test on live traffic. What is declared and not built is worded as a plan."""

from __future__ import annotations

from math import ceil

from headrace.core.clock import parse_duration
from headrace.core.document import Design
from headrace.core.spec.plans import ExperimentPlan
from headrace.core.spec.scalars import parse_rate
from headrace.core.spec.serve import Serve
from headrace.metrics.sample_size import two_proportions
from headrace.metrics.sequential import units_for_shares
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
from headrace.report.page import number

_DAY = 86_400
_MODES: dict[str, tuple[Inline, ...]] = {
    "batch": ("Files are scored: ", Code("headrace predict"), "."),
    "rest": ("Answers over HTTP: ", Code("headrace serve"), " (POST /predict, GET /schema, GET /health)."),
    "streaming": (
        "Planned: answers to a stream of events. headrace has no reader of streams yet; until then ",
        Code("headrace serve"),
        " or ",
        Code("headrace predict"),
        " answer.",
    ),
    "edge": (
        "Planned: the packaged ONNX graph on the device. headrace has no export for devices yet; the graph "
        "itself "
        "needs an ONNX runtime and nothing else.",
    ),
}


def model_serving(design: Design) -> Part:
    """The section."""
    plan = design.spec.serve
    return Part(
        "Model serving",
        (
            Heading("Mode"),
            Para(_mode(design)),
            Heading("Latency"),
            *_latency(design),
            Heading("Throughput"),
            *_throughput(design),
            Heading("Scaling"),
            Para(("Plan: ", plan.scaling) if plan and plan.scaling.strip() else Lack("serve.scaling")),
            Heading("Rules"),
            *_rules(design),
            Heading("Fallback"),
            *_fallback(design),
        ),
    )


def _mode(design: Design) -> Words:
    if design.spec.serve is None:
        return (
            Lack("serve"),
            ". Both ",
            Code("headrace serve"),
            " and ",
            Code("headrace predict"),
            " would work.",
        )
    mode = design.spec.serve.mode
    return (f"{mode}. ", *_MODES[mode])


def _latency(design: Design) -> list[Block]:
    plan, gate, run = design.spec.serve, design.gate("latency"), design.measured
    if plan is not None and plan.mode == "batch":
        told: list[Block] = [Para("Single answers have no target: files are scored.")]
    else:
        p95 = gate["value"] if gate else None
        told = [
            Table(
                ("share of answers", "target", "measured"),
                tuple(
                    (
                        name,
                        said(getattr(plan, name) if plan else None, f"serve.{name}"),
                        _timed(design, name) or _against(plan, name, p95),
                    )
                    for name in ("p50", "p99")
                ),
            )
        ]
    limit = f"The gate latency holds the 95th percentile to {design.spec.limits.latency}"
    if gate is None or gate["value"] is None or run is None:
        told.append(Para(f"{limit}; it has not been measured yet."))
    else:
        told.append(
            Para(
                f"{limit}; in {run.run} it was {number(gate['value'])} ms over {gate['n']} single rows "
                f"({gate['verdict']}), through the packaged graph on the machine of the run. Network "
                "and queues come on top."
            )
        )
    return told


def _timed(design: Design, name: str) -> str:
    """What the gate of a target measured: whole answers, lookups and rules included."""
    gate = design.gate(f"speed: {name}")
    if gate is None or gate["value"] is None:
        return ""
    return f"{number(gate['value'])} ms over {gate['n']} whole answers ({gate['verdict']})"


def _against(plan: object, name: str, p95: float | None) -> str:
    """What the 95th percentile tells of another one: p50 is at most it, p99 at least."""
    target = getattr(plan, name, None)
    if target is None or p95 is None:
        return "–"
    bound = parse_duration(target).total_seconds() * 1000
    if name == "p50":
        return "the graph keeps it: 95% do" if p95 <= bound else "not known: the median was not measured"
    return "the graph misses it" if p95 > bound else "95% keep it; the 99th percentile was not measured"


def _throughput(design: Design) -> list[Block]:
    plan, gate = design.spec.serve, design.gate("latency")
    told: list[Block] = [
        Para(
            ("Plan at the peak: ", plan.throughput) if plan and plan.throughput else Lack("serve.throughput")
        )
    ]
    timed = design.gate("speed: throughput")
    if timed is not None and timed["value"] is not None:
        told.append(
            Para(
                f"Whole answers, one after the other, without a network: {number(timed['value'])} a second "
                f"by all servers ({timed['where'] or 'one'}; {timed['verdict']})."
            )
        )
        return told
    if gate is not None and gate["value"]:
        most = 1000 / gate["value"]
        least = f"about {number(float(f'{most:.2g}'))} rows a second at the 95% pace"
        told.append(Para(f"One row after the other, the graph alone answers {least}, on that machine."))
        if plan and plan.throughput:
            wanted = parse_rate(plan.throughput)
            enough = "leaves room for" if most > wanted else "is too slow for"
            told.append(
                Para(f"That {enough} the plan of {number(wanted)} a second; a load test has to confirm it.")
            )
    return told


def fallback_words(plan: Serve) -> tuple[Inline, ...]:
    """The chain of fallbacks, in their order."""
    words: list[Inline] = []
    for fallback in plan.fallback:
        words += [", then " if words else "", "the rule " if fallback.rule else "always "]
        words.append(Code(fallback.rule or str(fallback.value)))
    return tuple(w for w in words if w)


def _rules(design: Design) -> list[Block]:
    plan = design.spec.serve
    before, after = (plan.rules.before, plan.rules.after) if plan else ((), ())
    if not before and not after:
        return [Para("None: every answer is the model's.")]
    lines = [
        (
            rule.name,
            f"{when} the model",
            Code(rule.when),
            "no prediction: a person" if rule.answer is None else str(rule.answer),
        )
        for when, rules in (("before", before), ("after", after))
        for rule in rules
    ]
    return [
        Para("The first rule that holds answers in place of the model, over REST and in files alike."),
        Table(("rule", "asked", "holds where", "answer"), tuple(lines)),
    ]


def _fallback(design: Design) -> list[Block]:
    plan = design.spec.serve
    told: list[Block] = [
        Para(("Then: ", *fallback_words(plan)) if plan and plan.fallback else Lack("serve.fallback"))
    ]
    today = design.spec.problem.today
    if today is not None and today.rule is not None:
        told.append(Para(("Today's rule is known: ", Code(today.rule), ".")))
    if plan is None or plan.mode != "batch":
        told.append(
            Para(
                (
                    Code("headrace serve"),
                    " does so by itself, where neither the release nor the champion answers within ",
                    (plan or Serve()).deadline,
                    "; the answer says so. Bad input is refused, never answered so.",
                )
            )
        )
    return told


# --- the experiment --------------------------------------------------------------------------------


def ab_testing(design: Design) -> Part:
    """The section."""
    plan = design.spec.experiment
    note: Words = (
        Code("headrace ab start"),
        " divides the units, ",
        Code("headrace ab status"),
        " may be asked at any time, and the decision is kept. Before a promotion challenger and champion are "
        "compared on the same validation rows all the same.",
    )
    if plan is None:
        return Part("A/B testing", (Para(Lack("experiment")), Para(note)))
    guardrails: Block = (
        Items(tuple(Code(g) for g in plan.guardrails))
        if plan.guardrails
        else Para(Lack("experiment.guardrails"))
    )
    return Part(
        "A/B testing",
        (
            Para(note),
            Heading("Traffic split"),
            Para(_traffic(plan)),
            Heading("Primary metric"),
            Para(_primary(design, plan)),
            Heading("Guardrails"),
            guardrails,
            Heading("Minimum duration"),
            *_duration(design, plan),
            Heading("Rollback criteria"),
            Para(said(plan.rollback, "experiment.rollback")),
        ),
    )


def _traffic(plan: ExperimentPlan) -> Words:
    share = f"{number(100 * plan.traffic)}% of units to the challenger, the rest to the champion; unit: "
    unit: Inline = Code(plan.unit) if plan.unit else Lack("experiment.unit")
    return (share, unit, " (all of a unit's answers come from one arm)." if plan.unit else ".")


def _primary(design: Design, plan: ExperimentPlan) -> Words:
    words: list[Inline] = [said(plan.primary, "experiment.primary")]
    if plan.baseline is not None and plan.expected is not None:
        words.append(
            f"; {number(100 * plan.baseline)}% today, {number(100 * plan.expected)}% is worth finding"
        )
    if plan.primary and plan.primary == design.spec.problem.metric:
        words.append(" (the evaluation metric, on live rows once their answers are known)")
    return (*words, ".")


def _duration(design: Design, plan: ExperimentPlan) -> list[Block]:
    told: list[Block] = [
        Para(
            ("Declared: ", plan.minimum, ".") if plan.minimum else ("Declared: ", Lack("experiment.minimum"))
        )
    ]
    rate = plan.units or design.spec.context.volume
    if plan.baseline is None or plan.expected is None:
        lack = (Lack("experiment.baseline"), " and ", Lack("experiment.expected"))
        return [
            *told,
            Para(("How many units are needed can be computed for a primary that is a share: ", *lack)),
        ]
    share, level, power = plan.traffic, plan.level, plan.power
    units = units_for_shares(plan.baseline, plan.expected, share=share, level=level, power=power)
    once = two_proportions(
        plan.baseline, plan.expected, treatment_share=share, level=level, power=power
    ).total
    told.append(
        Para(
            f"Needed to see {number(100 * plan.baseline)}% become {number(100 * plan.expected)}% with a "
            "chance of "
            f"{number(100 * power)}% at a two-sided level of {level:g}, looking at any time: {units:,} units "
            f"of both arms, {number(100 * share)}% of them for the challenger (a confidence sequence: "
            f"Waudby-Smith et al. 2024). One single look at the end would need {once:,} (Fleiss, Levin & "
            "Paik 2003, section 4.5). Units that depend on each other, such as those of one day, need more."
        )
    )
    if rate is None:
        return [*told, Para(("How long that takes: ", Lack("experiment.units")))]
    days = max(1, ceil(units / (parse_rate(rate) * _DAY)))
    where = "experiment.units" if plan.units else "context.volume"
    text = f"At {rate} ({where}) that takes {days:,} day{'s' if days != 1 else ''}"
    if plan.minimum is None:
        return [*told, Para(f"{text}.")]
    enough = parse_duration(plan.minimum).total_seconds() >= days * _DAY
    return [
        *told,
        Para(f"{text}: the declared minimum of {plan.minimum} is {'enough' if enough else 'too short'}."),
    ]
